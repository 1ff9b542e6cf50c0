"""A cut at any byte, on any server: nothing hangs, nothing is told that is not so, nothing is ever half there, and the
next cycles bring both sides in step. What is checked after each cut: tests/faults/sweep.py, tests/faults/modes.py."""

import pytest

from tests.faults.modes import KINDS
from tests.faults.sweep import cuts_of, run_all, sweeping
from tests.ftpd.fixtures import require
from tools.ftpd.servers import NAMES

# Odd, so that a sample has cuts with and without a reboot. proftpd greets each session 0.4 s late.
SAMPLE = {"vsftpd": 101, "proftpd": 401, "pure-ftpd": 101, "pyftpdlib": 101}
SILENCE_SAMPLE = 401
SHARE = {"files": 1, "modes": 3, "two": 1}  # of the modes every third of these: what comes before the transfers is the same
# Of the full sweep: a silence lasts until a time-out.
SILENCE_STEP = 7
PARTS = 8  # of the full sweep, so that it shows how far it is
HOWS = ("fin", "rst")


@pytest.fixture
def sweep_of(tmp_path):
    def start(name, kind):
        require(name)
        return sweeping(name, tmp_path, KINDS[kind])

    return start


def refuse(failures):
    assert not failures, "\n".join(["the cuts that went wrong:", *failures])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_sample_of_all_cuts(name, kind, sweep_of, tell):
    with sweep_of(name, kind) as sweep:
        points = sweep.points()
        every = cuts_of(points, HOWS)
        cuts = every[:: SAMPLE[name] * SHARE[kind]] + cuts_of(points, ("silence",))[::SILENCE_SAMPLE]
        tried = f"{len(cuts)} cuts tried here, {len(every)} by make sweep"
        tell(f"cut sweep, {name}, {kind}: {len(points)} cut points, {tried}")
        failures = run_all(sweep, cuts)
        tell(f"cut sweep, {name}, {kind}: {in_step(sweep.cycles_needed)}")
        refuse(failures)


def in_step(cycles_needed):
    """How many cycles without faults it took."""
    return "in step " + ", ".join(
        f"after {count} cycles: {cycles_needed[count]}" if count > 1 else f"in the next cycle: {cycles_needed[count]}"
        for count in sorted(cycles_needed)
        if count
    )


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(1, PARTS + 1))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_every_cut(name, kind, part, sweep_of, tell):
    with sweep_of(name, kind) as sweep:
        points = sweep.points()
        cuts = (cuts_of(points, HOWS) + cuts_of(points, ("silence",))[::SILENCE_STEP])[part - 1 :: PARTS]
        failures = run_all(sweep, cuts)
        tried = f"{len(cuts)} cuts tried, {in_step(sweep.cycles_needed)}"
        tell(f"cut sweep, {name}, {kind}, part {part} of {PARTS}: {len(points)} cut points in all, {tried}")
        refuse(failures)
