# A soak and a week, short ones, and that their verdict can say no. The long ones: `make sweep`.
import json
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

with (
    warnings.catch_warnings()
):  # up to Python 3.11 it takes asyncore from the standard library, which says that it goes
    warnings.simplefilter("ignore", DeprecationWarning)
    import pyftpdlib.handlers  # noqa: F401

from tools.sim.module import IMEI
from tools.soak import verdict
from tools.soak.bench import Tally
from tools.soak.cli import soak
from tools.soak.content import content, is_some_version
from tools.soak.site import Site
from tools.week import week

KINDS_OF_FAULTS = 5  # at least, in a short one


def run(command, folder, *args):
    """-> (finished run, its --json)"""
    report = folder / "report.json"
    done = CliRunner().invoke(command, [*map(str, args), "--json", str(report)])
    assert report.exists(), done.output
    return done, json.loads(report.read_text(encoding="utf-8"))


def is_good(done, result):
    assert done.exit_code == 0, done.output
    assert result["problems"] == []


@pytest.mark.parametrize(("cycles", "seed", "firmware"), [(100, 2, "2021"), (250, 3, "2026")])
def test_some_hundred_cycles_with_faults_lose_nothing_and_double_nothing(tmp_path, cycles, seed, firmware):
    done, result = run(soak, tmp_path, "--cycles", cycles, "--seed", seed)
    is_good(done, result)
    assert result["firmware"] == firmware
    assert result["cycles"] >= cycles
    assert result["good"] < result["cycles"] * 0.95
    assert len(result["faults"]) >= KINDS_OF_FAULTS
    assert len(result["cuts"]) >= 3
    assert result["up_files"] > cycles / 2
    assert result["down_files"] > cycles / 20
    assert result["most_sockets"] == 0
    assert (result["memory_growth_per_cycle"] is None) == (cycles < 200)


def test_a_day_with_power_cuts_on_a_small_flash_loses_nothing(tmp_path):
    done, result = run(week, tmp_path, "--days", 1, "--link", "ltem")
    is_good(done, result)
    assert result["restarts"]["power cut"] >= 1
    assert result["all"]["up_files"] > 100
    assert result["all"]["air_bytes"] > result["all"]["sent_bytes"] + result["all"]["received_bytes"]
    assert result["erases_with_application"] > result["all"]["erases"] > 0


@pytest.mark.sweep
@pytest.mark.timeout(3600)
def test_ten_thousand_cycles(tmp_path):
    done, result = run(soak, tmp_path)
    is_good(done, result)
    assert {"wait", "new sockets", "data call again", "flight mode"} <= set(result["rungs"])
    assert result["restarts"]["power cut"] >= 2
    assert len(result["restarts"]) >= 2


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_a_week_on_nbiot(tmp_path):
    done, result = run(week, tmp_path)
    is_good(done, result)
    assert len(result["days"]) == 7
    assert sum(day["cycles"] for day in result["days"]) == result["all"]["cycles"]
    assert result["restarts"]["power cut"] >= 4
    assert result["all"]["up_files"] > 900


# --- the verdict can say no


@pytest.fixture
def bench(tmp_path):
    """What a run leaves behind: one file of each kind, where it has to be."""
    site = Site(tmp_path / "server", 1, 0, 0, 100)
    usr = tmp_path / "root" / "usr"
    made = {"out/1.bin": {1: 50}, "data/0.bin": {1: 7, 2: 40}}
    for name, versions in made.items():
        version = max(versions)
        put(site.folder / IMEI / name, content(name, version, versions[version]))
        site.renamed(site.folder / IMEI / name)
    put(usr / "data/0.bin", content("data/0.bin", 2, 40))
    for folder in (usr, site.folder / IMEI):
        put(folder / "log/events.txt", b"line 1\n")
    for path in (site.folder / "updates").iterdir():
        put(usr / "in" / path.name, path.read_bytes())
    return SimpleNamespace(
        site=site, root=tmp_path / "root", made=made, downs=Counter({"0.bin": 1}), tally=Tally(), memory=[]
    )


def put(path: Path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def problem(bench):
    found = verdict.problems(bench)
    assert len(found) == 1, found
    return found[0]


def test_what_is_as_promised_is_no_problem(bench):
    assert verdict.problems(bench) == []
    assert verdict.held(bench) == []


def test_a_fault_that_was_survived_is_told(bench):
    bench.tally.tracebacks = [(7, ["Traceback", "KeyError: x"])]
    assert problem(bench) == "behind cycle 7:\nTraceback\nKeyError: x"


def test_a_file_that_is_missing_on_the_server_is_told(bench):
    (bench.site.folder / IMEI / "out/1.bin").unlink()
    assert problem(bench) == "out/1.bin on the server is missing"


def test_a_file_that_lacks_a_byte_on_the_server_is_told(bench):
    put(bench.site.folder / IMEI / "out/1.bin", content("out/1.bin", 1, 49))
    assert problem(bench) == "out/1.bin on the server is another"


def test_an_old_version_on_the_server_is_told(bench):
    put(bench.site.folder / IMEI / "data/0.bin", content("data/0.bin", 1, 7))
    assert "data/0.bin on the server is another" in verdict.problems(bench)


def test_a_file_that_still_waits_is_told(bench):
    put(bench.root / "usr/out/1.bin", content("out/1.bin", 1, 50))
    assert problem(bench) == "out/1.bin was not sent"


def test_a_line_of_a_log_that_came_twice_is_told(bench):
    put(bench.site.folder / IMEI / "log/events.txt", b"line 1\nline 1\n")
    assert problem(bench) == "log/events.txt is another here than on the server"


def test_an_update_that_did_not_come_is_told(bench):
    (bench.root / "usr/in/0.bin").unlink()
    assert problem(bench) == "updates/0.bin is another on the server than here"


def test_a_file_from_nowhere_is_told_but_not_one_that_the_power_took_from_the_application(bench):
    put(bench.site.folder / IMEI / "out/2.bin", content("out/2.bin", 2, 100))
    assert verdict.problems(bench) == []
    put(bench.site.folder / IMEI / "out/3.bin", content("out/2.bin", 2, 100))
    assert problem(bench) == "out/3.bin on the server comes from nowhere"


def test_a_file_that_arrived_twice_is_told(bench):
    bench.site.renamed(bench.site.folder / IMEI / "out/1.bin")
    assert problem(bench).endswith("arrived 2 times with the same content")


def test_an_update_that_came_twice_is_told(bench):
    bench.downs["0.bin"] += 1
    assert problem(bench) == "updates/0.bin came 2 times in 1 versions"


def test_an_open_socket_and_a_leak_are_told(bench):
    bench.tally.most_sockets = 1
    bench.memory = [[(cycle, 100_000 + 32 * cycle) for cycle in range(0, 300, 10)]]
    assert verdict.held(bench) == ["1 sockets were open behind a cycle", "the memory grows by 32.0 bytes a cycle"]


def test_memory_that_goes_up_and_down_or_differs_from_boot_to_boot_is_flat():
    boots = [[(cycle, level + 300 * (cycle // 10 % 8)) for cycle in range(0, 800, 10)] for level in (100_000, 160_000)]
    assert abs(verdict.growth(boots)) < 1


def test_a_content_knows_its_name_and_version():
    assert is_some_version("out/7.bin", content("out/7.bin", 7, 200))
    assert is_some_version("out/7.bin", b"")
    assert not is_some_version("out/7.bin", content("out/7.bin", 7, 200)[:-1] + b"?")
    assert not is_some_version("out/7.bin", content("out/8.bin", 7, 200))
