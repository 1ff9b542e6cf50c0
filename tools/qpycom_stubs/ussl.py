# python.quectel.com API reference: ussl. TLS over a shim socket, unverified, with the firmware's few methods: no recv,
# send or settimeout on the wrapped object. Failures are OSError with a negative code, as mbedTLS gives them.
try:
    import tls as _ssl
except ImportError:
    import ssl as _ssl

from qpycom_stubs import _world

_HANDSHAKE_FAILED = -0x7780  # MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE


def wrap_socket(
    sock: object,
    key: object = None,
    cert: object = None,
    server_side: bool = False,
    server_hostname: object = None,
    do_handshake: bool = True,
) -> object:
    """The stream over TLS; the handshake blocks, within the socket's time-out."""
    context = _ssl.SSLContext(_ssl.PROTOCOL_TLS_SERVER if server_side else _ssl.PROTOCOL_TLS_CLIENT)
    if not _world.IS_MICROPYTHON:
        context.check_hostname = False
    context.verify_mode = _ssl.CERT_NONE
    if cert:
        context.load_cert_chain(cert, key)
    try:
        if _world.link or _world.faults:
            sock._shake_hands()
        stream = context.wrap_socket(
            sock._sock, server_side=server_side, server_hostname=server_hostname, do_handshake_on_connect=do_handshake
        )
    except (OSError, ValueError) as error:
        raise _failure(error)
    return SSLSocket(sock, stream)


def _failure(error: Exception) -> OSError:
    """CPython has its own numbers and texts; MicroPython's are mbedTLS's already."""
    number = error.args[0] if error.args else None
    if isinstance(number, str) or isinstance(error, ValueError):
        timed_out = not _world.IS_MICROPYTHON and isinstance(error, TimeoutError)
        return OSError(-110 if timed_out else _HANDSHAKE_FAILED)
    if number > 0 and getattr(_ssl, "SSLError", None) and isinstance(error, _ssl.SSLError):
        return OSError(_HANDSHAKE_FAILED)
    return OSError(-abs(number))


class SSLSocket:
    def __init__(self, sock: object, stream: object) -> None:
        self._socket = sock
        self._sock = sock._sock = stream  # closing either closes both; poll looks at the same one
        if not _world.IS_MICROPYTHON:  # CPython moves the socket into its stream; MicroPython reads through it
            sock._timed = stream
        if hasattr(stream, "getpeercert"):  # some builds of MicroPython have none
            self.getpeercert = stream.getpeercert

    def read(self, size: int = -1) -> object:
        return self._receive(self._sock.read, size)

    def readinto(self, buf: object, size: int = -1) -> object:
        if _world.IS_MICROPYTHON:
            return self._receive(self._sock.readinto, size, buf)
        return self._receive(self._sock.recv_into, max(size, 0), buf)

    def readline(self, size: int = -1) -> object:
        line = b""
        while not line.endswith(b"\n") and len(line) != size:
            data = self.read(1)
            if not data:
                break
            line += data
        return line

    def write(self, data: object) -> object:
        return self._call(self._socket._send_some, self._sock.write, data)

    def _receive(self, call: object, size: int, *args: object) -> object:
        """`call` with `args` reads up to `size` bytes, or for a negative one all until the end."""

        def receive() -> object:
            wanted = self._socket._begin_recv(size) if size > 0 else size
            found = call(*args, *(() if size < 0 else (wanted,)))
            if found:
                self._socket._end_recv(found if isinstance(found, int) else len(found))
            return found

        return self._call(receive)

    def setblocking(self, flag: bool) -> None:
        self._socket._timeout = None if flag else 0
        self._sock.setblocking(flag)

    def getsocketsta(self) -> int:
        return self._socket._state

    def close(self) -> None:
        self._socket.close()

    def _call(self, call: object, *args: object) -> object:
        """A time-out is None from the interpreter and an error from the firmware."""
        try:
            result = call(*args)
        except OSError as error:
            failure = _failure(error)
            if failure.args[0] not in (-11, -110):
                raise failure
            result = None
        if result is None:
            _world.check_reset()
            if self._socket._timeout is None or self._socket._timeout_errno() == 110:
                raise OSError(-110)
        return result
