import pytest

from tests.device.ferry import HEAP, Ferry
from tests.ftpd.fixtures import ftpd, ftpd_server
from tests.world import world
from tools.sim.child import find_interpreter

__all__ = ["ftpd", "ftpd_server", "world"]


@pytest.fixture
def flashed(tmp_path):
    """Call it with a server, or with a proxy's port, to get a module under MicroPython that knows it; tests/device/ferry.py."""
    interpreter = find_interpreter("", HEAP)
    if not interpreter.heap:
        pytest.skip("no micropython beside this Python nor on the PATH")
    modules = []

    def flash(server, **settings):
        module = Ferry(interpreter.path, tmp_path / f"module{len(modules)}", server)
        module.configure(server=settings)
        modules.append(module)
        return module

    return flash
