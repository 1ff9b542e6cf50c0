# The ledger: what is known to have arrived, and what is under way. Append-only; docs/PROTOCOL.md has every byte.
#
# A record has 32 bytes and checks itself, also its place in the file, so any prefix with any garbage behind it can be read.
# RAM holds 6 bytes for each entry: 4 of its key, 2 for its record's number; the record is read back from flash and compared
# in full. Records wait in RAM until flush(), which is one append: two block erases, however many records.

import ustruct

from app.errors import StorageError, number_of
from app.sync.records import (
    CANCEL,
    FORGET,
    GET_DONE,
    GET_INTENT,
    HEADER,
    MAGIC,
    PUT_DONE,
    PUT_INTENT,
    PUT_VERIFIED,
    RECORD_BYTES,
    SERVER,
    VERSION,
    Entry,
    decode,
    encode,
)

_SEGMENTS = 64  # of the index, by the key's first byte: appending copies 1/64 of it
_SLOT = 6
_BATCH = 64  # records per read when loading: 2 KiB
_SPARE = 64  # superseded records that are not worth a compaction


class Ledger:
    """`files` is the Files port. Calls raise StorageError; load() comes first."""

    def __init__(self, files, path, salt=0):
        self._files = files
        self._path = path
        self._salt = salt  # of this file: records of an older file never pass the check; begin anywhere
        self._count = 0  # records in the file, garbage included
        self._index = [b""] * _SEGMENTS
        self._live = 0
        self._waiting = []  # entries that flush() will append
        self._recent = {}  # key -> waiting entry that find() must see
        self.pending = {}  # key -> entry of what is under way (intents)
        self._reader = None
        self._tail = 0  # bytes of a torn record at the end
        self._seen = None
        self.lost = ""  # why an older ledger could not be read, for the report

    # --- reading

    def load(self):
        """Read the file; a missing, foreign or broken one is an empty ledger and says so in `lost`."""
        self._files.make_folders(self._path.rsplit("/", 1)[0])
        self._files.remove(self._path + ".new")  # of a compaction that was cut
        size = self._files.size(self._path)
        if size is None:
            return
        stream = self._files.open(self._path, "rb")
        try:
            header = self._bytes(stream, RECORD_BYTES)
            entry = decode(header, 0, 0)
            if entry and entry.kind == HEADER and entry.key == MAGIC and entry.flags == VERSION:
                self._salt = entry.stamp
                self._read_records(stream)
            elif entry and entry.kind == HEADER and entry.key == MAGIC:
                self.lost = "the ledger has version %d, this Ferry reads %d" % (entry.flags, VERSION)
            else:
                self.lost = "the ledger could not be read"
        finally:
            stream.close()
        self._close_reader()
        if self.lost:
            self._files.rename(self._path, self._path + ".old")

    def _bytes(self, stream, count):
        try:
            return stream.read(count)
        except OSError as e:
            number = number_of(e)
            raise StorageError("read %s: error %d" % (self._path, number), step="read", code=number)

    def _read_records(self, stream):
        self._count = 1
        while True:
            block = self._bytes(stream, _BATCH * RECORD_BYTES)
            if not block:
                return
            at = 0
            while at + RECORD_BYTES <= len(block):
                entry = decode(block[at : at + RECORD_BYTES], self._salt, self._count)
                if entry:
                    self._apply(entry, self._count)
                self._count += 1
                at += RECORD_BYTES
            self._tail = len(block) - at

    # --- index

    def _apply(self, entry, number):
        """Let a record that is in the file take effect."""
        kind = entry.kind
        if kind in (PUT_INTENT, PUT_VERIFIED, GET_INTENT):
            self.pending[entry.key] = entry
            return
        self.pending.pop(entry.key, None)
        if kind in (PUT_DONE, GET_DONE, SERVER):
            self._point(entry.key, number)
        elif kind == FORGET:
            self._point(entry.key, None)

    def _slots(self, key):
        """(segment number, positions in it that may be of `key`)."""
        number = key[0] % _SEGMENTS
        segment = self._index[number]
        part = key[1:5]
        at = segment.find(part)
        while at >= 0:
            if at % _SLOT == 0:
                yield at
            at = segment.find(part, at + 1)

    def _point(self, key, record):
        """Set, move or (None) remove the index's slot of a key."""
        number = key[0] % _SEGMENTS
        segment = self._index[number]
        for at in self._slots(key):
            if self._key_at(segment, at) == key:
                segment = segment[:at] + segment[at + _SLOT :]
                self._live -= 1
                break
        if record is not None:
            segment += key[1:5] + ustruct.pack(">H", record)
            self._live += 1
        self._index[number] = segment

    def _key_at(self, segment, at):
        entry = self._read(ustruct.unpack(">H", segment[at + 4 : at + _SLOT])[0])
        return entry.key if entry else None

    def _read(self, number):
        if self._reader is None:
            self._reader = self._files.open(self._path, "rb")
        self._reader.seek(number * RECORD_BYTES)
        return decode(self._bytes(self._reader, RECORD_BYTES), self._salt, number)

    def _close_reader(self):
        if self._reader:
            self._reader.close()
            self._reader = None

    def find(self, key):
        """The entry of what arrived under `key`, or None. Reads flash only where the index has a candidate."""
        recent = self._recent.get(key)
        if recent:
            return None if recent.kind == FORGET else recent
        segment = self._index[key[0] % _SEGMENTS]
        for at in self._slots(key):
            number = ustruct.unpack(">H", segment[at + 4 : at + _SLOT])[0]
            entry = self._read(number)
            if entry and entry.key == key:
                self._see(number)
                return entry
        return None

    def _see(self, number):
        if self._seen and number // 8 < len(self._seen):
            self._seen[number // 8] |= 1 << (number % 8)

    def _is_current(self, entry, number):
        segment = self._index[entry.key[0] % _SEGMENTS]
        place = ustruct.pack(">H", number)
        for at in self._slots(entry.key):
            if segment[at + 4 : at + _SLOT] == place:
                return True
        return False

    # --- writing

    def put(self, kind, key, size=0, digest=b"", stamp=0, attempt=0, flags=0):
        """Note an entry; it counts at once, and is on flash after flush()."""
        entry = Entry(kind, key, size, digest, stamp, attempt, flags)
        self._waiting.append(entry)
        if kind in (PUT_INTENT, PUT_VERIFIED, GET_INTENT):
            self.pending[key] = entry
        else:
            self.pending.pop(key, None)
            if kind != CANCEL:
                self._recent[key] = entry

    def forget(self, key):
        self.put(FORGET, key)

    def settle_get(self, key, size, digest):
        """The entry of a download, or None. An intent that a cut left open is settled by what lies in place now."""
        pending = self.pending.get(key)
        if pending and pending.is_of(size, digest):
            self.put(GET_DONE, key, size, digest, pending.stamp)
        return self.find(key)

    def flush(self):
        """Append what waits, in one write."""
        if not self._waiting:
            return
        self._close_reader()
        if self._count == 0 or self._count + len(self._waiting) > 65535:
            self.compact()
            return
        raw = b"\0" * ((RECORD_BYTES - self._tail) % RECORD_BYTES)
        number = self._count + (1 if raw else 0)
        for i, entry in enumerate(self._waiting):
            raw += encode(entry, self._salt, number + i)
        try:
            self._files.append(self._path, raw)
        except StorageError:
            size = self._files.size(self._path) or 0
            self._count = size // RECORD_BYTES  # a part may have been written: it will be read as garbage
            self._tail = size % RECORD_BYTES
            raise
        self._tail = 0
        self._count = number
        for entry in self._waiting:
            self._apply(entry, self._count)
            self._see(self._count)  # what is written in this cycle is of a file that is there
            self._count += 1
        self._close_reader()
        self._waiting = []
        self._recent = {}

    def waiting_count(self):
        return len(self._waiting)

    def watch(self):
        """Begin to note which entries are asked for: those that nobody asks for in a whole cycle belong to files that are gone."""
        self._seen = bytearray(self._count // 8 + 1)

    def tidy(self, is_complete):
        """At the end of a cycle: compact if most of the file is superseded. Writes nothing otherwise.

        `is_complete`: everything on both sides was looked at since watch(), so what was not asked for may go."""
        seen = self._seen if is_complete else None
        self._seen = None
        gone = self._unseen(seen) if seen else 0
        if self._count > 2 * (self._live - gone) + _SPARE:
            self.compact(seen)

    def _unseen(self, seen):
        gone = 0
        for segment in self._index:
            for at in range(0, len(segment), _SLOT):
                number = ustruct.unpack(">H", segment[at + 4 : at + _SLOT])[0]
                if number // 8 < len(seen) and not seen[number // 8] & 1 << (number % 8):
                    gone += 1
        return gone

    def compact(self, seen=None):
        """Write the live entries (of those in `seen`, if given) to a new file and put it in the old one's place."""
        self._seen = None  # the records get new numbers
        salt = (self._salt + 1) & 0xFFFFFFFF
        index = [b""] * _SEGMENTS  # made beside the old one, which stays right until the rename
        live = 0
        writer = self._files.writer(self._path + ".new")
        try:
            writer.write(encode(Entry(HEADER, MAGIC, 0, b"", salt, 0, VERSION), 0, 0))
            count = 1
            for entry in self._kept(seen):
                writer.write(encode(entry, salt, count))
                index[entry.key[0] % _SEGMENTS] += entry.key[1:5] + ustruct.pack(">H", count)
                count += 1
            live = count - 1
            for entry in self.pending.values():
                writer.write(encode(entry, salt, count))
                count += 1
            writer.close()
        except Exception:
            writer.abandon()
            raise
        finally:
            self._close_reader()
        self._files.commit(self._path + ".new", self._path, writer.size)
        self._salt = salt
        self._index = index
        self._live = live
        self._count = count
        self._tail = 0
        self._waiting = []
        self._recent = {}

    def _kept(self, seen):
        """The live entries (of those in `seen`, if given), and those that wait."""
        for number in range(1, self._count):
            if seen and number // 8 < len(seen) and not seen[number // 8] & 1 << (number % 8):
                continue
            entry = self._read(number)
            if entry and self._is_current(entry, number) and entry.key not in self._recent:
                yield entry
        for entry in self._recent.values():
            if entry.kind != FORGET:
                yield entry
