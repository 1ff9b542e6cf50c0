# What may be sent and received in a day and in a cycle, as the operator counts it: an estimate of all bytes on the air. Pure.

DAY_S = 86400
_DAY_MS = 1000 * DAY_S
NEAR_PERCENT = 20  # of the day's bytes are left: from here on only what has priority goes
USUAL_PRIORITY = 5
# TCP and IP: 40 bytes for each segment of 1360 and for each second one's acknowledgement, the segments that open and close a
# connection, the half-empty ones of a round trip. TLS: a handshake with a chain of certificates.
_PERCENT = 106
_CONNECTION_BYTES = 400
_ROUND_TRIP_BYTES = 80
_HANDSHAKE_BYTES = 6000
_FILE_BYTES = 1250  # commands and replies of one file


class Budget:
    """`day_bytes` and `cycle_bytes` as in the settings, 0 = no limit."""

    def __init__(self, day_bytes, cycle_bytes, has_tls):
        self._day_bytes = day_bytes
        self._cycle_bytes = cycle_bytes
        self._connection_bytes = _CONNECTION_BYTES + (_HANDSHAKE_BYTES if has_tls else 0)
        self.used = 0  # today, without the cycle under way
        self.day = 0  # since 1970; 0 while the clock is not set
        self._back_ms = 0  # uptime up to which bytes came back while the clock is not set
        self._counts = None  # of the cycle under way
        self._planned = 0  # bytes that it will take

    def recall(self, used, day):
        """What was known before the restart."""
        self.used = used
        self.day = day

    def go_on(self, before):
        """Take over what was counted under older settings."""
        self.used = before.used
        self.day = before.day
        self._back_ms = before._back_ms

    def begin(self, counts, seconds, uptime_ms):
        """A cycle begins, with its proto.control.Counts. A new day by the clock begins at 0. Without a clock what was used comes
        back with the uptime, the whole of it in a day: many restarts do not make many days, and a module that never has power
        for a whole day does not fall silent for ever."""
        self._counts = counts
        self._planned = 0
        day = seconds // DAY_S if seconds else 0
        if day and self.day and day != self.day:
            self.used = 0
        back = 0 if day else self.used * (uptime_ms - self._back_ms) // _DAY_MS
        if day or back or not self.used:
            self._back_ms = uptime_ms
        self.used = max(0, self.used - back)
        self.day = day or self.day

    def end(self):
        """The cycle is over: what it took is counted."""
        self.used = self.now()
        self._counts = None

    def now(self):
        """Bytes of today, those of the cycle under way included."""
        counts = self._counts
        if not counts:
            return self.used
        size = (counts.sent_bytes + counts.received_bytes) * _PERCENT // 100
        return self.used + size + counts.connections * self._connection_bytes + counts.round_trips * _ROUND_TRIP_BYTES

    def is_spent(self):
        """True if nothing may go today."""
        return bool(self._day_bytes) and self.now() >= self._day_bytes

    def is_near(self):
        """True if only what has priority goes."""
        return bool(self._day_bytes) and (self._day_bytes - self.now()) * 100 < self._day_bytes * NEAR_PERCENT

    def why_not(self, size, priority=USUAL_PRIORITY):
        """Why a transfer of `size` bytes has to wait, or nothing: then they are planned."""
        cost = size * _PERCENT // 100 + _FILE_BYTES
        if self._cycle_bytes and self._planned and self._planned + cost > self._cycle_bytes:
            return "budget.cycle_bytes are used up"
        if self._day_bytes:
            if priority <= USUAL_PRIORITY and self.is_near():
                return "little is left of budget.day_bytes, and that is for what has priority"
            if cost > self._day_bytes:
                return "it alone is more than budget.day_bytes"
            if max(self.now(), self.used + self._planned) + cost > self._day_bytes:
                return "budget.day_bytes do not suffice today"
        self._planned += cost
        return ""
