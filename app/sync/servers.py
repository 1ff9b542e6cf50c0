# The numbers of the servers in the ledger. A server is known by host, port and user; the ledger gives each a number from 0 to 3
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
