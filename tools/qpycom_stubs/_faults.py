# Carries out the faults of WORLD.json (their language: tools/sim/faults.py). What lasts is looked up with active(); what
# begins, ends or happens once is done by poll(), which runs wherever the app waits, at its moment of virtual time.
# Private to the shims.
from qpycom_stubs import _world

_NO_LINK = ("sim-missing", "sim-pin", "attach-denied", "searching", "no-data-call")
_YEAR_S = 31557600

_begun = []  # places in _world.faults
_seen_cycle = -1


def active(kind: str) -> object:
    """The fault of this kind that is there now, or None."""
    poll()
    return _find(kind)


def _find(kind: str) -> object:
    for place in _begun:
        fault = _world.faults[place]
        if fault["kind"] == kind:
            return fault
    return None


def use_up(fault: dict) -> None:
    """It happens now, and not again in this run."""
    place = _world.faults.index(fault)
    _tell(place, "happens")
    _world.used.append(place)
    _refresh()


def cure(what: str) -> None:
    """As _world.cure()."""
    for place in _begun[:]:
        fault = _world.faults[place]
        if what == "ntp":
            is_over = fault["kind"] in ("clock-unset", "clock-wrong")
        else:
            is_over = fault["cure"] == what or what == "flight" and fault["cure"] == "redial"
        if is_over:
            _world.used.append(place)
    _refresh()


def ended_by_restart() -> list:
    """Places of those that the restart, which is the strongest of all cures, puts an end to."""
    return [place for place in _begun if _world.faults[place]["cure"]]


def poll() -> None:
    next_ms = _world.next_fault_ms
    if _world.cycle != _seen_cycle or next_ms is not None and _world.run_ms() >= next_ms:
        _refresh()


def _refresh() -> None:
    """Begins and ends what is due."""
    global _seen_cycle
    _seen_cycle = _world.cycle
    now = _world.run_ms()
    edges = []
    begun = []
    for place, fault in enumerate(_world.faults):
        if place in _world.used:
            continue
        edges += [ms for ms in (fault["from_ms"], fault["to_ms"]) if ms is not None and ms > now]
        if _is_on(fault, now):
            begun.append(place)
    _world.next_fault_ms = min(edges) if edges else None
    old, _begun[:] = _begun[:], begun
    for place in old:
        if place not in begun:
            _tell(place, "ends")
    for place in begun:
        if place not in old:
            _tell(place, "begins")
    _world.flash_is_full = _find("flash-full") is not None
    wrong = _find("clock-wrong")
    _world.spoil_clock("unset" if _find("clock-unset") else wrong and wrong["amount"] * _YEAR_S)
    _hold_link()
    _happen(now)


def _is_on(fault: dict, now: int) -> bool:
    if now < fault["from_ms"] or fault["to_ms"] is not None and now >= fault["to_ms"]:
        return False
    return fault["from_cycle"] <= _world.cycle and (fault["to_cycle"] is None or _world.cycle <= fault["to_cycle"])


def _tell(place: int, what: str) -> None:
    if _world.tell:
        _world.tell("fault", [_world.faults[place]["spec"], what])


def _hold_link() -> None:
    """Takes the link down while a fault forbids it, and brings it back afterwards, as the network does by itself."""
    is_forbidden = any([_find(kind) for kind in _NO_LINK])
    if is_forbidden and not _world.is_link_held:
        _world.is_link_held = True
        _world.drop_link()
    elif _world.is_link_held and not is_forbidden:
        _world.is_link_held = False
        if _world.modem_fun == 1:
            _world.raise_link(_world.LINK_UP_MS)


def _happen(now: int) -> None:
    fault = _find("ip-change")
    if fault:
        _world.used.append(_world.faults.index(fault))
        _world.address_changes += 1
        _world.drop_link()
        _world.raise_link(max(_world.LINK_UP_MS, (fault["to_ms"] or 0) - now))
    fault = _find("power-cut")
    if fault:
        _world.used.append(_world.faults.index(fault))
        _world.cut_power(fault["to_ms"] or 0)
