"""The power goes at every program and erase of the flash, clean and torn, on every file system: nothing is lost, nothing is
half there, nothing is sent twice. A sample of the cut points runs with the other tests, all of them with `make sweep`."""

import random

import pytest

from tests.powercut.scenarios import SCENARIOS
from tests.powercut.sweep import Cut, Sweep
from tools.sim.flash import FILE_SYSTEMS

SAMPLE = 6  # cut points of each scenario on each file system
AGAIN = 12  # a second cut comes at most so many changes into the recovery


@pytest.fixture
def sweep(request, tmp_path):
    name, fs = request.param
    with Sweep(name, fs, tmp_path) as running:
        yield running


def every(sweeps):
    pairs = [(name, fs) for fs in FILE_SYSTEMS for name in sweeps]
    return pytest.mark.parametrize("sweep", pairs, indirect=True, ids=[f"{name}-{fs}" for name, fs in pairs])


def judge(sweep, cuts):
    """Every cut, and what is wrong after which, with the command that shows it."""
    faults = []
    for cut in cuts:
        wrong, _ = sweep.check(cut)
        if wrong:
            faults.append("\n    ".join([cut.command(sweep.name, sweep.fs), *wrong]))
    assert not faults, f"{len(faults)} of {len(cuts)} cuts leave something wrong:\n" + "\n".join(faults)


def undisturbed(sweep):
    changes, wrong = sweep.changes()
    assert not wrong, "without a cut: " + "; ".join(wrong)
    return changes


@every(SCENARIOS)
def test_a_sample_of_the_cuts(sweep, tell):
    changes = undisturbed(sweep)
    draw = random.Random(sweep.name + sweep.fs)
    points = sorted(draw.sample(range(1, changes + 1), min(SAMPLE, changes)))
    cuts = [Cut(at, draw.random() < 0.5, draw.choice((0, draw.randint(1, AGAIN))), draw.randrange(4)) for at in points]
    tell(f"{sweep.name} on {sweep.fs}: {len(cuts)} of {2 * changes} cut points, clean and torn")
    judge(sweep, cuts)


@pytest.mark.sweep
@pytest.mark.timeout(1800)
@every(SCENARIOS)
def test_every_cut_and_again_during_the_recovery(sweep, tell):
    changes = undisturbed(sweep)
    draw = random.Random(sweep.name + sweep.fs)
    cuts = []
    for at in range(1, changes + 1):
        cuts += [Cut(at, torn, 0, seed) for torn, seed in ((False, 0), (False, 1), (True, 0), (True, 1))]
        cuts += [Cut(at, torn, draw.randint(1, AGAIN), draw.randrange(4)) for torn in (False, True)]
    tell(f"{sweep.name} on {sweep.fs}: {2 * changes} cut points, clean and torn; {len(cuts)} cuts")
    judge(sweep, cuts)
