# A run as it went along in virtual time, made of the module's events: what --report draws. The counts of each cycle are the record's.
from dataclasses import dataclass, field

_ENDS = {
    "restart": "Ferry restarted the module",
    "watchdog": "the watchdog restarted the module",
    "power_cut": "the power went",
    "power_down": "the module switched itself off",
    "died": "main.py raised an exception",
}
MOST_CYCLES = 60  # of which the transfers are kept, and of all that failed
MOST_POINTS = 200  # of one transfer's progress
MOST_TRANSFERS = 200  # of one cycle


@dataclass
class Span:
    name: str
    start_ms: int
    end_ms: int | None = None  # None: it was never told


@dataclass
class Transfer:
    direction: str
    path: str
    size: int
    start_ms: int
    end_ms: int
    points: list = field(default_factory=list)  # (ms, bytes)
    outcome: str = ""  # "up", "down", "skip"; else "moved" (all bytes went, as parts of something larger) or "cut"
    reason: str = ""

    def progress(self, ms, done):
        self.end_ms = ms
        if len(self.points) >= MOST_POINTS:
            del self.points[1::2]  # the first and the last stay
        self.points.append((ms, done))


@dataclass
class Mark:
    ms: int
    title: str
    text: str
    advice: str = ""


@dataclass
class Cycle:
    """From the first change of state to the cycle's own end, or to whatever cut it."""

    start_ms: int
    end_ms: int = 0
    states: list = field(default_factory=list)  # Span
    transfers: list = field(default_factory=list)
    left_out: int = 0  # transfers beyond those
    moved: dict = field(default_factory=lambda: {"up": [0, 0], "down": [0, 0]})  # files that arrived, and their bytes
    errors: list = field(default_factory=list)  # Mark
    end: str = ""  # what cut it
    counts: dict | None = None  # None: it did not come to its end
    heap: dict | None = None
    erases: int | None = None

    @property
    def is_good(self):
        return bool(self.counts and self.counts.get("ok"))


class Timeline:
    """`take()` hears every event; `close()` ends it."""

    def __init__(self):
        self.cycles = []
        self.faults = []  # Span
        self.restarts = []  # Mark
        self.end_ms = 0
        self._open = None
        self._erases = None

    def take(self, event):
        self.end_ms = max(self.end_ms, event.ms)
        match event.kind, event.data:
            case "state", [_, _, new]:
                self._state(event.ms, new)
            case "file", [direction, path, size]:
                self._begin(Transfer(direction, path, size, event.ms, event.ms))
            case "progress", [done] if self._open and self._open.transfers and not self._open.left_out:
                self._open.transfers[-1].progress(event.ms, done)
            case "up" | "down" as way, [source, _, size]:
                moved = self._cycle(event.ms).moved[way]
                moved[:] = moved[0] + 1, moved[1] + size
                self._finish(event.ms, way, source)
            case "skip", [_, path, reason]:
                self._finish(event.ms, "skip", path, reason)
            case "error", [name, step, code, text, advice]:
                what = f"{name}{' in ' + step if step else ''}{f', code {code}' if code else ''}"
                self._cycle(event.ms).errors.append(Mark(event.ms, what, text, advice))
            case "fault", [spec, "begins"]:
                self.faults.append(Span(spec, event.ms))
            case "fault", [spec, _]:
                for fault in reversed(self.faults):
                    if fault.name == spec and fault.end_ms is None:
                        fault.end_ms = event.ms
                        break
            case "flash", [counts]:
                self._erases = counts.get("erases")
            case "cycle", [counts]:
                cycle = self._cycle(event.ms)
                cycle.counts, cycle.erases = counts, self._erases
                if event.heap:
                    cycle.heap = {"used_bytes": event.heap[0], "free_bytes": event.heap[1]}
                self._end(event.ms)
            case kind, _ if kind in _ENDS:
                self.restarts.append(Mark(event.ms, kind, _ENDS[kind]))
                if self._open and len(self._open.states) > 0:
                    self._open.end = _ENDS[kind]
                self._end(event.ms)

    def close(self):
        if self._open:
            self._open.end = "the run ended"
        self._end(self.end_ms)
        for fault in self.faults:
            fault.end_ms = self.end_ms if fault.end_ms is None else fault.end_ms

    def _cycle(self, ms):
        if self._open is None:
            self._open = Cycle(ms)
        return self._open

    def _state(self, ms, new):
        cycle = self._cycle(ms)
        if cycle.states:
            cycle.states[-1].end_ms = ms
        cycle.states.append(Span(new, ms))

    def _begin(self, transfer):
        cycle = self._cycle(transfer.start_ms)
        if len(cycle.transfers) < MOST_TRANSFERS:
            cycle.transfers.append(transfer)
        else:
            cycle.left_out += 1

    def _finish(self, ms, outcome, path, reason=""):
        """Several files are in hand at once: which one it was, its name says."""
        for transfer in reversed(self._cycle(ms).transfers):
            if transfer.path == path and not transfer.outcome:
                transfer.outcome, transfer.reason = outcome, reason
                transfer.end_ms = max(transfer.end_ms, ms)
                break

    def _end(self, ms):
        cycle, self._open, self._erases = self._open, None, None
        if cycle is None:
            return
        cycle.end_ms = ms
        if cycle.states and cycle.states[-1].end_ms is None:
            cycle.states[-1].end_ms = ms
        for transfer in cycle.transfers:
            if not transfer.outcome:
                is_whole = bool(transfer.points) and transfer.points[-1][1] >= transfer.size
                transfer.outcome = "moved" if is_whole else "cut"
                transfer.end_ms = transfer.end_ms if is_whole else ms
        if len(self.cycles) >= MOST_CYCLES and cycle.is_good:
            cycle.transfers.clear()
        self.cycles.append(cycle)
