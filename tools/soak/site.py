# The server's side of a soak: counts what arrives under its final name, changes what the module fetches, and cuts connections
# at random bytes. All of it happens in the thread of the embedded server.
import hashlib
import os
import random
import socket
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pyftpdlib.handlers import DTPHandler, FTPHandler
from pyftpdlib.log import logger

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the other side gets a reset, and loses what is under way
_FILES = 6  # that the module fetches
_LONGEST = {"control": 2500, "data": 40_000}  # bytes of a session before the cut, at the most


@dataclass
class Cut:
    where: str  # "control" or "data"
    is_reset: bool  # or an orderly end in the middle
    left_bytes: int


class Site:
    """Who cuts, and who knows what came. `cut_share`, `change_share`: of sessions in which that happens; `most_bytes`: of a
    file that the module fetches."""

    def __init__(self, folder: Path, seed, cut_share, change_share, most_bytes):
        self.folder = folder
        self._noise = random.Random(seed)
        self._cut_share = cut_share
        self._change_share = change_share
        self._most_bytes = most_bytes
        self._version = 0
        self.is_quiet = False  # from now on neither cuts nor changes
        self.cuts = Counter()
        self.arrived = Counter()  # (name, digest of the content) that got its final name
        self.published = Counter()  # versions of each file that the module fetches
        (folder / "updates").mkdir(parents=True)
        for number in range(_FILES):
            self._publish(number)

    def handler(self):
        return type("SoakHandler", (_Handler,), {"site": self, "dtp_handler": _Data, "use_sendfile": False})

    def begin_session(self):
        """-> Cut or None"""
        if self.is_quiet:
            return None
        if self._noise.random() < self._change_share:
            self._publish(self._noise.randrange(_FILES))
        if self._noise.random() >= self._cut_share:
            return None
        where = self._noise.choice(list(_LONGEST))
        return Cut(where, self._noise.random() < 0.5, int(_LONGEST[where] ** self._noise.random()))

    def _publish(self, number):
        """A new version; its time is of its own because a real clock shows seconds only."""
        self._version += 1
        path = self.folder / "updates" / f"{number}.bin"
        beside = self.folder / f"{number}.new"
        line = b"update %d, version %d\n" % (number, self._version)
        size = self._noise.randint(0, self._most_bytes)
        beside.write_bytes((line * (size // len(line) + 1))[:size])
        os.utime(beside, (1_700_000_000 + self._version,) * 2)
        beside.replace(path)
        self.published[path.name] += 1

    def struck(self, cut):
        self.cuts[f"{cut.where} {'reset' if cut.is_reset else 'closed'}"] += 1

    def renamed(self, path):
        name = Path(path).relative_to(self.folder.resolve()).as_posix()
        self.arrived[name, hashlib.sha256(Path(path).read_bytes()).hexdigest()] += 1


class _Cutting:
    """One kind of connection; counts bytes both ways until the session's cut strikes. It is closed when pyftpdlib is done with
    what it does at that moment; nothing passes any more until then."""

    where = ""
    is_struck = False

    def _allowed(self, size):
        cut = self.session().cut
        if cut is None or cut.where != self.where:
            return size
        allowed = min(size, cut.left_bytes)
        cut.left_bytes -= allowed
        return allowed

    def _strike(self):
        session = self.session()
        cut, session.cut = session.cut, None
        session.site.struck(cut)
        self.is_struck = True
        if cut.is_reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.ioloop.call_later(0, self.end, cut)

    def send(self, data):
        allowed = 0 if self.is_struck else self._allowed(len(data))
        if allowed:
            sent = super().send(data[:allowed])
            if allowed == len(data) or self._closed:
                return sent
        if not self.is_struck and data:
            self._strike()
        return len(data)

    def recv(self, buffer_size):
        data = super().recv(buffer_size)
        if self.is_struck or self._allowed(len(data)) == len(data):
            return b"" if self.is_struck else data
        self._strike()
        return b""


class _Data(_Cutting, DTPHandler):
    where = "data"

    def session(self):
        return self.cmd_channel

    def end(self, cut):
        if cut.is_reset:
            self._resp = ("426 Transfer aborted.", logger.debug)
            self.close()
        else:
            self.handle_close()  # which tells 226 of an upload that was cut short, as some servers do


class _Handler(_Cutting, FTPHandler):
    where = "control"
    cut = None

    def session(self):
        return self

    def end(self, cut):
        self.close()

    def handle_close(self):
        """The module is gone. Not in the middle of a command: its data connection would go from under it."""
        self.ioloop.call_later(0, self.close)

    def on_connect(self):
        self.cut = self.site.begin_session()

    def ftp_RNTO(self, path):
        done = super().ftp_RNTO(path)
        if done:
            self.site.renamed(path)
        return done
