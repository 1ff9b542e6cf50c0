# The network as the FTP client sees it: usocket with the module's oddities taken out. Also runs on CPython's socket.
#
# Of the module (firmware of 2021 and later): a failed look-up gives [] or OSError; with a time-out a refused connect looks
# like success; the end of the stream is b"" or OSError(107), and any call after it fails at random; time-outs of 5, 10, 15
# and 20 s work, others block for a minute or return nonsense; there are at most 8 sockets.

try:
    import usocket as _socket
except ImportError:
    import socket as _socket

from app.errors import TransportError, number_of

ADDRESSES = 4  # of a name are tried, no more: each may cost a time-out
_ESTABLISHED = 4  # lwIP's TCP state
_END = 107


class Connection:
    """One TCP connection. Errors are OSError with the number in args[0]."""

    def __init__(self, sock, address):
        self._sock = sock
        self._has_ended = False
        self.address = address  # dotted IP of the other side

    def set_timeout(self, seconds):
        self._sock.settimeout(seconds)

    def recv(self, size):
        """At most `size` bytes; b"" at the end of the stream. Blocks for at most the time-out."""
        if self._has_ended:
            return b""
        try:
            data = self._sock.recv(size)
        except OSError as e:
            if number_of(e) != _END:
                raise
            data = b""
        if not data:
            self._has_ended = True
        return data

    def send(self, data):
        """Send what fits; returns the number of bytes taken, at least 1. Blocks for at most the time-out."""
        count = self._sock.send(data)
        if not count:
            raise OSError(110)
        return count

    def close(self):
        self._has_ended = True
        try:
            self._sock.close()
        except OSError:
            pass  # it is gone, which was the aim


class Net:
    """Opens connections. Stateless; a socket is bound to the module's address of the moment it is made."""

    def connect(self, host, port, timeout_s):
        """A Connection to host (name or address) and TCP port. Blocks for the look-up and at most one time-out per address.

        Raises TransportError with step "dns" or "connect"."""
        try:
            found = _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM)
        except OSError as e:
            found = []
            number = number_of(e)
        else:
            number = 0
        if not found:
            raise TransportError(
                number, "no address for " + host, step="dns", advice="check server.host, the SIM's data plan and the DNS servers of the APN"
            )
        error = None
        for info in found[:ADDRESSES]:
            try:
                return self._connect(info, timeout_s)
            except OSError as e:
                error = e
        number = number_of(error)
        raise TransportError(number, "%s:%d: %s" % (host, port, _REASONS.get(number, "no connection")), step="connect")

    def _connect(self, info, timeout_s):
        sock = _socket.socket(info[0], _socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout_s)
            sock.connect(info[4])
            if hasattr(sock, "getsocketsta") and sock.getsocketsta() != _ESTABLISHED:
                raise OSError(111)
        except OSError:
            sock.close()
            raise
        return Connection(sock, _dotted(info[4]))


_REASONS = {104: "connection reset", 110: "no answer", 11: "no answer", 111: "connection refused", 113: "host unreachable"}


def _dotted(address):
    """The IP of a socket address, where it can be read ('' on a PC's MicroPython, whose addresses are packed bytes)."""
    return address[0] if isinstance(address, tuple) else ""
