# Links, faults and firmwares over the command line of the simulator: the real app lives through them.
import json
import re

import pytest

from tests.sim.test_sim import sim

FAST = {
    "schedule": {"every_s": 10, "jitter_s": 0, "first_s": 0},
    "link": {"hold_s": 0},
    "retry": {"base_s": 1, "cap_s": 4},
}


@pytest.fixture
def run(tmp_path):
    """run(*options) -> --json of a run that ended in step."""

    def start(*options, cycles=4, **sections):
        report, config = tmp_path / "run.json", tmp_path / "config.json"
        config.write_text(json.dumps({**FAST, **sections}))
        done = sim("--config", config, "--cycles", cycles, "--json", report, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(report.read_text()), said=done.stdout)

    return start


def errors(cycle):
    return " ".join(f"{error['class']} {error['step']} {error['code']} {error['text']}" for error in cycle["errors"])


@pytest.mark.parametrize("link", ["cat1", "ltem", "nbiot"])
def test_a_cycle_takes_as_long_as_the_link_makes_it(run, link):
    (cycle,) = run("--link", link, cycles=1, server={"timeout_s": 20})["cycles"]
    least_s = {"cat1": (5, 30), "ltem": (20, 90), "nbiot": (150, 900)}[link]
    assert cycle["ok"]
    assert least_s[0] * 1000 < cycle["duration_ms"] < least_s[1] * 1000
    assert cycle["duration_ms"] > cycle["round_trips"] * {"cat1": 50, "ltem": 100, "nbiot": 1500}[link] / 2


@pytest.mark.parametrize("year", ["2021", "2026"])
def test_either_firmware_comes_in_step(run, year):
    assert all(cycle["ok"] for cycle in run("--firmware", year, cycles=2)["cycles"])


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("sim-missing@cycle1-2", "no SIM card"),
        ("sim-pin@cycle1-2", "wants a PIN"),
        ("attach-denied@cycle1-2", "refuses"),
        ("searching@cycle1-2", "searching"),
        ("no-data-call@cycle1-2", "no data call"),
        ("dns-fail@cycle1-2", "no address for localhost"),
        ("server-down@cycle1-2", "connection refused"),
        ("port-blocked@cycle1-2", "no answer"),
        ("data-blocked@cycle1-2", "data connection"),
        ("server-silent@cycle1-2", "110"),
        ("silence@cycle1-2", "no a"),
    ],
)
def test_two_cycles_fail_with_their_reason_and_the_next_one_is_good(run, spec, words):
    cycles = run("--fault", spec, cycles=3)["cycles"]
    assert [cycle["ok"] for cycle in cycles] == [False, False, True]
    assert all(words in errors(cycle) for cycle in cycles[:2])


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("cut-data@40%@cycle1", "104"),
        ("cut-control@9@cycle1", "104"),
        ("ip-change@5s", "the module's address changed"),
    ],
)
def test_a_cycle_that_is_cut_is_followed_by_one_that_brings_the_rest(run, spec, words):
    result = run("--fault", spec, "--link", "ltem", cycles=2)
    cycles = result["cycles"]
    assert [cycle["ok"] for cycle in cycles] == [False, True]
    assert words in errors(cycles[0])
    assert cycles[0]["up_count"] + cycles[1]["up_count"] == 9
    assert result["faults_missed"] == []


@pytest.mark.parametrize("year", ["2021", "2026"])
def test_the_issues_own_faults_in_one_life(run, year):
    spec = "sim-missing@0-60s,cut-data@40%,server-down@cycle12,dns-fail@cycle13,attach-denied@cycle14,flash-full@cycle15"
    result = run("--firmware", year, "--fault", spec + ",ip-change@200s", cycles=24, link={"hold_s": 3})
    assert result["faults_missed"] == []
    assert [cycle["ok"] for cycle in result["cycles"][:9]] == [False] * 9
    assert all("no SIM card" in errors(cycle) for cycle in result["cycles"][:9])
    told = {number: errors(cycle) for number, cycle in enumerate(result["cycles"], 1)}
    assert "connection reset" in told[10]
    assert "connection refused" in told[12]
    assert result["cycles"][12]["ok"]  # without a name server the address of the last connection is taken
    assert "refuses the SIM card" in told[14]
    assert result["cycles"][-1]["ok"]
    assert sum(row["state"] == "same" for row in result["files"]) == 15


def test_a_full_flash_stops_no_upload_and_downloads_come_when_there_is_room(run):
    cycles = run("--fault", "flash-full@cycle1-2", cycles=3)["cycles"]
    assert [cycle["ok"] for cycle in cycles] == [False, True, True]  # the ledger's records wait in RAM
    assert [cycle["up_count"] for cycle in cycles] == [9, 0, 0]
    assert [cycle["down_count"] for cycle in cycles] == [0, 0, 6]
    assert "flash" in str(cycles[0]["skipped"])


@pytest.mark.parametrize("spec", ["watchdog-fails", "clock-unset", "clock-wrong@-3y", "signal@0", "battery@3300mV"])
def test_what_the_module_can_do_without_fails_no_cycle(run, spec):
    assert all(cycle["ok"] for cycle in run("--fault", spec, cycles=2)["cycles"])


def test_a_fault_that_never_came_is_told(run):
    result = run("--fault", "server-down@cycle9,cut-control@500,sim-missing@0-1s", cycles=4)
    assert result["faults_missed"] == ["server-down@cycle9", "cut-control@500"]
    assert "these faults never came: server-down@cycle9, cut-control@500\n" in result["said"]


def test_power_cuts_are_survived_and_each_happens_once(run):
    result = run("--fault", "power-cut@3s,power-cut@6-60s", "--fault", "power-cut@80s", "--link", "cat1", cycles=3)
    assert result["restart_reasons"] == ["power_cut"] * 3
    assert len(result["cycles"]) == 3
    assert sum(row["state"] == "same" for row in result["files"]) == 15


def test_a_power_cut_leaves_a_simulated_flash_as_it_is(run):
    result = run("--flash", "512k", "--fault", "power-cut@2s,power-cut@4s", "--link", "cat1", cycles=2)
    assert result["restart_reasons"] == ["power_cut", "power_cut"]


@pytest.mark.parametrize("cure", ["redial", "flight", "restart"])
def test_the_ladder_is_climbed_until_the_data_call_comes_back(run, cure):
    result = run("--fault", f"no-data-call@cycle2-{cure}", cycles=20, link={"restart_after_s": 600})
    cycles = result["cycles"]
    assert cycles[0]["ok"]
    assert cycles[-1]["ok"]
    assert not cycles[1]["ok"]
    assert result["restart_reasons"] == (["restart"] if cure == "restart" else [])
    rungs = ["wait"] * 3 + ["new sockets"] * 2 + ["data call again"] * 3 + ["flight mode"] * 3 + ["restart"]
    climbed = {"redial": 6, "flight": 9, "restart": 12}[cure]
    assert re.findall(r"info    link: (.*)", result["said"]) == rungs[:climbed]
    reason = "restart: no good cycle for .* h: LinkError in link: registered, but no data call"
    assert len(re.findall(reason, result["said"])) == (climbed == 12)


def test_a_way_of_the_data_that_is_dead_for_hours_is_opened_by_a_new_data_call(run):
    retry = {"base_s": 300, "cap_s": 900}
    cycles = run("--fault", "data-blocked@cycle2-redial", cycles=40, retry=retry)["cycles"]
    assert [cycles[1]["ok"], cycles[-1]["ok"]] == [False, True]


def test_a_watchdog_ends_a_call_that_hangs(run):
    result = run("--fault", "hang@2h@cycle2", cycles=3, run={"watchdog_s": 600})
    assert result["restart_reasons"] == ["watchdog"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fault", "sim-mising"], "did you mean sim-missing?"),
        (["--fault", "dns-fail,hang@cycle2"], "'cycle2' is no amount"),
        (["--link", "lte"], "Invalid value for '--link'"),
        (["--firmware", "2020"], "Invalid value for '--firmware'"),
        (["--flash", "384k", "--fault", "flash-full"], "goes without --flash"),
    ],
)
def test_wrong_usage_says_what_is_right(options, message):
    done = sim(*options)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_lists_every_fault():
    text = sim("--help").stdout
    from tools.sim.faults import help_lines

    for line in help_lines():
        assert line in text
