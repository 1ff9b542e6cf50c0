# What one cycle did, for the caller of run_cycle(), for the log and for on_event. Lists are bounded, counts are not.

from app.errors import ADVICE, PARK

LIST_ENTRIES = 8  # of each list in a result; on_event hears of all
DATA_PATH_CYCLES = 3  # so many in a row that moved nothing and failed there are no accident
PARKED = 64  # files kept as parked; beyond that the oldest gets another try
SHOWN = 3  # of them are kept with path and reason, for the status
REASON_BYTES = 120


class Result:
    """What run_cycle() returns. `ok`: everything was looked at and nothing failed; parked and refused files do not count."""

    def __init__(self, number):
        self.number = number
        self.ok = False
        self.up = []  # (path, remote, bytes)
        self.down = []  # (remote, path, bytes)
        self.skipped = []  # (direction, path, reason)
        self.errors = []  # (class, step, code, text, advice)
        self.states = []  # (old, event, new)
        self.parked = []  # (path, reason) of the last files that were parked, in this cycle or an earlier one
        self.up_count = self.up_bytes = 0
        self.down_count = self.down_bytes = 0
        self.skip_count = 0
        self.waits = []  # (path, reason) of files that go in a later cycle
        self.wait_count = 0
        self.retries = 0
        self.counts = None  # proto.control.Counts
        self.duration_ms = 0
        self.error = None  # the first exception that failed the cycle
        self.error_text = None  # and in words, without secrets

    def as_dict(self):
        """Numbers only, for JSON."""
        counts = self.counts
        return {
            "number": self.number,
            "ok": self.ok,
            "up_count": self.up_count,
            "up_bytes": self.up_bytes,
            "down_count": self.down_count,
            "down_bytes": self.down_bytes,
            "skip_count": self.skip_count,
            "retries": self.retries,
            "commands": counts.commands,
            "connections": counts.connections,
            "sent_bytes": counts.sent_bytes,
            "received_bytes": counts.received_bytes,
            "round_trips": counts.round_trips,
            "duration_ms": self.duration_ms,
            "error": self.error_text,
        }


def _is_data_path(error):
    """True for what a firewall between data connection and server looks like."""
    if getattr(error, "step", "") == "data connection":
        return True
    return error.code in (0, 421, 425, 426) and error.verb in ("STOR", "APPE", "RETR", "MLSD", "NLST")


def _add(entries, entry):
    if len(entries) < LIST_ENTRIES:
        entries.append(entry)


class Report:
    """Hears what the stages do; `emit(kind, data)` passes it on. `alive()` is called now and then while they work, and may raise
    what ends the session."""

    def __init__(self, log, emit, alive):
        self._log = log
        self._emit = emit
        self.alive = alive
        self._parked = {}  # key -> version; a new version of the file gets a new chance
        self._parked_order = []
        self._shown = {}  # key -> (path, reason) of the first few
        self._quiet = set()  # keys of what nobody has to know of
        self.parked_changes = 0  # how often the set of parked files has changed
        self.failure = None  # the last cycle that failed: (number, how many in a row, class, step, code, text, advice)
        self._failed_cycles = 0  # in a row, before this one
        self._late = set()  # keys of files that the server does not take for now
        self._said = set()  # folders whose absence was told
        self.result = Result(0)
        self._data_path_failures = 0  # cycles in a row
        self.update_note = ""  # what became of the last manifest

    def begin(self, number, counts):
        result = self.result
        if result.error and _is_data_path(result.error) and not (result.up_count or result.down_count):
            self._data_path_failures += 1
        else:
            self._data_path_failures = 0
        self._failed_cycles = self._failed_cycles + 1 if result.error else 0
        self.result = Result(number)
        self.result.parked = self.parked_files()
        self.result.counts = counts
        return self.result

    def changed(self, change):
        """A change of state; the last ones are kept."""
        states = self.result.states
        states.append(change)
        if len(states) > LIST_ENTRIES:
            states.pop(0)

    # --- transfers

    def file(self, direction, path, size):
        self._log.debug("%s %s, %d bytes", direction, path, size)
        self._emit("file", (direction, path, size))

    def progress(self, done):
        self.alive()
        self._emit("progress", (done,))

    def sent(self, path, remote, size, key):
        result = self.result
        result.up_count += 1
        result.up_bytes += size
        self._late.discard(key)
        if key in self._parked:
            self._parked_order.remove(key)
            self._release(key)
        entry = (path, remote, size)
        _add(result.up, entry)
        self._log.info("sent %s to %s, %d bytes", path, remote, size)
        self._emit("up", entry)

    def fetched(self, remote, path, size):
        result = self.result
        result.down_count += 1
        result.down_bytes += size
        entry = (remote, path, size)
        _add(result.down, entry)
        self._log.info("fetched %s to %s, %d bytes", remote, path, size)
        self._emit("down", entry)

    def update(self, version, reason):
        """A manifest that changes nothing here."""
        self.update_note = "%d: %s" % (version, reason)
        self._log.info("update %s", self.update_note)
        self._emit("update", (version, reason))

    def refused_update(self, name, key, stamp, error):
        """A manifest that is not taken; nothing was changed by it."""
        self.update_note = self._log.redact(error.text())
        self.failed("down", name, key, stamp, error)

    def updated(self, version, file_count, removed_count):
        self.update_note = "%d: in place" % version
        self.result.down_count += file_count
        self._log.info("update %d is in place: %d files new, %d removed", version, file_count, removed_count)
        self._emit("update", (version, ""))

    # --- what did not go

    def skipped(self, direction, path, reason, error=None):
        self.result.skip_count += 1
        _add(self.result.skipped, (direction, path, reason))
        self._log.warning("%s %s skipped: %s", direction, path, reason)
        self._emit("skip", (direction, path, reason))
        if error:
            self._tell(error)

    def waiting(self, path, reason):
        """A file that goes in a later cycle, as its rule wants it."""
        self._log.debug("%s waits: %s", path, reason)
        self._count_wait(path, reason)
        self._emit("wait", (path, reason))

    def _count_wait(self, path, reason):
        self.result.wait_count += 1
        _add(self.result.waits, (path, reason[:REASON_BYTES]))

    def dropped(self, path, size, is_sent):
        """A file was removed to make room."""
        if is_sent:
            self._log.info("dropped %s, %d bytes, to make room; the server has it", path, size)
            self._emit("drop", (path, size))
        else:
            self.skipped("up", path, "dropped before it was sent: the flash is full and upload.drop_unsent allows it")

    def retrying(self, path, error):
        self.result.retries += 1
        self._log.warning("%s starts over: %s", path, error)

    def failed(self, direction, path, key, version, error):
        """One file failed: parked if it is the file's fault; otherwise the cycle has failed, and goes on with the others."""
        if error.action == PARK:
            self.park(key, version, path, error.text())
            self.skipped(direction, path, "parked: %s (%s)" % (error.text(), error.advice), error)
        else:
            if len(self._late) < PARKED:
                self._late.add(key)
            self._count_wait(path, error.text())
            self.skipped(direction, path, "later: " + error.text())
            self.trouble(error)

    def trouble(self, error):
        """Something failed that fails the cycle without ending it."""
        if self.result.error is None:
            self._blame(error)
        self._log.warning("%s; %s", error, error.advice)
        self._tell(error)

    def fail(self, error):
        """What ended the cycle."""
        self._blame(error)
        self._log.error("%s; %s", error, error.advice)
        self._tell(error)

    def _blame(self, error):
        if self._data_path_failures >= DATA_PATH_CYCLES - 1 and _is_data_path(error):
            error.advice = ADVICE[425]
        self.result.error = error
        self.result.error_text = self._log.redact(str(error))
        self.failure = (self.result.number, self._failed_cycles + 1) + self._words(error)

    def _words(self, error):
        text = self._log.redact(error.text())
        return type(error).__name__, error.step or error.verb, error.code or 0, text, error.advice

    def _tell(self, error):
        entry = self._words(error)
        _add(self.result.errors, entry)
        self._emit("error", entry)

    def no_folder(self, folder, error):
        if folder not in self._said and len(self._said) < PARKED:
            self._said.add(folder)
            self._log.info("%s is not on the server: %s", folder, error.text())

    # --- parked files

    def is_parked(self, key, version):
        return self._parked.get(key) == version

    def is_late(self, key):
        """True for a file that was put off when it was tried last: it must not take the turn of others."""
        return key in self._late

    def forget_refusals(self):
        """What one server refused, another one may take."""
        while self._parked_order:
            self._release(self._parked_order.pop())
        self._late = set()

    def parked_count(self):
        return len(self._parked) - len(self._quiet)

    def parked_files(self):
        """(path, reason) of the first few."""
        return [self._shown[key] for key in self._parked_order if key in self._shown]

    def park(self, key, version, path="", reason=""):
        """Leave a file alone until it has another version. Without a `path` nobody has to know."""
        if key not in self._parked:
            self._parked_order.append(key)
            self.parked_changes += 1
            if len(self._parked_order) > PARKED:
                self._release(self._parked_order.pop(0))
        self._parked[key] = version
        if not path:
            self._quiet.add(key)
            return
        self._quiet.discard(key)
        if key in self._shown or len(self._shown) < SHOWN:
            self._shown[key] = (path, reason[:REASON_BYTES])
            self.result.parked = self.parked_files()

    def _release(self, key):
        del self._parked[key]
        self._shown.pop(key, None)
        self._quiet.discard(key)
        self.parked_changes += 1
        self.result.parked = self.parked_files()
