"""The simulator on a simulated flash, over its command line, and the tool that measures wear."""

import json
import re
import subprocess
import sys

import pytest

from tests.sim.test_sim import sim, transfers
from tools import readme
from tools.device_files import ROOT
from tools.sim import child
from tools.sim.flash import FILE_SYSTEMS


def python(*args):
    return subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)


@pytest.fixture
def micropython():
    if not child.find_interpreter(None, "512k").heap:
        pytest.skip("no micropython beside this Python nor on the PATH")


def run(folder, *args):
    done = sim("--usr", folder / "module", "--flash", "384k", "--json", folder / "run.json", *args)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("fs", FILE_SYSTEMS)
def test_everything_comes_in_step_and_an_idle_cycle_writes_nothing(micropython, tmp_path, fs):
    result = run(tmp_path, "--flash-fs", fs)
    assert transfers(result, "up")
    assert transfers(result, "down")
    first, idle = [cycle["flash"] for cycle in result["cycles"]]
    assert first["programs"] > 0
    assert (idle["programs"], idle["erases"]) == (0, 0)
    flash = result["flash"]
    assert flash["min"] <= flash["mean"] <= flash["max"]
    assert (tmp_path / f"module.{fs}").stat().st_size == 384 * 1024


def test_the_next_run_goes_on_with_the_image(micropython, tmp_path):
    run(tmp_path)
    result = run(tmp_path, "--cycles", 1)
    assert not transfers(result, "up")
    assert not transfers(result, "down")


def test_the_module_starts_again_after_power_cuts(micropython, tmp_path):
    result = run(tmp_path, "--power-cut", "9:torn", "--power-cut", 3)
    assert result["restarts"] == 2
    assert result["ended"] == "finished"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--flash", "100"], "multiple of 4k"),
        (["--flash", "384k", "--power-cut", "often"], "no cut"),
        (["--power-cut", "3"], "needs --flash"),
        (["--flash", "128k"], "does not fit"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_right(micropython, args, message):
    done = sim(*args)
    assert done.returncode == 2
    assert message in done.stderr


AS_IF_THERE_WERE_NO_MICROPYTHON = """
import sys
from tools.sim import child, cli
child.find_interpreter = lambda *_: child.Interpreter(sys.executable, "CPython 3", "")
cli.sim(["--flash", "384k"])
"""


def test_cpython_is_told_to_be_not_enough():
    done = python("-c", AS_IF_THERE_WERE_NO_MICROPYTHON)
    assert done.returncode == 2
    assert "needs a real MicroPython" in done.stderr


def test_wear_is_measured_and_readme_tells_it(micropython, tmp_path):
    done = python("-m", "tools", "wear", "--json", str(tmp_path / "wear.json"))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "wear.json").read_text(encoding="utf-8"))
    erases = {row["what"]: row["erases"] for row in result["rows"]}
    assert erases["an idle cycle"] == 0
    assert 0 < erases["a small file up, in a series of 10"] < 1.15 * erases["a small file up, alone"]
    assert min(erases.values()) >= 0
    assert f"{result['years']:.1f} years" in done.stdout
    told = readme.get(readme.README.read_text(encoding="utf-8"), *readme.WEAR)
    rows = dict(re.findall(r"\| (.*) \| ([\d.]+) \|", told))
    stale = "stale; write it anew: python -m tools wear --readme"
    assert {what: float(count) for what, count in rows.items()} == pytest.approx(
        {what.strip(): count for what, count in erases.items()}, rel=0.1, abs=0.05
    ), stale
    assert done.stdout.rpartition(": ")[2].strip() in told, stale
    assert float(re.search(r"([\d.]+) years", told)[1]) == pytest.approx(result["years"], rel=0.1), stale
