"""The power goes at every program and erase of the flash while an update is taken, put in place, tried and confirmed or taken
back: every boot finds the old set or the new one, never a mixture, and none that cannot go on.

On littlefs only: what an update replaces lies on /usr, which is littlefs on every module, and apply.py relies on its rename,
which replaces in one step. That of FAT, which SD cards have, removes the old file first."""

import random

import pytest

from tests.powercut.sweep import Cut
from tests.powercut.test_powercut import judge, undisturbed
from tests.powercut.update_sweep import UpdateSweep
from tests.powercut.updates import UPDATES

FILE_SYSTEMS = ("lfs1", "lfs2")
SAMPLE = 6  # cut points of each update on each file system
AGAIN = 20  # a second cut comes at most so many changes after the next boot


@pytest.fixture
def sweep(request, tmp_path):
    name, fs = request.param
    with UpdateSweep(name, fs, tmp_path) as running:
        yield running


PAIRS = [(name, fs) for fs in FILE_SYSTEMS for name in UPDATES]
every = pytest.mark.parametrize("sweep", PAIRS, indirect=True, ids=[f"{name}-{fs}" for name, fs in PAIRS])


@every
def test_a_sample_of_the_cuts(sweep, tell):
    changes = undisturbed(sweep)
    draw = random.Random(sweep.name + sweep.fs)
    points = sorted(draw.sample(range(1, changes + 1), SAMPLE))
    cuts = [Cut(at, draw.random() < 0.5, draw.choice((0, draw.randint(1, AGAIN))), draw.randrange(4)) for at in points]
    tell(f"{sweep.name} on {sweep.fs}: {len(cuts)} of {2 * changes} cut points, clean and torn")
    judge(sweep, cuts)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@every
def test_every_cut_and_again_during_the_recovery(sweep, tell):
    changes = undisturbed(sweep)
    draw = random.Random(sweep.name + sweep.fs)
    cuts = []
    for at in range(1, changes + 1):
        cuts += [
            Cut(at, torn, again, draw.randrange(4)) for torn in (False, True) for again in (0, draw.randint(1, AGAIN))
        ]
    tell(f"{sweep.name} on {sweep.fs}: {2 * changes} cut points, clean and torn; {len(cuts)} cuts")
    judge(sweep, cuts)
