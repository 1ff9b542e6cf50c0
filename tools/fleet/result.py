# What was measured, as numbers that a program can read, and what follows from it. Pure.
import math
import statistics
from collections import Counter
from dataclasses import asdict, dataclass, field

LEAST = 10  # sessions that tell what one costs
LOAD = 0.5  # of a core: what a server may be busy with in the mean, so that there is room for waves


@dataclass
class Phase:
    """One thing that the fleet did. `planned`: sessions that were to begin; None where it cannot be said."""

    what: str
    seconds: float
    planned: int | None
    sessions: int
    good: int
    failures: dict
    again: int
    waiting: int
    logins_per_s: float
    most_logins_per_s: int
    most_open: int
    p50_s: float | None
    p99_s: float | None
    latest_s: float  # by how much the client itself was behind its plan
    cpu_ms: float | None  # of the server, for each session
    machine_pct: float
    session_kib: float | None
    logins: list = field(default_factory=list)  # of each second
    open: list = field(default_factory=list)

    def failed(self):
        return sum(self.failures.values())


def phase_of(what, seconds, planned, tally, cpu_s, machine_pct, session_kib):
    """A Phase of the model. `cpu_s` is None where it is not known."""
    per_second = Counter(int(moment) for moment in tally.logins_s)
    lengths = sorted(tally.lengths_s)
    ended = tally.good + sum(tally.failures.values())
    return Phase(
        what,
        seconds,
        planned,
        len(tally.begun_s),
        tally.good,
        dict(tally.failures.most_common()),
        tally.again,
        tally.waiting,
        sum(count for second, count in per_second.items() if second < seconds) / seconds,
        max(per_second.values(), default=0),
        tally.most_open,
        statistics.median(lengths) if lengths else None,
        lengths[math.ceil(0.99 * len(lengths)) - 1] if lengths else None,
        max(tally.late_s, default=0),
        cpu_ms_of(cpu_s, ended),
        machine_pct,
        session_kib,
        [per_second[second] for second in range(int(seconds))],
        tally.open_per_s,
    )


def cpu_ms_of(cpu_s, sessions):
    """CPU time for each session; None where it is not known, or of too few sessions: the system counts in steps of 10 ms."""
    return 1000 * cpu_s / sessions if cpu_s is not None and sessions >= LEAST else None


def mean_cpu_ms(phases):
    """CPU time of the server for each session that ended, in all of these phases; None where it is not known."""
    known = [(phase.cpu_ms, phase.good + phase.failed()) for phase in phases if phase.cpu_ms is not None]
    ended = sum(count for _, count in known)
    return sum(cpu_ms * count for cpu_ms, count in known) / ended if ended else None


def carries(cpu_ms, every_s):
    """Modules that one core of the server carries at LOAD, with a cycle in `every_s` each."""
    return int(LOAD * 1000 / cpu_ms * every_s)


def cores(cpu_ms, logins_per_s):
    """Cores that so many logins in a second keep busy."""
    return cpu_ms * logins_per_s / 1000


def open_sessions(devices, every_s, length_s):
    """Sessions that are open at one time in the mean."""
    return devices / every_s * length_s


def as_dict(phase):
    return asdict(phase)
