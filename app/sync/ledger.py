# The ledger: what is known to have arrived, and what is under way. Append-only; docs/PROTOCOL.md has every byte.
#
# A record has 32 bytes and checks itself, also its place in the file, so any prefix with any garbage behind it can be read.
# RAM holds 6 bytes for each entry: 4 of its key, 2 for its record's number; the record is read back from flash and compared
# in full. Records wait in RAM until flush(), which is one append: two block erases, however many records.

import ustruct

from app.errors import StorageError, number_of
from app.sync.records import (
    BOOTS,
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
_SPARE = 64  # superseded records that are not worth a compaction at the end of a cycle
_SLACK = 512  # and in the middle of one; keeps the file below 65,536 records, the largest number in the index
WAITING = 48  # records in RAM before those that are superseded are left out


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
        self._is_stale = False  # a compaction failed: the index is to be made again
        self.lost = ""  # why an older ledger could not be read, for the report

    # --- reading

    def load(self):
        """Read the file; a missing, foreign or broken one is an empty ledger and says so in `lost`."""
        if self._files.size(self._path) is None and self._files.size(self._path + ".new"):
            # FAT removes what a rename replaces before it renames. A file that is not closed has no size yet.
            self._files.rename(self._path + ".new", self._path)
        # Of a compaction that was cut. Comes before the size in any case: littlefs 2 finishes a half-done rename only when
        # something is about to be changed, and until then may hide other names of its folder.
        self._files.remove(self._path + ".new")
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
        if kind in (PUT_DONE, GET_DONE, SERVER, BOOTS):
            self._point(entry.key, number)
        elif kind == FORGET:
            self._point(entry.key, None)

    def _slots(self, key):
        """Positions in the key's segment of the index that may be of `key`."""
        segment = self._index[key[0] % _SEGMENTS]
        part = key[1:5]
        at = segment.find(part)
        while at >= 0:
            if at % _SLOT == 0:
                yield at
            at = segment.find(part, at + 1)

    def _point(self, key, record):
        """Set, move or (None) remove the index's slot of a key."""
        for at in self._slots(key):
            entry = self._read(self._number_at(key, at))
            if entry and entry.key == key:
                self._drop_slot(key, at)
                break
        if record is not None:
            self._add_slot(key, record)

    def _number_at(self, key, at):
        return ustruct.unpack(">H", self._index[key[0] % _SEGMENTS][at + 4 : at + _SLOT])[0]

    def _add_slot(self, key, number):
        self._index[key[0] % _SEGMENTS] += key[1:5] + ustruct.pack(">H", number)
        self._live += 1

    def _drop_slot(self, key, at):
        segment = self._index[key[0] % _SEGMENTS]
        self._index[key[0] % _SEGMENTS] = segment[:at] + segment[at + _SLOT :]
        self._live -= 1

    def _slot_of(self, entry, number):
        """Where the index says that record `number` is the current one of its key, or -1."""
        for at in self._slots(entry.key):
            if self._number_at(entry.key, at) == number:
                return at
        return -1

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
        self._make_right()
        for at in self._slots(key):
            number = self._number_at(key, at)
            entry = self._read(number)
            if entry and entry.key == key:
                self._see(number)
                entry.number = number
                return entry
        return None

    def _see(self, number):
        if self._seen and number // 8 < len(self._seen):
            self._seen[number // 8] |= 1 << (number % 8)

    # --- writing

    def put(self, kind, key, size=0, digest=b"", stamp=0, attempt=0, flags=0):
        """Note an entry; it counts at once, and is on flash after flush()."""
        entry = Entry(kind, key, size, digest, stamp, attempt, flags)
        self._waiting.append(entry)
        self._note(entry)
        if len(self._waiting) > WAITING:  # the flash is full: keep what counts
            self._waiting = [e for e in self._waiting if self._recent.get(e.key) is e or self.pending.get(e.key) is e]

    def _note(self, entry):
        """Let an entry that waits take effect."""
        if entry.kind in (PUT_INTENT, PUT_VERIFIED, GET_INTENT):
            self.pending[entry.key] = entry
            return
        self.pending.pop(entry.key, None)
        if entry.kind != CANCEL:
            self._recent[entry.key] = entry

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
        self._make_right()
        self._close_reader()
        if self._count == 0 or self._count > 2 * self._live + _SLACK:
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
        """Entries that are not on flash yet."""
        return len(self._waiting)

    def has_verified(self):
        """True if an entry waits that must be on flash before its file gets its final name."""
        return bool([entry for entry in self._waiting if entry.kind == PUT_VERIFIED])

    def watch(self):
        """Begin to note which entries are asked for: those that nobody asks for in a whole cycle belong to files that are gone."""
        self._make_right()
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
                gone += _is_unseen(seen, ustruct.unpack(">H", segment[at + 4 : at + _SLOT])[0])
        return gone

    def compact(self, seen=None):
        """Write the live entries (of those in `seen`, if given) to a new file and put it in the old one's place.

        The index is changed in place, there is no room for a second one: a slot that has its new number is never looked at
        again, because new numbers only ever run behind the old ones. A failure is answered by reading the old file again."""
        self._seen = None  # the records get new numbers
        salt = (self._salt + 1) & 0xFFFFFFFF
        self._files.make_folders(self._path.rsplit("/", 1)[0])
        self._is_stale = True
        writer = self._files.writer(self._path + ".new")
        try:
            writer.write(encode(Entry(HEADER, MAGIC, 0, b"", salt, 0, VERSION), 0, 0))
            count = self._move_live(writer, salt, seen)
            for entry in self._recent.values():
                if entry.kind != FORGET:
                    writer.write(encode(entry, salt, count))
                    self._add_slot(entry.key, count)
                    count += 1
            for entry in self.pending.values():
                writer.write(encode(entry, salt, count))
                count += 1
            writer.close()
        finally:
            writer.abandon()
            self._close_reader()
        self._files.commit(self._path + ".new", self._path, writer.size)
        self._is_stale = False
        self._salt = salt
        self._count = count
        self._tail = 0
        self._waiting = []
        self._recent = {}

    def _move_live(self, writer, salt, seen):
        count = 1
        for number in range(1, self._count):
            entry = self._read(number)
            at = self._slot_of(entry, number) if entry else -1
            if at < 0:
                continue
            self._drop_slot(entry.key, at)
            if entry.key in self._recent or _is_unseen(seen, number):
                continue
            writer.write(encode(entry, salt, count))
            self._add_slot(entry.key, count)
            count += 1
        return count

    def _make_right(self):
        """After a compaction that failed half way: read the file again; what waits still waits."""
        if self._is_stale:
            self._index = [b""] * _SEGMENTS
            self._live = 0
            self.pending = {}
            if self._count:  # else there is no file yet
                stream = self._files.open(self._path, "rb")
                try:
                    self._bytes(stream, RECORD_BYTES)
                    self._read_records(stream)
                finally:
                    stream.close()
                    self._close_reader()
            for entry in self._waiting:
                self._note(entry)
            self._is_stale = False


def _is_unseen(seen, number):
    return bool(seen) and number // 8 < len(seen) and not seen[number // 8] & 1 << (number % 8)
