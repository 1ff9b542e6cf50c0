# How long to wait after a failure: capped exponential with full jitter, so that a fleet that failed together does not
# come back together. Pure: the random numbers come in as an argument.


class Backoff:
    """Waits between 0 and min(cap, base * 2 ** failures) milliseconds, evenly spread."""

    def __init__(self, base_ms, cap_ms, randint):
        """`randint(a, b)` gives a whole number from a to b, both included."""
        self._base_ms = base_ms
        self._cap_ms = cap_ms
        self._randint = randint
        self.failures = 0

    def next_ms(self):
        """Count one more failure; returns the milliseconds to wait before the next try."""
        limit_ms = self._base_ms
        for _ in range(self.failures):
            limit_ms *= 2
            if limit_ms >= self._cap_ms:
                limit_ms = self._cap_ms
                break
        self.failures += 1
        return self._randint(0, min(limit_ms, self._cap_ms))

    def reset(self):
        """A success: the next failure waits shortly again."""
        self.failures = 0
