# What a simulated module keeps over its restarts within one run: told by its last event, given to its next boot.
_POWER_ON_REASON = {"restart": 2, "watchdog": 5, "power_cut": 3}  # of misc.Power.powerOnReason(); the first boot is 1


class Life:
    """`world()` is that part of WORLD.json; `take()` hears every event."""

    def __init__(self, link=None, faults=(), variants=None):
        self._world = {"boot": 0, "life_ms": 0, "used": [], "power_on_reason": 1}
        self._world.update(link=link, faults=list(faults), variants=variants or {})
        self.restarts = []  # why
        self._came = set()  # (text of a fault, "begins" or "happens")

    def plan(self, faults, now_ms):
        """From the next boot on: these faults, in the place of all others. It is `now_ms` since the first boot, or later."""
        self._world.update(faults=list(faults), used=[], life_ms=max(now_ms, self._world["life_ms"]))

    def missed(self):
        """Texts of the faults that never came, in their order: mostly a mistake in their moment."""
        came = {False: "begins", True: "happens"}
        return [f["spec"] for f in self._world["faults"] if (f["spec"], came[f["is_once"]]) not in self._came]

    def faults(self):
        """What was wanted of the run."""
        return self._world["faults"]

    def take(self, event):
        if event.kind == "fault":
            self._came.add(tuple(event.data))
        reason = _POWER_ON_REASON.get(event.kind)
        if reason:
            self._world.update(event.data[0] if event.data else {}, power_on_reason=reason)
            self._world["boot"] += 1
            self.restarts.append(event.kind)

    def world(self, cycles_done):
        return dict(self._world, cycle=cycles_done + 1)
