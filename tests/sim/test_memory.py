"""The tool that measures how much heap many files need, over its command line."""

import json
import subprocess
import sys

import pytest

from tools.device_files import ROOT
from tools.sim import child


@pytest.fixture
def memory(tmp_path):
    """memory(*args) -> (finished process, its --json)"""
    if not child.find_interpreter(None, "256k").heap:
        pytest.skip("no micropython beside this Python nor on the PATH")

    def run(*args):
        report = tmp_path / "memory.json"
        command = [sys.executable, "-m", "tools", "memory", *args, "--json", str(report)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
        return done, json.loads(report.read_text(encoding="utf-8"))

    return run


def test_live_memory_of_both_cycles_is_told_and_less_than_the_heap(memory):
    done, result = memory("--files", "20", "--files", "200")
    assert done.returncode == 0, done.stdout + done.stderr
    few, many = result["rows"]
    for row in (few, many):
        assert 0 < row["idle_live"] <= row["first_live"] < 256 * 1024
    assert few["first_live"] < many["first_live"]
    assert done.stdout.count("fits") == 2


def test_a_heap_that_is_too_small_is_said_and_fails(memory):
    done, result = memory("--files", "20", "--heap", "128")
    assert done.returncode == 1
    assert "does NOT fit" in done.stdout
    assert result["rows"][0]["error"]


def test_the_smallest_heap_lies_between_one_that_is_too_small_and_one_that_fits(memory):
    _, result = memory("--files", "20", "--smallest")
    smallest = result["rows"][0]["smallest_k"]
    assert 128 < smallest <= 256
    assert smallest % 8 == 0
