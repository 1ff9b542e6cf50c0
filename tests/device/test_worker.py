# The life around the cycles on a real MicroPython: what survives a restart, what the module is asked for, who runs it.
import pytest

from tests.device.ferry import DEVICE, on_event_hook
from tools.sim import faults
from tools.sim.links import LINKS

BODY = bytes(range(250)) * 36  # 9,000 bytes
MAIN_WITH_REPL = """
import gc
gc.threshold(8192)
import app, utime
from app.start import start
start()
while not app.running.is_stopped or app.running.is_running:
    utime.sleep_ms(20)  # a person thinks
print("the prompt is there")
"""


def budget(ferry, day_bytes):
    ferry.configure(budget={"day_bytes": day_bytes}, upload={"from": "/usr/data"}, download={"from": ""})


def test_bytes_of_the_day_are_counted_over_a_restart(ferry, ftpd):
    budget(ferry, 22_000)
    ferry.put("data/a", BODY)
    ferry.sync()
    ferry.put("data/b", BODY)
    boot = ferry.sync()
    assert ftpd.files(DEVICE) == {"a": BODY}
    assert boot.cycles[0]["ok"]
    assert "budget.day_bytes" in str(boot.data("wait"))


def test_a_new_day_brings_new_bytes(ferry, ftpd):
    budget(ferry, 22_000)
    ferry.put("data/a", BODY)
    ferry.sync()
    ferry.put("data/b", BODY)
    ferry.sync(epoch_s=1767225600 + 86400)
    assert ftpd.files(DEVICE) == {"a": BODY, "b": BODY}


def test_without_a_clock_the_bytes_come_back_although_the_power_goes_every_night(ferry, ftpd):
    budget(ferry, 22_000)
    ferry.configure(schedule={"every_s": 14_400})
    ferry.put("data/a", BODY)
    ferry.boot(1, faults=faults.parse("clock-unset"))
    ferry.put("data/b", BODY)
    boot = ferry.boot(20, faults=faults.parse("clock-unset,power-cut@15h"))
    assert ftpd.files(DEVICE) == {"a": BODY, "b": BODY}
    assert boot.cycles[0]["up_count"] == 0  # a restart brings nothing back
    assert len(boot.cycles) <= 5


def test_when_little_is_left_what_has_priority_goes(ferry, ftpd):
    budget(ferry, 24_500)
    ferry.configure(
        upload=[{"from": "/usr/data", "priority": 5}, {"from": "/usr/alarms", "to": "{device}/alarms", "priority": 9}]
    )
    for name in ("data/a", "data/b"):
        ferry.put(name, BODY)
        ferry.sync()
    ferry.put("data/c", b"usual")
    ferry.put("alarms/d", b"urgent")
    ferry.sync()
    assert ftpd.files(DEVICE) == {"a": BODY, "b": BODY, "alarms/d": b"urgent"}


def test_a_cycle_stays_within_its_bytes_and_the_rest_goes_in_the_next(ferry, ftpd):
    ferry.configure(budget={"cycle_bytes": 12_000}, upload={"from": "/usr/data"}, download={"from": ""})
    for name in ("a", "b", "c"):
        ferry.put("data/" + name, BODY)
    boot = ferry.sync(3)
    assert [cycle["up_count"] for cycle in boot.cycles] == [1, 1, 1]


def test_a_weak_battery_holds_cycles_up_until_it_is_charged(ferry):
    ferry.configure(schedule={"min_battery_mv": 3500})
    boot = ferry.boot(1, faults=faults.parse("battery@3300mV@0-10m"))
    assert "the battery has 3300 mV" in boot.text
    (cycle,) = [event for event in boot.events if event["kind"] == "cycle"]
    assert cycle["ms"] >= 600_000


def test_a_weak_signal_holds_cycles_up(ferry):
    ferry.configure(schedule={"min_signal": 8})
    boot = ferry.boot(1, faults=faults.parse("signal@5@0-10m"))
    assert "the signal is 5" in boot.text


def test_a_time_server_sets_the_clock_where_the_settings_want_it(ferry, ftpd):
    ferry.configure(clock={"source": "ntp"}, upload={"from": "/usr/data", "to": "{device}/{date}-{name}"})
    ferry.put("data/a", b"1")
    boot = ferry.boot(1, faults=faults.parse("clock-unset"))
    assert boot.cycles[0]["ok"], boot.text
    (name,) = ftpd.files(DEVICE)
    assert name.startswith("20")
    assert not name.startswith("2000")


def test_without_one_a_dated_file_waits_for_the_clock(ferry, ftpd):
    ferry.configure(upload={"from": "/usr/data", "to": "{device}/{date}-{name}"})
    ferry.put("data/a", b"1")
    boot = ferry.boot(1, faults=faults.parse("clock-unset"))
    assert boot.cycles[0]["ok"], boot.text
    assert ftpd.files(DEVICE) == {}


@pytest.mark.parametrize("spec", ["signal@24", "sim-missing", "server-down"])
def test_the_module_is_kept_awake_during_a_cycle_only_also_if_that_fails(ferry, spec):
    ferry.configure(power={"sleep": True})
    boot = ferry.boot(2, faults=faults.parse(spec))
    assert boot.data("wake") == [["ferry", "held"], ["ferry", "released"]] * 2


PM = "import pm\nautosleep = pm.autosleep\npm.autosleep = lambda on: (print('autosleep', on), autosleep(on))[1]\n"


def test_without_a_wake_lock_the_module_does_not_sleep_and_says_so(ferry):
    ferry.configure(power={"sleep": True})
    boot = ferry.boot(1, before=PM + "pm.create_wakelock = lambda name, length: -1\n")
    assert [line for line in boot.lines if line.startswith("autosleep")] == ["autosleep 0"]
    assert "this module does not sleep" in boot.text
    assert boot.cycles[0]["ok"]


def test_power_saving_is_asked_for_where_the_settings_want_it_and_else_left_alone(ferry):
    ask = PM + "pm.set_psm_time = lambda *times: print('psm', times) or True\n"
    ask += "for name in ('set_edrx_time', 'set_edrx'):\n    setattr(pm, name, lambda *times: print('edrx', times))\n"
    assert [line for line in ferry.boot(1, before=ask).lines if line[:4] in ("auto", "psm ", "edrx")] == ["autosleep 0"]
    ferry.configure(power={"sleep": True, "psm_tau_s": 7200, "psm_active_s": 60})
    lines = ferry.boot(1, before=ask).lines
    assert [line for line in lines if line[:4] in ("auto", "psm ", "edrx")] == ["autosleep 1", "psm (0, 12, 0, 30)"]


ON_REASONS = """
import usys
usys.path.append("/usr")
import misc
from app.platform.quec import Power
for reason in (-1, 0, 1, 5, 9, 10):
    misc.Power.powerOnReason = staticmethod(lambda: reason)
    print("on:", Power().on_reason())
"""


def test_why_it_was_switched_on_is_a_word(ferry):
    words = ["unknown", "unknown", "power key", "watchdog", "dump", "unknown"]
    assert ferry.boot(0, main=ON_REASONS).lines[-6:] == ["on: " + word for word in words]


def test_after_a_watchdog_the_status_says_so(ferry, ftpd):
    ferry.configure(status={"to": "{device}.json"})
    ferry.sync(power_on_reason=5)
    assert b'"power_on": "watchdog"' in ftpd.files()[DEVICE + ".json"]


# --- a link that has to hold; between two cycles 10 s pass


def test_a_new_data_call_has_to_hold_before_a_cycle_uses_it_and_an_old_one_does_not(ferry):
    ferry.configure(link={"hold_s": 3})
    durations = [cycle["duration_ms"] for cycle in ferry.sync(3).cycles]
    assert 3000 <= durations[0] < 4000
    assert max(durations[1:]) < 1000


@pytest.mark.parametrize("spec", ["ip-change@2s", "no-data-call@2s-3s"])
def test_a_data_call_that_does_not_hold_fails_the_cycle_before_the_server_hears_of_it(ferry, ftpd, spec):
    ferry.configure(link={"hold_s": 5})
    boot = ferry.boot(2, faults=faults.parse(spec))
    assert [cycle["ok"] for cycle in boot.cycles] == [False, True]
    assert boot.cycles[0]["connections"] == 0
    assert "the data call does not hold" in str(boot.errors[0])


@pytest.mark.parametrize("spec", ["ip-change@8s", "no-data-call@8s-9s"])
def test_a_data_call_that_came_back_has_to_hold_again_also_with_the_old_address(ferry, spec):
    ferry.configure(link={"hold_s": 3})
    durations = [cycle["duration_ms"] for cycle in ferry.sync(3, faults=faults.parse(spec)).cycles]
    assert [duration >= 3000 for duration in durations] == [True, True, False]


def test_the_watchdog_is_fed_often_enough_in_a_large_upload(ferry):
    ferry.configure(upload={"from": "/usr/data"}, download={"from": ""})
    ferry.put("data/large", BODY * 100)
    boot = ferry.boot(1)
    ((count, longest_ms),) = boot.data("fed")
    assert count > 100
    assert longest_ms < 60_000


@pytest.mark.parametrize("mode", ["whole", "append", "batch"])
def test_the_watchdog_is_fed_for_every_file_that_is_looked_at(ferry, mode):
    ferry.configure(upload={"from": "/usr/data", "mode": mode}, download={"from": ""})
    for number in range(60):
        ferry.put(f"data/{number}", b"one line\n")
    ferry.sync()
    boot = ferry.sync()
    ((count, _),) = boot.data("fed")
    assert count > 60


def test_the_watchdog_is_fed_for_every_name_of_a_long_listing(ferry, ftpd):
    for number in range(60):
        ftpd.put(f"updates/{number}", b"1")
    ferry.sync()
    boot = ferry.sync()
    ((count, _),) = boot.data("fed")
    assert boot.cycles[0]["down_count"] == 0
    assert count > 120 + 60  # listed twice, a batch of names each; and what lies in /usr is looked at


def test_the_watchdog_is_fed_for_every_block_of_a_file_that_is_read(ferry):
    ferry.put("large", BODY * 100)
    check = """
import usys
usys.path.append("/usr")
from app.platform.files import Files
files, fed = Files(), []
files.feed = lambda: fed.append(1)
files.digest8("/usr/large", 900000, bytearray(4096))
print("fed", len(fed))
"""
    assert ferry.boot(0, main=check).lines[-1] == "fed 220"


def test_the_watchdog_is_fed_while_the_link_is_waited_for(ferry):
    ferry.configure(clock={"source": "ntp"})
    slow = """
import ntptime, utime
def settime(zone=0):
    utime.sleep_ms(50000)
    return -1
ntptime.settime = settime
"""
    boot = ferry.boot(2, before=slow, faults=faults.parse("attach-denied@0-50s"))
    assert max(longest_ms for _, longest_ms in boot.data("fed")) < 61_000


def test_beside_the_repl_it_runs_in_a_thread(ferry, ftpd):
    ferry.configure(upload={"from": "/usr/data"}, download={"from": ""}, run={"thread": True})
    ferry.put("data/a", BODY)
    boot = ferry.boot(2, before="import usys\nusys.path.append('/usr')\n", main=MAIN_WITH_REPL, deferred=None)
    assert boot.lines[-1] == "the prompt is there", boot.text
    assert [cycle["ok"] for cycle in boot.cycles] == [True, True]
    assert ftpd.files(DEVICE) == {"a": BODY}


STACK = """
import _thread, _world, micropython, uos
_most = [0]
_base = micropython.stack_use()
def _measured(module, name):
    plain = getattr(module, name)
    def measured(*args):
        _most[0] = max(_most[0], micropython.stack_use() - _base)
        return plain(*args)
    setattr(module, name, measured)
for _name in ("check_reset", "feed_watchdog", "now_ms"):
    _measured(_world, _name)
for _name in ("stat", "ilistdir", "rename", "remove", "mkdir", "statvfs"):
    _measured(uos, _name)
_size = _thread.stack_size
_thread.stack_size = lambda *size: (print("asked for", size), _size(*size))[1]
"""


def test_the_stack_of_the_thread_is_twice_what_a_cycle_takes(ferry, ftpd):
    rules = [
        {"from": "/usr/data", "to": "{device}/{date}/{name}-{seq}", "on_conflict": "suffix"},
        {"from": "/usr/log", "to": "{device}/log", "mode": "append"},
        {"from": "/usr/many", "to": "{device}/many", "mode": "batch"},
    ]
    ferry.configure(upload=rules, status={"to": "status/{device}.json"})
    for name in ("data/a/b/c/d/e/f/g", "log/l", "many/1", "many/2"):
        ferry.put(name, BODY)
    ftpd.put("updates/a/b/c/d/e", BODY)
    hook = STACK + on_event_hook("if kind == 'cycle':\n    print('most', _most[0])")
    boot = ferry.boot(2, before=hook, faults=faults.parse("cut-data@40%@cycle1"))
    assert boot.cycles[-1]["ok"], boot.text
    asked = [int(line.split()[-1].strip("(,)")) for line in boot.lines if line.startswith("asked for")]
    most = max(int(line.split()[-1]) for line in boot.lines if line.startswith("most"))
    assert 4096 < most < asked[0] / 2  # and words here are twice as long as the module's


NO_THREAD = """
import _thread
def refuse(*args):
    raise {error}
_thread.start_new_thread = refuse
"""
NO_WATCHDOG = """
import machine
def refuse(period_s):
    raise ValueError("the longest period is 120 s")
machine.WDT = refuse
"""


@pytest.mark.parametrize("error", ["OSError(12)", "MemoryError", "RuntimeError('no thread')"])
def test_where_no_thread_can_be_started_it_runs_in_the_main_one(ferry, error):
    boot = ferry.boot(2, before=NO_THREAD.format(error=error))
    assert [cycle["ok"] for cycle in boot.cycles] == [True, True], boot.text
    assert "the REPL is blocked" in boot.text


def test_a_watchdog_that_does_not_take_its_period_is_told_and_nothing_else_suffers(ferry):
    boot = ferry.boot(1, before=NO_WATCHDOG)
    assert "no watchdog" in boot.text
    assert boot.cycles[0]["ok"]


def test_a_data_call_of_another_profile_is_dialled_again_and_the_first_left_alone(ferry):
    check = """
import usys
usys.path.append("/usr")
import dataCall
from app.platform.quec import Link
dialled = []
dataCall.getInfo = lambda profile, kind: (profile, kind, [profile == 3, 0, "10.0.0.3", "", ""])
dataCall.deactivate = dataCall.activate = dialled.append
link = Link()
link.arm()
link._hear((1, 0, 0))
print("changed", link.has_changed())
link._hear((3, 0, 0))
print("changed", link.has_changed())
link.redial()
print("dialled", dialled)
"""
    assert ferry.boot(0, main=check).lines[-3:] == ["changed False", "changed True", "dialled [3, 3]"]


FLY = """
import usys
usys.path.append("/usr")
import net
answers = {answers}
asked = []
def setModemFun(function):
    asked.append(function)
    return answers[function].pop(0)
net.setModemFun = setModemFun
from app.platform.quec import Link
Link().fly()
print("asked", asked)
"""


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({4: [0], 1: [0]}, [4, 1]),
        ({4: [-1], 0: [0], 1: [0]}, [4, 0, 1]),  # a module without flight mode
        ({4: [0], 1: [-1, -1, 0]}, [4, 1, 1, 1]),  # one that does not come back at once
    ],
)
def test_flight_mode_ends_on_the_air(ferry, answers, asked):
    assert ferry.boot(0, main=FLY.format(answers=answers)).lines[-1] == f"asked {asked}"


def test_the_oldest_firmware_has_the_wait_for_the_network_as_a_method_only(ferry):
    ferry_boot = ferry.boot(1, before="import checkNet\ndel checkNet.wait_network_connected\n", variants={"check_net": "old"})
    assert ferry_boot.cycles[0]["ok"], ferry_boot.text


@pytest.mark.parametrize("error", ["OSError(110)", "IndexError"])
def test_a_time_server_that_cannot_be_asked_fails_no_cycle(ferry, error):
    ferry.configure(clock={"source": "ntp"})
    before = f"import ntptime\ndef settime(zone=0):\n    raise {error}\nntptime.settime = settime\n"
    boot = ferry.boot(1, before=before)
    assert boot.cycles[0]["ok"], boot.text
    assert "time server does not answer" in boot.text


def test_a_set_clock_asks_a_dead_time_server_once_a_day(ferry):
    ferry.configure(clock={"source": "ntp"})
    before = "import ntptime\ndef settime(zone=0):\n    print('asked')\n    return -1\nntptime.settime = settime\n"
    assert ferry.boot(3, before=before).lines.count("asked") == 1
    assert ferry.boot(3, before=before, faults=faults.parse("clock-unset")).lines.count("asked") == 3


def test_in_the_main_thread_main_py_goes_on_for_ever(ferry):
    ferry.configure(run={"thread": False})
    assert [cycle["ok"] for cycle in ferry.boot(2).cycles] == [True, True]


def test_the_address_of_the_module_changes_and_the_session_ends_at_once(ferry, ftpd):
    ferry.configure(upload={"from": "/usr/data"}, download={"from": ""}, server={"timeout_s": 20})
    ferry.put("data/large", BODY * 300)
    hook = on_event_hook("if kind == 'cycle':\n    print('sockets', len(_world.sockets))")
    # In the middle of the first file: with this link it takes some 5 s.
    boot = ferry.boot(2, before=hook, faults=faults.parse("ip-change@2s"), link=LINKS["cat1"])
    assert [cycle["ok"] for cycle in boot.cycles] == [False, True], boot.text
    assert "the module's address changed" in str(boot.errors[0])
    assert boot.cycles[0]["duration_ms"] < 3000  # no time-out was waited for
    assert boot.lines.count("sockets 0") == 2
    assert ftpd.files(DEVICE) == {"large": BODY * 300}


def test_the_address_of_the_module_changes_between_two_cycles_where_no_socket_is_open(ferry, ftpd):
    hook = on_event_hook("if kind == 'cycle':\n    print('sockets', len(_world.sockets))")
    boot = ferry.sync(3, before=hook, faults=faults.parse("ip-change@5s,no-data-call@12s-14s"))
    assert boot.lines.count("sockets 0") == 3
