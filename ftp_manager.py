# FtpManager: the cycle as a table of states. Runs in one worker, owns everything that outlives a session, and hands the
# output of one stage to the next. Every change of state goes through _enter(). See docs/DESIGN.md, section 3.

import gc

# Compiled without it, the modules leave the heap in pieces, a third of it; main.py and Manual set what is right afterwards.
if hasattr(gc, "threshold"):
    gc.threshold(8192)
# The largest come first: to compile one takes several times its size, and the heap fills up.
from app.proto.control import Counts, Facts
from app.sync.upload import Uploader
from app.proto.session import Session
from app.sync.ledger import Ledger
from app.sync.download import Downloader
from app.sync.outbox import Outbox
from app.sync.report import Report
from app.backoff import Backoff
from app.errors import HALT, KNOWN, Error, LinkError, StorageError
from app.sync.records import BOOTS, BOOTS_KEY, SERVER, UPDATE_KEY, server_key
from app.sync.folders import Folders
from app.sync.room import make_room
from app.sync.rules import STATE_FOLDER, mount_of
from app.sync.staging import clear_staged

# state -> {event: next state}. A cycle runs from "due", "retry" or "probe" to one of the RESTING states.
TRANSITIONS = {
    "RECOVER": {"ready": "IDLE", "failed": "BACKOFF"},  # settle what a power cut left behind
    "IDLE": {"due": "ROOM"},  # in step, waiting for the next cycle
    "ROOM": {"roomy": "LINK", "failed": "BACKOFF"},  # make room in a full flash, with or without a link
    "LINK": {"up": "SCAN", "failed": "BACKOFF"},  # wait for the network
    "SCAN": {"found": "SESSION", "more": "UPLOAD", "failed": "BACKOFF"},  # what is new here
    "SESSION": {
        "open": "UPLOAD",
        "failed": "BACKOFF",
        "refused": "HALT",
    },  # connect; the login rides in the next flight
    "UPLOAD": {"sent": "UPDATE", "more": "SCAN", "failed": "BACKOFF", "refused": "HALT"},
    "UPDATE": {"fetched": "REPORT", "failed": "BACKOFF", "refused": "HALT"},  # what is new there
    "REPORT": {"reported": "IDLE", "failed": "BACKOFF"},
    "BACKOFF": {"retry": "ROOM", "recover": "RECOVER"},  # something passing failed
    "HALT": {"probe": "ROOM"},  # the login is refused: one try an hour
}
RESTING = ("IDLE", "BACKOFF", "HALT")

BUFFER_BYTES = 4096  # one block of the flash
SMALL_BUFFER_BYTES = 1024  # where the heap is nearly full
PLENTY_BYTES = 131072  # of free heap
BATCH = 4  # files found before the session opens and between two looks at the folder: about 3 kB
LINK_WAIT_S = 60
PROBE_S = 3600
SLICE_MS = 1000  # how soon request_sync() and stop() are noticed
CHANGES_KEPT = 16
LEDGER = "/usr/" + STATE_FOLDER + "/ledger"
TRIAL = "/usr/" + STATE_FOLDER + "/trial"


class FtpManager:
    """Keeps the module and the server in step. Without arguments only the five methods of the vendor's note can be used."""

    def __init__(
        self,
        config=None,
        files=None,
        net=None,
        clock=None,
        link=None,
        log=None,
        randint=None,
        imei=None,
        restart=None,
        check_settings=None,
    ):
        """`config` from app.config.parse(); the ports from app.platform; `imei()` gives the module's IMEI or "", `restart()`
        restarts the module, `check_settings(values)` gives config.json with these values as bytes, or raises ConfigError."""
        self._files = files
        self._net = net
        self._clock = clock
        self._log = log
        self._manual = None
        if config is None:
            return
        self._config = config
        self._link = link
        self._randint = randint
        self._imei = imei
        self._restart = restart
        self._check_settings = check_settings
        self._is_on_trial = False  # an update of code or settings has not had its good cycle yet
        self._trial_cycles = 0  # failed ones in a row
        self._restart_reason = ""
        self._backoff = Backoff(config["retry.base_s"] * 1000, config["retry.cap_s"] * 1000, randint)
        self._ledger = Ledger(self._files, LEDGER, randint(0, 0x3FFFFFFF))
        self._report = Report(self._log, self.on_event)
        self._facts = Facts()
        self._kept_flags = 0  # of the facts, as the ledger has them
        self._folders = Folders()
        is_tight = hasattr(gc, "mem_free") and gc.mem_free() < PLENTY_BYTES
        self._buffer = bytearray(SMALL_BUFFER_BYTES if is_tight else BUFFER_BYTES)
        self._outbox = Outbox(config["upload"], files, self._ledger, self._report, clock, self._buffer)
        self._outbox.device = config["device.id"]
        self._session = None
        self._uploader = None
        self._leftovers = []  # temp names on the server of batches that were cut
        self._found = None  # generator of Uploads while a scan is under way
        self._batch = []
        self._is_recovered = False
        self._is_stopped = False
        self._is_wanted = False
        self._cycles = 0
        self._boots = 0
        self._bad_boots = 0  # boots without a good cycle, this one included
        self._last_good = 0
        self.state = "RECOVER"
        self.changes = []  # the last changes of state, (old, event, new)
        self._steps = {
            "RECOVER": self._do_recover,
            "ROOM": self._do_room,
            "LINK": self._do_link,
            "SCAN": self._do_scan,
            "SESSION": self._do_session,
            "UPLOAD": self._do_upload,
            "UPDATE": self._do_update,
            "REPORT": self._do_report,
        }

    # --- for the caller

    def on_event(self, kind, data):
        """Hears what happens, for a display or a lamp; override it. Must return soon and must not raise.

        kind and data: "state" (old, event, new) · "file" (direction, path, bytes) · "progress" (bytes so far,) ·
        "up" (path, remote, bytes) · "down" (remote, path, bytes) · "skip" (direction, path, reason) · "wait" (path, reason) ·
        "drop" (path, bytes) ·
        "error" (class, step, code, text, advice) · "cycle" (dict of numbers)."""

    def run(self):
        """Cycle after cycle until stop(). Blocks; nothing but KeyboardInterrupt and SystemExit gets out."""
        while not self._is_stopped:
            try:
                self.run_cycle()
                if self._is_on_trial and self.state != "IDLE":
                    self._try_less()
                if self._restart_reason:
                    self._log.warning("restart: %s", self._restart_reason)
                    self._restart()
                    return
                self._rest()
            except Exception as e:  # the report of a fault failed itself, for want of memory most likely
                self._end_session()
                gc.collect()
                self._log.trace(e)
                self._clock.sleep_ms(SLICE_MS)
        self._is_stopped = False

    def run_cycle(self):
        """One cycle from rest to rest, also after a failure; returns a Result. Blocks for as long as the transfers take."""
        self._cycles += 1
        result = self._report.begin(self._cycles, Counts())
        start = self._clock.ticks_ms()
        try:
            if self.state not in RESTING and self.state != "RECOVER":
                self._enter("failed")  # the last cycle ended in a fault that could not even be told
            if self.state in RESTING:
                self._enter(
                    {"IDLE": "due", "HALT": "probe"}.get(self.state) or ("retry" if self._is_recovered else "recover")
                )
            while self.state not in RESTING:
                self._enter(self._step())
            if self.state == "IDLE" and not result.ok and result.error is None:  # it was RECOVER
                self._enter("due")
                while self.state not in RESTING:
                    self._enter(self._step())
        finally:
            self._end_session()
        result.duration_ms = self._clock.ticks_diff(self._clock.ticks_ms(), start)
        gc.collect()
        self.on_event("cycle", (result.as_dict(),))
        return result

    def status(self):
        """What is going on, as a dict."""
        result = self._report.result
        return {
            "state": self.state,
            "device": self._outbox.device,
            "cycles": self._cycles,
            "boots": self._boots,
            "bad_boots": self._bad_boots,
            "last_good": self._last_good,
            "failures": self._backoff.failures,
            "parked": self._report.parked_count(),
            "error": result.error_text,
            "ledger": self._ledger.lost,
            "update": self._report.update_note,
        }

    def request_sync(self):
        """Let the next cycle begin now; may be called from another thread."""
        self._is_wanted = True

    def stop(self):
        """Let run() return at the next rest; may be called from another thread."""
        self._is_stopped = True

    # --- the vendor's note: one file at a time, by hand; see app/manual.py

    def _by_hand(self):
        if self._manual is None:
            gc.collect()  # user code compiled these modules without main.py's thresholds: the heap may be in pieces
            gc.threshold(16384)
            from app.manual import Manual  # 5 kB of heap that a module in the field never needs

            self._manual = Manual(self._files, self._net, self._clock, self._log)
        return self._manual

    def connect(self, host, port=21):
        """Connect; returns the server's greeting."""
        return self._by_hand().connect(host, port)

    def login(self, username, password):
        """Log in; returns the server's reply."""
        return self._by_hand().login(username, password)

    def check_file(self, filename):
        """True if /usr holds a file of this name."""
        return self._by_hand().check_file(filename)

    def upload_file(self, path, filename):
        """Send path + filename to the server's current folder; True if all of it is there."""
        return self._by_hand().upload_file(path, filename)

    def download_file(self, path, filename):
        """Fetch `filename` from the server's current folder to path + filename; True if all of it is there."""
        return self._by_hand().download_file(path, filename)

    # --- updates of code and settings

    def _take_update(self):
        from app import apply  # loaded where there are such updates
        from app.sync.update import Updater

        updater = Updater(
            self._session,
            self._files,
            self._ledger,
            self._report,
            self._buffer,
            self._config,
            self._outbox,
            self._clock.seconds(),
            apply,
            self._check_settings,
        )
        version = updater.run()
        if version:
            self._is_on_trial = True
            self._restart_reason = "version %d is in place" % version

    def _confirm(self):
        """A complete good cycle: what runs now may stay."""
        from app import apply

        apply.confirm()
        self._is_on_trial = False
        self._log.info("the update is confirmed")

    def _try_less(self):
        """A cycle failed with an update on trial: after some of them the old code and settings come back."""
        self._trial_cycles += 1
        if self._trial_cycles < self._config["update.trial_cycles"]:
            return
        from app import apply

        try:
            trial = apply.read(apply.TRIAL)
            if trial:
                apply.go_back(trial)
        except OSError as e:  # tried again after the next failed cycle, which comes after its pause like any other
            self._log.warning("the update cannot be taken back: %s", e)
            return
        self._is_on_trial = False
        self._restart_reason = "the update had %d failed cycles: the old one is back" % self._trial_cycles

    # --- the machine

    def _enter(self, event):
        """The one door: change the state as the table says. An event that the state does not know raises and changes nothing."""
        old = self.state
        if event not in TRANSITIONS[old]:
            raise ValueError("no event %s in state %s" % (event, old))
        self.state = TRANSITIONS[old][event]
        change = (old, event, self.state)
        self.changes.append(change)
        if len(self.changes) > CHANGES_KEPT:
            self.changes.pop(0)
        self._report.changed(change)
        self._log.info("%s -> %s (%s)", old, self.state, event)
        self.on_event("state", change)

    def _step(self):
        """Do what the state asks for; returns the event. Every failure becomes an event here, and nowhere else."""
        try:
            return self._steps[self.state]()
        except KNOWN as e:
            self._report.fail(e)
            event = "refused" if e.action == HALT else "failed"
        except Exception as e:
            self._end_session()
            gc.collect()  # it may have been a MemoryError
            self._log.trace(e)
            error = Error(
                "%s: %s" % (type(e).__name__, e),
                step=self.state,
                advice="a fault in Ferry; please report the traceback",
            )
            self._report.fail(error)
            event = "failed"
        self._end_session()
        return event if event in TRANSITIONS[self.state] else "failed"

    def _rest(self):
        """Wait in a resting state for its time, or until somebody wants a cycle or the end."""
        config = self._config
        if self._is_stopped:
            return
        if self.state == "IDLE":
            wait_ms = 1000 * config["schedule.every_s"] + self._randint(0, 1000 * config["schedule.jitter_s"])
        elif self.state == "HALT":
            wait_ms = 1000 * PROBE_S
            self._log.warning("the next try in %d s, or after a restart", PROBE_S)
        else:
            wait_ms = self._backoff.next_ms()
            self._log.warning(
                "retry %d in %.1f s: %s", self._backoff.failures, wait_ms / 1000, self._report.result.error_text
            )
        last = self._clock.ticks_ms()
        while wait_ms > 0 and not self._is_stopped and not self._is_wanted:
            self._clock.sleep_ms(min(wait_ms, SLICE_MS))
            now = self._clock.ticks_ms()
            wait_ms -= max(1, self._clock.ticks_diff(now, last))
            last = now
        self._is_wanted = False

    # --- the states

    def _do_recover(self):
        self._ledger.load()
        if self._ledger.lost:
            self._log.warning("%s: files go again under the same names", self._ledger.lost)
        entry = self._ledger.find(BOOTS_KEY)
        self._boots = entry.stamp + 1 if entry else 1
        self._bad_boots = entry.size + 1 if entry else 1
        self._outbox.boot = self._boots
        self._ledger.put(BOOTS, BOOTS_KEY, self._bad_boots, stamp=self._boots)
        try:
            self._ledger.flush()
        except StorageError as e:
            self._log.warning("%s: this boot is not counted", e)  # uploads may make room
        self._recall_facts()
        self._is_on_trial = self._files.size(TRIAL) is not None
        self._is_recovered = True
        return "ready"

    def _do_room(self):
        config = self._config
        if config["storage.when_full"] == "drop" and self._has_name():
            mounts = []
            for rule in config["upload"]:
                if rule["from"] and mount_of(rule["from"]) not in mounts:
                    mounts.append(mount_of(rule["from"]))
            for mount in mounts:
                make_room(self._files, mount, config["storage.low_blocks"], self._outbox.candidates, self._report)
        return "roomy"

    def _has_name(self):
        """The device's name is in the remote paths, and so in the ledger's keys."""
        outbox = self._outbox
        outbox.imei = outbox.imei or self._imei()
        outbox.device = outbox.device or outbox.imei
        return bool(outbox.device)

    def _do_link(self):
        self._link.wait_ready(LINK_WAIT_S)
        if not self._has_name():
            advice = "set device.id, or restart the module"
            raise LinkError("the modem does not tell its IMEI", step="link", advice=advice)
        self._found = self._outbox.uploads()
        self._outbox.is_all_seen = True
        self._ledger.watch()
        return "up"

    def _do_scan(self):
        self._batch = []
        for upload in self._found:
            self._batch.append(upload)
            if len(self._batch) == BATCH:
                break
        else:
            self._found = None
        return "more" if self._session else "found"

    def _do_session(self):
        config = self._config
        session = Session(
            self._net,
            self._clock,
            config["server.timeout_s"],
            self._facts,
            self._report.result.counts,
            self._log,
            config["server.tls"],
            config["server.tls_pin"],
            self._own_address if config["server.mode"] == "active" else None,
        )
        self._session = session
        self._uploader = Uploader(
            session,
            self._files,
            self._ledger,
            self._report,
            self._buffer,
            self._folders,
            self._outbox.put_away,
            config["server.verify"] == "size",
        )
        session.open(config["server.host"], config["server.port"], config["server.talk_first"])
        session.start_login(config["server.user"], config["server.password"], config["server.account"])
        return "open"

    def _own_address(self):
        return self._config["server.active_host"] or self._link.address()

    def _do_upload(self):
        self._uploader.run(self._batch)
        self._batch = []
        gc.collect()
        if self._found:
            return "more"
        self._uploader.finish()
        self._send_others()
        return "sent"

    def _send_others(self):
        """Files that do not travel whole and one by one. The code for it is loaded where a rule wants it."""
        outbox = self._outbox
        ports = (self._session, self._files, self._ledger, self._report, self._buffer, self._folders, outbox)
        for rule in outbox.rules("append"):
            from app.sync.append import Appender

            Appender(*ports).run(rule)
        for rule in outbox.rules("batch"):
            from app.sync.batch import Batcher

            Batcher(*(ports + (self._clock, self._leftovers))).run(rule)

    def _do_update(self):
        config = self._config
        if config["download.from"]:
            downloader = Downloader(
                self._session,
                self._files,
                self._ledger,
                self._report,
                self._buffer,
                config["storage.reserve_blocks"],
                self._outbox.is_safe,
            )
            if not downloader.run(config["download.from"], config["download.to"]):
                self._outbox.is_all_seen = False
            elif self._report.result.down_count and not self._report.result.error:
                clear_staged(self._files, mount_of(config["download.to"]))
        if config["update.from"] and not self._is_on_trial:  # one at a time
            self._take_update()
        self._session.settle()
        return "fetched"

    def _do_report(self):
        self._end_session()
        result = self._report.result
        if result.error:
            return "failed"
        if self._is_on_trial and not self._restart_reason:
            self._confirm()
        self._outbox.trim()
        if self._bad_boots > 1:
            self._ledger.put(BOOTS, BOOTS_KEY, 0, stamp=self._boots)
            self._ledger.flush()
        self._bad_boots = 0
        for key in (BOOTS_KEY, UPDATE_KEY, self._server_key()):
            self._ledger.find(key)  # these are of no file, and must not be taken for one that is gone
        self._ledger.tidy(self._outbox.is_all_seen)
        result.ok = True
        self._backoff.reset()
        self._last_good = self._cycles
        return "reported"

    def _end_session(self):
        if self._session:
            self._session.say_goodbye()
            self._session = None
            self._keep_facts()
        self._found = None
        self._batch = []

    # --- what is known of the server

    def _recall_facts(self):
        entry = self._ledger.find(self._server_key())
        if entry:
            self._facts.set_flags(entry.flags)
        self._kept_flags = self._facts.flags()

    def _keep_facts(self):
        """Note what was learnt; it goes to flash with the next thing that has to be written."""
        flags = self._facts.flags()
        if flags != self._kept_flags:
            self._ledger.put(SERVER, self._server_key(), flags=flags)
            self._kept_flags = flags

    def _server_key(self):
        return server_key(self._config["server.host"], self._config["server.port"])
