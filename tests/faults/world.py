"""The World of tests/world.py without pytest, for thousands of cycles and for a command line: one module whose FtpManager
syncs the whole of /usr, tells its events, and can lose power."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from unittest.mock import patch

from app.config import check_all
from ftp_manager import FtpManager
from tests.world import DEVICE, FastClock, FastNet, Mains, StrictLog, UpLink, _FolderUos

_FILES = Path(__file__).resolve().parents[2] / "app" / "platform" / "files.py"


class _Uos(_FolderUos):
    """Keeps what was opened, as the module does until its power goes."""

    def __init__(self, root):
        super().__init__(root)
        self.opened = []

    def open(self, path, mode):
        self.opened.append(super().open(path, mode))
        return self.opened[-1]


def _files_over(uos):
    """The device's own Files with this uos and its open(): from a copy of their module, so that nothing is shared."""
    spec = importlib.util.spec_from_file_location("files_over_a_folder", _FILES)
    module = importlib.util.module_from_spec(spec)
    with patch.dict(sys.modules, uos=uos):
        spec.loader.exec_module(module)
    module.open = uos.open
    return module.Files()


class _Net(FastNet):
    """Knows which sockets nobody has closed."""

    def __init__(self, speed):
        super().__init__(speed)
        self._made = []

    def connect(self, host, port, timeout_s):
        connection = super().connect(host, port, timeout_s)
        self._made.append(connection._sock)
        return connection

    def open_count(self):
        self._made = [sock for sock in self._made if sock.fileno() >= 0]
        return len(self._made)


class _Heard(FtpManager):
    """FtpManager that tells its events to `hear(kind, data)`."""

    def __init__(self, hear, *ports):
        self.on_event = lambda kind, data: hear(kind, data)
        super().__init__(*ports)


class World:
    """One module: `usr` is its flash, as a folder. `boot()` gives a new FtpManager, as after a restart."""

    def __init__(self, folder, user, password, **server):
        """`server`: more settings of that section."""
        self.usr = folder / "usr"
        self.usr.mkdir(parents=True)
        self._uos = _Uos(folder)
        self._login = {"user": user, "password": password, **server}
        self.net = None
        self.lines = []

    def boot(self, port, speed=1, hear=lambda kind, data: None, **sections):
        """An FtpManager for the server at `port`; `sections` are further settings."""
        self.power_off()
        server = {"host": "127.0.0.1", "port": port, **self._login}
        config = check_all({"device": {"id": DEVICE}, "server": server, **sections})
        clock = FastClock(speed)
        self.net = _Net(speed)
        log = StrictLog(clock, "debug", self.lines.append)
        files = _files_over(self._uos)
        return _Heard(hear, config, files, self.net, clock, UpLink(), log, lambda low, high: low, Mains())

    def power_off(self):
        """What the module held open is gone."""
        for file in self._uos.opened:
            file.close()
        self._uos.opened.clear()

    def files(self):
        """{name below /usr: content} without Ferry's state folder."""
        return {name: raw for name, raw in read_tree(self.usr).items() if not name.startswith(".ferry/")}


def read_tree(top):
    """{name: content} of every file below a folder."""
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as source:
                    found[os.path.relpath(path, top)] = source.read()
            except FileNotFoundError:
                continue  # the server renamed or removed it since
    return found


def write_tree(top, tree):
    """Make the folder hold exactly these files."""
    for entry in top.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    for name, content in tree.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
