"""The cut sweep of sweep.py for a cycle in which a log grows by 3 kB and a batch of three files goes up: beside what holds for
whole files, the log on the server is always a beginning of the log on the module, a tar is whole from its first moment, and
every version of a file is in one tar, never in two."""

import re
from collections import Counter

from tests.faults.sweep import GREETS_LATE, LOCKS, Sweep
from tests.faults.world import read_tree
from tests.tars import members
from tests.world import DEVICE

LOG = b"".join(b"%05d;%d\n" % (i, i * i) for i in range(500))[:6000]
OLD_LOG, NEW_LOG = (LOG[: LOG[:size].rfind(b"\n") + 1] for size in (3000, 6000))
OLD_OUT = {"a.bin": b"a" * 700, "sub/b.bin": b"first b"}
NEW_OUT = {"sub/b.bin": b"second b" * 100, "c.bin": b"c" * 1000, "empty": b""}
_BATCH = re.compile(rf"{DEVICE}/in/batch-(\d{{8}})\.tar")
_BEGINNINGS = (f"{DEVICE}/logs/data.csv", f"{DEVICE}/in/batch-00000000.tar")


def _module(log, out):
    return {"logs/data.csv": log, **{"out/" + name: content for name, content in out.items()}}


class ModesSweep(Sweep):
    kind = "modes"
    settings = {  # noqa: RUF012 - nobody changes them
        "upload": [
            {"from": "/usr/logs", "to": "{device}/logs", "mode": "append"},
            {"from": "/usr/out", "to": "{device}/in", "mode": "batch"},
        ],
        "download": {"from": ""},
    }
    # A log has no temp name that could be another one. Until it gives up a data connection that does not come, or is silent, it
    # keeps the log locked: here for 20 to 40 s of the module's time, in the field for 60 and 300 s.
    server_options = {LOCKS: {"accept_timeout_s": 1, "data_timeout_s": 1}}  # noqa: RUF012
    slow = (GREETS_LATE, LOCKS)
    old = _module(OLD_LOG, OLD_OUT), {}
    new = _module(NEW_LOG, NEW_OUT), {}

    @staticmethod
    def _is_listing(cut):
        return False

    def _hear(self, kind, data):
        self._look(kind)
        if kind != "up":
            return
        path, remote, _ = data
        if path == "/usr/logs/data.csv":
            is_there = self._there().get(remote) == NEW_LOG
        else:
            batch, _, name = remote.partition(":")
            is_there = (name, NEW_OUT[name]) in members(self._there()[batch])
        if not is_there:
            self._problems.append(f"up was told of {path}, which is not whole on the server")

    def _look(self, when):
        versions = [*OLD_OUT.items(), *NEW_OUT.items()]
        for name, content in self._there().items():
            if name == f"{DEVICE}/logs/data.csv":
                if not NEW_LOG.startswith(content) or len(content) < len(OLD_LOG):
                    self._problems.append(f"{when}: the log on the server has {len(content)} bytes, and they are wrong")
            elif _BATCH.fullmatch(name):
                found = members(content)
                if found is None or not all(member in versions for member in found):
                    self._problems.append(f"{when}: {name} with {len(content)} bytes is torn or wrong")
            elif not name.endswith(".part") and not self._is_half(name):
                self._problems.append(f"{when}: nobody knows {name} on the server")
        if self.world.files() != {**self.old[0], **self.new[0]}:
            self._problems.append(f"{when}: the module's own files have changed")

    def _is_half(self, name):
        """Also what a temp name becomes: a part of a tar lies there, and no reader takes it for a batch."""
        is_temp = re.fullmatch(rf"{DEVICE}/in/[0-9a-f]{{1,8}}(\..*)?", name)
        return self._is_half_allowed and (bool(is_temp) or any(whole.startswith(name[:-8]) for whole in _BEGINNINGS))

    def _compare(self, what):
        there = self._there()
        if there.get(f"{DEVICE}/logs/data.csv") != NEW_LOG:
            self._problems.append(f"{what} the log on the server is not complete")
        counts = Counter(member for name in there if _BATCH.fullmatch(name) for member in members(there[name]) or ())
        for member in [*OLD_OUT.items(), *NEW_OUT.items()]:
            if counts[member] != 1:
                self._problems.append(f"{what} {counts[member]} tars hold the {len(member[1])} bytes of {member[0]}")

    def _there(self):
        return read_tree(self.server.root)


class TwoSessionsSweep(Sweep):
    """The same whole files over two sessions side by side."""

    kind = "two"
    access = {"sessions": 2}  # noqa: RUF012


KINDS = {kind.kind: kind for kind in (Sweep, ModesSweep, TwoSessionsSweep)}
