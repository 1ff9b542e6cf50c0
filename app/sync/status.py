# What a module tells: a small JSON file on the server, when something changed that matters or after so many cycles, and the
# log when the server asks for it. All from RAM, and nothing of it is kept on flash. Loaded where status.to is set.
# docs/PROTOCOL.md, "What a module tells".

import uio
import ujson

from app import VERSION
from app.errors import HALT, KNOWN, PARK, IntegrityError, StorageError, TempReply
from app.proto.parse import error_for, parse_size
from app.sync.folders import Folders
from app.sync.names import civil, parse, render
from app.sync.records import UPDATE_KEY

FORMAT = 1
STATUS_BYTES = 1536  # at most
TEXT_BYTES = (96, 48, 24, 12)  # of each text in it; the first with which all of it is short enough
SHOWN = 3  # of the files that wait
TRIES = 3  # that failed in a row; then a letter waits for status.every cycles, as one that is refused does at once
_ERROR_KEYS = ("cycle", "count", "class", "step", "code", "text", "advice")  # of Report.failure


class _Letter:
    """A file on the server that is made from RAM."""

    def __init__(self, remote):
        self.remote = remote
        self.failures = 0  # in a row
        self.not_before = 0  # cycle of the next try
        self.has_stale = True  # perhaps a try before, or a boot before, has left its temp name
        self.number = 0  # of the temp name

    def temp(self, number):
        """Two names take turns: a session that the server believes alive may keep one of them locked."""
        cut = self.remote.rfind("/") + 1
        return "%s%08x.%s.part" % (self.remote[:cut], number % 2, self.remote[cut:])


class Status:
    """Outlives the session. FtpManager asks `question()` with the login and calls `run()` when all else is done."""

    def __init__(self, config, files, ledger, report, log, link, power, clock, buffer, outbox):
        self._files = files
        self._ledger = ledger
        self._report = report
        self._log = log
        self._link = link
        self._power = power
        self._clock = clock
        self._buffer = buffer
        self._outbox = outbox
        self._to = config["status.to"]
        self._every = config["status.every"]
        self._server = ""  # what follows is of this one
        self._folders = None
        self._status = None
        self._lines = None  # the letter with the log
        self._request = ""  # the file that asks for it by being there
        self._told = None  # what the last status that arrived was about
        self._next = 0  # cycle of the next one, whatever it is about

    def question(self, server):
        """The command that asks whether `server` ("host:port") wants the log. The module's name must be known."""
        if server != self._server:
            outbox = self._outbox
            self._server = server
            self._told = None
            self._folders = Folders()
            name = render(parse(self._to), {"device": outbox.device, "imei": outbox.imei})
            stem = name[:-5] if name.endswith(".json") else name
            self._status = _Letter(name)
            self._lines = _Letter(stem + ".log")
            self._request = stem + ".logreq"
        return "SIZE " + self._request

    def run(self, session, known):
        """Send what is due; True if the status went. Raises what is wrong with the login; what fails here fails no cycle.

        `known` is FtpManager.status(). Blocks for two small transfers at most."""
        cycle = known["cycles"]
        topics = self._topics(known)
        is_due = topics != self._told or cycle >= self._next
        is_told = False
        if is_due and cycle >= self._status.not_before:
            is_told = self._deliver(session, self._status, self._status_text(known), cycle)
        if is_told:
            self._told = topics
            self._next = cycle + self._every
        session.settle()
        if session.answer[0] == 213 and session.is_open() and cycle >= self._lines.not_before:
            self._deliver(session, self._lines, self._log_text(known), cycle, self._request)
        return is_told

    def _topics(self, known):
        """What a change of is worth a status: neither counters, which always move, nor what takes long to find out."""
        result, failure = self._report.result, self._report.failure
        # An error that stays is told when it comes and when it is over; one that comes again is told again.
        error = failure and (failure[0] - failure[1], failure[2:5], result.error is not None)
        has_no_room = "StorageError" in [entry[0] for entry in result.errors]
        return error, has_no_room, self._report.parked_changes, known["update"], known["ledger"]

    # --- sending

    def _deliver(self, session, letter, text, cycle, request=""):
        """True if the text is there as `letter`, and `request` gone. Its first flight is the login's, if that is still to fly."""
        raw = text.encode()
        folders = self._folders.missing(letter.remote)
        self._report.alive()
        stale = ["DELE " + letter.temp(letter.number + 1)] if letter.has_stale else []
        before = ["MKD " + folder for folder in folders] + stale
        session.post_transfer(before, "STOR " + letter.temp(letter.number))
        session.settle()
        try:
            for folder in folders:
                self._folders.note(folder, session.reply()[0])
            if stale:
                session.reply()
            self._send(session, letter, raw)
            if request:
                session.post(["DELE " + request])
                session.demand()
        except KNOWN as e:
            may_lack_folder = e.verb == "STOR" and not folders
            if may_lack_folder:
                self._folders.forget()  # somebody may have removed it: it is made with the next try
            self._failed(letter, e, cycle, e.action in (PARK, HALT) and not may_lack_folder)
            return False
        letter.failures = 0
        letter.has_stale = False
        self._log.info("sent %s, %d bytes", letter.remote, len(raw))
        return True

    def _send(self, session, letter, raw):
        """The bytes, under the temp name until the server is known to have all of them. Raises what goes wrong."""
        temp = letter.temp(letter.number)
        session.open_data()
        session.send_blocks(uio.BytesIO(raw), len(raw), self._buffer)
        try:
            session.finish()
        except TempReply as e:
            if e.code not in (426, 451) or not session.is_open():
                raise
            # All bytes went: the size decides. With TLS servers miss the end that the firmware's TLS does not send.
        session.post(["SIZE " + temp])
        found = parse_size(session.demand())
        if found != len(raw):
            raise IntegrityError("the server holds %d of %d bytes" % (found, len(raw)), verb="SIZE")
        rename = ["RNFR " + temp, "RNTO " + letter.remote]
        session.post(rename)
        is_there = session.reply()[0] == 350
        code, text = session.reply()
        if is_there and code >= 500:  # it may be a server that does not rename over an existing file
            session.post(["DELE " + letter.remote] + rename)
            session.reply()
            session.reply()
            code, text = session.reply()
        if not 200 <= code < 300:
            raise error_for(code, text, "RNTO")

    def _failed(self, letter, error, cycle, is_refused):
        letter.failures = TRIES if is_refused else letter.failures + 1
        letter.has_stale = True
        letter.number += 1
        if letter.failures < TRIES:
            self._log.info("%s did not go: %s", letter.remote, error)
            return
        if not letter.not_before:  # told once; it is tried again all the same
            self._log.warning("%s does not go: %s; %s", letter.remote, error, error.advice)
        letter.not_before = cycle + self._every

    # --- what is told

    def _status_text(self, known):
        """The status as JSON, with its texts cut as short as they have to be."""
        rows = self._rows(known)
        for limit in TEXT_BYTES:
            shorten = self._shortener(limit)
            text = "{" + ",\n".join(['"%s": %s' % (key, encode(value, shorten)) for key, value in rows]) + "}\n"
            if len(text.encode()) <= STATUS_BYTES:
                break
        return text

    def _shortener(self, limit):
        return lambda text: clean(self._log.redact(text), limit)

    def _rows(self, known):
        """What there is to tell, in the order of docs/PROTOCOL.md."""
        report = self._report
        model, firmware = self._power.about()
        update = self._ledger.find(UPDATE_KEY)
        error = report.failure and tuple(zip(_ERROR_KEYS, report.failure))
        return (
            ("format", FORMAT),
            ("device", known["device"]),
            ("model", model),
            ("firmware", firmware),
            ("version", VERSION),
            ("server", self._server),
            ("time", self._time()),
            ("uptime_s", known["uptime_s"]),
            ("boots", known["boots"]),
            ("bad_boots", known["bad_boots"]),
            ("power_on", self._power.on_reason()),
            ("cycle", known["cycles"]),
            ("last_good", known["last_good"]),
            ("error", error),
            ("parked", _some(report.parked_count(), report.parked_files())),
            ("queue", _some(report.result.wait_count, report.result.waits[:SHOWN])),
            ("update", (("version", update.size if update else 0), ("note", known["update"]))),
            ("ledger", known["ledger"]),
            ("free_blocks", self._free_blocks()),
            ("battery_mv", self._power.battery_mv()),
            ("signal", self._link.signal()),
            ("bytes_today", known["bytes_today"]),
            ("waited_for", known["waited_for"]),
            ("restarts", self._past(0)),
        )

    def _log_text(self, known):
        """The log as far as it is known: that before the last restart, if it held an error, then what RAM has of it."""
        head = "Ferry %s, %s, boot %d, cycle %d, %s, %d s after power-on"
        time = self._time() or "clock not set"
        lines = [head % (VERSION, known["device"], known["boots"], known["cycles"], time, known["uptime_s"])]
        lines += [self._log.redact(line) for line in self._past(1)]
        return "\n".join(lines + ["--- since the last restart"] + self._log.lines()) + "\n"

    def _past(self, part):
        """Of what is kept over restarts: 0 = the reasons, 1 = lines of the log before the last one."""
        from app.worker import last_restarts

        try:
            return last_restarts(self._files)[part]
        except StorageError as e:
            return [str(e)]

    def _free_blocks(self):
        try:
            return self._files.free_blocks("/usr")
        except StorageError:
            return None  # a flash that cannot even be asked has failed the cycle long before

    def _time(self):
        """As in 2026-11-22T14:05:09Z; None while the clock is not set."""
        seconds = self._clock.seconds()
        if seconds is None:
            return None
        date, time = civil(seconds)
        return "%sT%sZ" % (date, time.replace("-", ":"))


def _some(count, files):
    """A count, and the first few (path, reason)."""
    return (("count", count), ("files", [[path, reason] for path, reason in files]))


def encode(value, shorten):
    """JSON of None, a whole number, a text, a list, or a tuple of (key, value): dicts have no order on the module.

    Texts go through `shorten(text)`."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return ujson.dumps(shorten(value))
    if isinstance(value, list):
        return "[" + ", ".join([encode(item, shorten) for item in value]) + "]"
    if isinstance(value, tuple):
        return "{" + ", ".join(['"%s": %s' % (key, encode(item, shorten)) for key, item in value]) + "}"
    return "%d" % value


def clean(text, limit):
    """At most `limit` bytes of a text, as UTF-8 that every reader takes: a name on the module may be made of any bytes."""
    raw = text.encode()
    kept = []
    at = room = 0
    while at < len(raw):
        size = _character(raw, at)
        room += size or 1
        if room > limit:
            break
        kept.append(raw[at : at + size] if size else b"?")
        at += size or 1
    return b"".join(kept).decode()


def _character(raw, at):
    """Bytes of the character that begins there, 0 for what is none, or none to be shown (RFC 3629)."""
    first = raw[at]
    if first < 0x80:
        return 1 if 32 <= first < 127 else 0
    size = 4 if first >= 0xF0 else 3 if first >= 0xE0 else 2
    if not 0xC2 <= first < 0xF5 or at + size > len(raw):
        return 0
    number = first & 0x7F >> size
    for following in raw[at + 1 : at + size]:
        if following & 0xC0 != 0x80:
            return 0
        number = number << 6 | following & 0x3F
    is_least = number >= (0, 0, 0x80, 0x800, 0x10000)[size]
    return size if is_least and number < 0x110000 and not 0xD800 <= number < 0xE000 else 0
