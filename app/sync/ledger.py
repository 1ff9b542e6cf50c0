# The ledger: what is known to have arrived, and what is under way. Append-only; docs/PROTOCOL.md has every byte.
#
# A record has 32 bytes and checks itself, also its place in the file, so any prefix with any garbage behind it can be read.
# Behind the header stand the records of the last compaction in the order of their keys, found by their place, so that RAM
# holds nothing of them. Behind those stands what was appended since: 4 bytes of RAM each, 2 of the key and 2 of the number;
# the record is read back from flash and compared in full. Records wait in RAM until flush(), which is one append: two block
# erases, however many records.

import ustruct

from app.errors import StorageError, number_of
from app.sync.records import (
    CANCEL,
    FORGET,
    GET_DONE,
    GET_INTENT,
    HEADER,
    INTENTS,
    MAGIC,
    RECORD_BYTES,
    UPLOADS,
    VERSION,
    Entry,
    decode,
    encode,
)

_SEGMENTS = 64  # of the index, by the key's first 6 bits: appending copies 1/64 of it
_SLOT = 4
_BATCH = 16  # records per read when loading: 512 bytes, a piece that even a full heap has
_SPARE = 224  # appended records that are not worth a compaction when a cycle has ended: few entries stay in two blocks
_APPENDED = 1024  # and in the middle of one: 2 kB of index where files go one by one, 4 kB where they go as batches
_FILLING = 256  # bytes: of large appends, which are rare, one in some may cost it
WAITING = 48  # records in RAM before those that are superseded are left out


class Ledger:
    """`files` is the Files port. Calls raise StorageError; load() comes first."""

    def __init__(self, files, path, salt=0):
        self._files = files
        self._path = path
        self._salt = salt  # of this file: records of an older file never pass the check; begin anywhere
        self._count = 0  # records in the file, header and garbage included
        self._sorted = 0  # of those, the ones behind the header that are in the order of their keys
        self._index = [b""] * _SEGMENTS  # of the others
        self._serial = 0  # of the last upload
        self._waiting = []  # entries that flush() will append
        self._recent = {}  # key -> waiting entry that find() must see
        self.pending = {}  # key -> entry of what is under way (intents)
        self._reader = None
        self._torn = 0  # bytes of a torn record at the end
        self._seen = None  # a bit for each record that was asked for since watch()
        self._kept = None  # those of an earlier cycle that looked at everything, for the compaction that is due
        self._most = _APPENDED  # appended records with which flush() compacts
        self._asked = set()  # keys of intents that were asked for since watch()
        self.rider = None  # gives an entry, as put() takes it, that goes along whenever something is written
        self.lost = ""  # why an older ledger could not be read, for the report
        self.server = 0  # number of the one that this session is with; see servers.py
        self.servers = (0,)  # numbers of all that are in the settings

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
                self._sorted = min(entry.size, size // RECORD_BYTES - 1)
                self._serial = ustruct.unpack(">I", entry.digest[:4])[0]
                stream.seek((1 + self._sorted) * RECORD_BYTES)
                self._read_appended(stream)
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

    def _read_appended(self, stream):
        self._count = 1 + self._sorted
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
            self._torn = len(block) - at

    # --- index

    def _apply(self, entry, number):
        """Let an appended record take effect."""
        kind = entry.kind
        if kind in UPLOADS:
            self._serial = max(self._serial, entry.stamp)
        if kind in INTENTS:
            self.pending[entry.key] = entry
            return
        self.pending.pop(entry.key, None)
        if kind != CANCEL:
            self._point(entry.key, number)

    def _slots(self, key):
        """Positions in the key's segment of the index that may be of `key`."""
        segment = self._index[key[0] >> 2]
        part = key[1:3]
        at = segment.find(part)
        while at >= 0:
            if at % _SLOT == 0:
                yield at
            at = segment.find(part, at + 1)

    def _point(self, key, number):
        """Let the index's slot of a key name this record."""
        segment = self._index[key[0] >> 2]
        for at in self._slots(key):
            entry = self._read(self._number_at(segment, at))
            if entry and entry.key == key:
                segment = segment[:at] + segment[at + _SLOT :]
                break
        self._index[key[0] >> 2] = segment + key[1:3] + ustruct.pack(">H", number - self._sorted)

    def _number_at(self, segment, at):
        return self._sorted + ustruct.unpack(">H", segment[at + 2 : at + _SLOT])[0]

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
        """The entry of what arrived under `key`, or None."""
        found = self._recent.get(key) or self._find_appended(key) or self._find_sorted(key)
        return None if found is None or found.kind == FORGET else found

    def _find_appended(self, key):
        for at in self._slots(key):
            number = self._number_at(self._index[key[0] >> 2], at)
            entry = self._read(number)
            if entry and entry.key == key:
                self._see(number)
                return entry
        return None

    def _find_sorted(self, key):
        """Keys are digests, evenly spread: the first guess is near, and the way to it is widened until it is passed."""
        low, high = 1, self._sorted + 1
        guess = 1 + (self._sorted * (key[0] << 8 | key[1]) >> 16)
        step = 8
        while low < high:
            middle = number = guess if low <= guess < high else (low + high) // 2
            entry = self._read(number)
            while entry is None and number + 1 < high:  # a block that went bad: what stands behind it is good
                number += 1
                entry = self._read(number)
            if entry is None or entry.key > key:
                high = middle
                guess = middle - step
            elif entry.key < key:
                low = number + 1
                guess = number + step
            else:
                self._see(number)
                return entry
            step *= 2
        return None

    def _see(self, number):
        for seen in (self._seen, self._kept):
            if seen and number // 8 < len(seen):
                seen[number // 8] |= 1 << (number % 8)

    # --- writing

    def put(self, kind, key, size=0, digest=b"", stamp=0, attempt=0, flags=0, server=None):
        """Note an entry, of the present server if it does not say another; it counts at once, and is on flash after flush()."""
        if server is None:
            server = self.server if kind <= GET_DONE else 0
        entry = Entry(kind, key, size, digest, stamp, attempt, flags, server)
        self._waiting = [e for e in self._waiting if e.key != key or e.kind not in INTENTS]  # it says more than they do
        self._waiting.append(entry)
        self._note(entry)
        if len(self._waiting) > WAITING:  # the flash is full: keep what counts
            self._waiting = [e for e in self._waiting if self._recent.get(e.key) is e or self.pending.get(e.key) is e]

    def _note(self, entry):
        """Let an entry that waits take effect."""
        if entry.kind in INTENTS:
            self.pending[entry.key] = entry
            self._asked.add(entry.key)
            return
        self.pending.pop(entry.key, None)
        self._asked.discard(entry.key)
        if entry.kind != CANCEL:
            self._recent[entry.key] = entry

    def next_serial(self):
        """Number of a new upload; grows by one each time, also over restarts."""
        self._serial += 1
        return self._serial

    def forget(self, key):
        self.put(FORGET, key)

    def under_way(self, key):
        """The intent of `key`, or None. What was begun with another server: this one can tell nothing about it."""
        pending = self.pending.get(key)
        if pending:
            self._asked.add(key)
            if pending.server != self.server and pending.kind != GET_INTENT:
                return None
        return pending

    def begun_elsewhere(self, key):
        """The intent of an upload that was begun with another server, or None."""
        pending = self.pending.get(key)
        return pending if pending and not self.under_way(key) else None

    def is_of_other(self, entry):
        """True if an entry is of another server of the settings than the present one."""
        return entry.server != self.server and entry.server in self.servers

    def settle_get(self, key, size, digest):
        """The entry of a download, or None. An intent that a cut left open is settled by what lies in place now."""
        pending = self.under_way(key)
        if pending and pending.is_of(size, digest):
            self.put(GET_DONE, key, size, digest, pending.stamp, server=pending.server)
        return self.find(key)

    def flush(self):
        """Append what waits, in one write; or, where a compaction is due, write it with all that counts in place of the file."""
        if not self._waiting:
            return
        if self.rider:
            self.put(*self.rider())
        self._close_reader()
        if self._count == 0 or self.is_crowded():
            try:
                self.compact(self._kept)
                return
            except StorageError:
                if self._count == 0:
                    raise
                # No room for both copies: to append needs less. The next try comes when another cycle has ended.
                self._most = self._appended_count() + _APPENDED
        self.write(self._waiting)
        self._waiting = []
        self._recent = {}

    def write(self, entries):
        """Append entries (any iterable) in one write, at once, without holding them in RAM. What waits is to be flushed first."""
        if self._count == 0:
            self.compact()
        skipped = (RECORD_BYTES - self._torn) % RECORD_BYTES
        raw = b"\0" * skipped
        number = self._count + (1 if raw else 0)
        for i, entry in enumerate(entries):
            raw += encode(entry, self._salt, number + i)
        end = len(raw)
        size = self._count * RECORD_BYTES + self._torn + end
        left = self._files.block_end(size) - size
        if left < min(end, _FILLING):  # the next append would end behind the block, and cost one more: the rest is left empty
            raw += b"\0" * left
        self._close_reader()
        try:
            self._files.append(self._path, raw)
        except StorageError:
            size = self._files.size(self._path) or 0
            self._count = size // RECORD_BYTES  # a part may have been written: it will be read as garbage
            self._torn = size % RECORD_BYTES
            raise
        for at in range(skipped, end, RECORD_BYTES):
            self._apply(decode(raw[at : at + RECORD_BYTES], self._salt, number), number)
            self._see(number)  # what is written in this cycle is of a file that is there
            number += 1
        self._count = number + (len(raw) - end) // RECORD_BYTES
        self._torn = (len(raw) - end) % RECORD_BYTES
        self._close_reader()

    def _appended_count(self):
        return self._count - 1 - self._sorted

    def is_crowded(self):
        """True if the next flush() is a compaction: with thousands of entries it takes long."""
        return self._appended_count() >= self._most

    def waiting_count(self, kind=None):
        """Entries, or those of a kind, that are not on flash yet."""
        return len([entry for entry in self._waiting if kind is None or entry.kind == kind])

    def watch(self):
        """Begin to note which entries are asked for: those that nobody asks for in a whole cycle belong to files that are gone."""
        self._seen = bytearray(self._count // 8 + 1)
        self._asked = set()

    def tidy(self, is_complete):
        """At the end of a cycle: see whether a compaction is worth it. It takes the place of the next append; writes nothing.

        `is_complete`: everything on both sides was looked at since watch(), so what was not asked for may go."""
        seen = self._seen if is_complete else None
        self._seen = None
        gone = 0
        if seen:
            for key in [key for key in self.pending if key not in self._asked]:
                del self.pending[key]
            for number in range(1, self._sorted + 1):
                gone += _is_unseen(seen, number)
        if self._appended_count() + gone > (self._sorted - gone) // 2 + _SPARE:
            self._most = 0
            self._kept = seen or self._kept

    def compact(self, seen=None):
        """Write the entries that count (of those in `seen`, if given) to a new file and put it in the old one's place."""
        salt = (self._salt + 1) & 0xFFFFFFFF
        self._files.make_folders(self._path.rsplit("/", 1)[0])
        writer = self._files.writer(self._path + ".new")
        try:
            count = 0
            for _ in self._current(seen):
                count += 1
            serial = ustruct.pack(">II", self._serial, 0)
            writer.write(encode(Entry(HEADER, MAGIC, count, serial, salt, 0, VERSION), 0, 0))
            number = 1
            for entry in self._current(seen):
                writer.write(encode(entry, salt, number))
                number += 1
            for entry in self.pending.values():
                writer.write(encode(entry, salt, number))
                number += 1
            writer.close()
        finally:
            writer.abandon()
            self._close_reader()
        self._files.commit(self._path + ".new", self._path, writer.size)
        self._seen = self._kept = None  # the records have new numbers
        self._most = _APPENDED
        self._salt = salt
        self._count = number
        self._sorted = count
        self._index = [b""] * _SEGMENTS
        self._torn = 0
        self._waiting = []
        self._recent = {}

    def _current(self, seen):
        """Yield the entries that count, in the order of their keys: the sorted ones and the newer ones, merged."""
        number = 1
        entry = None  # number's, once it was read
        for segment, slots in enumerate(self._index):
            newer = self._newer(segment, slots, seen)
            keys = sorted(newer)
            while number <= self._sorted:
                entry = entry or self._read(number)
                if entry:
                    if entry.key[0] >> 2 > segment:
                        break
                    while keys and keys[0] < entry.key:
                        found = newer[keys.pop(0)]
                        if found:
                            yield found
                    if entry.key not in newer and not _is_unseen(seen, number):
                        yield entry
                    entry = None
                number += 1
            for key in keys:
                if newer[key]:
                    yield newer[key]

    def _newer(self, segment, slots, seen):
        """key -> entry of what a segment of the index and RAM hold; None for what does not count any more."""
        newer = {}
        for at in range(0, len(slots), _SLOT):
            number = self._number_at(slots, at)
            entry = self._read(number)
            if entry:
                newer[entry.key] = None if entry.kind == FORGET or _is_unseen(seen, number) else entry
        for key, entry in self._recent.items():
            if key[0] >> 2 == segment:
                newer[key] = None if entry.kind == FORGET else entry
        return newer


def _is_unseen(seen, number):
    return bool(seen) and number // 8 < len(seen) and not seen[number // 8] & 1 << (number % 8)
