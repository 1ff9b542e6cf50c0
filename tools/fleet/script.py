# What a module says to a server in one cycle, recorded from a real one: the steps that the model repeats. A step is a tuple:
#   ("connect",)            the control connection
#   ("replies", count)      wait until so many have come since the beginning
#   ("send", bytes)         a flight, as it was written
#   ("open",)               a data connection to the TCP port of the last 229 or 227
#   ("put", bytes) ("get",) all of an upload, or of what comes until the server closes
# Pure: what a proxy has seen comes in, a Script goes out.
import re
from collections import Counter
from dataclasses import dataclass

UP, DOWN = "up", "down"
CONTROL, DATA = "control", "data"
OPENED, ENDED = "opened", b""

_REPLY = re.compile(rb"(\d\d\d) ")
_PORT = re.compile(rb"229 .*\((.)\1\1(\d+)\1\)|227 .*?\d+,\d+,\d+,\d+,(\d+),(\d+)")


@dataclass(frozen=True)
class Seen:
    """`what` moved on a connection at `time_s`, as its client would tell: OPENED, bytes, or ENDED."""

    time_s: float
    kind: str
    direction: str
    what: object


@dataclass(frozen=True)
class Script:
    steps: tuple
    digits: bytes  # with which the replies began, in their order
    commands: Counter
    bytes_up: int
    bytes_down: int

    def folders(self):
        """In which it stores."""
        stored = [
            line[5:].decode()
            for step in self.steps
            if step[0] == "send"
            for line in step[1].split(b"\r\n")
            if line[:5] == b"STOR "
        ]
        return sorted({name.rpartition("/")[0] for name in stored} - {""})

    def waits(self):
        """How often the module waits for the server: the round trips of the cycle."""
        return sum(step[0] in ("connect", "replies", "open", "get") for step in self.steps)


class ScriptError(Exception):
    """What was recorded is not a whole cycle."""


class Replies:
    """Bytes of a control connection in, whole replies out. For the model as well: it does not keep what it has given."""

    def __init__(self):
        self._rest = b""

    def feed(self, data):
        """-> [(code as bytes, TCP port of a data connection or None)]"""
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        return [(found[1], port_of(line)) for line in lines if (found := _REPLY.match(line))]


def port_of(line):
    """The TCP port in a 229 or 227, or None."""
    found = _PORT.match(line)
    if not found:
        return None
    return int(found[2]) if found[2] else int(found[3]) * 256 + int(found[4])


def script_of(seen):
    """The Script of one session. Raises ScriptError."""
    steps, come, replies, uploaded = [], [], Replies(), b""

    def wait(count):
        if count and ("replies", count) not in steps:
            steps.append(("replies", count))

    for item in sorted(seen, key=lambda item: item.time_s):
        match item.kind, item.direction, item.what:
            case "control", "up", "opened":
                steps.append(("connect",))
            case "control", "down", bytes(data):
                come += replies.feed(data)
            case "control", "up", b"":
                break
            case "control", "up", bytes(data):
                wait(len(come))
                steps.append(("send", data))
            case "data", "up", "opened":
                # Not for all that has come: the 150 may come before the data connection or behind it.
                wait(max((number for number, (_, port) in enumerate(come, 1) if port), default=0))
                steps.append(("open",))
                uploaded = b""
            case "data", "up", b"" if uploaded:
                steps.append(("put", uploaded))
                uploaded = b""
            case "data", "up", bytes(data):
                uploaded += data
            case "data", "down", b"" if steps and steps[-1] == ("open",):
                steps.append(("get",))
    sent = [step[1] for step in steps if step[0] == "send"]
    commands = Counter(line.split(b" ")[0].decode() for flight in sent for line in flight.split(b"\r\n") if line)
    if not commands["QUIT"] or steps[0] != ("connect",):
        raise ScriptError(
            "the recorded cycle has no beginning or no end: {}".format(", ".join(commands) or "no command")
        )
    moved = {
        way: sum(len(item.what) for item in seen if item.direction == way and item.what != OPENED) for way in (UP, DOWN)
    }
    digits = b"".join(code[:1] for code, _ in come)
    return Script(tuple(steps), digits, commands, moved[UP], moved[DOWN])
