# What is wrong with whom: status files in, one row for each module out, the worst first. Pure; the time is an argument.
import calendar
import re
import time
from collections import Counter
from dataclasses import dataclass, field

from tools import desktop
from tools.dashboard import status
from tools.dashboard.history import is_failing

desktop.install()

from app.errors import ADVICE  # noqa: E402  (needs the module's names first)
from app.sync.manifest import why_not_here  # noqa: E402

BAD, WARN, NOTE, GOOD = 3, 2, 1, 0
MANY_PERCENT = 30  # of the fleet silent at once: that is hardly the modules
_MANY_LEAST = 5
_CLOCK_S = 600  # module and server may differ by so much before it is told
_USUAL_BAD_BOOTS = 2
_BLOCK_KIB = 4


@dataclass(frozen=True)
class Kind:
    """One sort of trouble. `sign` says it without colour."""

    label: str
    sign: str
    level: int
    meaning: str


# The order is that of the page: what comes first is looked at first.
KINDS = {
    "overdue": Kind("overdue", "✖", BAD, "nothing heard for longer than expected"),
    "failing": Kind("failing", "!", BAD, "the last cycle that was told of failed, or boots without a good cycle"),
    "unreadable": Kind("unreadable", "?", BAD, "the status file is none that can be understood"),
    "flash": Kind("low flash", "▾", WARN, "few free blocks in /usr"),
    "parked": Kind("parked", "‖", WARN, "files that the server refuses"),
    "budget": Kind("over budget", "$", WARN, "the data budget of the day is used up"),
    "update": Kind("behind", "↓", WARN, "an older update than there is, or one that was refused"),
    "note": Kind("note", "i", NOTE, "clock, ledger, waiting: worth knowing"),
}
OK = Kind("ok", "✓", GOOD, "nothing to do")


@dataclass(frozen=True)
class Trouble:
    kind: str
    what: str
    do: str


@dataclass(frozen=True)
class Limits:
    overdue_s: float
    low_blocks: int
    day_bytes: int  # 0 = as the modules themselves say


@dataclass
class Row:
    """One status file. `heard` is seconds since 1970, None for a file without a time that cannot be read."""

    key: str  # of the file, made of harmless characters
    file: str
    device: str
    raw: bytes
    status: dict | None = None
    heard: float | None = None
    heard_by: str = ""
    troubles: list = field(default_factory=list)

    @property
    def level(self):
        return max((KINDS[trouble.kind].level for trouble in self.troubles), default=GOOD)

    @property
    def kinds(self):
        return [trouble.kind for trouble in self.troubles]

    def add(self, kind, what, do):
        self.troubles.append(Trouble(kind, what, do))


@dataclass(frozen=True)
class Fleet:
    rows: list  # the worst first
    newest: int  # version of the update that all should have; 0 = none is known
    newest_from: str  # "manifest", "fleet"
    hint: str  # what is wrong with many at once

    def count(self, kind):
        return sum(kind in row.kinds for row in self.rows)

    @property
    def ok_count(self):
        return sum(row.level <= NOTE for row in self.rows)


def judge(files, seen, limits, manifest, now):
    """[File], {key of a file: when its content was first seen}, Limits, a manifest or None, now -> Fleet.

    `manifest` is a dict with version, devices, share, expires."""
    rows = [_read(file, seen.get(file.key, now)) for file in files]
    read = [row for row in rows if row.status]
    newest, newest_from = _newest(read, manifest)
    claims = Counter(row.device for row in read)
    for row in read:
        _overdue(row, limits, now)
        _failing(row)
        _flash(row, limits)
        _parked(row)
        _budget(row, limits)
        _update(row, newest, manifest, now)
        _notes(row, claims, now)
    rows.sort(key=lambda row: (-row.level, _place(row), -len(row.troubles), row.heard or 0, row.file))
    return Fleet(rows, newest, newest_from, _hint(rows))


def _place(row):
    return min((list(KINDS).index(kind) for kind in row.kinds), default=len(KINDS))


def _hint(rows):
    silent = sum("overdue" in row.kinds for row in rows)
    if silent >= _MANY_LEAST and silent * 100 >= MANY_PERCENT * len(rows):
        return f"{silent} of {len(rows)} modules are silent at once: look at the server and the network first, then at the modules."
    return ""


def _read(file, seen):
    name = status.clean(file.name, 200)
    row = Row(file.key, name, name.removesuffix(".json"), file.raw, heard=file.modified)
    if file.modified is not None:
        row.heard_by = "time of the file"
    try:
        if file.problem:
            raise status.Unreadable(file.problem)
        row.status = status.parse(file.raw)
    except status.Unreadable as error:
        row.add(
            "unreadable", sentence(str(error)), "Look at the file on the server; the module's next status replaces it."
        )
        return row
    row.device = row.status["device"]
    told = parse_time(row.status["time"])
    if told is not None and (file.modified is None or told <= file.modified):
        row.heard, row.heard_by = told, "the module's clock"
    elif file.modified is None:
        row.heard, row.heard_by = seen, "when the dashboard first saw it"
    if told is None:
        row.add(
            "note",
            f"Its clock is not set; the time is {_by(row)}.",
            "Set clock.source to ntp where the network does not set the clock.",
        )
    elif file.modified is not None and abs(told - file.modified) > _CLOCK_S:
        far = "ahead of" if told > file.modified else "behind"
        row.add(
            "note",
            f"Its clock is {span(abs(told - file.modified))} {far} the file's time; the older of the two counts.",
            "Either its clock is wrong (clock.source), or the file was copied later.",
        )
    return row


def _by(row):
    return "that of the file on the server" if row.heard_by == "time of the file" else row.heard_by


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def parse_time(text):
    """2026-11-22T14:05:09Z -> seconds since 1970, None for anything else."""
    try:
        return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))) if _TIME.fullmatch(text) else None
    except ValueError:
        return None


def span(seconds):
    """A length of time, as exactly as it matters: 2 d 3 h, 3 h 5 min, 14 min, 9 s. The page's script has the same."""
    seconds = int(seconds)
    for unit, size, lower, low in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "", 0)):
        if seconds >= size:
            rest = seconds % size // low if low else 0
            return f"{seconds // size} {unit}" + (f" {rest} {lower}" if rest else "")
    return f"{seconds} s"


def _overdue(row, limits, now):
    age = now - row.heard
    if age > limits.overdue_s:
        error = row.status["error"]
        last = f" Last it told: {error['class']} in {error['step']}." if is_failing(row.status) else ""
        row.add(
            "overdue",
            f"Silent for {span(age)}, {span(limits.overdue_s)} are allowed.{last}",
            sentence(error["advice"]) if last and error["advice"] else "Look at its power, antenna and SIM card.",
        )
    elif age < -_CLOCK_S:
        row.add("note", f"Its status is {span(-age)} in the future.", "Look at the clock of this PC and of the server.")


def _failing(row):
    found, error = row.status, row.status["error"]
    if is_failing(found):
        cycles = "1 cycle" if error["count"] < 2 else f"{error['count']} cycles in a row"
        where = f" in {error['step']}" if error["step"] else ""
        row.add("failing", f"{cycles} failed: {error['class']}{where}: {error['text']}", sentence(error["advice"]))
    elif found["bad_boots"] > _USUAL_BAD_BOOTS:
        row.add(
            "failing",
            f"{found['bad_boots']} boots in a row without a good cycle; the last start: {found['power_on'] or 'unknown'}.",
            "Ask for its log; look at its power supply and at restarts.",
        )


def _flash(row, limits):
    blocks = row.status["free_blocks"]
    if blocks is not None and blocks < limits.low_blocks:
        row.add(
            "flash",
            f"{blocks} blocks free in /usr ({blocks * _BLOCK_KIB} KiB), {limits.low_blocks} are the least.",
            "Let sent files go: upload.after = delete, or storage.when_full = drop.",
        )


def _parked(row):
    parked = row.status["parked"]
    if parked["count"]:
        path, reason = parked["files"][0] if parked["files"] else ("", "")
        first = f"{path}: {reason}" if path else "not said which"
        others = f", and {parked['count'] - 1} more" if parked["count"] > 1 else ""
        code = int(reason[:3]) if reason[:3].isascii() and reason[:3].isdigit() else 0
        advice = ADVICE.get(code) if code >= 500 else None
        row.add("parked", f"Refused: {first}{others}", sentence(advice or "look at the account's rights on the server"))


def sentence(text):
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _budget(row, limits):
    used, waited = row.status["bytes_today"], row.status["waited_for"]
    do = "Look at what it sends (queue, log); raise budget.day_bytes, or send less often."
    if limits.day_bytes and used is not None and used > limits.day_bytes:
        row.add("budget", f"{used:,} bytes on the air today, {limits.day_bytes:,} are allowed.", do)
    elif "budget" in waited:
        row.add("budget", f"A cycle began late: {waited}; {used or 0:,} bytes today.", do)


def _newest(rows, manifest):
    if manifest:
        return manifest["version"], "manifest"
    return max((row.status["update"]["version"] for row in rows), default=0), "fleet"


_NOT_MEANT = ("expired", "other devices", "of the fleet")  # in the note of a module that an update is not for


def _update(row, newest, manifest, now):
    version, note = row.status["update"]["version"], row.status["update"]["note"]
    if note.endswith("in place"):
        note = ""  # of the one that it has
    if version >= newest:
        return
    if manifest:
        if why_not_here(manifest, row.device, now):
            return
    elif any(text in note for text in _NOT_MEANT) or not (version or note):
        return  # one that never said anything of updates may have no update.from
    have = f"Has update {version}" if version else "Has no update"
    told = f" It says: {note}" if note else ""
    do = (
        "The note says what is wrong with the update."
        if note
        else "It comes with one of the next cycles; look at update.from."
    )
    row.add("update", f"{have}, the newest is {newest}.{told}", do)


def _notes(row, claims, now):
    found = row.status
    if claims[row.device] > 1:
        row.add(
            "note",
            f"{claims[row.device]} files say that they are {row.device}.",
            "Give each module a device.id of its own.",
        )
    if found["ledger"]:
        row.add(
            "note",
            f"The ledger was begun anew: {found['ledger']}.",
            "Files went again under the same names; nothing to do.",
        )
    if found["waited_for"] and "budget" not in found["waited_for"]:
        row.add("note", f"A cycle began late: {found['waited_for']}.", "As its settings want it; look at schedule.")
