# A tar (ustar) that is made while it is read: no copy of it lies anywhere. docs/PROTOCOL.md, "A batch"; the format is POSIX.1-1988.

import uhashlib
import uio

BLOCK = 512
_NAME, _PREFIX = 100, 155


def _padding(size):
    return -size % BLOCK


def tar_size(sizes):
    """Bytes of a tar of files of these sizes."""
    return sum([BLOCK + size + _padding(size) for size in sizes]) + 2 * BLOCK


def _split(name):
    """(prefix, name) that fit into a header, or None."""
    raw = name.encode()
    if len(raw) <= _NAME:
        return b"", raw
    at = raw.find(b"/", len(raw) - _NAME - 1)
    if 0 < at <= _PREFIX:
        return raw[:at], raw[at + 1 :]
    return None


def why_untarable(name):
    """None, or why a name does not fit into a tar."""
    return None if _split(name) else "the name is too long for a batch"


def _field(raw, size):
    return raw + b"\0" * (size - len(raw))


def header(name, size, seconds):
    """The 512 bytes in front of a file's content."""
    prefix, short = _split(name)
    head = _field(short, _NAME) + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"%011o\0" % seconds
    tail = b"0" + b"\0" * 100 + b"ustar\x0000" + b"\0" * 64 + b"0000000\0" * 2 + _field(prefix, _PREFIX) + b"\0" * 12
    return head + b"%06o\0 " % (sum(head) + 8 * 32 + sum(tail)) + tail


class Tar:
    """A stream over `members`, a list of (path, name, size, digest). `is_changed`: a file was not what its digest says."""

    def __init__(self, files, members, seconds):
        self._files = files
        self._members = members
        self._seconds = seconds
        self._next = 0  # member
        self._raw = None  # BytesIO of a header or of padding
        self._stream = None
        self._left = 0  # bytes of the file that is open
        self._digest = None
        self.is_changed = False

    def readinto(self, view):
        """Fill the buffer as far as one piece of the tar reaches; returns the bytes, 0 at the end."""
        while True:
            if self._raw:
                n = self._raw.readinto(view)
                if n:
                    return n
                self._raw = None
            if self._stream:
                n = self._read(view)
                if n:
                    return n
            elif not self._open():
                return 0

    def _open(self):
        """Begin the next piece behind a member; False if there is none."""
        if self._next > len(self._members):
            return False
        if self._next == len(self._members):
            self._raw = uio.BytesIO(b"\0" * (2 * BLOCK))
        else:
            path, name, size, _ = self._members[self._next]
            self._raw = uio.BytesIO(header(name, size, self._seconds))
            self._stream = self._files.open(path, "rb")
            self._left = size
            self._digest = uhashlib.sha256()
        self._next += 1
        return True

    def _read(self, view):
        size = len(view)
        n = self._stream.readinto(view if self._left >= size else memoryview(view)[: self._left]) if self._left else 0
        if n:
            self._digest.update(memoryview(view)[:n])
            self._left -= n
            return n
        _, _, size, digest = self._members[self._next - 1]
        if self._left or self._digest.digest()[:8] != digest:
            self.is_changed = True
        padding = _padding(size) + self._left  # of a file that has become shorter the rest: the tar is thrown away
        self.close()
        self._raw = uio.BytesIO(b"\0" * padding) if padding else None
        return 0

    def close(self):
        if self._stream:
            self._stream.close()
            self._stream = None
