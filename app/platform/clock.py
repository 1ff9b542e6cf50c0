# Time as the app may use it: ticks for durations, the wall clock only for labels. Works on CPython as well.

try:
    import utime as _time
except ImportError:
    import time as _time

_PERIOD = 1 << 30  # of the module's ticks
_SET_S = 1735689600  # 2025-01-01: a clock that shows less was never set


class Clock:
    """Milliseconds that only ever grow (modulo 2 ** 30), and pauses."""

    def seconds(self):
        """Seconds since 1970 in UTC, or None while the clock is not set: before the network has told the time."""
        seconds = int(_time.time())
        return seconds if seconds >= _SET_S else None

    def ask(self, host):
        """Set the clock by the time server `host`, or the firmware's if "". False if it does not answer. Blocks for up to 50 s.

        Vendor page: ntptime."""
        import ntptime

        if host:
            ntptime.sethost(host)
        try:
            try:
                return ntptime.settime(0) == 0
            except TypeError:  # firmware of 2021
                return ntptime.settime() == 0
        except (OSError, IndexError):  # of the look-up, which gives [] or OSError, by firmware
            return False

    if hasattr(_time, "ticks_ms"):

        def ticks_ms(self):
            return _time.ticks_ms()

        def ticks_diff(self, later, earlier):
            """Milliseconds from `earlier` to `later`; right for up to 149 hours."""
            return _time.ticks_diff(later, earlier)

        def sleep_ms(self, ms):
            _time.sleep_ms(ms)

    else:

        def ticks_ms(self):
            return int(_time.monotonic() * 1000) % _PERIOD

        def ticks_diff(self, later, earlier):
            return (later - earlier + _PERIOD // 2) % _PERIOD - _PERIOD // 2

        def sleep_ms(self, ms):
            _time.sleep(ms / 1000)
