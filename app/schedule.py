# When the next cycle begins. Pure: the time of day, the uptime and the random numbers come in.

import uhashlib
import ustruct

DAY_MIN = 1440


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


def is_open(windows, seconds):
    """True if `seconds` since 1970 (UTC) lie in one of the windows, or if there are none."""
    minute = seconds // 60 % DAY_MIN
    for text in windows:
        first, last = parse_window(text)
        if first <= minute < last or first > last and not last <= minute < first:
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
