# python.quectel.com API reference: usocket. The firmware's sockets over the host's own loopback ones: its methods and
# no others, time-outs in its steps, its three ways to say that the stream has ended, a cap on open sockets, and death
# with the PDP context. Real: connecting, partial sends, resets. Times run in real time divided by world.speed. The radio and its
# faults are in _radio.py, which is loaded where WORLD.json names a link or a fault.
import random
import select
import socket as _host

from qpycom_stubs import _world

AF_INET = 2
AF_INET6 = 10
SOCK_STREAM = 1
SOCK_DGRAM = 2
SOCK_RAW = 3
IPPROTO_IP = 0
IPPROTO_TCP = 6
IPPROTO_UDP = 17
IPPROTO_TCP_SER = 254
TCP_CUSTOMIZE_PORT = 255
SOL_SOCKET = 1
SO_REUSEADDR = 2
TCP_KEEPALIVE = 3
IP_ADD_MEMBERSHIP = 35

# lwIP's TCP states, as getsocketsta() reports them
_CLOSED, _LISTEN, _ESTABLISHED, _CLOSE_WAIT = 0, 1, 4, 7
_GONE = -1

_GARBAGE_ERRNOS = (0, 3, 9, 12, 77, 1073741824)  # what an uninitialised variable may hold


def getaddrinfo(host: str, port: int, *ignored: int) -> list:
    """[(family, type, proto, name, (ip, port))]; a failed look-up gives [] or OSError. Takes two to six arguments."""
    if _world.is_link_up() and (not _radio or _radio.look_up(host)):
        try:
            found = _host.getaddrinfo(host, port, AF_INET, SOCK_STREAM)
            return [(AF_INET, SOCK_STREAM, 0, "", _address(item[-1])) for item in found]
        except OSError:
            pass  # answered below, as for a link that is down
    if _world.variants["getaddrinfo"] == "empty":
        return []
    raise OSError(-2)


def _address(sockaddr: object) -> tuple:
    """(ip, port) of the host's idea of an address, which is bytes on MicroPython."""
    if isinstance(sockaddr, tuple):
        return sockaddr[:2]
    _, ip, port = _host.sockaddr(sockaddr)
    return _host.inet_ntop(AF_INET, ip), port


def _sockaddr(address: tuple) -> object:
    try:
        return _host.getaddrinfo(address[0], address[1], AF_INET, SOCK_STREAM)[0][-1]
    except OSError:
        raise OSError(113)


def _is_timeout(error: OSError) -> bool:
    number = error.args[0] if error.args else None
    return isinstance(number, str) or _world.firmware_error(error).args[0] in (11, 110, 115)


class socket:  # noqa: N801 - the firmware's name
    def __init__(self, af: int = AF_INET, type: int = SOCK_STREAM, proto: int = 0) -> None:
        if not _world.is_link_up():
            raise OSError(113)
        self._adopt(lambda: _host.socket(_host.AF_INET6 if af == AF_INET6 else _host.AF_INET, type))
        self._state = _CLOSED

    def _adopt(self, make: object) -> None:
        if len(_world.sockets) >= _world.MAX_SOCKETS:
            raise OSError(23)
        self._sock = self._timed = make()  # TLS puts its stream in the place of the first
        self._timeout = None
        self._is_over = False  # the end, or an error, has been told once; from now on errnos are garbage
        _world.sockets.append(self)

    # --- time-outs

    def settimeout(self, seconds: object) -> None:
        self._timeout = seconds
        self._timed.settimeout(None if seconds is None else self._wait_s() / _world.speed)

    def setblocking(self, flag: bool) -> None:
        self.settimeout(None if flag else 0)

    def _wait_s(self) -> float:
        """Above 5 s the firmware waits in rounds of 5 s."""
        return self._timeout if self._timeout <= 5 else self._timeout // 5 * 5

    def _timeout_errno(self) -> int:
        """One round only (6 to 9 s, under 0.1 s) ends as if the socket did not block."""
        return 11 if 6 <= self._timeout < 10 or self._timeout < 0.1 else 110

    # --- connections

    def connect(self, address: tuple) -> None:
        seconds = None if self._timeout is None else int(self._timeout)
        is_timed = seconds is not None and 1 <= seconds < 25
        target = _sockaddr(address)
        self._sock.settimeout(seconds / _world.speed if is_timed else None)
        try:
            self._sock.connect(target)
        except OSError as error:
            if _is_timeout(error):
                _world.check_reset()
                raise OSError(110)
            failure = _world.firmware_error(error)
            if failure.args[0] == 111:
                return self._refused(is_timed)
            raise failure
        finally:
            self.settimeout(self._timeout)
        self._state = _ESTABLISHED

    @staticmethod
    def _refused(is_timed: bool) -> None:
        if not is_timed or _world.variants["refused"] != "looks_connected":
            raise OSError(111)
        # else nobody reads SO_ERROR: the state and the first read tell

    def bind(self, address: tuple) -> None:
        self._host_call(self._sock.bind, _sockaddr(address))

    def listen(self, backlog: int = 1) -> None:
        self._host_call(self._sock.listen, backlog)
        self._state = _LISTEN

    def accept(self) -> tuple:
        """(connection, address, port), or (connection, (address, port)) on older firmware."""
        host_sock, sockaddr = self._host_call(self._sock.accept)
        connection = object.__new__(type(self))
        connection._adopt(lambda: host_sock)
        connection._state = _ESTABLISHED
        address = _address(sockaddr)
        return (connection, address) if _world.variants["accept"] == 2 else (connection, address[0], address[1])

    def getsocketsta(self) -> int:
        if self._state == _ESTABLISHED and self._has_ended():
            return _CLOSE_WAIT
        return self._state

    def _has_ended(self) -> bool:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        if not poll.poll(0):
            return False
        try:
            return self._sock.recv(1, _host.MSG_PEEK) == b""
        except OSError:
            return True

    def close(self) -> None:
        self._state = _GONE
        if self in _world.sockets:
            _world.sockets.remove(self)
        self._sock.close()

    def _kill(self) -> None:
        """The PDP context went away under the socket: it stays allocated until close()."""
        self._state = _CLOSED
        self._sock.close()

    # --- bytes

    def _refuse(self) -> None:
        """There is no stream: says so once, then with garbage."""
        if self._is_over:
            raise OSError(random.choice(_GARBAGE_ERRNOS))
        self._is_over = True
        raise OSError(9 if self._state == _GONE else 104)

    def _failed(self, error: OSError) -> OSError:
        """What the firmware makes of an error of the host's socket."""
        if _is_timeout(error):
            _world.check_reset()
            return OSError(self._timeout_errno())
        self._state = _CLOSED
        self._is_over = True
        return _world.firmware_error(error)

    def _host_call(self, call: object, *args: object) -> object:
        try:
            return call(*args)
        except OSError as error:
            if _is_timeout(error):
                raise self._failed(error)
            raise _world.firmware_error(error)

    def _wait_us(self) -> object:
        """Virtual time until there can be something to receive: 0 for now, None for never."""
        return 0

    def _begin_recv(self, size: int) -> int:
        """How much may be received at once; what the radio takes has passed."""
        return size

    def _end_recv(self, size: int) -> None:
        """So many bytes came."""

    def _send_some(self, send: object, data: object) -> int:
        """`send(data)`, or what becomes of it on the radio."""
        return send(data)

    def recv(self, size: int) -> bytes:
        if self._is_over or self._state != _ESTABLISHED:
            self._refuse()
        size = self._begin_recv(size)
        try:
            data = self._sock.recv(size)
        except OSError as error:
            raise self._failed(error)
        self._end_recv(len(data))
        if data or not size:
            return data
        self._state = _CLOSE_WAIT
        self._is_over = True
        if _world.variants["eof"] == "107":
            raise OSError(107)
        return data

    def send(self, data: object) -> int:
        """Bytes sent: may be fewer than given."""
        if self._state not in (_ESTABLISHED, _CLOSE_WAIT):
            self._refuse()
        return self._send_some(self._host_send, data)

    def _host_send(self, data: object) -> int:
        try:
            return self._sock.send(data)
        except OSError as error:
            raise self._failed(error)

    def sendall(self, data: object) -> None:
        """OSError(110) if only a part could be sent in time: how much is unknown then."""
        self.write(data)

    def write(self, data: object) -> int:
        view = memoryview(data)
        done = 0
        while done < len(view):
            done += self.send(view[done:])
        return done

    def recvfrom(self, size: int) -> tuple:
        data, sockaddr = self._host_call(self._sock.recvfrom, size)
        return data, _address(sockaddr)

    def sendto(self, data: object, address: tuple) -> int:
        return self._host_call(self._sock.sendto, data, _sockaddr(address))

    def read(self, size: int = -1) -> object:
        """`size` bytes or all until the end. A time-out in the middle loses what was read; errno 11: None or less."""
        parts = b""
        while size < 0 or len(parts) < size:
            try:
                data = self.recv(1024 if size < 0 else size - len(parts))
            except OSError as error:
                if error.args[0] == 11:
                    return parts or None
                if error.args[0] == 107 and size >= 0:
                    break
                raise
            if not data:
                break
            parts += data
        return parts

    def readinto(self, buf: object, size: int = -1) -> object:
        """Fills the buffer; at the end of the stream the firmware with errno 107 loses what it had."""
        wanted = len(buf) if size < 0 else min(size, len(buf))
        done = 0
        while done < wanted:
            try:
                data = self.recv(wanted - done)
            except OSError as error:
                if error.args[0] == 11:
                    return done or None
                raise
            if not data:
                break
            for byte in data:
                buf[done] = byte
                done += 1
        return done

    def readline(self, size: int = -1) -> object:
        line = b""
        while not line.endswith(b"\n") and len(line) != size:
            try:
                data = self.recv(1)
            except OSError as error:
                if error.args[0] == 11:
                    return line or None
                raise
            if not data:
                break
            line += data
        return line

    # --- the rest

    def setsockopt(self, level: int, option: int, value: object) -> None:
        if level == SOL_SOCKET and option == SO_REUSEADDR:
            self._host_call(self._sock.setsockopt, _host.SOL_SOCKET, _host.SO_REUSEADDR, value)
        elif level == SOL_SOCKET and option == TCP_KEEPALIVE:
            if not 1 <= value <= 120:
                raise OSError(22)
        else:
            print("Warning: lwip.setsockopt() option not implemented")

    def makefile(self, mode: str = "rwb") -> object:
        return self

    def fileno(self) -> int:
        return self._sock.fileno()


_radio = None
if _world.link or _world.faults:
    from qpycom_stubs import _radio

    socket = _radio.on_the_air(socket)
