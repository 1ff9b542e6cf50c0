# The command as a person calls it, and the site that it serves, without a browser (tests/browser has one).
import base64
import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time

import pytest

from tests.browser import fleet
from tools.dashboard import serve, view
from tools.dashboard.fleet import Limits
from tools.dashboard.source import FolderSource, FtpSource
from tools.dashboard.watch import Watch
from tools.device_files import ROOT
from tools.ftpd.servers import running

LIMITS = Limits(overdue_s=92_160, low_blocks=8, day_bytes=0)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "status"
    fleet.make(path, 30, time.time())
    return path


@pytest.fixture
def run(call, tmp_path):
    """run(...) -> click's result; the history is the test's own."""
    return lambda *args: call("dashboard", "--history", tmp_path / "h.sqlite3", *args)


def test_json_has_the_worst_first_and_all_that_a_program_needs(run, folder):
    done = run("--from", folder, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["counts"] == {
        "modules": 30,
        "ok": 21,
        "overdue": 2,
        "failing": 3,
        "unreadable": 1,
        "flash": 2,
        "parked": 1,
        "budget": 1,
        "update": 1,
        "note": 1,
    }
    first = found["modules"][0]
    assert (first["device"], first["state"], first["status"]["model"]) == ("pump-31", "overdue", "EC600U")
    assert first["troubles"][0]["do"]
    assert 5 * 86_400 <= first["age_s"] < 5 * 86_400 + 600


def test_out_writes_one_file_that_replaces_the_last_one_whole(run, folder, tmp_path):
    out = tmp_path / "report.html"
    out.write_text("old")
    done = run("--from", folder, "--out", out)
    assert (done.exit_code, "30 modules, 9 in trouble" in done.stderr) == (0, True)
    text = out.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "pump-31" in text
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["h.sqlite3", "report.html", "status"]


def test_the_page_names_nothing_that_it_would_have_to_load(run, folder, tmp_path):
    run("--from", folder, "--out", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert re.findall(r"""(?:src|href|action)\s*=\s*["']?(?!data:)[^"' >]+""", text.partition("<script")[0]) == []
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) == {"http://www.w3.org/2000/svg"}


HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "'><svg/onload=alert(1)>",
    "<!--<script>",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_a_module_says_is_markup(run, tmp_path, text):
    folder = tmp_path / "status"
    folder.mkdir()
    more = dict.fromkeys(("model", "firmware", "version", "server", "power_on", "ledger", "waited_for"), text)
    error = fleet.error(text, text, 0, text, text)
    files = {"count": 1, "files": [[text, text]]}
    told = fleet.status(
        text,
        time.time(),
        error=error,
        parked=files,
        queue=files,
        restarts=[text],
        update={"version": 1, "note": text},
        **more,
    )
    fleet.write(folder, "evil", told, time.time())
    fleet.write(folder, "broken", json.dumps({"format": 1, "device": [text]}).encode(), time.time())
    assert run("--from", folder, "--out", tmp_path / "r.html").exit_code == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text not in page
    assert page.count("<script") == page.count("</script") == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--from", "/nowhere"], "does not exist"),
        (["--from", "http://h/x", "--json"], "only ftp://"),
        (["--from", "ftp://h:0/x", "--json"], "1 to 65535"),
        (["--from", ".", "--overdue", "soon"], "such as 26h"),
        (["--from", ".", "--json", "--out", "x.html"], "exclude each other"),
        ([], "--from"),
    ],
)
def test_wrong_usage_is_named(run, args, said):
    done = run(*args)
    assert (done.exit_code, said in done.output) == (2, True)


def test_a_server_that_is_not_there_ends_in_advice_and_without_the_password(run):
    done = run("--from", "ftp://u:hush@127.0.0.1:1/x", "--json")
    assert done.exit_code == 1
    assert "TCP port" in done.output
    assert "hush" not in done.output


def test_a_file_that_cannot_be_written_ends_in_advice(run, folder, tmp_path):
    done = run("--from", folder, "--out", tmp_path / "no" / "r.html")
    assert (done.exit_code, "name another place" in done.output) == (1, True)


def test_a_store_that_is_none_is_told_and_the_report_is_made(call, folder, tmp_path):
    (tmp_path / "h").write_bytes(b"no database" * 1000)
    done = call("dashboard", "--history", tmp_path / "h", "--from", folder, "--out", tmp_path / "r.html")
    assert done.exit_code == 0
    assert "history: not kept" in done.stderr
    assert "History: not kept" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_updates_says_who_lacks_the_published_one(call, run, folder, tmp_path, fill):
    source = fill(tmp_path / "site", {"a.txt": b"a"})
    assert call("publish", source, tmp_path / "updates", "--version", 13).exit_code == 0
    found = json.loads(run("--from", folder, "--json", "--updates", tmp_path / "updates").stdout)
    assert (found["newest_update"], found["counts"]["update"]) == (13, 29)
    (tmp_path / "updates" / "manifest").write_bytes(b"FERRY1 -\n{")
    found = json.loads(run("--from", folder, "--json", "--updates", tmp_path / "updates").stdout)
    assert found["counts"]["update"] == 1
    assert "--updates" in found["trouble"][0]


# --- served


class _Client:
    def __init__(self, port):
        self.port = port

    def get(self, path="/", method="GET", **headers):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as link:
            link.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read()


@contextlib.contextmanager
def served(source, host="127.0.0.1"):
    site = serve.Site(Watch(source, None, None, LIMITS), view.FleetPage(source, LIMITS, "none", 60), host)
    site.look()
    with serve.serving(site, host, 0) as port:
        yield site, _Client(port)


@pytest.fixture
def site(folder):
    with served(FolderSource(folder)) as found:
        yield found


def test_the_page_comes_with_a_policy_that_fits_its_script_and_style(site):
    status, headers, body = site[1].get()
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", body.decode(), re.DOTALL)
        digest = hashlib.sha256(text.encode()).digest()
        assert f"{tag}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_that_has_not_changed_is_not_sent_again(site):
    tag = site[1].get()[1]["ETag"]
    assert site[1].get(If_None_Match=tag)[::2] == (304, b"")
    site[0].look()  # ages are the browser's business; the time of the look is in the page
    status, headers, _ = site[1].get(If_None_Match=tag)
    assert (status, headers["ETag"] != tag) == (200, True)


def test_details_of_one_module_and_of_none(site):
    row = site[0].watch.last.fleet.rows[0]
    status, headers, body = site[1].get(f"/module?id={row.key}")
    assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert json.loads(body)["status"]["device"] == "pump-31"
    assert site[1].get("/module?id=../../etc/passwd")[0] == 404
    assert site[1].get("/module")[0] == 404


@pytest.mark.parametrize("path", ["/../cli.py", "/web/page.js", "/%2e%2e/", "//evil/", "/favicon.ico"])
def test_there_is_one_page(site, path):
    assert site[1].get(path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(site, method):
    assert site[1].get(method=method)[0] == 501


def test_head_has_no_body(site):
    assert site[1].get(method="HEAD")[::2] == (200, b"")


@pytest.mark.parametrize(
    ("host", "status"),
    [("evil.example", 421), ("127.0.0.1:80", 200), ("localhost", 200), ("[::1]:8765", 200), ("[", 421)],
)
def test_on_loopback_another_name_gets_nothing(site, host, status):
    assert site[1].get(Host=host)[0] == status


def test_a_look_that_fails_leaves_the_last_one_standing_and_says_so(folder, site):
    found, client = site
    os.rename(folder, folder.with_name("away"))
    look = found.look()
    assert len(look.fleet.rows) == 30
    assert look.read_at < look.at
    body = client.get()[2].decode()
    assert "No such file" in body
    assert "pump-31" in body
    os.rename(folder.with_name("away"), folder)
    assert found.look().trouble == ()


def test_from_a_server_and_on_while_it_is_down(tmp_path):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running("pyftpdlib", tmp_path))
        (server.root / "status").mkdir()
        fleet.make(server.root / "status", 5, time.time())
        source = FtpSource(f"ftp://{server.user}:{server.password}@{server.host}:{server.port}/status")
        with served(source) as (site, client):
            stack.close()
            look = site.look()
            assert len(look.fleet.rows) == 5
            assert "refused" in look.trouble[0]
            assert server.password not in client.get()[2].decode()


def test_the_command_serves_until_it_is_ended(folder, tmp_path):
    command = [sys.executable, "-m", "tools", "dashboard", "--from", folder, "--port", "0", "--history", tmp_path / "h"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            port = int(re.match(r"http://127\.0\.0\.1:(\d+)/  30 modules, 9 in trouble; Ctrl-C ends it", line)[1])
            assert b"pump-31" in _Client(port).get()[2]
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def test_a_port_that_is_taken_ends_in_advice(run, folder, site):
    done = run("--from", folder, "--port", site[1].port)
    assert done.exit_code == 1
    assert "--port, or 0" in done.output


def test_a_status_that_a_module_really_sent_is_understood(run, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"device": {"id": "pump-7"}, "status": {"to": "status/{device}.json"}}))
    command = [sys.executable, "-m", "tools", "sim", "--usr", tmp_path / "usr", "--config", config, "--cycles", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(run("--from", tmp_path / "usr.server" / "status", "--overdue", "999999d", "--json").stdout)[
        "modules"
    ]
    assert (row["device"], row["state"], row["heard_by"]) == ("pump-7", "ok", "the module's clock")
    assert (row["status"]["model"], row["status"]["server"].partition(":")[0]) == ("EC600U", "localhost")
