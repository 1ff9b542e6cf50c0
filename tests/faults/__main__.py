"""Shows one cut of the sweep: ``python -m tests.faults vsftpd "control 1 up 123 rst reboot" files``."""

import sys
import tempfile
from pathlib import Path

from tools import desktop


def main(name, text, kind):
    desktop.install()
    from tests.faults.modes import KINDS
    from tests.faults.sweep import Cut, sweeping

    with tempfile.TemporaryDirectory() as folder, sweeping(name, Path(folder).resolve(), KINDS[kind]) as sweep:
        problems = sweep.run(Cut.parse(text))
        print(*sweep.world.lines, *problems, sep="\n")
        print("not in order" if problems else "in order")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
