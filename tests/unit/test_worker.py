# The life around the cycles, with a manager and a module that do what the test says. No time passes but the clock's.
import itertools
import json

import pytest

from app.config import parse
from app.errors import AuthError, Fault, LinkError, PermReply, StorageError, TempReply, TransportError
from app.pace import RUNGS
from app.proto.control import Counts
from app.sync.report import Result
from app.worker import LOOK_MS, PROBE_S, REASONS, RESTARTS, Worker, is_of_link, last_restarts, note_restart
from tests.fakes import FakeClock, MemoryFiles
from tests.world import StrictLog

NO_SIM = LinkError("no SIM card", step="link")
SILENCE = TransportError(110, step="connect")
REFUSED = TransportError(111, step="connect")


class Clock(FakeClock):
    """Wraps as the module's ticks do; `of_day` is the time of day or None."""

    of_day = None

    def ticks_ms(self):
        return self.now_ms % (1 << 30)

    def ticks_diff(self, later, earlier):
        half = 1 << 29
        return (later - earlier + half) % (1 << 30) - half

    def seconds(self):
        return self.of_day


class Manager:
    """One cycle after another ends as `errors` say; None is a good one. The last one repeats."""

    def __init__(self, clock):
        self.clock = clock
        self.errors = [None]
        self.received = self.sent = 0
        self.cycle_ms = 100
        self.began_ms = []
        self.boots = self.bad_boots = 1
        self.restart_reason = ""
        self.state = "RECOVER"
        self.waiting = 0
        self.spent = False
        self.configured = None

    def name(self):
        return "m1"

    def configure(self, config):
        self.configured = config

    def is_spent(self, uptime_ms):
        return self.spent

    def is_full(self, files, size):
        return bool(files) and self.waiting >= files

    def end_session(self):
        pass

    def run_cycle(self, uptime_ms):
        self.began_ms.append(self.clock.now_ms)
        self.clock.now_ms += self.cycle_ms
        result = Result(len(self.began_ms))
        result.counts = Counts()
        result.counts.received_bytes, result.counts.sent_bytes = self.received, self.sent
        result.error = self.errors.pop(0) if len(self.errors) > 1 else self.errors[0]
        result.error_text = result.error and str(result.error)
        result.ok = result.error is None
        self.bad_boots = 0 if result.ok else self.bad_boots
        self.state = "IDLE" if result.ok else "HALT" if isinstance(result.error, AuthError) else "BACKOFF"
        return result


class Module:
    """Link, Net and Power in one: what was done to it, in order."""

    def __init__(self):
        self.done = []
        self.battery = 4000
        self.csq = 20
        self.has_watchdog = self.has_wake_lock = True

    def forget(self):
        self.done.append("new sockets")

    def redial(self):
        self.done.append("data call again")

    def fly(self):
        self.done.append("flight mode")

    def restart(self):
        self.done.append("restart")

    def guard(self, period_s):
        self.done.append(period_s)
        return self.has_watchdog

    def set_sleep(self, is_allowed):
        return self.has_wake_lock

    def stay_awake(self):
        self.done.append("awake")

    def may_sleep(self):
        self.done.append("sleep")

    def feed(self):
        pass

    def battery_mv(self):
        return self.battery

    def signal(self):
        return self.csq

    def steps(self):
        return [what for what in self.done if what not in ("awake", "sleep")]


class World:
    def __init__(self, **sections):
        self.clock = Clock()
        self.files = MemoryFiles()
        self.module = Module()
        self.manager = Manager(self.clock)
        self.lines = []
        self.log = StrictLog(self.clock, out=self.lines.append)
        self.reloaded = None
        self.worker = Worker(
            self.manager,
            self.config(**sections),
            self.files,
            self.module,
            self.clock,
            self.module,
            self.module,
            self.log,
            lambda low, high: high,
            lambda: self.reloaded,
        )

    @staticmethod
    def config(**sections):
        return parse(json.dumps({"server": {"host": "h"}, **sections}).encode())

    def run(self, cycles):
        """So many cycles, with their rests."""
        wanted = len(self.manager.began_ms) + cycles
        turn = self.worker.turn

        def counted():
            wait_ms = turn()
            self.worker.is_stopped = len(self.manager.began_ms) >= wanted
            return wait_ms

        self.worker.turn = counted
        self.worker.is_stopped = False
        self.worker.run()
        self.worker.turn = turn

    def turn(self, cycles):
        """So many cycles without the worker's rests, the time of which passes."""
        for _ in range(cycles):
            self.clock.now_ms += self.worker.turn()

    def gaps_s(self):
        began = self.manager.began_ms
        return [round((b - a) / 1000) for a, b in itertools.pairwise(began)]


# --- when


def test_the_first_cycle_comes_at_the_modules_own_moment_and_the_others_once_in_a_period():
    world = World(schedule={"every_s": 900, "jitter_s": 0, "first_s": 60})
    world.run(6)
    assert 0 < world.manager.began_ms[0] < 60_000
    assert 450 <= world.gaps_s()[0] < 1350
    assert world.gaps_s()[1:] == [900] * 4


def test_ticks_wrap_without_harm():
    world = World(schedule={"every_s": 86400, "jitter_s": 0, "first_s": 0})
    world.clock.now_ms = (1 << 30) - 3_600_000
    world.run(40)  # more than three wraps
    assert set(world.gaps_s()[1:]) == {86400}
    assert world.worker.uptime_ms() > 3 * (1 << 30)


def test_a_week_between_two_cycles_is_more_than_ticks_can_tell_apart():
    world = World(schedule={"every_s": 604800, "jitter_s": 0, "first_s": 0})
    world.run(4)
    assert world.gaps_s()[1:] == [604800] * 2


def test_who_asks_gets_a_cycle_at_once():
    world = World()
    world.run(1)
    world.worker.sync()
    world.run(1)
    assert world.gaps_s() == [0]


def test_outside_of_its_windows_it_waits_and_says_so():
    world = World(schedule={"windows": ["02:00-03:00"], "first_s": 0, "every_s": 900})
    noon = 1_800_000_000 // 86400 * 86400 + 43200
    sleep_ms = world.clock.sleep_ms

    def sleep(ms):
        assert world.worker.waits_for in ("", "outside of schedule.windows")
        sleep_ms(ms)

    world.clock.sleep_ms = sleep
    type(world.clock).of_day = property(lambda clock: noon + clock.now_ms // 1000)
    try:
        world.run(1)
    finally:
        type(world.clock).of_day = None
    assert 14 * 3600 <= world.manager.began_ms[0] // 1000 <= 14 * 3600 + 900 + LOOK_MS // 1000
    assert [line for line in world.lines if "outside of schedule.windows" in line]


def test_while_the_clock_is_not_set_windows_do_not_count():
    world = World(schedule={"windows": ["02:00-03:00"], "first_s": 0})
    world.run(1)
    assert world.manager.began_ms[0] < 60_000


@pytest.mark.parametrize(
    ("settings", "trouble", "said"),
    [
        ({"min_battery_mv": 3500}, {"battery": 3400}, "the battery has 3400 mV"),
        ({"min_signal": 8}, {"csq": 7}, "the signal is 7"),
    ],
)
def test_too_weak_is_told_and_waited_for(settings, trouble, said):
    world = World(schedule={**settings, "first_s": 0})
    for name, value in trouble.items():
        setattr(world.module, name, value)
    waits = []

    def get_well():
        waits.append(world.worker.waits_for)
        if len(waits) == 5:
            world.module.battery, world.module.csq = 4000, 20

    sleep_ms = world.clock.sleep_ms
    world.clock.sleep_ms = lambda ms: (get_well(), sleep_ms(ms))
    world.run(1)
    assert said in waits
    assert world.manager.began_ms[0] >= 5000


def test_what_the_module_does_not_know_of_signal_and_battery_holds_nothing_up():
    world = World(schedule={"min_signal": 8, "min_battery_mv": 3500, "first_s": 0})
    world.module.csq = world.module.battery = None
    world.run(1)
    assert world.manager.began_ms[0] < 60_000


def test_a_full_outbox_begins_a_cycle():
    world = World(schedule={"when_files": 3, "every_s": 86400, "first_s": 0})
    world.run(1)
    world.manager.waiting = 3
    world.run(1)
    assert world.gaps_s()[0] <= LOOK_MS // 1000 + 1


def test_an_outbox_that_cannot_be_read_does_not_keep_cycles_from_beginning():
    world = World(schedule={"when_files": 3, "every_s": 900, "jitter_s": 0, "first_s": 0})

    def fail(files, size):
        raise StorageError("list /sd: error 5")

    world.manager.is_full = fail
    world.run(3)
    assert world.gaps_s()[1:] == [900]
    assert [line for line in world.lines if "list /sd: error 5" in line]


def test_a_long_wait_is_told_once():
    world = World(schedule={"min_battery_mv": 3500, "first_s": 0})
    world.module.battery = 3000
    sleep_ms = world.clock.sleep_ms

    def sleep(ms):
        world.module.battery += world.clock.now_ms % 2  # it is never twice the same
        world.module.battery = 4000 if world.clock.now_ms > 36_000_000 else world.module.battery
        sleep_ms(ms + 1)

    world.clock.sleep_ms = sleep
    world.run(1)
    assert len([line for line in world.lines if "no cycle now" in line]) == 1


def test_modules_whose_name_is_not_known_yet_do_not_come_at_one_moment():
    began = set()
    for number in range(5):
        world = World(schedule={"first_s": 3600})
        world.manager.name = lambda: ""
        world.worker._randint = lambda low, high, number=number: low + number
        world.run(1)
        began.add(world.manager.began_ms[0] // 1000)
    assert len(began) == 5


def test_spent_bytes_of_the_day_are_waited_for():
    world = World(schedule={"first_s": 0})
    world.manager.spent = True
    seen = []
    sleep_ms = world.clock.sleep_ms

    def sleep(ms):
        seen.append(world.worker.waits_for)
        world.manager.spent = len(seen) < 100
        sleep_ms(ms)

    world.clock.sleep_ms = sleep
    world.run(1)
    assert "budget.day_bytes are used up" in seen
    assert len(seen) >= 100


def test_a_pause_lasts_until_it_is_ended_and_a_person_may_ask_for_a_cycle_meanwhile():
    world = World(schedule={"every_s": 10, "first_s": 0})
    world.run(1)
    world.worker.is_paused = True
    sleep_ms = world.clock.sleep_ms
    slept = []

    def sleep(ms):
        slept.append(ms)
        if len(slept) == 1000:
            world.worker.sync()
        if len(slept) == 2000:
            world.worker.is_paused = False
        sleep_ms(ms)

    world.clock.sleep_ms = sleep
    world.run(2)
    assert world.gaps_s() == [1000, 1000]


# --- the link


def test_every_rung_is_climbed_in_order_and_a_restart_comes_last():
    world = World(link={"restart_after_s": 1}, retry={"base_s": 1, "cap_s": 1}, schedule={"first_s": 0})
    world.manager.errors = [NO_SIM]
    world.run(12)
    assert world.module.steps() == (
        ["new sockets"] * 2 + ["data call again"] * 3 + ["flight mode"] * 3 + ["restart"]
    )
    reasons, lines = last_restarts(world.files)
    assert reasons == ["boot 1: no good cycle for 0.0 h: LinkError in link: no SIM card"]
    assert lines == []  # there was no error line in the log: the manager of this test writes none


def test_after_each_rung_it_waits_at_least_its_pause():
    world = World(link={"restart_after_s": 0}, retry={"base_s": 1, "cap_s": 1}, schedule={"first_s": 0})
    world.manager.errors = [NO_SIM]
    world.run(12)
    pauses = [max(1, pause_s) for _, often, pause_s in RUNGS[:-1] for _ in range(often)]
    assert world.gaps_s() == pauses


def test_a_server_that_is_silent_has_the_data_call_closed_once_an_hour_at_most():
    world = World(link={"restart_after_s": 0}, retry={"base_s": 60, "cap_s": 60}, schedule={"first_s": 0})
    world.manager.errors = [SILENCE]
    closed_ms = []
    world.module.redial = world.module.fly = lambda: closed_ms.append(world.clock.now_ms)
    world.run(600)
    assert len(closed_ms) >= 9
    assert all(b - a >= 3_600_000 for a, b in itertools.pairwise(closed_ms))


def test_a_good_cycle_leads_back_to_the_ground():
    world = World(link={"restart_after_s": 0}, schedule={"first_s": 0})
    world.manager.errors = [NO_SIM] * 5 + [None] + [NO_SIM] * 3 + [None]
    world.run(10)
    assert world.module.steps() == ["new sockets"] * 2


def test_without_leave_to_restart_the_ladder_goes_on_for_ever():
    world = World(link={"restart_after_s": 0}, retry={"base_s": 1, "cap_s": 1}, schedule={"first_s": 0})
    world.manager.errors = [NO_SIM]
    world.run(200)
    assert "restart" not in world.module.done
    assert world.module.steps()[-30:].count("flight mode") == 15


def test_a_day_between_two_cycles_is_no_time_without_a_link():
    world = World(link={"restart_after_s": 3600}, retry={"base_s": 60, "cap_s": 60}, schedule={"first_s": 0, "every_s": 86400})
    world.manager.errors = [None, NO_SIM]
    world.module.restart = lambda: setattr(world.worker, "is_stopped", True)
    world.worker.run()
    assert (world.manager.began_ms[-1] - world.manager.began_ms[1]) / 3_600_000 >= 1


@pytest.mark.parametrize(("bad_boots", "hours"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, 24), (50, 24)])
def test_restarts_are_rationed_by_the_boots_without_a_good_cycle(bad_boots, hours):
    world = World(link={"restart_after_s": 3600}, retry={"base_s": 60, "cap_s": 60}, schedule={"first_s": 0})
    world.manager.errors = [NO_SIM]
    world.manager.bad_boots = bad_boots
    world.module.restart = lambda: setattr(world.worker, "is_stopped", True)
    world.worker.run()
    assert hours <= world.clock.now_ms / 3_600_000 < hours + 0.3


@pytest.mark.parametrize(
    ("error", "received", "at_once", "after_an_hour"),
    [
        (None, 0, False, False),
        (NO_SIM, 0, True, True),
        (SILENCE, 0, True, True),
        (TransportError(110, step="dns"), 0, True, True),
        (SILENCE, 200, False, True),  # the server had answered: what died is a session, or its data connection
        (SILENCE, 20_000, False, False),  # data gets through, if not all
        (REFUSED, 0, False, False),  # somebody is there
        (TempReply("421 busy", code=421), 0, False, False),
        (PermReply("550 no", code=550), 30, False, False),
    ],
)
def test_what_is_the_links_fault(error, received, at_once, after_an_hour):
    counts = Counts()
    counts.received_bytes = received
    assert [is_of_link(error, counts, lasts) for lasts in (False, True)] == [at_once, after_an_hour]
    counts.received_bytes, counts.sent_bytes = min(received, 200), 20_000
    assert is_of_link(error, counts, True) is ((at_once and not counts.received_bytes) or error is NO_SIM)


def test_where_only_talk_gets_through_for_hours_the_ladder_is_climbed_as_rarely_as_for_a_silent_server():
    world = World(link={"restart_after_s": 3600}, retry={"base_s": 60, "cap_s": 60}, schedule={"first_s": 0})
    world.manager.errors, world.manager.received, world.manager.sent = [SILENCE], 300, 200
    done = {}
    for name in ("redial", "fly", "restart"):
        setattr(world.module, name, lambda name=name: done.setdefault(name, []).append(world.clock.now_ms))
    world.turn(370)  # not much further: each cycle behind it wants a restart
    hour_ms = 3_600_000
    assert hour_ms <= done["redial"][0] < 1.2 * hour_ms
    assert len(done["redial"]) == len(done["fly"]) == 3
    assert all(b - a >= hour_ms for a, b in itertools.pairwise(done["redial"] + done["fly"]))
    assert 6 * hour_ms <= done["restart"][0] < 7 * hour_ms


def test_where_data_gets_through_the_link_is_left_alone_however_long_it_takes():
    world = World(link={"restart_after_s": 3600}, retry={"base_s": 60, "cap_s": 60}, schedule={"first_s": 0})
    world.manager.errors, world.manager.received, world.manager.sent = [SILENCE], 300, 20_000
    world.turn(600)
    assert world.module.steps() == []


def test_a_refused_login_is_tried_once_an_hour():
    world = World(schedule={"first_s": 0})
    world.manager.errors = [AuthError("530 no", code=530)]
    world.run(3)
    assert world.gaps_s() == [PROBE_S] * 2


# --- restarts


def test_the_reason_is_on_flash_before_the_module_restarts():
    world = World(schedule={"first_s": 0})
    world.manager.restart_reason = "version 7 is in place"
    restart = world.module.restart
    at_restart = []
    world.module.restart = lambda: (at_restart.append(last_restarts(world.files)), restart())
    world.worker.turn()
    assert at_restart == [(["boot 1: version 7 is in place"], [])]


def test_the_log_is_kept_over_a_restart_when_it_holds_an_error():
    world = World(schedule={"first_s": 0})
    world.log.error("the thing that went wrong")
    world.worker.restart("why")
    reasons, lines = last_restarts(world.files)
    assert reasons == ["boot 1: why"]
    assert [line for line in lines if "the thing that went wrong" in line]


def test_the_last_reasons_are_kept():
    files = MemoryFiles()
    for number in range(10):
        note_restart(files, f"reason {number}", ["line 1", "line 2"])
    assert last_restarts(files) == ([f"reason {n}" for n in range(10 - REASONS, 10)], ["line 1", "line 2"])


def test_a_full_flash_does_not_keep_the_module_from_restarting():
    world = World()
    world.files.fail_at = 1
    world.worker.restart("why")
    assert world.module.steps() == ["restart"]
    assert world.files.store.get(RESTARTS) is None
    assert [line for line in world.lines if "cannot be kept" in line]


def test_a_heap_without_room_for_the_reason_does_not_keep_the_module_from_restarting():
    world = World()
    world.log.has_errors = True

    def lines():
        raise MemoryError

    world.log.lines = lines
    with pytest.raises(MemoryError):
        world.worker.restart("why")
    assert world.module.steps() == ["restart"]


def test_a_worker_that_dies_without_room_for_the_traceback_restarts_the_module():
    world = World(schedule={"first_s": 0})

    def fail(*args):
        raise MemoryError

    world.manager.run_cycle = world.log.trace = fail
    with pytest.raises(MemoryError):
        world.worker.run_guarded()
    assert world.module.steps() == ["restart"]


def test_faults_of_the_program_that_last_end_in_a_restart_as_a_dead_link_does():
    world = World(link={"restart_after_s": 3600}, retry={"base_s": 60, "cap_s": 60}, schedule={"first_s": 0})
    world.manager.errors = [Fault("MemoryError: no room in one piece")]
    world.module.restart = lambda: setattr(world.worker, "is_stopped", True)
    world.worker.run()
    assert 1 <= world.clock.now_ms / 3_600_000 < 1.1
    assert "no room in one piece" in last_restarts(world.files)[0][0]


def test_faults_outside_of_cycles_that_last_end_in_a_restart_and_come_after_pauses():
    world = World(link={"restart_after_s": 3600}, retry={"base_s": 60, "cap_s": 60}, schedule={"first_s": 0})
    tries = []

    def faulty(uptime_ms):
        tries.append(world.clock.now_ms)
        raise MemoryError

    world.manager.run_cycle = faulty
    world.log.trace = lambda error: None
    world.module.restart = lambda: setattr(world.worker, "is_stopped", True)
    world.worker.run()
    assert 1 <= world.clock.now_ms / 3_600_000 < 1.1
    assert 50 <= len(tries) <= 62


def test_a_wish_for_a_restart_ends_the_rest():
    world = World(schedule={"first_s": 0})
    world.run(1)
    world.worker.wanted_restart = "asked for at the REPL"
    world.manager.errors = [None]
    world.run(1)
    assert "restart" in world.module.done


# --- settings, power


def test_new_settings_count_from_the_next_cycle_on():
    world = World(schedule={"every_s": 900, "jitter_s": 0, "first_s": 0})
    world.run(2)
    world.reloaded = world.config(schedule={"every_s": 60, "jitter_s": 0})
    world.worker.has_new_settings = True
    world.run(4)
    assert world.manager.configured is world.reloaded
    assert world.gaps_s()[-2:] == [60, 60]


def test_bad_new_settings_change_nothing():
    world = World(schedule={"every_s": 900, "jitter_s": 0, "first_s": 0})
    world.worker.has_new_settings = True
    world.run(4)
    assert world.manager.configured is None
    assert world.gaps_s()[-2:] == [900, 900]


def test_it_is_awake_during_a_cycle_only():
    world = World(schedule={"first_s": 0})
    world.run(3)
    assert world.module.done == ["awake", "sleep"] * 3


@pytest.mark.parametrize("error", [NO_SIM, TransportError(104, step="connect"), Fault("x"), AuthError("530 no", code=530)])
def test_it_may_sleep_after_a_cycle_that_failed(error):
    world = World(schedule={"first_s": 0})
    world.manager.errors = [error]
    world.run(2)
    assert world.module.done == ["awake", "sleep"] * 2


def test_it_may_sleep_after_a_fault_outside_of_a_cycle():
    world = World(schedule={"first_s": 0})
    world.manager.run_cycle = lambda uptime_ms: 1 / 0
    with pytest.raises(ZeroDivisionError):
        world.worker.turn()
    assert world.module.done == ["awake", "sleep"]


def test_a_module_without_a_watchdog_is_told_of():
    world = World()
    world.module.has_watchdog = False
    world.worker.prepare()
    assert world.module.steps() == [300]
    assert [line for line in world.lines if "no watchdog" in line]


def test_a_modem_that_cannot_be_asked_for_the_name_is_asked_again_without_a_restart():
    world = World(schedule={"first_s": 0})
    answers = [OSError(5), OSError(5), "m1", "m1", "m1"]

    def name():
        found = answers.pop(0)
        if isinstance(found, OSError):
            raise found
        return found

    world.manager.name = name
    world.log.trace = lambda error: None
    world.run(1)
    assert world.module.steps() == []


def test_a_module_without_a_wake_lock_is_told_that_it_does_not_sleep():
    world = World(power={"sleep": True})
    world.module.has_wake_lock = False
    world.worker.prepare()
    assert [line for line in world.lines if "does not sleep" in line]


def test_a_worker_that_dies_restarts_the_module():
    world = World(schedule={"first_s": 0})
    world.manager.run_cycle = lambda uptime_ms: 1 / 0
    traced = []

    def trace(error):
        traced.append(error)
        if len(traced) == 1:
            raise error

    world.log.trace = trace
    world.worker.run_guarded()
    assert world.module.steps() == ["restart"]
    assert "the worker died: ZeroDivisionError" in last_restarts(world.files)[0][0]
    assert not world.worker.is_running


def test_a_fault_outside_of_a_cycle_does_not_end_the_worker():
    world = World(schedule={"first_s": 0})
    run_cycle = world.manager.run_cycle
    faults = [ValueError("a fault"), MemoryError()]

    def faulty(uptime_ms):
        if faults:
            raise faults.pop(0)
        return run_cycle(uptime_ms)

    world.manager.run_cycle = faulty
    world.log.trace = lambda error: world.log.error("trace of %s", type(error).__name__)
    world.run(2)
    assert len(world.manager.began_ms) == 2
    assert [line.split()[-1] for line in world.lines if "trace of" in line] == ["ValueError", "MemoryError"]
