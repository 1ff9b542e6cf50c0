# The dashboard in a real browser, at a desk and on a phone, with a thousand modules.
import contextlib
import json
import re
import time

import pytest

from tests.browser import fleet
from tests.browser.chromium import DESKTOP, PHONE
from tools.dashboard import serve, view
from tools.dashboard.fleet import Limits
from tools.dashboard.history import History
from tools.dashboard.source import FolderSource, FtpSource
from tools.dashboard.watch import Watch
from tools.ftpd.servers import running

COUNT = 1000
LIMITS = Limits(overdue_s=92_160, low_blocks=8, day_bytes=0)
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])


@contextlib.contextmanager
def served(source, history=None):
    """-> (address, Site)"""
    page = view.FleetPage(source, LIMITS, "kept", every_s=60)
    site = serve.Site(Watch(source, history, None, LIMITS), page, "127.0.0.1")
    site.look()
    with serve.serving(site, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}/", site


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fleet") / "status"


@pytest.fixture(scope="module")
def site(folder):
    """A thousand modules, two of which have a past."""
    now = time.time()
    folder.mkdir()
    source = FolderSource(folder)
    with contextlib.closing(History(folder.parent / "h.sqlite3", "here")) as history:
        watch = Watch(source, history, None, LIMITS)
        for _ in fleet.live(folder, now, steps=30):
            watch.look()
        fleet.make(folder, COUNT, now)
        with served(source, history) as found:
            yield found


@pytest.fixture(scope="module")
def report(site, tmp_path_factory):
    """The same as one file."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    watch = site[1].watch
    path.write_text(
        view.FleetPage("the folder", LIMITS, "kept").render(watch.last, view.details(watch)), encoding="utf-8"
    )
    return path


@pytest.fixture(params=["served", "file"])
def address(request, site, report):
    return site[0] if request.param == "served" else report.as_uri()


@pytest.fixture
def url(site):
    return site[0]


def shown(page):
    """Names of the modules that are to be seen, in their order."""
    return page.evaluate(
        "[...document.querySelectorAll('#rows > tr[id]')].filter((row) => row.checkVisibility())"
        ".map((row) => row.querySelector('button').textContent)"
    )


@SIZES
def test_counts_and_the_worst_are_on_the_first_screen(open_page, address, size):
    page = open_page(address, size).page
    tiles = {
        tile["kind"]: tile["count"]
        for tile in page.evaluate(
            "[...document.querySelectorAll('.tile')]"
            ".map((tile) => ({kind: tile.dataset.kind, count: Number(tile.querySelector('b').textContent)}))"
        )
    }
    assert (tiles[""], tiles["overdue"], tiles["failing"], tiles["unreadable"], tiles["ok"]) == (
        COUNT,
        2,
        3,
        1,
        COUNT - 9,
    )
    assert page.title() == f"9 of {COUNT} in trouble: Ferry fleet"
    assert shown(page)[:4] == ["pump-31", "pump-07", "weir-02", "weir-11"]
    first = page.locator("#rows tr").first
    box = first.bounding_box()
    assert box["y"] + box["height"] < size["height"]
    assert "overdue" in first.inner_text()
    assert "→" in first.inner_text()


@SIZES
def test_nothing_is_wider_than_the_screen(open_page, address, size):
    page = open_page(address, size).page
    page.click("text=cam-05")
    page.wait_for_selector(".charts svg")
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    wide = page.evaluate(
        "(width) => [...document.querySelectorAll('#rows > tr:nth-child(-n+40) *')].filter((element) => !element.closest('.scroll')"
        " && element.getBoundingClientRect().right > width + 1).map((element) => element.outerHTML.slice(0, 80))",
        size["width"],
    )
    assert wide == []


@SIZES
def test_a_tile_filters_and_shows_all_again(open_page, url, size):
    page = open_page(url, size).page
    page.click(".tile[data-kind=flash]")
    assert shown(page) == ["cam-05", "tank-03"]
    assert page.locator("#shown").inner_text() == f"2 of {COUNT} modules"
    assert page.get_attribute(".tile[data-kind=flash]", "aria-pressed") == "true"
    page.click(".tile[data-kind=flash]")
    assert len(shown(page)) == COUNT


@SIZES
def test_search_finds_names_and_errors_in_any_order_of_words(open_page, url, size):
    page = open_page(url, size).page
    page.fill("#search", "disk 452 TEMPREPLY")
    assert shown(page) == ["pump-31", "weir-02"]
    page.fill("#search", "861234050")
    assert len(shown(page)) == COUNT - 11
    page.fill("#search", "no such thing")
    assert page.is_visible("#nobody")
    page.press("#search", "Escape")
    assert len(shown(page)) == COUNT


@pytest.mark.alone
def test_search_is_fast_with_a_thousand_modules(open_page, url):
    page = open_page(url, DESKTOP).page
    ms = page.evaluate(
        "() => { const start = performance.now(); for (const text of ['p', 'pu', 'pum', 'pump']) {"
        " const field = document.getElementById('search'); field.value = text; field.dispatchEvent(new Event('input'));"
        " document.body.offsetHeight; } return (performance.now() - start) / 4; }"
    )
    assert ms < 250


def test_columns_sort_both_ways_and_say_so(open_page, url):
    page = open_page(url, DESKTOP).page
    head = page.locator("thead th.flash")
    head.locator("button").click()
    assert shown(page)[:2] == ["tank-03", "cam-05"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert shown(page)[-2:] == ["cam-05", "tank-03"]
    page.locator("thead th.name button").click()
    names = shown(page)
    assert names == sorted(names)
    page.locator("thead th.today button").click()
    assert shown(page)[0] == "cam-06"


def test_a_phone_sorts_by_a_choice(open_page, url):
    page = open_page(url, PHONE).page
    page.select_option("#sort", "heard")
    assert shown(page)[:2] == ["pump-31", "pump-07"]


@SIZES
def test_details_tell_all_with_history_and_advice(open_page, address, size):
    page = open_page(address, size).page
    page.click("text=cam-05")
    page.wait_for_selector(".charts svg")
    text = page.locator("tr.detail").inner_text()
    for part in (
        *(
            "553 Illegal character in the name",
            "and 2 more",
            "The server does not allow this name",
            "EC600UCNLBR03A01M08_OCPU_QPY",
        ),
        *("free blocks: 6 now", "cam-05.logreq", "History:"),
    ):
        assert part in text
    assert page.locator(".charts svg").count() == 4
    assert page.locator(".past tbody tr").count() >= 24
    page.click("text=cam-05")
    assert page.locator("tr.detail").count() == 0


def test_an_error_that_is_over_is_told_as_over(open_page, url):
    page = open_page(url, DESKTOP).page
    page.fill("#search", "weir-04")
    page.click("text=weir-04")
    page.wait_for_selector("tr.detail h3")
    assert "6 in a row, in cycle 96, over since" in page.locator("tr.detail").inner_text()


def test_the_keyboard_is_enough(open_page, url):
    page = open_page(url, DESKTOP).page
    page.keyboard.press("/")
    page.keyboard.type("cam-05")
    assert shown(page) == ["cam-05"]
    page.focus("#rows tr:not([hidden]) button")
    page.keyboard.press("Enter")
    page.wait_for_selector("tr.detail h3")
    assert page.get_attribute("#rows tr:not([hidden]) button", "aria-expanded") == "true"


def test_what_is_shown_stands_in_the_address(open_page, url):
    page = open_page(url, DESKTOP).page
    page.click(".tile[data-kind=overdue]")
    page.locator("thead th.heard button").click()
    page.reload()
    assert shown(page) == ["pump-31", "pump-07"]
    assert page.get_attribute("thead th.heard", "aria-sort") == "ascending"


def test_without_colours_every_state_is_a_sign_and_a_word(open_page, url):
    page = open_page(url, DESKTOP).page
    states = set(
        page.evaluate(
            "[...document.querySelectorAll('td.state')].map((cell) => cell.textContent.trim().replace(/\\s+/g, ' '))"
        )
    )
    assert states == {"✖ overdue", "! failing", "? unreadable", "▾ low flash", "$ over budget", "↓ behind", "✓ ok"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_their_ground(open_page, url, scheme):
    page = open_page(url, DESKTOP, color_scheme=scheme).page
    page.click("text=cam-05")
    page.wait_for_selector(".charts svg")
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) > 8
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}


# The contrast of WCAG 2 of each kind of text with the first ground behind it.
CONTRAST = """() => {
  const part = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const found = numbers(getComputedStyle(element).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const result = {};
  const kinds = "h1, p, .tile b, .tile span, td, td span, small, th button, dt, dd, figcaption, li";
  for (const element of document.querySelectorAll(kinds)) {
    if (!element.textContent.trim() || !element.checkVisibility()) continue;
    const pair = [light(numbers(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
    const name = element.tagName + "." + element.className, ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    result[name] = Math.min(result[name] ?? 99, ratio);
  }
  return result;
}"""


def test_without_scripts_the_worst_still_come_first_with_what_to_do(open_page, url):
    page = open_page(url, PHONE, java_script_enabled=False).page
    first = page.locator("#rows tr").first.inner_text()
    assert "pump-31" in first
    assert "The server's disk or quota is full" in first
    assert "Without JavaScript" in page.locator("noscript").inner_text()


def test_a_fresh_look_comes_by_itself_and_keeps_what_the_person_chose(open_page, folder, tmp_path):
    fleet.make(tmp_path / "s", 20, time.time())
    with served(FolderSource(tmp_path / "s")) as (url, site):
        watched = open_page("about:blank", DESKTOP, own=[url])
        page = watched.page
        page.clock.install()
        page.goto(url)
        page.click(".tile[data-kind=flash]")
        page.click("text=tank-03")
        page.wait_for_selector("tr.detail h3")
        now = time.time()
        fleet.write(tmp_path / "s", "tank-99", fleet.status("tank-99", now, free_blocks=1), now - 600)
        site.look()
        page.clock.fast_forward(16_000)
        page.wait_for_selector("text=tank-99")
        assert shown(page) == ["cam-05", "tank-03", "tank-99"]
        page.wait_for_selector("tr.detail h3")
        assert page.locator(".tile[data-kind=flash] b").inner_text() == "3"
        assert page.evaluate("document.activeElement.closest('tr').id") == page.locator("tr.detail").evaluate(
            "(row) => row.previousElementSibling.id"
        )


def test_a_dashboard_that_has_ended_is_told(open_page, browser, tmp_path):
    fleet.make(tmp_path / "s", 3, time.time())
    with contextlib.ExitStack() as stack:
        url, _ = stack.enter_context(served(FolderSource(tmp_path / "s")))
        watched = open_page("about:blank", DESKTOP, own=[url])
        page = watched.page
        page.clock.install()
        page.goto(url)
        stack.close()
        page.clock.fast_forward(16_000)
        page.wait_for_selector("#offline:visible")
        assert "does not answer" in page.inner_text("#offline")
        # Refused, or reset where the browser still had a connection. There is nothing else to say.
        watched.said[:] = [text for text in watched.said if "net::ERR_CONNECTION_RE" not in text]


HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "\" onmouseover=\"document.title='owned'",
    "'><svg onload=document.title='owned'>",
    "<style>*{display:none}</style>",
    "<iframe src='javascript:alert(1)'></iframe>",
)


@pytest.mark.parametrize("form", ["served", "file"])
def test_what_a_hostile_module_says_stays_text(open_page, tmp_path, form):
    folder = tmp_path / "s"
    folder.mkdir()
    now = time.time()
    for number, text in enumerate(HOSTILE):
        keys = ("model", "firmware", "version", "server", "power_on", "ledger", "waited_for")
        files = {"count": 1, "files": [[text, text]]}
        error = fleet.error(text, text, 0, text, text)
        more = dict.fromkeys(keys, text) | {"error": error, "parked": files, "queue": files, "restarts": [text]}
        told = fleet.status(text, now, update={"version": 1, "note": text}, **more)
        fleet.write(folder, f"evil{number}", told, now)
    (folder / "<b onclick=alert(1)>.json").write_text(json.dumps({"format": "<u>x</u>", "device": "m"}))
    source = FolderSource(folder)
    with contextlib.closing(History(tmp_path / "h", "here")) as history, served(source, history) as (url, site):
        site.look()
        if form == "file":
            page = view.FleetPage("<i>source</i>", LIMITS, "kept")
            (tmp_path / "r.html").write_text(page.render(site.watch.last, view.details(site.watch)), encoding="utf-8")
            url = (tmp_path / "r.html").as_uri()
        page = open_page(url, DESKTOP).page
        for button in page.locator("#rows > tr[id] button").all():
            button.click()
        page.wait_for_function("document.querySelectorAll('tr.detail h3').length > 20")
        assert re.fullmatch(r"7 of 7 in trouble: Ferry fleet", page.title())
        assert (
            page.evaluate(
                "document.querySelectorAll('#rows img, #rows iframe, #rows script, #rows style, #rows b[onclick], #rows u, i i').length"
            )
            == 0
        )
        assert (
            page.evaluate(
                "[...document.querySelectorAll('#rows *')].filter((e) => e.getAttributeNames().some((n) => n.startsWith('on'))).length"
            )
            == 0
        )
        names = shown(page)
        assert set(HOSTILE) < set(names)
        assert page.locator("tr.detail", has_text=HOSTILE[0]).count() >= 1


def test_from_an_ftp_server(open_page, tmp_path):
    with running("pyftpdlib", tmp_path) as server:
        (server.root / "status").mkdir()
        fleet.make(server.root / "status", 25, time.time())
        source = FtpSource(f"ftp://{server.user}:{server.password}@{server.host}:{server.port}/status")
        with served(source) as (url, _):
            page = open_page(url, PHONE).page
            assert len(shown(page)) == 25
            assert f"ftp://{server.host}:{server.port}/status" in page.inner_text("#head")
            page.click("text=pump-12")
            page.wait_for_selector("tr.detail h3")
            assert "time of the file" in page.locator("tr.detail").inner_text()
