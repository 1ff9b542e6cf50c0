# The records of the ledger, and the keys under which they stand. Pure; docs/PROTOCOL.md has every byte.

import uhashlib
import ustruct

RECORD = ">BBH8sI8sI"  # kind, flags, attempt, key, size, digest, stamp; 4 bytes of check follow
RECORD_BYTES = 32
VERSION = 1
MAGIC = b"FERRYLDG"  # key of the header

HEADER = 0x46
PUT_INTENT = 1  # bytes of this file are about to go to the server under its temp name
ALL_SENT = 1  # flags of PUT_INTENT: all bytes went, and no final reply came
LOCKED = 2  # flags of PUT_INTENT: the server gave no 150 for its temp name
UNLIKE = 3  # flags of PUT_INTENT: what the server had under the final name, if anything, was of another size
BATCHED = 1  # flags of PUT_DONE: it went in the batch with this serial; void where that did not arrive
PUT_VERIFIED = 2  # the server had all of it under the temp name: the rename may have taken place
PUT_DONE = 3  # it is there under its final name
GET_INTENT = 4  # a download is about to be renamed into place
GET_DONE = 5  # it is in place
CANCEL = 6  # the intent of this key is void
FORGET = 7  # nothing is known of this key any more
SERVER = 8  # what is known of a server: the flags
BOOTS = 9  # size: boots without a good cycle, stamp: boots in all
NAMED = (
    10  # the values in the name of an upload that is under way. size: the boot, stamp: the seconds, 0 = clock not set
)
BUDGET = 12  # bytes on the air. size: of the day, stamp: the day since 1970, 0 = clock not set
UPDATE = 11  # the last manifest that was taken. size: its version, stamp: of its file on the server
SERVERS = 13  # which server has which number; see servers.py

INTENTS = (PUT_INTENT, PUT_VERIFIED, GET_INTENT)  # stand beside what is done, until they are done or void
UPLOADS = (PUT_INTENT, PUT_VERIFIED, PUT_DONE)  # their stamp is the serial number of the upload
_WITH_SERVER = GET_DONE  # kinds up to this one hold the number of the server, 0 to 3, in bits 2 and 3 of their flags


def digest8(text):
    """The first 8 bytes of the sha256 of a text."""
    return uhashlib.sha256(text.encode()).digest()[:8]


def put_key(local, remote):
    """Key of an upload: another destination is another upload."""
    return digest8("P" + local + "\0" + remote)


def _at(server):
    """What makes a key one of server number `server`; 0 is as it was when there was but one."""
    return "\0%d" % server if server else ""


def log_key(local, remote, server=0):
    """Key of a file that grows. size and digest are of what was sent, attempt is the number of the file on the server."""
    return digest8("A" + local + "\0" + remote + _at(server))


def batch_key(folder, remote):
    """Key of the batch that is under way from a folder to one on the server."""
    return digest8("B" + folder + "\0" + remote)


def name_key(local, remote, server=0):
    """Key of what is in an upload's name; `remote` is its template."""
    return digest8("N" + local + "\0" + remote + _at(server))


def get_key(local):
    """Key of a download."""
    return digest8("G" + local)


def server_key(host, port):
    """Key of what is known of a server."""
    return digest8("S%s:%d" % (host, port))


def server_mark(host, port, user):
    """A number other than 0 by which the ledger knows a server."""
    return ustruct.unpack(">I", digest8("W%s:%d:%s" % (host.lower(), port, user))[:4])[0] or 1


def version_stamp(size, mark, server):
    """4 bytes that tell one version of a file on a server from another: opaque, and of no use with another server."""
    return ustruct.unpack(">I", digest8("%d %s%s" % (size, mark, _at(server)))[:4])[0]


BOOTS_KEY = b"\0boots\0\0"  # there is one such entry
UPDATE_KEY = b"\0update\0"  # and one such
BUDGET_KEY = b"\0budget\0"
SERVERS_KEY = b"\0server\0"  # and one such


class Entry:
    """What a record says. `server`: the number of the one that it is about, for uploads and downloads."""

    def __init__(self, kind, key, size=0, digest=b"", stamp=0, attempt=0, flags=0, server=0):
        self.kind = kind
        self.key = key
        self.size = size
        self.digest = digest
        self.stamp = stamp
        self.attempt = attempt
        self.flags = flags
        self.server = server

    def is_of(self, size, digest):
        return self.size == size and self.digest == digest

    def may_be_renamed(self):
        """True if the rename of an upload under way may have taken place, and the size under the final name tells whether it did."""
        return self.kind == PUT_VERIFIED or self.kind == PUT_INTENT and self.flags & 3 == UNLIKE


def _check(salt, number, body):
    return uhashlib.sha256(ustruct.pack(">II", salt, number) + body).digest()[:4]


def encode(entry, salt, number):
    """The 32 bytes of an entry as record `number` of a ledger with this `salt`."""
    flags = entry.flags | entry.server << 2
    body = ustruct.pack(RECORD, entry.kind, flags, entry.attempt, entry.key, entry.size, entry.digest, entry.stamp)
    return body + _check(salt, number, body)


def decode(raw, salt, number):
    """The entry in 32 bytes, or None for garbage and for a record of another place or another file."""
    if len(raw) != RECORD_BYTES or raw[28:] != _check(salt, number, raw[:28]):
        return None
    kind, flags, attempt, key, size, digest, stamp = ustruct.unpack(RECORD, raw[:28])
    if kind <= _WITH_SERVER:
        return Entry(kind, key, size, digest, stamp, attempt, flags & 0xF3, flags >> 2 & 3)
    return Entry(kind, key, size, digest, stamp, attempt, flags)
