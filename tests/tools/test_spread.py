# A fleet that gets power at one moment: how many come in one second. Bounds are those of chance with room; who all come at once,
# or in a few clumps, is far outside.
import json
import random

import pytest
from click.testing import CliRunner

from tools import spread

MODULES = 10_000
SETTINGS = spread.Settings(every_s=900, first_s=60, jitter_s=60)
CHI_SQUARE_59 = 110  # chance exceeds it once in 20,000 fleets


@pytest.fixture(scope="module")
def waves():
    return spread.waves(spread.imeis(MODULES), SETTINGS, random.Random(1).randint)


def chi_square(counts):
    mean = sum(counts) / len(counts)
    return sum((count - mean) ** 2 for count in counts) / mean


def test_every_module_comes_once_in_each_wave(waves):
    assert [len(wave.times_ms) for wave in waves] == [MODULES] * 4


def test_first_cycles_are_spread_evenly_over_their_minute(waves):
    counts = [waves[0].per_second()[second] for second in range(60)]
    assert sum(counts) == MODULES
    assert max(counts) <= 230  # the mean is 167
    assert chi_square(counts) < CHI_SQUARE_59


@pytest.mark.parametrize("number", [1, 2])
def test_later_cycles_are_spread_over_the_whole_period(waves, number):
    assert 900 <= waves[number].length_s() <= 960
    assert waves[number].most() <= 32  # the mean is 11


def test_a_fleet_does_not_come_back_together_after_an_outage(waves):
    assert waves[3].most() <= 50  # most of those that wait come soon: 22 in a second at first, 11 in the mean
    assert 800 <= waves[3].length_s() <= 900


@pytest.mark.parametrize("names", [["one name for all"] * MODULES, [f"{n % 8}" for n in range(MODULES)]])
def test_a_fleet_whose_names_do_not_differ_would_be_noticed(names):
    first = spread.waves(names, SETTINGS, random.Random(1).randint)[0]
    assert first.most() > 230
    assert chi_square([first.per_second()[second] for second in range(60)]) > CHI_SQUARE_59


def test_imeis_are_in_a_row_with_their_check_digit():
    assert spread.imeis(2) == ["861234050000010", "861234050000028"]
    assert spread._check_digit("49015420323751") == 8  # the example that the standard's readers know


def test_a_pipe_gets_lines_with_tabs_and_json_every_second(tmp_path):
    report = tmp_path / "spread.json"
    done = CliRunner().invoke(spread.spread, ["--modules", "500", "--json", str(report)])
    assert done.exit_code == 0, done.output
    lines = [line.split("\t") for line in done.output.splitlines()]
    assert [line[0] for line in lines[:4]] == ["cycle 1", "cycle 2", "cycle 3", "after an outage"]
    assert sum(int(line[2]) for line in lines[4:] if line[0] == "cycle 1") == 500
    found = json.loads(report.read_text(encoding="utf-8"))
    assert [sum(count for _, count in wave["arrivals"]) for wave in found] == [500] * 4
