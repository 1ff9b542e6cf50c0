"""What the proxy understands of a control connection: commands, replies, the TCP ports in 227 and 229. No sockets."""

import re
from collections import Counter

from tools.ftpd.faults import DOWN, UP

# What is longer without a line end is passed on unread: a hostile server may never end its line.
_LINE_BYTES = 8 * 1024

_PORT_229 = re.compile(rb"\((.)\1\1(\d+)\1\)")
_PORT_227 = re.compile(rb"\d+,\d+,\d+,\d+,(\d+),(\d+)")
_REPLY = re.compile(rb"(\d\d\d)([ -])")


class Dialogue:
    """Reads both directions of one control connection; `take` turns what was read into what is to be passed on.

    `faults` returns the faults that may strike this connection; `announce` is given the server's TCP port for the next
    data connection and returns (host, port) to tell the client instead. Opaque: relays only (TLS).
    """

    def __init__(self, meter, faults, announce, is_opaque):
        self.is_opaque = is_opaque
        self._meter = meter
        self._faults = faults
        self._announce = announce
        self._partial = {UP: b"", DOWN: b""}
        self._seen = Counter()
        self._last_verb = ""
        self._open_code = None

    def forget_seen(self):
        """Count commands and replies for `occurrence` from here."""
        self._seen.clear()

    def take(self, direction, data):
        """A list of bytes, and of a Fault wherever one strikes. Empty `data` is the end of the stream."""
        if self.is_opaque or not data:
            rest, self._partial[direction] = self._partial[direction], b""
            return [rest + data] if rest + data else []
        lines = (self._partial[direction] + data).split(b"\n")
        rest = lines.pop()
        items = []
        for line in lines:
            items += (self._command if direction == UP else self._reply)(line + b"\n")
        if len(rest) > _LINE_BYTES:
            items.append(rest)
            rest = b""
        self._partial[direction] = rest
        return items

    def _struck(self, matches):
        """The faults that strike just before this line."""
        struck = []
        for fault in self._faults():
            if matches(fault):
                self._seen[fault] += 1
                if self._seen[fault] == fault.occurrence:
                    struck.append(fault)
        return struck

    def _command(self, line):
        self._last_verb = line.split(None, 1)[0].decode("latin-1").upper() if line.strip() else ""
        self._meter.command(self._last_verb)
        return [*self._struck(lambda fault: fault.verb == self._last_verb), line]

    def _reply(self, line):
        match = _REPLY.match(line)
        code = match[1] if match else b""
        if self._open_code is not None:
            if code == self._open_code and match[2] == b" ":
                self._open_code = None
            return [line]
        if match and match[2] == b"-":
            self._open_code = code
        struck = self._struck(lambda fault: fault.reply is not None and line.startswith(fault.reply.encode()))
        if code == b"234" and self._last_verb == "AUTH":
            self.is_opaque = True
        return [*struck, self._with_our_port(code, line)]

    def _with_our_port(self, code, line):
        """The 227 or 229 with the proxy's TCP port. One that cannot be read is the server's business: unchanged."""
        if code == b"229" and (match := _PORT_229.search(line)):
            _, port = self._announce(int(match[2]))
            return line[: match.start(2)] + b"%d" % port + line[match.end(2) :]
        if code == b"227" and (match := _PORT_227.search(line, 4)):
            host, port = self._announce(int(match[1]) * 256 + int(match[2]))
            numbers = host.replace(".", ",").encode() + b",%d,%d" % divmod(port, 256)
            return line[: match.start()] + numbers + line[match.end() :]
        return line
