"""One cut, with everything that the module said: python -m tests.powercut SCENARIO FS AT clean|torn [AGAIN [SEED]]"""

import sys
import tempfile
from pathlib import Path

from tests.powercut.sweep import Cut, Sweep
from tests.powercut.update_sweep import UpdateSweep


def main(name, fs, at, kind, again="0", seed="0"):
    cut = Cut(int(at), kind == "torn", int(again), int(seed))
    kind_of = UpdateSweep if name in UpdateSweep.SCENARIOS else Sweep
    with tempfile.TemporaryDirectory() as folder, kind_of(name, fs, Path(folder)) as sweep:
        wrong, found = sweep.check(cut)
    print("\n".join(found["log"]))
    print(f"changes {found['changes']}, cut again {found.get('again', False)}")
    print("\n".join(wrong) or "nothing is wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) < 5:
        raise SystemExit(__doc__)
    raise SystemExit(main(*sys.argv[1:]))
