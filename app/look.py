# What the console shows of Ferry's state. Reads only: beside a running worker it has a ledger of its own, and changes nothing on
# the flash. Loaded by app/console.py.

from app import VERSION
from app.budget import DAY_S, Budget
from app.errors import ConfigError, StorageError
from app.platform.clock import Clock
from app.platform.files import Files
from app.platform.quec import Link, Power
from app.sync.ledger import Ledger
from app.sync.names import DATED
from app.sync.records import BOOTS_KEY, BUDGET_KEY, UPDATE_KEY, log_key, name_key, put_key
from app.sync.rules import STATE_FOLDER, is_protected
from app.worker import last_restarts

LEDGER = "/usr/" + STATE_FOLDER + "/ledger"
LINES = 50  # of files: nobody reads more
TEXT_BYTES = 160  # of a reason
BUFFER_BYTES = 1024

_STATES = {
    "RECOVER": "starts; the first cycle in %s",
    "IDLE": "rests; the next cycle in %s",
    "BACKOFF": "the last cycle failed; the next try in %s",
    "HALT": "the login is refused; the next try in %s",
}


class _Files(Files):
    """Leaves the flash as it is: a ledger that is loaded cleans up behind cuts, and the worker may be in the middle of it."""

    def remove(self, path):
        pass

    def rename(self, old, new):
        pass


class _Ledger(Ledger):
    """What the flash holds of the ledger now."""

    def __init__(self):
        Ledger.__init__(self, _Files(), LEDGER)
        self.load()

    def numbers(self, key):
        """(size, stamp) of an entry, zeros if there is none."""
        entry = self.find(key)
        return (entry.size, entry.stamp) if entry else (0, 0)

    def _read(self, number):
        """Garbage is what the worker has rewritten meanwhile, and a search in that would take for ever."""
        found = Ledger._read(self, number)
        if found is None:
            raise StorageError("the ledger was rewritten meanwhile", advice="once more; if it stays so, the flash is bad")
        return found

    def close(self):
        self._close_reader()


def _line(name, text, *args):
    print("%-9s %s" % (name, text % args))


def _span(seconds):
    """A time in words, for people."""
    days, hours, minutes = seconds // DAY_S, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return "%d d %d h" % (days, hours)
    if hours:
        return "%d h %d min" % (hours, minutes)
    return "%d min %d s" % (minutes, seconds % 60) if minutes else "%d s" % seconds


# --- status


def show_status(worker):
    """Print what is going on; `worker` is None where Ferry does not run. Raises StorageError. Reads the ledger."""
    power = Power()
    _line("Ferry", "%s", VERSION)
    known = worker.manager.status() if worker else {}
    if worker:
        _show_worker(worker, known)
    else:
        _show_settings(power)
    for name, text, found in (("signal", "%d of 31", Link().signal()), ("battery", "%d mV", power.battery_mv())):
        _line(name, "%s", "not known" if found is None else text % found)
    _line("flash", "%d blocks of 4 KiB are free in /usr", Files().free_blocks("/usr"))
    ledger = _Ledger()
    try:
        bad_boots, boots = ledger.numbers(BOOTS_KEY)
        used_bytes, day = ledger.numbers(BUDGET_KEY)
        version = ledger.numbers(UPDATE_KEY)[0]
    finally:
        ledger.close()
    if worker:
        used_bytes = known["bytes_today"]  # flash knows it only where there is a budget, and later
    elif day != (Clock().seconds() or 0) // DAY_S:
        used_bytes = 0
    if used_bytes:
        _line("today", "%d bytes on the air", used_bytes)
    note = known.get("update", "")  # of the last manifest since the start
    if version or note:
        _line("update", "version %d%s", version, "; " + note if note else "")
    bad_boots = known.get("bad_boots", bad_boots)  # on flash the first of them counts although its cycles are good
    _line("power on", "%s", power.on_reason())
    _line("boots", "%d%s", boots, "; no good cycle in the last %d" % bad_boots if bad_boots > 1 else "")
    for reason in last_restarts(Files())[0]:
        _line("restart", "after %s", reason)


def _show_worker(worker, known):
    manager, result = worker.manager, worker.result
    up_s, left_s, good_s = worker.times()
    _line("now", "%s", _doing(worker, manager.state, left_s))
    _line("device", "%s", known["device"] or "no name yet")
    _line("server", "%s", known["server"] or "as the settings say, from the next cycle on")
    _line("uptime", "%s", _span(up_s))
    _line("cycles", "%d, the last good one %s", known["cycles"], "never" if good_s is None else _span(good_s) + " ago")
    if result:
        _line("last", "%d up, %d down, %d skipped", result.up_count, result.down_count, result.skip_count)
        if result.error:
            _line("error", "%s", result.error_text)
            _line("", "%s", result.error.advice)
    if known["parked"]:
        _line("parked", "%d", known["parked"])
        for path, reason in result.parked if result else ():
            _line("", "%s: %s", path, reason[:TEXT_BYTES])
    if known["ledger"]:
        _line("ledger", "%s: files go again under the same names", known["ledger"])


def _doing(worker, state, left_s):
    """What the worker does, in words."""
    if state not in _STATES:
        return "in a cycle: %s" % state
    if worker.wanted_restart:
        return "a restart is due: " + worker.wanted_restart
    if worker.is_paused:
        return "paused; f.resume() goes on"
    if worker.is_wanted:
        return "a cycle begins"
    if worker.waits_for:
        return "no cycle now: %s; next look in %s" % (worker.waits_for, _span(left_s))
    return _STATES[state] % _span(left_s)


def _show_settings(power):
    """What a module that does not run would run with."""
    from app.keys import load

    try:
        config = load()
    except ConfigError as e:
        for problem in e.problems:
            _line("settings", "%s", problem)
        return
    _line("device", "%s", config["device.id"] or power.imei() or "the modem does not tell its IMEI")
    _line("server", "%s:%d", config["server.host"], config["server.port"])


# --- files


class _Ear:
    """The Report of an Outbox that sends nothing."""

    def alive(self):
        pass  # the watchdog is for the worker

    def skipped(self, direction, path, reason):
        print("%s: %s" % (path, reason))


class _Outgoing:
    """Says of each file of the rules where it stands."""

    def __init__(self, config, ledger, worker):
        from app.sync.outbox import Outbox
        from app.sync.servers import number_servers

        self._ledger = ledger
        number_servers(ledger, config["servers"])
        self._clock = Clock()
        self._files = Files()
        self._buffer = bytearray(BUFFER_BYTES)
        self._is_idle = worker is not None and worker.manager.state == "IDLE"
        budget = Budget(config["budget.day_bytes"], config["budget.cycle_bytes"], config["server.tls"] != "off")
        budget.recall(*ledger.numbers(BUDGET_KEY))
        budget.begin(None, self._clock.seconds(), 0)
        self.outbox = Outbox(
            config["upload"], self._files, ledger, _Ear(), self._clock, self._buffer, budget.why_not
        )
        self.outbox.imei = Power().imei()
        self.outbox.device = config["device.id"] or self.outbox.imei
        result = worker.result if worker else None
        self._parked = result.parked if result else ()
        self._skipped = result.skipped if result else ()

    def where(self, rule, path, size, relative):
        """(True if the server has it as it is, in words)."""
        remote = self.outbox.target(rule, relative)[2]
        for known, reason in self._parked:
            if known == path:
                return False, "parked: " + reason[:TEXT_BYTES]
        reason = self.outbox.why_not(rule, path, size, remote)
        if reason:
            return False, "never: " + reason
        is_log = rule["mode"] == "append"
        key = log_key(path, remote, self._ledger.server) if is_log else put_key(path, remote)
        if self._ledger.numbers(key)[0] == size if is_log else self.outbox.is_safe(path, size):
            return True, "sent"
        pending = self._ledger.under_way(key)
        if pending and pending.is_of(size, self._files.digest8(path, size, self._buffer)):
            # That it arrived is written with the next file. After a cycle without a fault it did.
            return (True, "sent") if self._is_idle else (False, "under way")
        reason = self._why_wait(rule, path, size, remote)
        return False, "waits: " + reason if reason else "goes"

    def _why_wait(self, rule, path, size, remote):
        for _, known, reason in self._skipped:  # what the server said in the last cycle
            if known == path:
                return reason[:TEXT_BYTES]
        is_dated = [name for name in DATED if "{" + name + "}" in remote]
        is_named = self._ledger.find(name_key(path, remote, self._ledger.server))
        if is_dated and not rule["undated"] and self._clock.seconds() is None and not is_named:
            return "the clock is not set, and its name holds date or time"
        if rule["settle_s"]:
            return "goes when it stood still for %d s" % rule["settle_s"]
        return self.outbox.why_wait(size, rule["priority"])


def show_files(worker):
    """Print a line for each file of the upload rules, what is not sent first. Raises ConfigError, StorageError. Reads every file."""
    from app.keys import load

    config = load()
    ledger = _Ledger()
    try:
        _show_files(_Outgoing(config, ledger, worker), config["upload"])
    finally:
        ledger.close()


def _show_files(outgoing, rules):
    sent = []  # lines; they come last
    sent_count = other_count = 0
    for rule in rules:
        if not rule["from"]:
            continue
        _show_protected(rule["from"].rstrip("/"))
        for path, size, relative in outgoing.outbox.files_of(rule):
            is_sent, words = outgoing.where(rule, path, size, relative)
            line = "%s  %d bytes  %s" % (path, size, words)
            if is_sent:
                sent_count += 1
                if len(sent) < LINES:
                    sent.append(line)
            else:
                other_count += 1
                if other_count <= LINES:
                    print(line)
    shown = min(other_count, LINES)
    for line in sent[: LINES - shown]:
        print(line)
    more = sent_count + other_count - min(LINES, shown + sent_count)
    if more:
        print("and %d more" % more)
    print("%d files, %d of them sent" % (sent_count + other_count, sent_count))


def _show_protected(folder):
    """What lies there and never takes part: the firmware's files and Ferry's own."""
    names = [entry[0] for entry in Files().entries(folder, "", LINES) if is_protected(folder + "/" + entry[0])]
    if names:
        print("%s  protected: %s" % (folder, ", ".join(names)))
