# The firmware's socket behind a radio (_link.py) and its faults, in virtual time. A connection that is made while the module
# has another one to the same address is a data connection, any other is a control connection. Private to usocket.py.
import socket as _host
import struct

from qpycom_stubs import _link, _world

_ESTABLISHED, _CLOSE_WAIT = 4, 7
_HANDSHAKE_BYTES = ((300, 3000), (200, 100))  # sent and received in each of its round trips
_FOR_EVER_MS = 1000  # virtual time goes on so much at a time in a call that never returns


def look_up(host: str) -> bool:
    """Whether the name is answered; an address in dots is known without asking."""
    if host.replace(".", "").isdigit():
        return True
    _hang()
    return _link.round_trip() and not _world.fault("dns-fail") and not _world.fault("silence")


def _hang() -> None:
    """Every call that may block begins here."""
    _world.check_reset()
    fault = _world.fault("hang")
    if fault:
        _world.fault_player.use_up(fault)
        _world.pass_ms(fault["amount"])


def on_the_air(plain: type) -> type:
    """usocket's class of plain sockets -> that of sockets on the radio."""

    class Socket(plain):
        def _adopt(self, make: object) -> None:
            plain._adopt(self, make)
            self._line = _link.Line()
            self._peer = None  # address of the other side
            self._is_data = False
            self._moved = 0  # bytes of a data connection, commands of a control connection
            self._lost = 0  # bytes that were sent into the silence: the connection never recovers

        # --- connections

        def connect(self, address: tuple) -> None:
            _hang()
            seconds = None if self._timeout is None else int(self._timeout)
            is_timed = seconds is not None and 1 <= seconds < 25
            limit_s = seconds if is_timed else _link.CONNECT_GIVE_UP_S
            self._meet(address[0] if isinstance(address, tuple) else bytes(address))
            if self._is_unreachable():
                _world.pass_ms(limit_s * 1000)
                raise OSError(110)
            if not _link.round_trip(limit_s):
                raise OSError(110)
            if _world.fault("server-down"):
                return self._refused(is_timed)
            return plain.connect(self, address)

        def accept(self) -> tuple:
            _hang()
            if _world.fault("silence") or _world.fault("data-blocked"):
                self._wait_in_vain()
            if not _link.round_trip(self._limit_s()):
                raise OSError(self._timeout_errno())
            found = plain.accept(self)
            found[0]._meet(found[1][0] if len(found) == 2 else found[1])
            return found

        def _meet(self, ip: object) -> None:
            """Whom this connection is with, and so which kind it is."""
            self._peer = ip
            for other in _world.sockets:
                if other is not self and other._peer == ip and other._state in (_ESTABLISHED, _CLOSE_WAIT):
                    self._is_data = True

        def _is_unreachable(self) -> bool:
            return bool(_world.fault("silence") or _world.fault("data-blocked" if self._is_data else "port-blocked"))

        def getsocketsta(self) -> int:
            if self._state == _ESTABLISHED and self._wait_us() != 0:
                return self._state
            return plain.getsocketsta(self)

        def close(self) -> None:
            if self._state in (_ESTABLISHED, _CLOSE_WAIT):
                self._line.ended(self._is_data)
            plain.close(self)

        def _reset(self) -> None:
            """The connection is reset: both sides learn of it."""
            self._state = 0
            self._is_over = True
            self._sock.setsockopt(_host.SOL_SOCKET, _host.SO_LINGER, struct.pack("ii", 1, 0))
            self._sock.close()
            raise OSError(104)

        def _shake_hands(self) -> None:
            """What TLS costs on the link before its first byte: two round trips and a certificate."""
            for sent, received in _HANDSHAKE_BYTES:
                self._begin()
                self._line.sent(sent)
                self._begin_recv(1)
                self._line.received(received)

        # --- waiting

        def _limit_s(self) -> object:
            return None if self._timeout is None else self._wait_s()

        def _wait_us(self) -> object:
            if self._lost or _world.fault("silence") or _world.fault("server-silent"):
                return None
            return max(0, self._line.due_us() - _world.now_us())

        def _wait_in_vain(self) -> None:
            """The time-out passes; without one all time does, until the silence ends or the module restarts."""
            if self._timeout is not None:
                _world.pass_ms(int(self._wait_s() * 1000))
                raise OSError(self._timeout_errno())
            while self._wait_us() is None:
                _world.pass_ms(_FOR_EVER_MS)
                _world.real_sleep_ms(1)

        # --- bytes

        def _begin(self) -> None:
            """Before bytes are moved, either way."""
            _hang()
            if self._state != _ESTABLISHED:
                self._refuse()  # the wait cost it its link
            if _world.fault("server-down"):
                self._reset()
            if self._room() == 0:
                _world.fault_player.use_up(_world.fault(self._cut_kind()))
                self._reset()

        def _cut_kind(self) -> str:
            return "cut-data" if self._is_data else "cut-control"

        def _room(self) -> object:
            """How much may still be moved before a fault cuts the connection; None for any amount."""
            fault = _world.fault(self._cut_kind())
            if not fault:
                return None
            limit = fault["amount"]
            if self._is_data:
                if "pct" in limit and not _world.file_bytes:
                    return None  # no file is under way
                limit = int(limit["bytes"] if "bytes" in limit else _world.file_bytes * limit["pct"] / 100)
            return max(0, limit - self._moved)

        def _begin_recv(self, size: int) -> int:
            self._begin()
            if self._wait_us() is None:
                self._wait_in_vain()
            if not _link.wait_until(self._line.due_us(), self._limit_s()):
                raise OSError(self._timeout_errno())
            room = self._room() if self._is_data else None
            return size if room is None else min(size, room)

        def _end_recv(self, size: int) -> None:
            self._line.received(size)
            if self._is_data:
                self._moved += size

        def _send_some(self, send: object, data: object) -> int:
            self._begin()
            data = memoryview(data)[: _link.SEND_BUFFER_BYTES]
            if self._lost or _world.fault("silence"):  # into the firmware's buffer, and nowhere from there
                self._lost += len(data)
                if self._lost > _link.SEND_BUFFER_BYTES:
                    self._wait_in_vain()
                return len(data)
            room = self._room() if self._is_data else None
            if room is not None:
                data = data[:room]
            count = send(data)
            self._line.sent(count)
            self._moved += count if self._is_data else bytes(data[:count]).count(b"\n")
            return count

    return Socket
