# The simulated module for tests: a script as its main.py, run by tools/sim/boot.py under each interpreter, in a folder
# of its own.
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.device.ferry import Ferry
from tests.device.ftpd import Ftpd

ROOT = Path(__file__).resolve().parents[2]
EVENT_MARK = "\x1e"
RUN_TIMEOUT_S = 20


@dataclass
class Result:
    status: int
    lines: list
    events: list

    @property
    def values(self):
        """Lines of the form `name = value` that the script printed with show(): as a dict of strings."""
        return dict(line.split(" = ", 1) for line in self.lines if " = " in line)


class Module:
    """Where the interpreter is called for: `command`. `root` holds usr and bak."""

    def __init__(self, command, folder):
        self._command = command
        self._folder = folder
        self.root = folder / "root"
        self.usr = self.root / "usr"
        self.usr.mkdir(parents=True)
        (self.root / "bak").mkdir()

    def run(self, source, arguments=None, **world):
        """Runs `source` as main.py; `arguments` are globals for it. Fails the test if the script raised."""
        header = "def show(name, value):\n    print(name, '=', value)\n"
        header += "".join(f"{name} = {value!r}\n" for name, value in (arguments or {}).items())
        result = self.boot(header + textwrap.dedent(source), **world)
        assert result.status != 1, "\n".join(result.lines)
        return result

    def boot(self, source, **world):
        (self.usr / "main.py").write_text(source, encoding="utf-8")
        path = self._folder / "world.json"
        world.update(root=str(self.root), stubs=str(ROOT / "tools" / "qpycom_stubs"))
        path.write_text(json.dumps(world), encoding="utf-8")
        done = subprocess.run(
            [*self._command, str(ROOT / "tools" / "sim" / "boot.py"), str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
        lines = done.stdout.decode("utf-8").split("\n")[:-1]
        events = [json.loads(line[1:]) for line in lines if line.startswith(EVENT_MARK)]
        return Result(done.returncode, [line for line in lines if not line.startswith(EVENT_MARK)], events)


def _micropython():
    beside = shutil.which("micropython", path=str(Path(sys.executable).parent))
    return beside or shutil.which("micropython")


@pytest.fixture(params=["micropython", "cpython"])
def module(request, tmp_path):
    if request.param == "cpython":
        return Module([sys.executable], tmp_path)
    path = _micropython()
    if not path:
        pytest.skip("no micropython beside this Python nor on the PATH")
    return Module([path, "-X", "heapsize=256k"], tmp_path)


@contextlib.contextmanager
def listening(serve):
    """A loopback server for the block: `serve(connection)` is called for each connection. -> its TCP port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        open_connections = []

        def accept():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # the block has ended
                    return
                open_connections.append(connection)
                serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in open_connections:
                connection.close()


@pytest.fixture
def server():
    return listening


@pytest.fixture
def refused_port():
    """A TCP port of loopback where nobody listens."""
    with socket.socket() as taken:  # bound and not listening: connecting is refused, and nobody else gets it
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def ftpd(tmp_path):
    """An FTP server in this process, with hooks; see tests/device/ftpd.py."""
    root = tmp_path / "server"
    (root / "updates").mkdir(parents=True)
    with Ftpd(root) as server:
        yield server


@pytest.fixture
def ferry(tmp_path, ftpd):
    """A module with Ferry on it and `ftpd` in its settings; see tests/device/ferry.py."""
    path = _micropython()
    if not path:
        pytest.skip("no micropython beside this Python nor on the PATH")
    return Ferry(path, tmp_path / "module", ftpd)
