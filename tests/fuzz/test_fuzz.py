"""Inputs that look for new branches of the device's parsers (atheris, which is libFuzzer for Python): whatever comes, a value
or one of our errors comes out, and nothing grows. The same inputs each time; ten times as many with `make sweep`."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import SEEDS, TARGETS

ROOT = Path(__file__).resolve().parents[2]
INPUTS = 20_000
FEWER = {"listings": 8_000, "settings": 5_000}  # these take longer
LONGEST_BYTES = 256  # what needs more adds it by itself; see targets.py
HANG_S = 100
# libFuzzer's exit status where an exception gets out of the target.
CRASHED = 77

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("atheris"), reason="atheris has no wheel for this Python or this system"
)


@pytest.fixture
def fuzz(tmp_path):
    """Call it with a target and libFuzzer's options: (exit status, output). What it finds stays in tmp_path."""

    def run(target, *options, limit_s=HANG_S):
        command = [sys.executable, "-m", "tests.fuzz", target, f"-artifact_prefix={tmp_path}/", *map(str, options)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit_s,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace")

    return run


def search(fuzz, folder, target, inputs, limit_s=HANG_S):
    """(exit status, output) of a search that begins at the target's seeds."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS.get(target, [])):
        (corpus / f"seed{number}").write_bytes(seed)
    return fuzz(target, f"-runs={inputs}", "-seed=1", f"-max_len={LONGEST_BYTES}", corpus, limit_s=limit_s)


def check(fuzz, tell, folder, target, inputs, limit_s=HANG_S):
    status, output = search(fuzz, folder, target, inputs, limit_s)
    assert status == 0, f"replay: python -m tests.fuzz {target} {folder}/crash-*\n{output[-5000:]}"
    count = int(re.search(r"^Done (\d+) runs", output, re.MULTILINE)[1])
    assert count == inputs
    tell(f"atheris, {target}: {count:,} inputs, nothing outside our errors")


@pytest.mark.parametrize("target", TARGETS)
def test_any_bytes_give_a_value_or_our_error(fuzz, tell, tmp_path, target):
    check(fuzz, tell, tmp_path, target, FEWER.get(target, INPUTS))


@pytest.mark.sweep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("target", TARGETS)
def test_ten_times_as_many(fuzz, tell, tmp_path, target):
    check(fuzz, tell, tmp_path, target, 10 * FEWER.get(target, INPUTS), limit_s=800)


def test_a_planted_fault_is_found_and_its_input_replays_it(fuzz, tmp_path):
    status, output = search(fuzz, tmp_path, "planted", INPUTS)
    assert status == CRASHED, output[-5000:]
    (crash,) = tmp_path.glob("crash-*")
    status, output = fuzz("planted", crash)
    assert status == CRASHED
    assert "ZeroDivisionError" in output
