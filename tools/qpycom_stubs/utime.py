# python.quectel.com API reference: utime. Everything runs on the virtual clock of the simulated module: ticks wrap at
# 2^30, sleeping can cost no time. localtime(s) and mktime() take UTC+8 for granted, whatever the time zone, as the
# firmware of 2021 does.
import time as _host

from qpycom_stubs import _world

_TICKS_MASK = 0x3FFFFFFF
_TICKS_HALF = 0x20000000
_UTC8_S = 8 * 3600


def ticks_ms() -> int:
    return _world.now_ms() & _TICKS_MASK


def ticks_us() -> int:
    return _world.now_us() & _TICKS_MASK


ticks_cpu = ticks_us


def ticks_add(ticks: int, delta: int) -> int:
    return (ticks + delta) & _TICKS_MASK


def ticks_diff(end: int, start: int) -> int:
    return ((end - start + _TICKS_HALF) & _TICKS_MASK) - _TICKS_HALF


def sleep(seconds: float) -> None:
    _world.sleep_ms(int(seconds * 1000))


def sleep_ms(ms: int) -> None:
    _world.sleep_ms(ms)


def sleep_us(us: int) -> None:
    _world.sleep_ms(max(1, us // 1000))


def time() -> int:
    return _world.now_s()


def localtime(seconds: object = None) -> tuple:
    """(year, month, day, hour, minute, second, weekday, day of the year)"""
    if seconds is None:
        return tuple(_host.gmtime(_world.now_s() + _world.time_zone * 3600))[:8]
    return tuple(_host.gmtime(seconds + _UTC8_S))[:8]


def mktime(moment: tuple) -> int:
    year, month, day, hour, minute, second = moment[:6]
    if month < 3:  # years that begin in March end with the leap day
        year -= 1
        month += 12
    days = year * 365 + year // 4 - year // 100 + year // 400 + (month * 153 - 457) // 5 + day - 719469
    return ((days * 24 + hour) * 60 + minute) * 60 + second - _UTC8_S


def setTimeZone(offset: int) -> int:  # noqa: N802 - the firmware's name
    if not -12 <= offset <= 12:
        return -1
    _world.time_zone = offset
    return 0


def getTimeZone() -> int:  # noqa: N802
    return _world.time_zone
