# What a run did, made of the module's events: one record per cycle, as --json writes it.
from tools.sim.child import Event

# What the module counts itself and puts into its "cycle" event.
COUNTS = (
    "number",
    "ok",
    "up_count",
    "up_bytes",
    "down_count",
    "down_bytes",
    "skip_count",
    "retries",
    "commands",
    "connections",
    "sent_bytes",
    "received_bytes",
    "round_trips",
    "duration_ms",
    "error",
)


class Record:
    def __init__(self):
        self.cycles = []
        self.wear = []  # erases of each block of a simulated flash since the first boot
        self._open = _new()

    def feed(self, event: Event):
        cycle, data = self._open, event.data
        match event.kind, data:
            case "state", [old, name, new]:
                cycle["states"].append({"from": old, "event": name, "to": new})
            case "up", [local, remote, size]:
                cycle["up"].append({"local": local, "remote": remote, "bytes": size})
            case "down", [remote, local, size]:
                cycle["down"].append({"remote": remote, "local": local, "bytes": size})
            case "skip", [direction, path, reason]:
                cycle["skipped"].append({"direction": direction, "path": path, "reason": reason})
            case "wait", [path, reason]:
                cycle["waiting"].append({"path": path, "reason": reason})
            case "error", [name, step, code, text, advice]:
                cycle["errors"].append({"class": name, "step": step, "code": code, "text": text, "advice": advice})
            case "flash", [counts]:
                cycle["flash"] = counts
            case "wear", counts:
                self.wear = [a + b for a, b in zip(self.wear or [0] * len(counts), counts, strict=True)]
            case "cycle", [counts]:
                cycle.update((name, counts.get(name)) for name in COUNTS)
                if event.heap:
                    cycle["heap"] = dict(zip(("used_bytes", "free_bytes"), event.heap, strict=True))
                self.cycles.append(cycle)
                self._open = _new()

    def close(self):
        """What came after the last cycle belongs to it, unless it is the start of one that did not end."""
        rest, self._open = self._open, _new()
        if any(rest[name] for name in ("up", "down", "skipped", "errors")) or (rest["states"] and not self.cycles):
            self.cycles.append(dict(rest, ok=False))
        elif self.cycles:
            self.cycles[-1]["states"] += rest["states"]

    def all(self, name):
        """The entries of one list ("up", "down", "skipped", "waiting", "errors") of every cycle."""
        return [entry for cycle in [*self.cycles, self._open] for entry in cycle[name]]


def _new():
    return {"states": [], "up": [], "down": [], "skipped": [], "waiting": [], "errors": []}
