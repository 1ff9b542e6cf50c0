# Replies of the control connection, without I/O: bytes in, (code, text) out, the same for any split of the bytes.
# RFC 959 section 4.2: three digits, then a space, or "-" for a reply of several lines that ends with the same code and a space.

from app.errors import ProtocolError

LINE_BYTES = 512  # kept of a line; RFC 959 knows no limit, servers were seen with 17 kB in one line
TEXT_BYTES = 2048  # kept of a reply of several lines: the longest FEAT seen has 700
REPLY_BYTES = 65536  # a reply that goes on after this never ends


def printable(raw):
    """`raw` as text for people and parsers: control bytes become "?", broken UTF-8 too."""
    for b in raw:
        if b < 32 or b > 126:
            break
    else:
        return str(raw, "ascii")
    raw = bytes([63 if b < 32 or b == 127 else b for b in raw])
    try:
        return str(raw, "utf-8")
    except ValueError:  # the module never checks, a PC does
        return str(bytes([63 if b > 126 else b for b in raw]), "ascii")


class ReplyReader:
    """Collects replies from whatever pieces arrive."""

    def __init__(self):
        self._line = b""  # the line that is not complete yet, at most LINE_BYTES of it
        self._total = 0  # bytes of the reply that is not complete yet
        self._code = 0  # the code of the reply of several lines that is under way, 0 = none
        self._text = ""
        self._ready = []

    def feed(self, data):
        """Take `data` (bytes). Raises ProtocolError for what is not FTP and for what does not end."""
        start = 0
        while True:
            end = data.find(b"\n", start)
            piece = data[start:end] if end >= 0 else data[start:]
            if len(self._line) < LINE_BYTES:
                self._line += piece[: LINE_BYTES - len(self._line)]
            self._total += len(piece) if end < 0 else len(piece) + 1
            if self._total > REPLY_BYTES:
                raise ProtocolError("a reply of more than %d bytes" % REPLY_BYTES)
            if end < 0:
                return
            line = self._line.rstrip(b"\r")
            self._line = b""
            self._take(line)
            start = end + 1

    def next(self):
        """The oldest complete reply as (code, text), or None. The text begins with the code, as in ftplib."""
        return self._ready.pop(0) if self._ready else None

    def is_idle(self):
        """True if nothing is left over: no reply, and no part of one."""
        return not (self._ready or self._line or self._code)

    def _take(self, line):
        text = printable(line)
        if self._code:
            if len(self._text) < TEXT_BYTES:
                self._text += "\n" + text
            if text[:3] == str(self._code) and text[3:4] in (" ", ""):
                self._finish()
        elif line:  # a stray empty line between replies means nothing
            if len(text) < 3 or not line[:3].isdigit() or not "1" <= text[0] <= "6" or text[3:4] not in ("", " ", "-"):
                raise ProtocolError("not a reply: " + text[:80])
            self._code = int(text[:3])
            self._text = text
            if text[3:4] != "-":
                self._finish()

    def _finish(self):
        self._ready.append((self._code, self._text))
        self._code = 0
        self._total = 0
        self._text = ""
