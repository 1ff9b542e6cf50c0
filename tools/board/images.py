# The files that a module is to have, in the form that its firmware takes: squeezed source, or compiled for it.
import subprocess
from pathlib import Path

from tools.board.errors import BoardError
from tools.device_files import ROOT
from tools.publish.contents import compile_1_13, ferry_contents, from_bytes
from tools.sim.settings import SettingsError

from app.config import parse  # isort: skip  (tools.sim.settings has put the module's names in place)
from app.errors import ConfigError  # isort: skip

try:
    from mpy_cross_v6 import MPY_CROSS_PATH as _cross_v6
except ImportError:  # PyPI has it for few machines
    _cross_v6 = None

CONFIG = "/usr/config.json"
_V5_FLAGS = 0b11  # unicode strings, cached look-ups: the firmware of 2021 has neither


def compiler_for(mpy):
    """A function for ferry_contents(), by the word in `usys.implementation` of the module. Raises BoardError if none fits."""
    version, flags = mpy & 0xFF, mpy >> 8
    if version == 5 and not flags & _V5_FLAGS:
        return compile_1_13()
    if version == 6 and _cross_v6:
        return _compile_v6
    if not mpy:
        why = "does not tell which .mpy it takes"
    elif version == 5:
        why = "takes .mpy of version 5 with other flags than QuecPython's: is it another MicroPython?"
    elif version == 6:
        why = "takes .mpy of version 6, and the compiler for that is not installed here (pip install mpy-cross-v6)"
    else:
        why = f"takes .mpy of version {version}; there are compilers for 5 (MicroPython 1.12 to 1.18) and 6 (from 1.19 on)"
    raise BoardError(f"--mpy: this firmware {why}. Leave --mpy out: source runs on every firmware")


def _compile_v6(source, output):
    done = subprocess.run(
        [_cross_v6, "-s", Path(source).name, "-o", str(output), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout + done.stderr).strip() if done.returncode else ""


def code(compile_to, root=ROOT):
    """[Content] of Ferry's code, main.py last."""
    contents, _ = ferry_contents(compile_to, root)
    return sorted(contents, key=lambda content: content.path == "/usr/main.py")


def template():
    """config.json of the checkout, for a module without one: to be filled in there."""
    return from_bytes(CONFIG, (ROOT / "config.json").read_bytes())


def settings(path):
    """A config.json for the module, checked as the module checks it. Raises SettingsError with every problem."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(f"--config {path}: {error.strerror}") from error
    try:
        parse(raw)
    except ConfigError as error:
        problems = "\n".join(f"  {problem}" for problem in error.problems)
        raise SettingsError(f"--config {path}: the module would not take these settings:\n{problems}") from error
    return from_bytes(CONFIG, raw)
