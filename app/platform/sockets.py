# The network as the FTP client sees it: usocket and ussl with the module's oddities taken out. Also runs on CPython.
#
# Of the module (firmware of 2021 and later): a failed look-up gives [] or OSError; with a time-out a refused connect looks
# like success; the end of the stream is b"" or OSError(107), and any call after it fails at random; time-outs of 5, 10, 15
# and 20 s work, others block for a minute or return nonsense; there are at most 8 sockets; accept() gives 2 or 3 values;
# a TLS socket has read and write only, and read(n) waits until there are n bytes.

try:
    import urandom as _random
    import uselect as _select
    import usocket as _socket
except ImportError:
    import random as _random
    import select as _select
    import socket as _socket

from app.errors import TransportError, number_of

ADDRESSES = 4  # of a name are tried, no more: each may cost a time-out
LISTEN_PORTS = (49152, 65535)  # of active mode; the module cannot tell which port the system chose, so Ferry chooses
LISTEN_TRIES = 8
STRANGERS = 4  # connections from elsewhere that are turned away before active mode gives up
_CONNECTED = (4, 7)  # lwIP's ESTABLISHED, and CLOSE_WAIT: a short file and its end may be here already
_END = 107

_REASONS = {
    11: "no answer",
    104: "connection reset",
    110: "no answer",
    111: "connection refused",
    113: "host unreachable",
}
_SILENT = "the host is down, or a firewall on the way drops server.port; does the SIM's plan reach this host?"
# What a connect that fails tells about the way: nobody there, nobody listening, no way.
_ADVICE = {
    11: _SILENT,
    110: _SILENT,
    111: "the host is there, but nothing listens: is the FTP server running, is server.port right?",
    113: "the network has no way to this host: check server.host and the APN",
}


class Connection:
    """One TCP connection. Errors are OSError with the number in args[0]."""

    def __init__(self, sock, address):
        self._sock = sock
        self._has_ended = False
        self._poller = None
        self.send_some = sock.send  # as send(), but may take nothing: for loops that cannot afford one more call
        self.address = address  # IP of the other side; "" where it cannot be read

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

    def sendall(self, data):
        """Send all of it; each piece may block for the time-out."""
        view = memoryview(data)
        at = 0
        while at < len(data):
            at += self.send(view[at:])

    def is_ready(self):
        """True if recv() would not block. Never blocks itself."""
        try:
            if self._poller is None:
                self._poller = _select.poll()
                self._poller.register(self._sock, _select.POLLIN)
            return bool(self._poller.poll(0))
        except OSError:
            return True  # it died with the data call: recv() says so, at once

    def close(self):
        self._has_ended = True
        try:
            self._sock.close()
        except OSError:
            pass  # it is gone, which was the aim


class TlsConnection:
    """A connection inside TLS. `is_control`: read byte by byte, because read(n) would wait for n bytes, each with a time-out."""

    def __init__(self, plain, wrapped, is_control):
        self._plain = plain
        self._sock = wrapped
        self._is_control = is_control
        self._has_ended = False
        self.send_some = self.send
        self.address = plain.address

    def set_timeout(self, seconds):
        self._plain.set_timeout(seconds)

    def recv(self, size):
        if self._has_ended:
            return b""
        try:
            data = self._sock.read(1 if self._is_control else size)
        except OSError as e:
            number = abs(number_of(e))  # mbedTLS's numbers are negative
            if number != _END:
                raise OSError(number)
            data = b""
        if data is None:  # a time-out on the module
            raise OSError(110)
        # read(n) comes back short at the end only, and a read behind the end may wait for ever
        self._has_ended = not data or (len(data) < size and not self._is_control)
        return data

    def send(self, data):
        count = self._sock.write(data)
        if not count:
            raise OSError(110)
        return count

    sendall = Connection.sendall

    def is_ready(self):
        return False  # what waits may be half a TLS record: only a read can tell

    def fingerprint(self):
        """SHA-256 of the server's certificate in hex; "" where the firmware does not show it."""
        if not hasattr(self._sock, "getpeercert"):
            return ""
        import ubinascii
        import uhashlib

        certificate = self._sock.getpeercert(True)
        return str(ubinascii.hexlify(uhashlib.sha256(certificate).digest()), "ascii") if certificate else ""

    def close(self):
        try:
            self._sock.close()
        except OSError:
            pass  # it is gone, which was the aim
        self._plain.close()


class Listener:
    """Waits for the server's data connection (active mode)."""

    def __init__(self, sock, port, timeout_s):
        self._sock = sock
        self._timeout_s = timeout_s
        self.port = port

    def accept(self, address):
        """A Connection from `address`; whoever comes from elsewhere is turned away. Raises OSError."""
        self._sock.settimeout(self._timeout_s)
        for _ in range(STRANGERS):
            found = self._sock.accept()  # (conn, (ip, port)) or (conn, ip, port)
            peer = found[1][0] if isinstance(found[1], tuple) else found[1] if isinstance(found[1], str) else ""
            connection = Connection(found[0], peer)
            if not peer or peer == address:
                connection.set_timeout(self._timeout_s)
                return connection
            connection.close()
        raise OSError(103)

    def close(self):
        self._sock.close()


class Net:
    """Opens connections. A socket is bound to the module's address of the moment it is made."""

    def __init__(self, randint=_random.randint):
        self._randint = randint
        self._last_good = ("", "")  # name and address of the last connection: for when the look-up fails

    def forget(self):
        """Forget the address of the last connection."""
        self._last_good = ("", "")

    def connect(self, host, port, timeout_s):
        """A Connection to host (name or address) and TCP port. Blocks for the look-up and at most one time-out per address.

        Raises TransportError with step "dns" or "connect"."""
        number = 0
        found = []
        for name in (host, self._last_good[1]) if host == self._last_good[0] else (host,):
            try:
                found = _socket.getaddrinfo(name, port)
            except OSError as e:
                number = number_of(e)
            if found:
                break
        if not found:
            advice = "check server.host, the SIM's data plan and the DNS servers of the APN"
            raise TransportError(number, "no address for " + host, step="dns", advice=advice)
        for info in found[:ADDRESSES]:
            try:
                connection = self._connect(info, timeout_s)
                if connection.address and connection.address != host:
                    self._last_good = (host, connection.address)
                return connection
            except OSError as e:
                number = number_of(e)
        text = "%s:%d: %s" % (host, port, _REASONS.get(number, "no connection"))
        raise TransportError(number, text, step="connect", advice=_ADVICE.get(number, ""))

    def _connect(self, info, timeout_s):
        sock = _socket.socket(info[0], _socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout_s)
            sock.connect(info[4])
            if hasattr(sock, "getsocketsta") and sock.getsocketsta() not in _CONNECTED:
                raise OSError(111)
        except OSError:
            sock.close()
            raise
        address = info[4]
        # packed bytes on a PC's MicroPython: the name is used again
        return Connection(sock, address[0] if isinstance(address, tuple) else "")

    def listen(self, address, timeout_s):
        """A Listener on a free TCP port of the module's own `address`. Raises TransportError."""
        number = 98
        for _ in range(LISTEN_TRIES):
            port = self._randint(LISTEN_PORTS[0], LISTEN_PORTS[1])
            sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
            try:
                sock.bind(_socket.getaddrinfo(address, port)[0][4])
                sock.listen(1)
                return Listener(sock, port, timeout_s)
            except OSError as e:
                number = number_of(e)
                sock.close()
        raise TransportError(
            number, "no port to listen on at " + address, step="listen", advice="check server.active_host"
        )

    def wrap_tls(self, connection, host, timeout_s, is_control):
        """The connection inside TLS, after the handshake. Nothing is verified by the firmware: compare fingerprint().

        Blocks for at most a few time-outs. Raises OSError. Vendor page: ussl."""
        connection.set_timeout(timeout_s)
        try:
            import ussl
        except ImportError:
            return TlsConnection(connection, _wrap_on_pc(connection, host, is_control), is_control)
        return TlsConnection(connection, ussl.wrap_socket(connection._sock, server_hostname=host), is_control)


def _wrap_on_pc(connection, host, is_control):
    """CPython: a file-like TLS socket, as unverified as the module's. It takes the place of the plain one, which is void then."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection._sock = context.wrap_socket(connection._sock, server_hostname=host)
    return _PcTls(connection._sock, is_control)


class _PcTls:
    """CPython's SSLSocket with the methods of the module's."""

    def __init__(self, sock, is_control):
        self._sock = sock
        self._is_control = is_control
        self._file = sock.makefile("rb")
        self.getpeercert = sock.getpeercert

    def read(self, size):
        return self._file.read(size)

    def write(self, data):
        return self._sock.send(data)

    def close(self):
        self._file.close()
        try:
            if not self._is_control:  # what TLS 1.3 sent and nobody read makes a reset of the close: uploads lose their end
                self._sock.settimeout(5)
                self._sock.unwrap()
        finally:
            self._sock.close()
