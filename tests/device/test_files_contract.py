"""The Files port on the real MicroPython: over the shim's folder, littlefs 1 and 2 and FAT; and its fake, on CPython."""

import shutil

import pytest

from tests.device import files_contract
from tests.device.conftest import Module, _micropython
from tests.fakes import MemoryFiles
from tools.device_files import ROOT
from tools.sim.flash import FILE_SYSTEMS, Flash

HELPERS = ("code_of", "put", "content_of", "equal")
RULES = [
    name
    for name, thing in vars(files_contract).items()
    if getattr(thing, "__module__", "") == files_contract.__name__ and name not in HELPERS
]
SIZE_BYTES = 384 * 1024

RUN_ALL = """
import usys
usys.path.append("/usr")
import files_contract
from app.platform.files import Files
files = Files()

def clear(path):
    for name, is_folder, _ in files.entries(path, "", 99):
        (clear if is_folder else files.remove)(path + "/" + name)
    files.remove(path)

for name in NAMES:
    files.make_folders("/usr/t")
    try:
        getattr(files_contract, name)(files, "/usr/t")
        show(name, "fine")
    except Exception as e:
        usys.print_exception(e)
        show(name, repr(e))
    clear("/usr/t")
"""


class FlashModule(Module):
    """As Module, its /usr on a simulated flash."""

    def __init__(self, command, folder, flash):
        super().__init__(command, folder)
        self._flash = flash

    def boot(self, source, **world):
        (self.usr / "main.py").write_text(source, encoding="utf-8")
        self._flash.fill(self.usr)
        return super().boot(source, flash=self._flash.world(0), **world)


@pytest.fixture(scope="module", params=["folder", *FILE_SYSTEMS])
def told(request, tmp_path_factory):
    """{name of a rule: "fine", or what went wrong}, all from one boot."""
    fs, folder = request.param, tmp_path_factory.mktemp("contract")
    path = _micropython()
    if not path:
        pytest.skip("no micropython beside this Python nor on the PATH")
    command = [path, "-X", "heapsize=512k"]
    if fs == "folder":
        module = Module(command, folder)
    else:
        module = FlashModule(command, folder, Flash(path, folder / fs, fs, SIZE_BYTES))
    for name in ("app/__init__.py", "app/errors.py", "app/platform/files.py"):
        (module.usr / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, module.usr / name)
    shutil.copyfile(files_contract.__file__, module.usr / "files_contract.py")
    result = module.run(RUN_ALL, {"NAMES": RULES}, flash_blocks=SIZE_BYTES // 4096)
    return {name: (result.values.get(name), "\n".join(result.lines)) for name in RULES}


@pytest.mark.parametrize("rule", RULES)
def test_on_micropython(told, rule):
    verdict, output = told[rule]
    assert verdict == "fine", output


@pytest.mark.parametrize("rule", RULES[: RULES.index("a_file_is_continued")])
def test_fake(rule):
    files = MemoryFiles()
    files.make_folders("/usr/t")
    getattr(files_contract, rule)(files, "/usr/t")
