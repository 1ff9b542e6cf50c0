"""The bench: what Ferry costs is what docs/bench.json and README.md tell, and within its budgets."""

import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from app import VERSION
from tests.ftpd.fixtures import require
from tools import readme
from tools.bench import budgets, jobs, pc, peers, run, show
from tools.bench.cli import RESULT, bench
from tools.bench.ferry import NAME, Ferry

# Quick ones; the heap and the largest folders are left to `make bench`.
COUNTED = ("idle", "first", "batch", "resume", "log", "update", "unchanged10")
ERASED = ("idle", "batch", "log")
BYTES_OFF = 0.02
FLASH_OFF = 0.05
ADVICE = "measure anew: make bench; and tell it in CHANGELOG.md"

LINK = (run.DELAY_MS, 0)
RESULTS = json.loads(RESULT.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def stage():
    require("vsftpd")
    with run.stage("vsftpd") as made:
        yield made


@pytest.fixture(scope="module")
def ferry(stage):
    with Ferry(stage) as made:
        yield made


def told(key):
    (row,) = (row for row in RESULTS["rows"] if row["client"] == NAME and row["job"] == key)
    return row


@pytest.mark.parametrize("key", COUNTED)
def test_what_ferry_costs_is_what_is_told(ferry, key):
    row = run.ferry_row(ferry, jobs.BY_KEY[key], LINK)
    assert row["wrong"] == ""
    same = ("turns", "commands", "connections")
    assert {name: row[name] for name in same} == {name: told(key)[name] for name in same}, ADVICE
    for name in ("up_bytes", "down_bytes"):
        assert row[name] == pytest.approx(told(key)[name], rel=BYTES_OFF), ADVICE
    assert budgets.broken({"rows": [row], "flash": RESULTS["flash"]}) == []


@pytest.mark.parametrize("key", ERASED)
def test_erases_are_what_is_told(ferry, key):
    assert ferry.erases(jobs.BY_KEY[key]) == told(key)["erases"], ADVICE


def test_flash_is_what_is_told():
    found = run.flash_bytes()
    assert found["py_bytes"] == pytest.approx(RESULTS["flash"]["py_bytes"], rel=FLASH_OFF), ADVICE
    if found["mpy_bytes"]:
        assert found["mpy_bytes"] == pytest.approx(RESULTS["flash"]["mpy_bytes"], rel=FLASH_OFF), ADVICE


def test_the_results_are_of_this_version_complete_and_within_the_budgets():
    assert RESULTS["version"] == VERSION, ADVICE
    assert not RESULTS["is_quick"]
    assert list(RESULTS["floors"]) == [job.key for job in jobs.JOBS]
    assert [row["job"] for row in RESULTS["rows"] if row["client"] == NAME] == [job.key for job in jobs.JOBS]
    assert [row["wrong"] for row in RESULTS["rows"] if row["client"] == NAME] == [""] * len(jobs.JOBS)
    assert budgets.broken(RESULTS) == []


def test_readme_shows_the_results():
    text = readme.README.read_text(encoding="utf-8")
    assert readme.get(text, *readme.BENCH) == show.readme_part(RESULTS) + "\n", "stale: make bench"


def test_what_is_over_a_budget_is_named():
    row = {**told("first"), "turns": budgets.FIRST_TRIPS + 50 * budgets.NEXT_TRIPS, "erases": 101}
    flash = {"py_bytes": 10**6, "mpy_bytes": 1}
    assert budgets.broken({"rows": [row], "flash": flash}) == [
        "50 files of 2 KiB, one by one: 157 round trips, 154 are allowed",
        "50 files of 2 KiB, one by one: 101 block erases, 100 are allowed",
        "flash as .py: 1,000,000 bytes, 262,144 are allowed",
    ]


@pytest.mark.parametrize("key", ["log", "update"])
def test_a_wrong_result_is_told(stage, key):
    for peer, is_wrong in ((peers.Ftplib, False), (peers.Note, True)):
        _, wrong = pc.run(stage, peer(stage.server.user, stage.server.password), jobs.BY_KEY[key], (0, 0))
        assert bool(wrong) == is_wrong


def test_what_differs_is_counted():
    wanted = {"a": b"1", "b": b"2", "c": b"3"}
    assert pc.differ(wanted, dict(wanted)) == ""
    assert pc.differ(wanted, {"a": b"1", "b": b"x", "d": b""}) == "of 3: 1 changed, 1 missing, 1 too many"


def test_a_peer_that_is_not_installed_is_named():
    class Absent(peers.Lftp):
        program, package = "no-such-program", "no-such-package"

    missing = Absent("u", "p").missing()
    assert missing == "no-such-program is not installed (apt-get install no-such-package)"
    row = {"job": "idle", "client": NAME, "wrong": "", "turns": 3, "commands": 6, "connections": 1, "up_bytes": 81}
    row.update(down_bytes=151, times=dict.fromkeys(("lan", "cat1", "ltem", "nbiot"), 1.0))
    result = {**RESULTS, "rows": [row], "floors": {"idle": RESULTS["floors"]["idle"]}, "computed": []}
    part = show.readme_part({**result, "peers": {"curl": "7"}, "missing": {"lftp": missing}})
    assert f"Left out: lftp, {missing}." in part
    assert "| idle check, nothing new | 2 | **3** |\n" in part


def test_a_pipe_gets_a_line_for_each_job_and_client(capsys):
    show.tables(Console(), RESULTS)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines() if line.count("\t") > 8]
    assert lines[0][:3] == ["job", "client", "trips"]
    told = {(line[0], line[1]): line for line in lines[1:]}
    assert len(told) == len(RESULTS["rows"])
    assert told["batch", NAME][2:4] == ["7", "10"]
    assert told["log", "vendor's note"][-1].startswith("WRONG: ")


def test_a_quick_run_does_not_write_the_readme():
    done = CliRunner().invoke(bench, ["--quick", "--readme"])
    assert done.exit_code == 2
    assert "--quick leaves out much" in done.output
