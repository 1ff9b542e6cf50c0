# The language of `tools sim --fault`, parsed on the PC; the stand-ins for the firmware's modules carry the faults out
# (tools/qpycom_stubs/_faults.py). Pure: text in, plain values for WORLD.json out.
#
#   SPEC    NAME[@AMOUNT][@WHEN], several separated by commas; the kinds below say which take an AMOUNT
#   WHEN    30s, 0-60s, 1h-2d   seconds (s), minutes (m), hours (h) or days (d) since the first boot, in virtual time
#           cycle3, cycle3-5    from the begin of the first of these cycles to the end of the last, the rest behind it included
#           60s-redial          until the data call is made again; -flight until flight mode, -restart until the module restarts
#   Without WHEN a fault is always there. One that happens once does so at the first chance in WHEN.
import difflib
import re
from dataclasses import dataclass

_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_REDIAL = ("redial", "flight", "restart")  # what ends it, the least first; what is more ends it as well
_FLIGHT = ("flight", "restart")
_RESTART = ("restart",)


class FaultError(ValueError):
    """The text says what is wrong in a SPEC and what is allowed."""


@dataclass(frozen=True)
class Kind:
    what: str
    amount: str = ""  # which of _AMOUNTS it takes
    cures: tuple = ()
    happens: str = ""  # "once": at the first chance in WHEN; "moment": at its begin, and a WHEN is needed


KINDS = {
    "sim-missing": Kind("there is no SIM card", cures=_FLIGHT),
    "sim-pin": Kind("the SIM card wants its PIN", cures=_RESTART),
    "searching": Kind("not registered: the module searches for a network", cures=_FLIGHT),
    "attach-denied": Kind("not registered: the network denies it", cures=_FLIGHT),
    "no-data-call": Kind("registered, but the data call is down", cures=_REDIAL),
    "ip-change": Kind("the data call drops and comes back with another address, at the end of WHEN", happens="moment"),
    "silence": Kind("packets are lost: every socket goes silent", cures=_REDIAL),
    "dns-fail": Kind("no name has an address", cures=_REDIAL),
    "port-blocked": Kind("connecting to the control port times out", cures=_REDIAL),
    "data-blocked": Kind("opening a data connection times out, control connections work", cures=_REDIAL),
    "server-down": Kind("the server refuses connections, and resets those that it had"),
    "server-silent": Kind("the server takes connections and says nothing"),
    "cut-data": Kind("the data connection is reset at so much of the file under way", "part", happens="once"),
    "cut-control": Kind("the control connection is reset behind its command number so-and-so", "count", happens="once"),
    "hang": Kind("a call of a socket blocks for so long, whatever its time-out", "time", happens="once"),
    "clock-unset": Kind("the clock stands at 1970, until NTP sets it"),
    "clock-wrong": Kind("the clock is so many years off, until NTP sets it", "years"),
    "battery": Kind("the battery has so many millivolts", "millivolts"),
    "signal": Kind("the signal strength is so much", "csq"),
    "flash-full": Kind("the flash has no free block"),
    "power-cut": Kind("the power goes, and comes back at the end of WHEN", happens="moment"),
    "watchdog-fails": Kind("machine.WDT() gives False"),
}

# name: (pattern, value of the match, what is allowed)
_AMOUNTS = {
    "part": (
        r"(100|\d\d?(?:\.\d+)?)%|(\d+(?:\.\d+)?)(B|kB)",
        lambda found: (
            {"pct": float(found[1])} if found[1] else {"bytes": float(found[2]) * (1000 if found[3] == "kB" else 1)}
        ),
        "a part of the file such as 40%, or the bytes of the data connection such as 4096B or 20kB",
    ),
    "count": (r"([1-9]\d*)", lambda found: int(found[1]), "the number of a command, counted from 1 in each connection"),
    "time": (r"(\d+(?:\.\d+)?)([smhd])", lambda found: _ms(found[1], found[2]), "a time such as 400s"),
    "years": (r"([+-]?\d+)y", lambda found: int(found[1]), "years such as -3y"),
    "millivolts": (r"(\d+)mV", lambda found: int(found[1]), "millivolts such as 3300mV"),
    "csq": (r"(\d|[12]\d|3[01]|99)", lambda found: int(found[1]), "0 to 31, or 99 for unknown"),
}

_TIMES = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)(?:-(\d+(?:\.\d+)?)([smhd]))?")
_CYCLES = re.compile(r"cycle([1-9]\d*)(?:-([1-9]\d*))?")
_WHEN = "a time since the first boot (30s, 0-60s, 1h-2d) or cycles (cycle3, cycle3-5)"


def parse(text):
    """ "sim-missing@0-60s,dns-fail" -> [dict for WORLD.json], in the order of `text`. Raises FaultError."""
    return [_parse_one(spec.strip()) for spec in text.split(",")]


def help_lines():
    """One line for each kind."""
    examples = {"part": "40%", "count": "3", "time": "400s", "years": "-3y", "millivolts": "3300mV", "csq": "5"}
    names = {name: name + (f"@{examples[kind.amount]}" if kind.amount else "") for name, kind in KINDS.items()}
    width = max(map(len, names.values()))
    return [f"{names[name]:{width}}  {kind.what}" for name, kind in KINDS.items()]


def _parse_one(spec):
    name, *parts = spec.split("@")
    kind = KINDS.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, KINDS, n=1)
        raise FaultError(
            f"{spec!r}: there is no fault {name!r}; {f'did you mean {near[0]}?' if near else _all_names()}"
        )
    fault = {"spec": spec, "kind": name, "amount": None, "cure": None}
    fault.update(from_ms=0, to_ms=None, from_cycle=0, to_cycle=None, is_once=kind.happens == "once")
    if kind.amount:
        fault["amount"] = _amount(spec, kind.amount, parts.pop(0) if parts else "")
    if len(parts) > 1:
        raise FaultError(
            f"{spec!r}: too many @; {name} takes {'an amount and a moment' if kind.amount else 'one moment'}"
        )
    if parts:
        _set_when(fault, kind, parts[0])
    elif kind.happens == "moment":
        raise FaultError(f"{spec!r}: when? Add @ and {_WHEN}")
    return fault


def _all_names():
    return "there are " + ", ".join(KINDS)


def _amount(spec, name, text):
    pattern, value, allowed = _AMOUNTS[name]
    found = re.fullmatch(pattern, text)
    if not found:
        raise FaultError(
            f"{spec!r}: {f'{text!r} is no amount' if text else 'the amount is missing'}; write @ and {allowed}"
        )
    return value(found)


def _set_when(fault, kind, text):
    spec = fault["spec"]
    start, dash, cure = text.rpartition("-")
    if dash and cure.isalpha():
        if cure not in kind.cures:
            allowed = f"it may end by -{', -'.join(kind.cures)}" if kind.cures else "it ends by time or cycle only"
            raise FaultError(f"{spec!r}: -{cure} does not end {fault['kind']}; {allowed}")
        fault["cure"] = cure
        text = start
    times, cycles = _TIMES.fullmatch(text), _CYCLES.fullmatch(text)
    if times and (times[2] or times[4]):
        fault["from_ms"] = _ms(times[1], times[2] or times[4])
        if times[3]:
            fault["to_ms"] = _ms(times[3], times[4])
        is_backwards = times[3] and fault["to_ms"] <= fault["from_ms"]
    elif cycles:
        fault["from_cycle"] = int(cycles[1])
        if not fault["cure"]:
            fault["to_cycle"] = int(cycles[2] or cycles[1])
        is_backwards = cycles[2] and int(cycles[2]) < int(cycles[1])
    else:
        raise FaultError(f"{spec!r}: {text!r} is no moment; write {_WHEN}")
    if is_backwards:
        raise FaultError(f"{spec!r}: it ends before it begins")
    if fault["cure"] and (times or cycles)[3 if times else 2]:
        raise FaultError(f"{spec!r}: it ends either at a moment or by -{fault['cure']}, not by both")


def _ms(number, unit):
    return int(float(number) * _UNIT_MS[unit])
