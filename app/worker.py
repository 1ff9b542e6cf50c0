# The life around the cycles: when one begins, what is done about a link that does not work, when the module restarts.
# One worker, in a thread of its own or in the main one. What another thread asks for is a flag that is looked at once a second.

import gc

from app.errors import LADDER, Fault, StorageError, TransportError, number_of
from app.pace import FLIGHT, REDIAL, RESTART, SOCKETS, Backoff, Ladder, first_ms, is_open, next_ms

SLICE_MS = 1000  # how soon what is asked for is noticed
LOOK_MS = 60000  # between two looks at the outbox, the battery or the clock
LOOK_SHARE = 20  # and so many times as long as the last look took
PROBE_S = 3600  # between two tries of a login that was refused
DAY_S = 86400
DISTURB_MS = 3600000
REFUSED_ERROR = 111  # error number of a connection
TALK_BYTES = 16384  # more than a session without data takes, and than a socket holds that sends into nowhere

RESTARTS = "/usr/.ferry/restarts"
REASONS = 4  # are kept, the last ones
_RESTARTS_BYTES = 8192
_GAP = "\n\n"  # between the reasons and the log


def last_restarts(files):
    """(why the module restarted, lines of the log before the last time), oldest first. Raises StorageError."""
    halves = (files.read(RESTARTS, _RESTARTS_BYTES) or b"").decode().split(_GAP, 1)
    reasons, lines = halves[0], halves[1] if len(halves) > 1 else ""
    return reasons.split("\n") if reasons else [], lines.split("\n") if lines else []


def note_restart(files, reason, lines):
    """Keep a reason over the restart; `lines` are the log's, or none. Raises StorageError, and what was there stays."""
    reasons = last_restarts(files)[0] + [reason]
    text = "\n".join(reasons[-REASONS:]) + _GAP + "\n".join(lines)
    files.replace(RESTARTS, text.encode()[:_RESTARTS_BYTES])


def is_of_link(error, counts, lasts):
    """True if a cycle failed for want of a link. Who was answered, or refused, by the server has one; but if that `lasts`, and
    nothing but talk gets through, it is the way of the data, or the module has no sockets left."""
    if error is None:
        return False
    if error.action == LADDER:
        return True
    if not isinstance(error, TransportError) or number_of(error) == REFUSED_ERROR:
        return False
    return not counts.received_bytes or lasts and counts.sent_bytes + counts.received_bytes < TALK_BYTES


class Worker:
    """Runs the cycles of `manager` (FtpManager). `reload()` gives the settings as they are now, or None if they are bad."""

    def __init__(self, manager, config, files, net, clock, link, power, log, randint, reload):
        self.manager = manager
        self.log = log
        self._files = files
        self._net = net
        self._clock = clock
        self._link = link
        self._power = power
        self._randint = randint
        self._reload = reload
        self._ladder = Ladder()
        self._last_ticks = clock.ticks_ms()
        self._up_ms = 0  # since the start; ticks wrap after 12 days
        self._disturbed_ms = -DISTURB_MS  # of this, when the data call was closed last
        self._good_ms = 0  # of this, when the last good cycle ended
        self._bad_ms = None  # of this, when the first failed one behind it ended
        self.is_running = False
        self.is_paused = False
        self.is_stopped = False
        self.is_wanted = False  # a cycle now
        self.has_new_settings = False
        self.wanted_restart = ""  # the reason
        self.waits_for = ""  # why no cycle begins although it is time
        self.result = None  # of the last cycle
        self._due_ms = 0  # uptime at which the next cycle is due
        self.configure(config)

    def configure(self, config):
        """Take the settings."""
        self._config = config
        self._backoff = Backoff(config["retry.base_s"] * 1000, config["retry.cap_s"] * 1000, self._randint)

    def uptime_ms(self):
        """Since the worker was made. Also a sign of life to the watchdog: only the worker calls it."""
        now = self._clock.ticks_ms()
        self._up_ms += max(0, self._clock.ticks_diff(now, self._last_ticks))
        self._last_ticks = now
        self._power.feed()
        return self._up_ms

    def wants_thread(self):
        return self._config["run.thread"]

    def prepare(self):
        """Set up what the settings want of the module: watchdog, sleep, power saving."""
        config, power = self._config, self._power
        if config["run.watchdog_s"] and not power.guard(config["run.watchdog_s"]):
            self.log.warning("there is no watchdog on this module")
        if not power.set_sleep(config["power.sleep"]):
            self.log.warning("no wake lock, so this module does not sleep")
        if config["power.psm_tau_s"] and not power.save(config["power.psm_tau_s"], config["power.psm_active_s"]):
            self.log.warning("this module does not take power.psm_tau_s")

    def run_guarded(self):
        """run(), but nobody hears of its death in the field, so it restarts the module."""
        try:
            self.run()
        except Exception as e:
            gc.collect()
            try:
                self.log.trace(e)
            finally:
                self.restart("the worker died: %s" % type(e).__name__)

    def run(self):
        """Cycle after cycle until is_stopped. Blocks; nothing but KeyboardInterrupt and SystemExit gets out."""
        self.is_running = True
        wait_ms = None
        try:
            while not self.is_stopped:
                try:
                    self._rest(self._first_ms() if wait_ms is None else wait_ms)
                    if not self.is_stopped:
                        wait_ms = self.turn()
                except Exception as e:  # the report of a fault failed itself, for want of memory most likely
                    self.manager.end_session()
                    gc.collect()
                    self.log.trace(e)
                    self._give_up(type(e).__name__)
                    wait_ms = max(SLICE_MS, self._backoff.next_ms())
        except KeyboardInterrupt:
            self._power.unguard()  # somebody is at the REPL, who feeds no watchdog
            raise
        finally:
            self.is_running = False

    def turn(self):
        """A cycle, and what follows from it; returns the time to the next one in ms."""
        self._power.stay_awake()
        try:
            result = self.result = self.manager.run_cycle(self.uptime_ms())
        finally:
            self._power.may_sleep()
        self.uptime_ms()
        pause_s = self._judge(result)
        reason = self.manager.restart_reason or self.wanted_restart
        if reason:
            self.restart(reason)
        state = self.manager.state
        if state == "IDLE":
            return self._next_ms()
        if state == "HALT":
            self.log.warning("the next try in %d s, or after a restart", PROBE_S)
            return 1000 * PROBE_S
        wait_ms = max(self._backoff.next_ms(), 1000 * pause_s)
        self.log.warning("retry %d in %.1f s: %s", self._backoff.failures, wait_ms / 1000, result.error_text)
        return wait_ms

    def _first_ms(self):
        name = self.manager.name() or str(self._randint(0, 0x3FFFFFFF))  # the modem does not tell it yet
        return first_ms(name, self._config["schedule.first_s"])

    def _next_ms(self):
        config = self._config
        jitter_ms = self._randint(0, 1000 * config["schedule.jitter_s"])
        return next_ms(self.manager.name(), config["schedule.every_s"], self.uptime_ms()) + jitter_ms

    # --- the link

    def _judge(self, result):
        """Climb the ladder if it was the link; returns the least pause in seconds."""
        if result.ok:
            self._good_ms = self.uptime_ms()
            self._bad_ms = None
            self._backoff.reset()
        elif self._bad_ms is None:
            self._bad_ms = self.uptime_ms()
        if isinstance(result.error, Fault):
            self._give_up(result.error_text)
        lasts = self._bad_ms is not None and self._up_ms - self._bad_ms >= DISTURB_MS
        if not is_of_link(result.error, result.counts, lasts):
            self._ladder.held()
            return 0
        # A link that seems well is disturbed rarely: more likely it is the server that is silent, and operators dislike it.
        may_disturb = result.error.action == LADDER or self._up_ms - self._disturbed_ms >= DISTURB_MS
        action, pause_s = self._ladder.failed(self._may_restart(), may_disturb)
        if action in (REDIAL, FLIGHT):
            self._disturbed_ms = self._up_ms
        self.log.info("link: %s", action)
        if action == SOCKETS:
            self._net.forget()
        elif action == REDIAL:
            self._link.redial()
        elif action == FLIGHT:
            self._link.fly()
        elif action == RESTART:
            self._want_restart(result.error_text)
        return pause_s

    def _give_up(self, what):
        """Restart after faults that last, for want of memory in one piece most likely; rationed like those for the link."""
        if self._may_restart():
            self._want_restart(what)

    def _want_restart(self, what):
        self.wanted_restart = "no good cycle for %.1f h: %s" % ((self._up_ms - self._good_ms) / 3600000, what)

    def _may_restart(self):
        """Restarts are rationed: the next one takes twice as long as the last, also over restarts, until a cycle was good."""
        after_s = self._config["link.restart_after_s"]
        if not after_s:
            return False
        for _ in range(self.manager.bad_boots - 1):
            if after_s >= DAY_S:
                break
            after_s = min(2 * after_s, DAY_S)
        since_ms = self._good_ms if self._bad_ms is None else self._bad_ms  # a day without a cycle is no failure
        return self.uptime_ms() - since_ms >= 1000 * after_s

    def restart(self, reason):
        """Restart the module. The reason is on flash before, and the log with it if there is an error in it."""
        self.log.warning("restart: %s", reason)
        try:
            gc.collect()
            note_restart(
                self._files,
                "boot %d: %s" % (self.manager.boots, reason),
                self.log.lines() if self.log.has_errors else [],
            )
        except StorageError as e:
            self.log.error("the reason of the restart cannot be kept: %s", e)
        finally:  # whatever is wrong: nothing else can help any more
            self._power.restart()
        self.wanted_restart = ""  # where nothing restarts: on a PC

    # --- between the cycles

    def _sleep(self, ms):
        self._clock.sleep_ms(ms)
        self.uptime_ms()

    def _rest(self, wait_ms):
        """Wait for the time, then for what must be given; or until somebody wants a cycle, a restart or the end."""
        self._due_ms = self.uptime_ms() + wait_ms
        next_look_ms = self._up_ms + LOOK_MS
        self.waits_for = ""
        while not (self.is_stopped or self.is_wanted):
            if self.wanted_restart:
                return self.restart(self.wanted_restart)
            if self.has_new_settings:
                self._take_settings()
            left_ms = self._due_ms - self._up_ms
            if left_ms <= 0 and not self.is_paused:
                is_told, self.waits_for = bool(self.waits_for), self._why_not()
                if not self.waits_for:
                    break
                if not is_told:  # once: in a night of waiting the log would hold nothing else
                    self.log.info("no cycle now: %s", self.waits_for)
                self.manager.waited_for = self.waits_for
                left_ms = LOOK_MS
                self._due_ms = self._up_ms + left_ms
            elif left_ms > 0 and self._up_ms >= next_look_ms and not self.is_paused and self.manager.state == "IDLE":
                start_ms = self._up_ms
                if self._is_full():
                    self._due_ms = self._up_ms
                    continue
                next_look_ms = self.uptime_ms() + max(LOOK_MS, LOOK_SHARE * (self._up_ms - start_ms))
            self._sleep(SLICE_MS if self.is_paused else max(1, min(left_ms, SLICE_MS)))
        if self.has_new_settings:  # and a cycle was wanted at once
            self._take_settings()
        self.is_wanted = False
        self.waits_for = ""

    def _why_not(self):
        """Why no cycle may begin now, or nothing."""
        config = self._config
        seconds = self._clock.seconds()
        if seconds and not is_open(
            config["schedule.windows"], seconds, self.manager.name(), config["schedule.every_s"]
        ):
            return "outside of schedule.windows"
        if config["schedule.min_battery_mv"]:
            found = self._power.battery_mv()
            if found is not None and found < config["schedule.min_battery_mv"]:
                return "the battery has %d mV" % found
        if config["schedule.min_signal"]:
            found = self._link.signal()
            if found is not None and found < config["schedule.min_signal"]:
                return "the signal is %d" % found
        if self.manager.is_spent(self._up_ms):
            return "budget.day_bytes are used up"
        return ""

    def _is_full(self):
        """True if as much waits to be sent as the settings want a cycle for."""
        files, size = self._config["schedule.when_files"], self._config["schedule.when_bytes"]
        if not files and not size:
            return False
        try:
            return self.manager.is_full(files, size)
        except StorageError as e:  # a bad card must not keep the cycles from beginning
            self.log.warning("%s", e)
            return False

    def _take_settings(self):
        self.has_new_settings = False
        config = self._reload()
        if config:
            self.configure(config)
            self.manager.configure(config)
            self.log.info("the new settings count from the next cycle on")

    # --- for the console, on another thread

    def sync(self):
        """Let a cycle begin now, whatever the schedule says."""
        self.is_wanted = True

    def times(self):
        """Seconds, as of the worker's last look at the clock: since it was made, to the next cycle, since the last good one (or None)."""
        good_s = (self._up_ms - self._good_ms) // 1000 if self._good_ms else None
        return self._up_ms // 1000, max(0, self._due_ms - self._up_ms) // 1000, good_s
