"""FtpManager on CPython for tests that need thousands of cycles: real sockets, a folder that plays the module's flash.

Time is the machine's own divided by `scale`: a time-out of 15 s takes 0.15 s with a scale of 0.01, for the sockets and
for the clock that the app is given, and waits between cycles take none.
"""

import importlib.util
import os
import shutil
import stat
import sys
import time
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from app.config import check_all
from app.log import Log
from app.platform.sockets import Net
from ftp_manager import FtpManager

DEVICE = "m1"
_FILES = Path(__file__).resolve().parents[2] / "app" / "platform" / "files.py"
_BLOCKS = 4096


def _host_os(root):
    """The module's uos over the folder `root`."""
    uos = ModuleType("uos")

    def entry(path):
        found = os.stat(path)
        is_folder = stat.S_ISDIR(found.st_mode)
        return 0x4000 if is_folder else 0x8000, 0 if is_folder else found.st_size

    def ilistdir(path):
        for name in os.listdir(root + path):
            kind, size = entry(f"{root}{path}/{name}")
            yield name, kind, 0, size

    def stat_(path):
        kind, size = entry(root + path)
        return kind, 0, 0, 0, 0, 0, size, 0, 0, 0

    uos.ilistdir = ilistdir
    uos.stat = stat_
    uos.mkdir = lambda path: os.mkdir(root + path)
    uos.remove = lambda path: os.remove(root + path)
    uos.rename = lambda old, new: os.replace(root + old, root + new)
    uos.statvfs = lambda path: (4096, 4096, _BLOCKS, _BLOCKS, _BLOCKS, 0, 0, 0, 0, 255)
    return uos


def host_files(root, opened):
    """The device's own Files over the folder `root`: a copy of its module with this folder's uos and open().

    Every file that is opened is put into the list `opened`."""
    spec = importlib.util.spec_from_file_location("files_over_a_folder", _FILES)
    module = importlib.util.module_from_spec(spec)
    with patch.dict(sys.modules, uos=_host_os(root)):
        spec.loader.exec_module(module)

    def open_(path, mode):
        opened.append(open(root + path, mode))  # noqa: SIM115 - power_off() closes it
        return opened[-1]

    module.open = open_
    return module.Files()


class ScaledClock:
    """The machine's clock, faster; sleeping only moves it on."""

    def __init__(self, scale):
        self._scale = scale
        self._slept_ms = 0

    def ticks_ms(self):
        return int(time.monotonic() * 1000 / self._scale) + self._slept_ms

    def ticks_diff(self, later, earlier):
        return later - earlier

    def sleep_ms(self, ms):
        self._slept_ms += ms


class ScaledNet(Net):
    """The app's own Net with shorter time-outs; `open_count()` tells of sockets that nobody closed."""

    def __init__(self, scale):
        super().__init__()
        self._scale = scale
        self._made = []

    def _connect(self, info, timeout_s):
        connection = super()._connect(info, timeout_s * self._scale)
        set_timeout = connection.set_timeout
        connection.set_timeout = lambda seconds: set_timeout(seconds * self._scale)
        self._made.append(connection._sock)
        return connection

    def open_count(self):
        self._made = [sock for sock in self._made if sock.fileno() >= 0]
        return len(self._made)


class _Link:
    def wait_ready(self, timeout_s):
        pass

    def address(self):
        return "127.0.0.1"


class _Heard(FtpManager):
    """FtpManager that tells its events to `hear(kind, data)`."""

    def __init__(self, hear, *ports):
        self.on_event = lambda kind, data: hear(kind, data)
        super().__init__(*ports)


class World:
    """One module: `usr` is its flash, as a folder. `boot()` gives a new FtpManager, as after a restart."""

    def __init__(self, folder, user, password):
        self._root = folder
        self.usr = folder / "usr"
        self.usr.mkdir(parents=True)
        self._user = user
        self._password = password
        self.net = None
        self.lines = []
        self._opened = []

    def boot(self, port, scale=1.0, hear=lambda kind, data: None, **sections):
        """An FtpManager for the server at `port`; `sections` are further settings."""
        server = {"host": "127.0.0.1", "port": port, "user": self._user, "password": self._password}
        config = check_all({"device": {"id": DEVICE}, "server": server, **sections})
        clock = ScaledClock(scale)
        self.net = ScaledNet(scale)
        log = Log(clock, "debug", self.lines.append)
        self.power_off()
        files = host_files(str(self._root), self._opened)
        return _Heard(hear, config, files, self.net, clock, _Link(), log, lambda low, high: low, lambda: "")

    def power_off(self):
        """What the module held open is gone."""
        for file in self._opened:
            file.close()
        self._opened.clear()

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
