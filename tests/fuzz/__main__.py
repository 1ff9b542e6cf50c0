"""Fuzz one parser of the device, with libFuzzer's options; a file in place of a folder replays one input:

python -m tests.fuzz TARGET [-runs=N] [-seed=N] [FOLDER | FILE ...]
"""

import sys

import atheris

from tools import desktop


def main(argv):
    desktop.install()
    with atheris.instrument_imports(include=["app"]):
        from tests.fuzz.planted import planted
        from tests.fuzz.targets import TARGETS
    targets = {**TARGETS, "planted": planted}
    if len(argv) < 2 or argv[1] not in targets:
        raise SystemExit(f"{__doc__.strip()}\n\ntargets: {', '.join(TARGETS)}")
    atheris.Setup([argv[0], *argv[2:]], targets[argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
