"""Ferry on CPython with real sockets: FtpManager over a folder that plays the module's flash, and a session for one server.

Time is the real one, `speed` times as fast, and pauses pass at once: a time-out of 15 s takes 0.3 s at FAST.
"""

import json
import os
import random
import sys
import time
import types
from contextlib import contextmanager

import pytest

import ftp_manager
from app.config import parse
from app.ftp import FTP
from app.log import Log
from app.platform.sockets import Net
from app.proto.session import Session
from app.worker import Worker

FAST = 50
DEVICE = "m1"

_PERIOD_MS = 1 << 30


class FastClock:
    """The Clock port: the real clock at `speed`, and what was slept through on top."""

    def __init__(self, speed=1):
        self._speed = speed
        self._slept_ms = 0

    def seconds(self):
        return int(time.time()) + self._slept_ms // 1000

    def ticks_ms(self):
        return (int(time.monotonic() * 1000 * self._speed) + self._slept_ms) % _PERIOD_MS

    def ticks_diff(self, later, earlier):
        return (later - earlier + _PERIOD_MS // 2) % _PERIOD_MS - _PERIOD_MS // 2

    def sleep_ms(self, ms):
        self._slept_ms += ms


class FastNet(Net):
    """The real Net, whose time-outs pass at `speed`."""

    def __init__(self, speed=1):
        Net.__init__(self, random.randint)
        self._speed = speed

    def connect(self, host, port, timeout_s):
        connection = Net.connect(self, host, port, timeout_s / self._speed)
        set_timeout = connection.set_timeout
        connection.set_timeout = lambda seconds: set_timeout(seconds / self._speed)
        return connection


class UpLink:
    """The Link port of a module that has a network."""

    def wait_ready(self, timeout_s):
        pass

    def address(self):
        return "127.0.0.1"

    def arm(self):
        pass

    def has_changed(self):
        return False

    def signal(self):
        return 21


class Mains:
    """The Power port of a module that nothing ever happens to."""

    def imei(self):
        return "860000000000000"

    def about(self):
        return "EC600U", "EC600UCNLBR03A01M08_OCPU_QPY"

    def on_reason(self):
        return "power key"

    def battery_mv(self):
        return 3812

    def feed(self):
        pass

    def stay_awake(self):
        pass

    def may_sleep(self):
        pass


class StrictLog(Log):
    """A fault in the program fails the test, in place of being logged."""

    def trace(self, error):
        raise error


class _FolderUos:
    """What app/platform/files.py asks of uos, and open(), with the folder `root` as the module's root."""

    def __init__(self, root):
        self._root = str(root)

    def real(self, path):
        return self._root + "/" + path.lstrip("/")

    def open(self, path, mode):
        return open(self.real(path), mode)

    def stat(self, path):
        found = os.stat(self.real(path))
        return (found.st_mode & 0o170000, 0, 0, 0, 0, 0, found.st_size, 0, 0, 0)

    def ilistdir(self, path):
        with os.scandir(self.real(path)) as entries:
            for entry in entries:
                yield (entry.name, 0x4000, 0, 0) if entry.is_dir() else (entry.name, 0x8000, 0, entry.stat().st_size)

    def mkdir(self, path):
        os.mkdir(self.real(path))

    def remove(self, path):
        os.remove(self.real(path))

    def rename(self, old, new):
        os.replace(self.real(old), self.real(new))

    def statvfs(self, path):
        return (4096, 4096, 4096, 4096, 4096, 0, 0, 0, 0, 255)


class World:
    """`put()` and `files` are the module's flash, `manager()` boots Ferry on it; each boot reads the same flash."""

    def __init__(self, root, files):
        self.usr = root / "usr"
        self.usr.mkdir()
        self._files = files
        self._managers = []
        self.log = []

    def put(self, name, data):
        path = self.usr / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def got(self):
        """What came down: name -> bytes."""
        top = self.usr / "got"
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}

    def manager(self, server, settings=(), speed=1):
        """FtpManager for `server`. /usr/data goes up; `settings` are "section.key": value over that."""
        values = {
            "device.id": DEVICE,
            "server.host": server.host,
            "server.port": server.port,
            "server.user": getattr(server, "user", "u"),
            "server.password": getattr(server, "password", "p"),
            "upload.from": "/usr/data",
            "upload.to": "",
            "download.from": "",
            "download.to": "/usr/got",
            **dict(settings),
        }
        data = {}
        for key, value in values.items():
            section, _, name = key.partition(".")
            data.setdefault(section, {})[name] = value
        clock = FastClock(speed)
        log = StrictLog(clock, out=self.log.append)
        config = parse(json.dumps(data).encode())
        manager = ftp_manager.FtpManager(
            config, self._files, FastNet(speed), clock, UpLink(), log, lambda low, high: low, Mains()
        )
        self._managers.append(manager)
        return manager

    def worker(self, server, settings=(), speed=1):
        """The Worker around that manager."""
        manager = self.manager(server, settings, speed)
        return Worker(
            manager,
            manager._config,
            self._files,
            manager._net,
            manager._clock,
            manager._link,
            manager._power,
            manager._log,
            lambda low, high: low,
            lambda: None,
        )

    def cycle(self, server, settings=(), speed=1):
        """Boot, and one cycle."""
        return self.manager(server, settings, speed).run_cycle()

    def power_off(self):
        """Close what the managers keep open between cycles."""
        for manager in self._managers:
            manager._ledger._close_reader()


@pytest.fixture
def world(tmp_path, monkeypatch):
    uos = _FolderUos(tmp_path)
    if "uos" not in sys.modules:
        monkeypatch.setitem(sys.modules, "uos", types.ModuleType("uos"))
    from app.platform import files

    monkeypatch.setattr(files, "uos", uos)
    monkeypatch.setattr(files, "open", uos.open, raising=False)
    # The app collects after each cycle: here that would walk all of pytest, 40 ms each time.
    monkeypatch.setattr(ftp_manager, "gc", types.SimpleNamespace(collect=lambda: None, threshold=lambda *_: -1))
    made = World(tmp_path, files.Files())
    yield made
    made.power_off()


@contextmanager
def session(server, speed=1, login=True, **options):
    """A Session with `server`, logged in unless `login` is False."""
    opened = Session(FastNet(speed), FastClock(speed), 15, **options)
    try:
        opened.open(server.host, server.port)
        if login:
            opened.start_login("u", "p")
            opened.settle()
        yield opened
    finally:
        opened.close()


@contextmanager
def client(server, speed=1):
    """An FTP client that is logged in to `server`."""
    ftp = FTP(net=FastNet(speed), clock=FastClock(speed))
    try:
        ftp.connect(server.host, server.port)
        ftp.login(getattr(server, "user", "u"), getattr(server, "password", "p"))
        yield ftp
    finally:
        ftp.close()
