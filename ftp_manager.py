# FtpManager: the cycle as a table of states. Runs in one worker, owns everything that outlives a session, and hands the
# output of one stage to the next. Every change of state goes through _enter(). See docs/DESIGN.md, section 3.

import gc

# Compiled without it, the modules leave the heap in pieces, a third of it; main.py and Manual set what is right afterwards.
if hasattr(gc, "threshold"):
    gc.threshold(8192)
# The largest come first: to compile one takes several times its size, and the heap fills up.
from app.proto.control import TLS_OFF, Counts, Facts
from app.sync.upload import Uploader, alternate
from app.proto.session import Session
from app.sync.ledger import Ledger
from app.sync.download import Downloader
from app.sync.outbox import Outbox
from app.sync.report import Report
from app.budget import Budget
from app.errors import HALT, KNOWN, PAUSE, Fault, LinkError, StorageError, TempReply, TransportError
from app.sync.records import BOOTS, BOOTS_KEY, BUDGET, BUDGET_KEY, SERVER, SERVERS_KEY, UPDATE_KEY, server_key
from app.sync.folders import Folders
from app.sync.rules import STATE_FOLDER, mount_of
from app.sync.staging import clear_staged, make_room

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
BESIDE_BYTES = 65536  # files up to this size may go over two sessions
BATCH = 4  # files found before the session opens and between two looks at the folder: about 3 kB
LINK_WAIT_S = 60
DAY_MS = 86400000
DIED = 103  # of a connection
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
        power=None,
        check_settings=None,
    ):
        """`config` from app.config.parse(); the ports from app.platform; `check_settings(values)` gives config.json with these
        values as bytes, or raises ConfigError."""
        self._files = files
        self._net = net
        self._clock = clock
        self._log = log
        self._manual = None
        if config is None:
            return
        self._link = link
        self._power = power
        self._check_settings = check_settings
        self._trial = None  # of an update of code or settings that has not had its good cycle yet
        self.waited_for = ""  # why the last cycle that had to wait did; set by the caller
        self.restart_reason = ""  # why the module has to be restarted after this cycle
        self._ledger = Ledger(self._files, LEDGER, randint(0, 0x3FFFFFFF))
        self._report = Report(self._log, self.on_event, self._is_alive)
        self._facts = Facts()
        self._kept_flags = 0  # of the facts, as the ledger has them
        self._folders = Folders()
        is_tight = hasattr(gc, "mem_free") and gc.mem_free() < PLENTY_BYTES
        self._buffer = bytearray(SMALL_BUFFER_BYTES if is_tight else BUFFER_BYTES)
        self._session = None
        self._uploader = None
        self._beside = None  # (session, uploader) of a second session; () where the server does not want it
        self._leftovers = {}  # number of a server -> temp names of batches that were cut there
        self._legs = []  # of the outbox, those that are still to come
        self._found = None  # generator of Uploads while a scan is under way
        self._batch = []
        self._is_recovered = False
        self._held_address = None  # of the link, when it was last seen to hold
        self._clock_asked_ms = None  # uptime when a time server was asked last
        self._cycles = 0
        self._uptime_ms = 0
        self.boots = 0
        self.bad_boots = 0  # boots without a good cycle, this one included
        self._last_good = 0
        self._budget = None
        self._outbox = None
        self._was_tried = False  # the server, in this cycle
        self.configure(config)
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

    def configure(self, config):
        """Take settings from app.config.parse(), between two cycles."""
        self._config = config
        self._failover = None
        if len(config["servers"]) > 1:
            from app.sync.servers import Failover

            return_ms = 1000 * config["failover.return_s"]
            self._failover = Failover(
                len(config["servers"]), config["failover.after"], return_ms, self._clock.ticks_diff
            )
        self._server = None  # of config["servers"], the one of this cycle
        if self._is_recovered:
            self._number_servers()
        last, self._budget = (
            self._budget,
            Budget(config["budget.day_bytes"], config["budget.cycle_bytes"], config["server.tls"] != "off"),
        )
        if last:
            self._budget.go_on(last)
        before = self._outbox
        self._outbox = Outbox(
            config["upload"], self._files, self._ledger, self._report, self._clock, self._buffer, self._budget.why_not
        )
        self._outbox.device = config["device.id"]
        self._outbox.boot = self.boots
        if before:
            self._outbox.go_on(before)
            self._has_name()
        self._status = self._make_status() if config["status.to"] else None
        self._ledger.rider = self._budget_entry if config["budget.day_bytes"] else None

    def _make_status(self):
        from app.sync.status import Status  # loaded where a status is wanted

        return Status(
            self._config,
            self._files,
            self._ledger,
            self._report,
            self._log,
            self._link,
            self._power,
            self._clock,
            self._buffer,
            self._outbox,
        )

    def on_event(self, kind, data):
        """Hears what happens, for a display or a lamp; override it. Must return soon and must not raise.

        kind and data: "state" (old, event, new) · "file" (direction, path, bytes) · "progress" (bytes so far,) ·
        "up" (path, remote, bytes) · "down" (remote, path, bytes) · "skip" (direction, path, reason) · "wait" (path, reason) ·
        "drop" (path, bytes) ·
        "error" (class, step, code, text, advice) · "cycle" (dict of numbers)."""

    def run_cycle(self, uptime_ms=0):
        """One cycle from rest to rest, also after a failure; returns a Result. Blocks for as long as the transfers take."""
        self._cycles += 1
        self._uptime_ms = uptime_ms
        self._was_tried = False
        result = self._report.begin(self._cycles, Counts())
        self._budget.begin(result.counts, self._clock.seconds(), uptime_ms)
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
            self.end_session()
            self._budget.end()
        if self._failover and result.ok:
            self._failover.succeeded()
        elif self._failover and self._was_tried and result.error.action != PAUSE:
            self._failover.failed(self._clock.ticks_ms())
        if self._trial and not result.ok:
            self.restart_reason = self.restart_reason or self._trial.failed()
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
            "server": self._server_name(),
            "cycles": self._cycles,
            "boots": self.boots,
            "bad_boots": self.bad_boots,
            "last_good": self._last_good,
            "parked": self._report.parked_count(),
            "error": result.error_text,
            "ledger": self._ledger.lost,
            "update": self._report.update_note,
            "uptime_s": self._uptime_ms // 1000,
            "bytes_today": self._budget.now(),
            "waited_for": self.waited_for,
        }

    def name(self):
        """The module's name on the server, "" while it is not known."""
        self._has_name()
        return self._outbox.device

    def is_spent(self, uptime_ms):
        """True if the data budget of today is used up."""
        self._budget.begin(None, self._clock.seconds(), uptime_ms)
        return self._budget.is_spent()

    def _budget_entry(self):
        return BUDGET, BUDGET_KEY, min(self._budget.now(), 0xFFFFFFFF), b"", self._budget.day

    def is_full(self, files, size):
        """True if at least so many files or bytes (0 = any number) wait to be sent. Reads the folders."""
        return self._is_recovered and self._outbox.is_full(files, size)

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
        self.restart_reason = updater.run() or self.restart_reason

    # --- the machine

    def _enter(self, event):
        """The one door: change the state as the table says. An event that the state does not know raises and changes nothing."""
        old = self.state
        if event not in TRANSITIONS[old]:
            raise ValueError("no event %s in state %s" % (event, old))
        self.state = TRANSITIONS[old][event]
        self._power.feed()
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
            # Where there are several servers, the next one may take the login.
            event = "refused" if e.action == HALT and len(self._config["servers"]) == 1 else "failed"
        except Exception as e:
            self.end_session()
            gc.collect()  # it may have been a MemoryError
            self._log.trace(e)
            self._report.fail(Fault("%s: %s" % (type(e).__name__, e), step=self.state))
            event = "failed"
        self.end_session()
        return event if event in TRANSITIONS[self.state] else "failed"

    def _is_alive(self):
        """The stages call this now and then. Raises TransportError where the sockets have died."""
        self._power.feed()
        if self._session and self._link.has_changed():
            self._session.close()
            raise TransportError(DIED, "the module's address changed", step="link")

    # --- the states

    def _do_recover(self):
        self._ledger.load()
        if self._ledger.lost:
            self._log.warning("%s: files go again under the same names", self._ledger.lost)
        entry = self._ledger.find(BUDGET_KEY)
        if entry:
            self._budget.recall(entry.size, entry.stamp)
            self._budget.begin(self._report.result.counts, self._clock.seconds(), self._uptime_ms)
        entry = self._ledger.find(BOOTS_KEY)
        self.boots = entry.stamp + 1 if entry else 1
        self.bad_boots = entry.size + 1 if entry else 1
        self._outbox.boot = self.boots
        self._number_servers()
        self._ledger.put(BOOTS, BOOTS_KEY, self.bad_boots, stamp=self.boots)
        try:
            self._ledger.flush()
        except StorageError as e:
            self._log.warning("%s: this boot is not counted", e)  # uploads may make room
        if self._files.size(TRIAL) is not None:
            from app.apply import Trial

            self._trial = Trial(self._config["update.trial_cycles"], self._log)
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
                if self._files.size(mount) is None:
                    continue  # a card that is not in
                make_room(self._files, mount, config["storage.low_blocks"], self._outbox.candidates, self._report)
        return "roomy"

    def _has_name(self):
        """The device's name is in the remote paths, and so in the ledger's keys."""
        outbox = self._outbox
        outbox.imei = outbox.imei or self._power.imei()
        outbox.device = outbox.device or outbox.imei
        return bool(outbox.device)

    def _do_link(self):
        if self._budget.is_spent():
            raise TempReply("budget.day_bytes are used up", step="link", advice="raise it, or wait for the next day")
        self._link.wait_ready(LINK_WAIT_S)
        self._power.feed()
        self._hold()
        self._set_clock()
        if not self._has_name():
            advice = "set device.id, or restart the module"
            raise LinkError("the modem does not tell its IMEI", step="link", advice=advice)
        self._choose_server()
        self._legs = self._outbox.legs()
        self._outbox.is_all_seen = True
        self._ledger.watch()
        return "up"

    def _number_servers(self):
        from app.sync.servers import number_servers  # needed once

        number_servers(self._ledger, self._config["servers"])

    def _choose_server(self):
        """Before the scan: what the ledger says of a file depends on it."""
        index = 0
        if self._failover:
            self._failover.before_cycle(self._clock.ticks_ms())
            index = self._failover.index
        server = self._config["servers"][index]
        if server is self._server:
            return
        if self._server:
            self._log.warning("server %s:%d", server["host"], server["port"])
        # Also after new settings: they may be of another server, or of another account there.
        self._folders = Folders()
        self._facts = Facts()
        self._report.forget_refusals()
        self._server = server
        self._ledger.server = self._ledger.servers[index]
        self._recall_facts()

    def _hold(self):
        """A data call that is new must hold for some seconds: at the edge of coverage they come and go."""
        if self._link.has_changed():  # since the last cycle, if to the same address
            self._held_address = None
        self._link.arm()
        address = self._link.address()
        if address == self._held_address:
            return
        for _ in range(self._config["link.hold_s"]):
            self._clock.sleep_ms(1000)
            self._power.feed()
            if self._link.has_changed() or self._link.address() != address:
                raise LinkError("the data call does not hold", step="link", advice="check the antenna and the coverage")
        self._held_address = address

    def _set_clock(self):
        """By a time server, if the settings want it, once a day; in each cycle while the clock is not set at all. A clock that
        cannot be set fails nothing."""
        if self._config["clock.source"] != "ntp":
            return
        last_ms = self._clock_asked_ms
        if last_ms is not None and self._uptime_ms - last_ms < DAY_MS and self._clock.seconds():
            return
        self._clock_asked_ms = self._uptime_ms  # also if it does not answer: a clock that is set need not wait for it again
        if not self._clock.ask(self._config["clock.ntp_host"]):
            self._log.warning("the time server does not answer; the clock stays as it is")

    def _do_scan(self):
        self._batch = []
        if not self._found and self._legs and self._legs[0][0] == "whole":
            self._found = self._outbox.uploads(self._legs.pop(0)[1])
        for upload in self._found or ():
            self._batch.append(upload)
            if len(self._batch) == BATCH:
                break
        else:
            self._found = None
        return "more" if self._session else "found"

    def _do_session(self):
        server = self._server
        self._was_tried = True
        session = self._session = self._new_session()
        self._uploader = self._new_uploader(session, self._outbox.left.pop(self._ledger.server, ()))
        session.open(server["host"], server["port"], server["talk_first"])
        question = self._status.question(self._server_name()) if self._status else ""
        session.start_login(server["user"], server["password"], server["account"], question)
        return "open"

    def _new_session(self):
        server = self._server
        return Session(
            self._net,
            self._clock,
            server["timeout_s"],
            self._facts,
            self._report.result.counts,
            self._log,
            server["tls"],
            server["tls_pin"],
            self._own_address if server["mode"] == "active" else None,
        )

    def _new_uploader(self, session, left=()):
        return Uploader(
            session,
            self._files,
            self._ledger,
            self._report,
            self._buffer,
            self._folders,
            self._outbox.put_away,
            self._server["verify"],
            left,
        )

    def _own_address(self):
        return self._server["active_host"] or self._link.address()

    def _do_upload(self):
        batch = iter(self._batch)
        if self._is_for_two():
            alternate(self._uploader.run(batch), self._run_beside(batch))
        else:
            self._end_beside()
            alternate(self._uploader.run(batch))
        self._batch = []
        gc.collect()
        if self._found:
            return "more"
        self._end_beside()
        alternate(self._uploader.finish())
        while self._legs:
            if self._legs[0][0] == "whole":
                return "more"
            mode, rules = self._legs.pop(0)
            for rule in rules:
                self._send_other(mode, rule)
        self._outbox.end_walk()
        return "sent"

    def _is_for_two(self):
        """Whether a second session pays for this batch: small files, so that none waits for long while the other sends."""
        server = self._server
        if server["sessions"] < 2 or server["tls"] != TLS_OFF or len(self._batch) < 2:
            return False
        return all(
            upload.size <= BESIDE_BYTES and upload.rule["on_conflict"] == "overwrite" for upload in self._batch
        )

    def _run_beside(self, batch):
        """The second session's share; it is opened at its first. A server that does not want it gets one session."""
        if self._beside is None:
            server = self._server
            session = self._new_session()
            self._beside = (session, self._new_uploader(session))
            try:
                session.open(server["host"], server["port"], server["talk_first"])
                session.start_login(server["user"], server["password"], server["account"])
                session.push()
                yield
                session.settle()
            except KNOWN as e:
                session.close()
                self._beside = ()
                self._log.info("no second session: %s", e)
        if self._beside:
            yield from self._beside[1].run(batch)

    def _end_beside(self):
        if self._beside:
            session, uploader = self._beside
            alternate(uploader.finish())
            session.say_goodbye()
            self._beside = None  # a later batch may open it again

    def _send_other(self, mode, rule):
        """Files that do not travel whole and one by one. The code for it is loaded where a rule wants it."""
        ports = (self._session, self._files, self._ledger, self._report, self._buffer, self._folders, self._outbox)
        if mode == "append":
            from app.sync.append import Appender

            Appender(*ports).run(rule)
        else:
            from app.sync.batch import Batcher

            leftovers = self._leftovers.setdefault(self._ledger.server, [])
            Batcher(*(ports + (self._clock, leftovers))).run(rule)

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
                self._budget.why_not,
            )
            if not downloader.run(config["download.from"], config["download.to"]):
                self._outbox.is_all_seen = False
            elif self._report.result.down_count and not self._report.result.error:
                clear_staged(self._files, mount_of(config["download.to"]))
        if config["update.from"] and not self._trial:  # one at a time
            self._take_update()
        if self._status and self._status.run(self._session, self.status()):
            self.waited_for = ""
        self._session.settle()
        return "fetched"

    def _do_report(self):
        self.end_session()
        result = self._report.result
        if result.error:
            return "failed"
        if self._trial and not self.restart_reason:
            from app import apply

            apply.confirm()
            self._trial = None
            self._log.info("the update is confirmed")
        self._outbox.trim()
        if self.bad_boots:
            self._ledger.put(BOOTS, BOOTS_KEY, 0, stamp=self.boots)
            if self.bad_boots > 1:  # else it goes to flash with the next thing that has to be written
                self._ledger.flush()
        self.bad_boots = 0
        servers = [server_key(server["host"], server["port"]) for server in self._config["servers"]]
        for key in [BOOTS_KEY, UPDATE_KEY, BUDGET_KEY, SERVERS_KEY] + servers:
            self._ledger.find(key)  # these are of no file, and must not be taken for one that is gone
        self._ledger.tidy(self._outbox.is_all_seen)
        result.ok = True
        self._last_good = self._cycles
        return "reported"

    def end_session(self):
        if self._session:
            self._session.say_goodbye()
            self._session = None
            self._keep_facts()
        if self._beside:  # it died, or the other one did
            self._beside[0].close()
        self._beside = None
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

    def _server_name(self):
        """host:port of the server that is used now, "" before the first cycle and after new settings."""
        return "%s:%d" % (self._server["host"], self._server["port"]) if self._server else ""

    def _server_key(self):
        return server_key(self._server["host"], self._server["port"])
