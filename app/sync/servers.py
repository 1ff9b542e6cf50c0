# Several servers: their numbers in the ledger, and which one to use.
#
# A server is known by host, port and user; the ledger gives each a number from 0 to 3
# the first time it is seen and keeps it wherever it stands in the list. docs/PROTOCOL.md, "Several servers".

import ustruct

from app.sync.records import LOCKED, PUT_INTENT, SERVERS, SERVERS_KEY, UPLOADS, server_mark

_NONE = 0  # in place of a mark: the number is free


def number_servers(ledger, servers):
    """The numbers of `servers` (config["servers"]) in their order; the ledger knows them from here on, and goes with the first.
    No two of them have the same mark: app/config.py refuses that.

    One that is new takes the number of one that is not in the settings any more: it may be the same under another name. Its
    uploads under way are void. What has to be noted goes to flash with the next flush()."""
    wanted = [server_mark(server["host"], server["port"], server["user"]) for server in servers]
    entry = ledger.find(SERVERS_KEY)
    marks = [_NONE] * 4
    if entry:
        marks = [entry.size] + list(ustruct.unpack(">II", entry.digest)) + [entry.stamp]
    was = marks[:]
    for mark in wanted:
        if mark not in marks:
            marks[[number for number in range(4) if marks[number] not in wanted][0]] = mark
    if marks != was:
        ledger.put(SERVERS, SERVERS_KEY, marks[0], ustruct.pack(">II", marks[1], marks[2]), marks[3])
        _void(ledger, [number for number in range(4) if was[number] not in (_NONE, marks[number])])
    ledger.servers = [marks.index(mark) for mark in wanted]
    ledger.server = ledger.servers[0]
    return ledger.servers


def _void(ledger, numbers):
    """Let no file under way count that was begun with one of these. It stays an intent: the files of a batch go again, and of
    a log the size tells."""
    for key in list(ledger.pending):
        found = ledger.pending[key]
        if found.kind in UPLOADS and found.server in numbers:
            flags = found.flags & 0xF0 | LOCKED
            ledger.put(PUT_INTENT, key, found.size, found.digest, found.stamp, found.attempt, flags, found.server)


class Failover:
    """The next server after some failed cycles in a row, round and round; from any other the first is tried again after a while,
    once, and if that fails it is straight back to the one that worked. Pure.

    `after` failed cycles in a row lead to the next of `count` servers; the first is tried again after `return_ms`.

    `ticks_diff(later, earlier)` gives ms between two ticks, wrap-around included."""

    def __init__(self, count, after, return_ms, ticks_diff):
        self.index = 0  # of the server to use now
        self._count = count
        self._after = after
        self._return_ms = return_ms
        self._ticks_diff = ticks_diff
        self._failures = 0  # of this server, in a row
        self._away_ms = 0  # since the first one was tried last
        self._last_ms = 0  # ticks up to which that is counted
        self._worked = 0  # where to go back to if the first one, on trial, fails; 0 = it is not on trial

    def before_cycle(self, now_ms):
        """Choose the server of the cycle that begins now; `index` tells which."""
        if self.index:
            self._count_away(now_ms)
            if self._away_ms >= self._return_ms:
                self._worked = self.index
                self._go(0)

    def failed(self, now_ms):
        """The cycle failed, and it was the server or the way there."""
        self._failures += 1
        if self._worked or self._failures >= self._after:
            if not self.index:
                self._away_ms = 0
                self._last_ms = now_ms
            self._go(self._worked or (self.index + 1) % self._count)
            self._worked = 0

    def succeeded(self):
        """The cycle was good."""
        self._failures = self._worked = 0

    def _go(self, index):
        self.index = index
        self._failures = 0

    def _count_away(self, now_ms):
        passed = self._ticks_diff(now_ms, self._last_ms)
        # Ticks that seem to run backwards: more than half of their period has passed since, six days.
        self._away_ms += passed if passed >= 0 else self._return_ms
        self._last_ms = now_ms
