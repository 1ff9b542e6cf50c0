"""What the fuzzer calls with any bytes: each target runs a parser of the device as the app does, lets our errors pass, and
asserts what its callers rely on. Anything else that gets out is a fault."""

import json

from app.config import SCHEMA
from app.config import TEXT_BYTES as CONFIG_BYTES
from app.config import parse as parse_config
from app.errors import ConfigError, Error, ProtocolError
from app.proto import parse
from app.proto.reply import LINE_BYTES as REPLY_LINE_BYTES
from app.proto.reply import REPLY_BYTES, TEXT_BYTES, ReplyReader, printable
from app.proto.session import LINE_BYTES, _Lines
from app.sync.download import BATCH, _Batch
from app.sync.ledger import _SLOT, Ledger
from app.sync.manifest import ManifestError, mounts_of, why_not_here
from app.sync.manifest import parse as parse_manifest
from app.sync.records import HEADER, MAGIC, RECORD_BYTES, VERSION, Entry, _check, decode, encode
from tests.fakes import MemoryFiles

PEER = ("192.0.2.7", 21)
LONGEST_TEXT = TEXT_BYTES + REPLY_LINE_BYTES + 1
LEDGER = "/usr/.ferry/ledger"
BODY_BYTES = RECORD_BYTES - 4
SALT = 7


def pieces_of(raw, length):
    """`raw` in pieces of this length, 0 for one piece."""
    return [raw[at : at + length] for at in range(0, len(raw), length)] if length else [raw]


def read_replies(pieces):
    """(replies, the fault's text) of the pieces, with what the reader keeps in bounds after each."""
    reader = ReplyReader()
    replies = []
    fault = ""
    for piece in pieces:
        try:
            reader.feed(piece)
        except ProtocolError as e:
            fault = e.text()
        replies += iter(reader.next, None)
        assert len(reader._line) <= REPLY_LINE_BYTES
        assert len(reader._text) <= LONGEST_TEXT
        assert not reader._ready
        if fault:
            break
        assert reader._total <= REPLY_BYTES
    return replies, fault


def replies(raw):
    """The same for any split: the first byte is the length of a piece. 255 also makes the last line pass every limit."""
    stream = raw[1:]
    length = raw[0] if raw else 0
    if length == 255:
        stream += b"x" * REPLY_BYTES
        length *= 16
    found, fault = read_replies(pieces_of(stream, length))
    assert (found, fault) == read_replies([stream])
    for code, text in found:
        assert 100 <= code <= 699
        assert text[:3] == str(code)
        assert len(text) <= LONGEST_TEXT
        error = parse.error_for(code, text, "NOOP")
        assert str(error)
        assert error.action
        assert error.advice


def _is_size(size):
    return 0 <= size < 10**parse.NUMBER_DIGITS


def _is_port(address):
    host, port = address
    return host and 0 < port <= 65535


PARSERS = (
    (parse.parse150, lambda size: size is None or _is_size(size)),
    (parse.parse227, _is_port),
    (lambda text: parse.parse229(text, PEER), _is_port),
    (parse.parse257, lambda name: isinstance(name, str)),
    (parse.parse_size, _is_size),
    (parse.parse_facts, lambda found: all(key == key.lower() for key in found[1])),
    (lambda text: parse.parse_fact_size({"size": text[3:]}), lambda size: size == -1 or _is_size(size)),
)


def texts(raw):
    """What stands in one line: every parser gets it."""
    text = printable(raw)
    for parser, is_right in PARSERS:
        try:
            found = parser(text)
        except Error as e:
            assert str(e)
            continue
        assert is_right(found)


class _Skips:
    """The one method of the report that a listing calls."""

    def skipped(self, direction, path, reason, error=None):
        assert direction == "down"
        assert path
        assert reason

    def alive(self):
        pass


def _list(pieces, after, method):
    batch = _Batch(after, _Skips(), "updates", 0)
    take = getattr(batch, method)

    def take_line(line):
        assert len(line) <= LINE_BYTES
        take(line)
        assert len(batch.found) <= BATCH

    lines = _Lines(take_line)
    try:
        for piece in pieces:
            lines.write(piece)
            assert len(lines._rest) <= LINE_BYTES
        lines.end()
    except Error as e:
        assert str(e)
    names = [entry.name for entry in batch.found]
    assert all(name > after for name in names)
    assert names == sorted(names)
    return [(entry.name, entry.is_folder, entry.size, entry.stamp) for entry in batch.found], batch.is_full


def listings(raw):
    """MLSD and NLST: the same for any split, the next batch begins behind the one before. The first byte as in replies()."""
    stream = raw[1:]
    if raw[:1] == b"\xff":
        stream += b"x" * LINE_BYTES
    pieces = pieces_of(stream, raw[0] if raw else 0)
    for method in ("take_facts", "take_name"):
        found, is_full = _list(pieces, "", method)
        assert (found, is_full) == _list([stream], "", method)
        if is_full:
            _list([stream], found[-1][0], method)


def records(raw):
    """A ledger of any records, garbage among them: an odd first byte gives a record the check that lets it in.

    The input's first byte is how many of them the header says to be in order."""
    store = encode(Entry(HEADER, MAGIC, raw[0] if raw else 0, stamp=SALT, flags=VERSION), 0, 0)
    raw = raw[1:]
    entries = []
    for number, at in enumerate(range(0, len(raw), BODY_BYTES + 1), 1):
        body = raw[at + 1 : at + 1 + BODY_BYTES]
        record = body + (_check(SALT, number, body) if raw[at] & 1 else b"none")
        store += record
        entry = decode(record, SALT, number)
        assert (entry is not None) == bool(raw[at] & 1 and len(record) == RECORD_BYTES)
        assert decode(record, SALT, number + 1) is None
        if entry:
            assert encode(entry, SALT, number) == record
            entries.append(entry)
    files = MemoryFiles()
    files.store[LEDGER] = store
    ledger = Ledger(files, LEDGER)
    ledger.load()
    assert not ledger.lost
    for entry in entries:
        found = ledger.find(entry.key)
        assert found is None or found.key == entry.key
    assert sum(map(len, ledger._index)) <= _SLOT * len(entries)
    assert len(ledger.pending) <= len(entries)


def _parse_settings(raw):
    try:
        found = parse_config(raw)
    except ConfigError as e:
        assert e.problems
        assert all(isinstance(problem, str) and problem for problem in e.problems)
        return
    assert len(raw) <= CONFIG_BYTES
    assert found["server.host"]


def _value_in(raw):
    try:
        return json.loads(raw)
    except ValueError:
        return printable(raw)


def settings(raw):
    """As a file; and line by line, the first byte naming a key of the schema and the rest its value."""
    _parse_settings(raw)
    sections = {}
    for line in filter(None, raw.split(b"\n")):
        section, key = SCHEMA[line[0] % len(SCHEMA)][0].split(".")
        sections.setdefault(section, {})[key] = _value_in(line[1:])
    _parse_settings(json.dumps(sections).encode())


def _parse_manifest(raw):
    try:
        found = parse_manifest(raw, "")
    except ManifestError as e:
        assert str(e)
        return
    assert found["version"] > 0
    assert all(mount.startswith("/") for mount in mounts_of(found))
    assert why_not_here(found, "m1", 0) is None or found["devices"] or found["share"] < 100


def manifests(raw):
    """As a file, and behind a right first line; nothing that the fuzzer makes is signed."""
    for text in (raw, b"FERRY1 -\n" + raw):
        _parse_manifest(text)
        try:
            parse_manifest(text, "key")
        except ManifestError:
            continue
        raise AssertionError("it was taken without a signature")


TARGETS = {target.__name__: target for target in (replies, texts, listings, records, settings, manifests)}

# Where the search begins.
SEEDS = {
    "replies": [
        b"\0" + b"220 ready\r\n",
        b"\1" + b"211-Features\r\n SIZE\r\n211 End\r\n",
        b"\xff" + b"211-Features\n x\n",
    ],
    "texts": [
        b"150 Opening (1234 bytes)",
        b"213 20000",
        b"227 Entering (127,0,0,1,200,21).",
        b"229 Extended (|||50000|)",
        b'257 "/a ""b""" is current',
        b"type=file;size=3;modify=20260101; name",
    ],
    "listings": [
        b"\0type=file;size=3;modify=20260101; a\r\ntype=dir; b\r\n",
        b"\5updates/a\nupdates/b\n",
        b"\0" + b"".join(b" %02d\n" % number for number in range(BATCH + 2)),
    ],
    "records": [
        sorted_count + b"".join(b"\1" + encode(Entry(kind, b"same key"), 0, 0)[:BODY_BYTES] for kind in range(1, 9))
        for sorted_count in (b"\0", b"\4")
    ],
    "manifests": [
        b'{"version":2,"files":[{"path":"/usr/a","size":1,"sha256":"'
        + b"0" * 64
        + b'","at":0}],"pack":{"name":"p","size":1}}',
        b'{"version":2,"delete":["/usr/a"],"settings":{"a.b":1},"expires":1,"devices":["m*"],"share":50}',
    ],
    "settings": [
        b'{"server": {"host": "h", "port": 21, "tls": "off"}, "upload": [{"from": "/usr/data"}]}',
        "\n".join(chr(i) + json.dumps(row[2]) for i, row in enumerate(SCHEMA) if chr(i) != "\n").encode(),
    ],
}
