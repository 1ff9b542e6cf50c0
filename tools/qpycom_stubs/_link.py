# The radio link in virtual time: nothing here waits for real. The numbers are those of tools/sim/links.py.
#
# - A round trip is drawn anew each time between the least and the most of the technology, most of them near the least.
# - connect() and the look-up of a name cost one each; so does the first recv() behind a send(), counted from the moment
#   when the last byte of it has left. A data connection that sent something and is closed makes the next recv() of any
#   other one wait as well: the final reply comes when the server has all bytes.
# - Every byte takes its time, each way at its own rate; all sockets share the radio. A send() returns when the rest fits
#   into the firmware's buffer, and takes no more at once.
# - What comes later than the socket's time-out is a time-out; it is there at a later call.
#
# Not in it: TCP's slow start, packets that are sent again, headers. Private to the shims.
from qpycom_stubs import _world

SEND_BUFFER_BYTES = 8 * 1360  # lwIP: eight segments
CONNECT_GIVE_UP_S = 75  # a connect() without a time-out of its own

_up_free_us = 0
_down_free_us = 0
_final_us = 0  # when the server can have answered to the end of an upload
_random = 0


def _draw_us() -> int:
    """A round trip."""
    global _random
    if not _world.link:
        return 0
    if not _random:
        _random = (_world.seed * 7919 + _world.boot * 104729 + 1) & 0x7FFFFFFF
    _random = (_random * 1103515245 + 12345) & 0x7FFFFFFF
    part = (_random >> 8) / (0x7FFFFFFF >> 8)
    least, most = _world.link["rtt_ms"]
    return int(1000 * (least + (most - least) * part * part))


def round_trip(limit_s: object = None) -> bool:
    """Waits for one; False if it takes longer than `limit_s`."""
    return wait_until(_world.now_us() + _draw_us(), limit_s)


def wait_until(due_us: int, limit_s: object = None) -> bool:
    """Lets virtual time go by until then, but no longer than `limit_s`: False."""
    left_us = due_us - _world.now_us()
    if left_us <= 0:
        return True
    is_late = limit_s is not None and left_us > limit_s * 1000000
    _world.pass_ms(int(limit_s * 1000) if is_late else (left_us + 999) // 1000)
    return not is_late


class Line:
    """One connection's part of it."""

    def __init__(self) -> None:
        self._answer_us = 0
        self._has_sent = False

    def sent(self, size: int) -> None:
        global _up_free_us
        self._has_sent = True
        if not _world.link:
            return
        byte_us = 8000 / _world.link["up_kbit_s"]
        _up_free_us = max(_up_free_us, _world.now_us()) + int(size * byte_us)
        self._answer_us = _up_free_us + _draw_us()
        wait_until(_up_free_us - int(SEND_BUFFER_BYTES * byte_us))

    def due_us(self) -> int:
        """Before this moment there is nothing to receive."""
        return max(self._answer_us, _final_us)

    def received(self, size: int) -> None:
        global _down_free_us
        if _world.link:
            _down_free_us = max(_down_free_us, _world.now_us()) + size * 8000 // _world.link["down_kbit_s"]
            wait_until(_down_free_us)

    def ended(self, is_data: bool) -> None:
        global _final_us
        if is_data and self._has_sent and _world.link:
            _final_us = max(_up_free_us, _world.now_us()) + _draw_us()
