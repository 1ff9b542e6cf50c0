# Who is in trouble, and what they are told to do about it.
import calendar

import pytest

from tests.browser.fleet import REFUSED, UNREACHED, status
from tools.dashboard.fleet import Limits, judge, parse_time, span
from tools.dashboard.source import File

import json  # isort: skip

NOW = calendar.timegm((2026, 11, 30, 3, 0, 0))
HOUR = 3600
LIMITS = Limits(overdue_s=26 * HOUR, low_blocks=8, day_bytes=0)


def file(name="m", age_s=HOUR, modified_age_s=None, **more):
    modified = NOW - (age_s if modified_age_s is None else modified_age_s)
    return File(f"{name}.json", modified, "s", json.dumps(status(name, NOW, age_s, **more)).encode())


def judged(*files, limits=LIMITS, manifest=None, seen=()):
    return judge(list(files), dict(seen), limits, manifest, NOW)


def troubles(*files, **more):
    return {
        row.device: [(trouble.kind, trouble.what) for trouble in row.troubles] for row in judged(*files, **more).rows
    }


def only(*files, **more):
    """The one trouble of the module m."""
    (row,) = (row for row in judged(*files, **more).rows if row.device == "m")
    (trouble,) = row.troubles
    assert trouble.do.endswith(".")
    return trouble.kind, trouble.what, trouble.do


def test_a_healthy_module_has_no_trouble():
    assert troubles(file()) == {"m": []}


@pytest.mark.parametrize(("age_s", "is_overdue"), [(26 * HOUR, False), (26 * HOUR + 1, True)])
def test_overdue_begins_behind_the_limit(age_s, is_overdue):
    assert bool(troubles(file(age_s=age_s))["m"]) == is_overdue


def test_who_is_overdue_is_told_with_the_error_that_it_told_last():
    found = dict(troubles(file(age_s=30 * HOUR, error=REFUSED))["m"])
    assert found["overdue"] == "Silent for 1 d 6 h, 1 d 2 h are allowed. Last it told: TempReply in STOR."
    assert only(file(age_s=30 * HOUR))[2] == "Look at its power, antenna and SIM card."


def test_a_module_without_a_clock_is_judged_by_the_file_and_it_is_said():
    row = judged(file(time=None, age_s=HOUR)).rows[0]
    assert (row.heard, row.heard_by) == (NOW - HOUR, "time of the file")
    assert [(trouble.kind, trouble.what) for trouble in row.troubles] == [
        ("note", "Its clock is not set; the time is that of the file on the server.")
    ]
    assert "overdue" in judged(file(time=None, age_s=27 * HOUR)).rows[0].kinds


def test_without_any_time_it_counts_when_the_dashboard_first_saw_it():
    source = File("m.json", None, "", json.dumps(status("m", NOW, time=None)).encode())
    row = judged(source, seen={source.key: NOW - 30 * HOUR}).rows[0]
    assert (row.heard, row.heard_by) == (NOW - 30 * HOUR, "when the dashboard first saw it")
    assert row.kinds == ["note", "overdue"]


@pytest.mark.parametrize(
    ("told_age_s", "file_age_s", "heard_by"),
    [(30 * HOUR, HOUR, "the module's clock"), (HOUR, 30 * HOUR, "time of the file")],
    ids=["copied", "clock ahead"],
)
def test_of_two_times_the_older_counts_and_the_difference_is_told(told_age_s, file_age_s, heard_by):
    row = judged(file(age_s=told_age_s, modified_age_s=file_age_s)).rows[0]
    assert (row.heard, row.heard_by) == (NOW - 30 * HOUR, heard_by)
    assert row.kinds == ["note", "overdue"]
    assert "1 d 5 h" in row.troubles[0].what


def test_a_status_from_the_future_is_told():
    assert "2 h in the future" in only(file(age_s=-2 * HOUR))[1]


def test_failing_is_who_says_that_its_own_cycle_failed():
    assert only(file(error=REFUSED)) == (
        "failing",
        "5 cycles in a row failed: TempReply in STOR: 452 Insufficient disk space.",
        "The server's disk or quota is full: make room there.",
    )


def test_an_error_that_is_over_is_no_trouble():
    assert troubles(file(error=UNREACHED, last_good=90)) == {"m": []}


@pytest.mark.parametrize(("boots", "kinds"), [(2, []), (3, ["failing"])])
def test_boots_without_a_good_cycle_are_failing(boots, kinds):
    assert judged(file(bad_boots=boots)).rows[0].kinds == kinds


@pytest.mark.parametrize(("blocks", "kinds"), [(7, ["flash"]), (8, []), (None, [])])
def test_low_flash(blocks, kinds):
    assert judged(file(free_blocks=blocks)).rows[0].kinds == kinds


def test_parked_files_come_with_the_first_reason_and_what_its_code_means():
    found = only(file(parked={"count": 3, "files": [["/usr/a", "553 no"], ["/usr/b", "550 no"]]}))
    assert found == (
        "parked",
        "Refused: /usr/a: 553 no, and 2 more",
        "The server does not allow this name, or the account may not write there.",
    )


def test_over_budget_is_what_the_module_says_or_more_than_was_named():
    assert only(file(waited_for="budget.day_bytes are used up"))[0] == "budget"
    assert troubles(file(bytes_today=10**6)) == {"m": []}
    assert only(file(bytes_today=10**6), limits=Limits(26 * HOUR, 8, 10**6 - 1))[:2] == (
        "budget",
        "1,000,000 bytes on the air today, 999,999 are allowed.",
    )


def update(version, note=""):
    return {"update": {"version": version, "note": note}}


def test_behind_is_who_has_less_than_others_have():
    found = judged(file("new", **update(12)), file("m", **update(11)), file("none", **update(0)))
    assert {row.device: row.kinds for row in found.rows} == {"new": [], "m": ["update"], "none": []}
    assert (found.newest, found.newest_from) == (12, "fleet")


def test_a_note_tells_why_it_is_behind_and_who_is_not_meant_is_not():
    found = troubles(
        file("new", **update(12)),
        file("a", **update(11, "12: taken back")),
        file("b", **update(0, "12: it is for other devices")),
    )
    assert found["a"] == [("update", "Has update 11, the newest is 12. It says: 12: taken back")]
    assert found["b"] == []


def test_that_the_older_one_is_in_place_is_no_reason():
    found = judged(file("new", **update(12)), file("m", **update(11, "11: in place")))
    (trouble,) = found.rows[0].troubles
    assert (trouble.what, "next cycles" in trouble.do) == ("Has update 11, the newest is 12.", True)


def test_with_a_manifest_behind_is_who_lacks_it_and_is_meant():
    manifest = {"version": 13, "devices": ["m*"], "share": 100, "expires": 0}
    found = judged(file("m", **update(0)), file("m2", **update(13)), file("other", **update(12)), manifest=manifest)
    assert {row.device: row.kinds for row in found.rows} == {"m": ["update"], "m2": [], "other": []}
    expired = dict(manifest, expires=NOW - 1)
    assert troubles(file("m", **update(0)), manifest=expired) == {"m": []}
    nobody = dict(manifest, share=0)
    assert troubles(file("m", **update(0)), manifest=nobody) == {"m": []}


def test_two_files_of_one_name_are_told():
    second = File("copy.json", NOW, "s", file("m").raw)
    found = judged(file("m"), second)
    assert all("2 files say that they are m." in row.troubles[-1].what for row in found.rows)


def test_unreadable_is_in_the_list_with_the_reason_and_by_its_file():
    found = judged(File("half.json", NOW, "s", b'{"format"'), File("big.json", NOW, "s", problem="too large"), file())
    assert {row.device: row.kinds for row in found.rows} == {"half": ["unreadable"], "big": ["unreadable"], "m": []}


def test_the_worst_come_first_and_of_those_the_longest_silent():
    found = judged(
        file("ok"),
        file("note", time=None),
        file("low", free_blocks=1),
        file("failing", error=REFUSED),
        file("silent", age_s=50 * HOUR),
        file("longer", age_s=90 * HOUR),
        File("half.json", NOW, "s", b"{"),
    )
    assert [row.device for row in found.rows] == ["longer", "silent", "failing", "half", "low", "note", "ok"]
    assert found.ok_count == 2


@pytest.mark.parametrize(("silent", "is_told"), [(4, False), (5, True)])
def test_many_silent_at_once_is_a_hint_at_the_server(silent, is_told):
    found = judged(
        *(file(f"s{number}", age_s=30 * HOUR) for number in range(silent)),
        *(file(f"m{number}") for number in range(10)),
    )
    assert ("server and the network" in found.hint) == is_told


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-30T03:00:00Z", NOW),
        ("", None),
        ("2026-11-31T03:00:00Z", None),
        ("2026-11-30T03:00:00", None),
        ("٢٠٢٦-11-30T03:00:00Z", None),
    ],
)
def test_time_of_a_status(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min"), (3660, "1 h 1 min"), (7200, "2 h"), (90_000, "1 d 1 h")],
)
def test_span(seconds, text):
    assert span(seconds) == text
