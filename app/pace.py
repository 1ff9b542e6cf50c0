# When the next cycle begins, and what is done about a link that does not work. Pure: the time of day, the uptime, what failed
# and the random numbers come in.

import uhashlib
import ustruct

DAY_MIN = 1440

# What is done about a link: the longer it lasts, the more.
WAIT = "wait"  # it may come back by itself
SOCKETS = "new sockets"  # nothing that was known of the way to the server is used again
REDIAL = "data call again"
FLIGHT = "flight mode"  # off the network and on again, SIM card included
RESTART = "restart"

# What is done, how often in a row before the next rung, and the least pause behind it in seconds.
RUNGS = (
    (WAIT, 3, 0),
    (SOCKETS, 2, 0),
    (REDIAL, 3, 10),
    (FLIGHT, 3, 30),
    (RESTART, 1, 0),
)
_AGAIN = 2  # where it goes on while no restart is due


def phase_of(name, period_ms):
    """Milliseconds from 0 to period_ms - 1: always the same for a name, evenly spread over many names."""
    return ustruct.unpack(">I", uhashlib.sha256(name.encode()).digest()[:4])[0] * period_ms >> 32


def parse_window(text):
    """(first minute, last minute) of the day in "22:00-06:00"; the last one is outside. Raises ValueError."""
    found = []
    for part in text.split("-"):
        digits = part.split(":")
        if len(digits) != 2 or len(digits[0]) != 2 or len(digits[1]) != 2:
            raise ValueError(text)
        minute = int(digits[0]) * 60 + int(digits[1])
        if not 0 <= int(digits[1]) < 60 or not 0 <= minute <= DAY_MIN:
            raise ValueError(text)
        found.append(minute)
    if len(found) != 2 or found[0] == found[1] or found[0] == DAY_MIN:
        raise ValueError(text)
    return found[0], found[1]


def is_open(windows, seconds, name="", every_s=0):
    """True if `seconds` since 1970 (UTC) lie in one of the windows, or if there are none.

    To each `name` a window opens at a moment of its own, within the first `every_s` seconds and the first half of it: a fleet
    that waits does not come at one moment."""
    for text in windows:
        first, last = parse_window(text)
        length_s = 60 * ((last - first) % DAY_MIN or DAY_MIN)
        passed_s = (seconds - 60 * first) % (60 * DAY_MIN)
        if phase_of(name, 1000 * min(every_s, length_s // 2)) // 1000 <= passed_s < length_s:
            return True
    return not windows


def first_ms(name, first_s):
    """How long a module waits after power-on: a fleet that gets power at one moment does not come at one moment."""
    return phase_of(name, 1000 * first_s)


def next_ms(name, every_s, uptime_ms):
    """How long until the module's own moment of the period, counted from power-on. Not before half a period has passed."""
    every_ms = 1000 * every_s
    wait_ms = (phase_of(name, every_ms) - uptime_ms) % every_ms
    return wait_ms if wait_ms >= every_ms // 2 else wait_ms + every_ms


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


class Ladder:
    """One step for each cycle that failed for want of a link."""

    def __init__(self):
        self._rung = 0
        self._count = 0

    def failed(self, may_restart, may_disturb=True):
        """(what is to be done, least pause in seconds) after one more failure. Without leave to disturb the link it waits where
        the data call would have to go."""
        if RUNGS[self._rung][0] == RESTART and not may_restart:
            self._rung = _AGAIN
        if RUNGS[self._rung][0] in (REDIAL, FLIGHT) and not may_disturb:
            return WAIT, 0
        action, often, pause_s = RUNGS[self._rung]
        self._count += 1
        if self._count >= often:
            self._count = 0
            self._rung = min(self._rung + 1, len(RUNGS) - 1)
        return action, pause_s

    def held(self):
        """The link worked: the next failure begins at the bottom."""
        self._rung = self._count = 0
