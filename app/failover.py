# Which of several servers is the one to use: the next one after some failed cycles in a row, round and round; from any other
# the first is tried again after a while, once, and if that fails it is straight back to the one that worked. Pure.


class Failover:
    """`after` failed cycles in a row lead to the next of `count` servers; the first is tried again after `return_ms`.

    `ticks_diff(later, earlier)` gives ms between two ticks, wrap-around included."""

    def __init__(self, count, after, return_ms, ticks_diff):
        self.index = 0  # of the server to use now
        self._count = count
        self._after = after
        self._return_ms = return_ms
        self._ticks_diff = ticks_diff
        self._failures = 0  # of this server, in a row
        self._away_ms = 0  # since the first one was tried last
        self._last_ms = 0  # ticks up to which that is counted
        self._worked = 0  # where to go back to if the first one, on trial, fails; 0 = it is not on trial

    def before_cycle(self, now_ms):
        """Choose the server of the cycle that begins now; `index` tells which."""
        if self.index:
            self._count_away(now_ms)
            if self._away_ms >= self._return_ms:
                self._worked = self.index
                self._go(0)

    def failed(self, now_ms):
        """The cycle failed, and it was the server or the way there."""
        self._failures += 1
        if self._worked or self._failures >= self._after:
            if not self.index:
                self._away_ms = 0
                self._last_ms = now_ms
            self._go(self._worked or (self.index + 1) % self._count)
            self._worked = 0

    def succeeded(self):
        """The cycle was good."""
        self._failures = self._worked = 0

    def _go(self, index):
        self.index = index
        self._failures = 0

    def _count_away(self, now_ms):
        passed = self._ticks_diff(now_ms, self._last_ms)
        # Ticks that seem to run backwards: more than half of their period has passed since, six days.
        self._away_ms += passed if passed >= 0 else self._return_ms
        self._last_ms = now_ms
