# The simulated module on disk: a folder that plays its root, flashed with Ferry's files.
import contextlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from tools.device_files import ROOT, device_files, device_source
from tools.sim.settings import SettingsError

try:
    from mpy_cross_v6 import MPY_CROSS_PATH as _mpy_cross
except ImportError:  # PyPI has it for few machines
    _mpy_cross = None

IMEI = "861234050012345"


@contextlib.contextmanager
def root_folder(usr=None):
    """-> Path of a root with usr/ and bak/, for the length of the block; `usr`, when given, plays usr/ and is kept."""
    with tempfile.TemporaryDirectory(prefix="ferry-module-") as name:
        root = Path(name).resolve()
        (root / "bak").mkdir()
        if usr is None:
            (root / "usr").mkdir()
        else:
            (root / "usr").symlink_to(usr, target_is_directory=True)
        yield root


def check_usr(usr):
    """Refuse a folder whose files a flashed module would write over."""
    if usr == ROOT or usr in ROOT.parents or ROOT in usr.parents:
        raise SettingsError(f"{usr} overlaps the checkout; name a folder of its own, such as ../module")
    if usr.exists() and not usr.is_dir():
        raise SettingsError(f"{usr} is a file; name a folder (it is made when it does not exist)")


def flash(usr, config, is_small=False):
    """Put Ferry's code and its config.json on the module, as flashing would.

    A small flash takes .mpy files on a real module. Those of its firmware are not for the interpreter here, so that one gets
    its own: the same size but for a few bytes. Where there is no compiler for them it gets squeezed sources."""
    for path in device_files(is_small=is_small):
        target = usr / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not is_small:
            shutil.copyfile(ROOT / path, target)
            continue
        target.write_text(device_source(path), encoding="utf-8", newline="\n")
        if path.name != "main.py" and _mpy_cross:
            _compile(target, target.with_suffix(".mpy"))
            target.unlink()  # it would be loaded in its place
    (usr / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _compile(source, target):
    command = [_mpy_cross, "-s", source.name, "-o", str(target), str(source)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SettingsError(f"{source} does not compile:\n{done.stdout}")


def write_world(path, root, cycles, seed, flash=None, life=None):
    """What boot.py has to know; everything else has its default there."""
    world = {
        "root": str(root),
        "stubs": str(ROOT / "tools" / "qpycom_stubs"),
        "cycles": cycles,
        "seed": seed,
        "imei": IMEI,
        "flash": flash,
        **(life or {}),
    }
    path.write_text(json.dumps(world), encoding="utf-8")
