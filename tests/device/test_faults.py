# Each fault of `tools sim --fault` as a program on the module meets it, in virtual time, on every interpreter.
import time

import pytest

from tools.sim import faults

HELPERS = """
import usocket, utime
def outcome(call, *args):
    try:
        return call(*args)
    except OSError as e:
        return e.args[0]
def seconds(call, *args):
    start = utime.ticks_ms()
    found = outcome(call, *args)
    return found, utime.ticks_diff(utime.ticks_ms(), start) // 1000
def opened(timeout=5):
    s = usocket.socket()
    s.settimeout(timeout)
    s.connect(("127.0.0.1", port))
    return s
"""


def echo(connection):
    """Answers every line with itself, in a thread of its own."""
    import threading

    def run():
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            pass  # reset by the fault

    threading.Thread(target=run, daemon=True).start()


@pytest.fixture
def play(module, server):
    """play(script, SPEC, **world) -> Result of a run on the module with an echo server at `port`."""

    def run(script, spec, **world):
        with server(echo) as port:
            return module.run(HELPERS + script, {"port": port}, faults=faults.parse(spec), **world)

    return run


LOOK = """
import checkNet, dataCall, misc, net, sim
wait = checkNet.waitNetworkReady
show("now", (sim.getStatus(), net.getState()[1][0], wait(1), dataCall.getInfo(1, 0)[2][0], net.csqQueryPoll()))
utime.sleep(30)
show("then", (sim.getStatus(), net.getState()[1][0], wait(5), dataCall.getInfo(1, 0)[2][0], net.csqQueryPoll()))
"""


@pytest.mark.parametrize(
    ("kind", "now"),
    [
        ("sim-missing", "(0, 0, (1, 0), 0, 99)"),
        ("sim-pin", "(2, 0, (1, 2), 0, 99)"),
        ("searching", "(1, 2, (2, 2), 0, 99)"),
        ("attach-denied", "(1, 3, (2, 3), 0, 99)"),
        ("no-data-call", "(1, 1, (3, 0), 0, 24)"),
    ],
)
def test_what_takes_the_link_away_shows_everywhere_and_ends(play, kind, now):
    result = play(LOOK, kind + "@0-20s")
    assert result.values == {"now": now, "then": "(1, 1, (3, 1), 1, 24)"}
    told = [event["data"] for event in result.events if event["kind"] == "fault"]
    assert told == [[kind + "@0-20s", "begins"], [kind + "@0-20s", "ends"]]


def test_a_fault_comes_and_goes_in_the_middle_of_one_sleep(play):
    result = play(
        """
        import dataCall, _world
        seen = []
        dataCall.setCallback(lambda event: seen.append((event[1], utime.ticks_ms() // 1000)))
        s = opened()
        utime.sleep(600)
        show("seen", seen)
        show("dead", outcome(s.send, b"x") in (9, 104))
        """.replace("\n        ", "\n"),
        "no-data-call@60-70s",
    )
    assert result.values == {"seen": "[(0, 60), (1, 72)]", "dead": "True"}
    told = [(event["data"][1], event["ms"] // 1000) for event in result.events if event["kind"] == "fault"]
    assert told == [("begins", 60), ("ends", 70)]


@pytest.mark.parametrize(
    ("cure", "after"),
    [("redial", "[False, True, True]"), ("flight", "[False, False, True]"), ("restart", "[False, False, False]")],
)
def test_a_data_call_stays_down_until_its_cure(play, cure, after):
    script = """
import dataCall, net, checkNet
def is_up():
    return checkNet.waitNetworkReady(5) == (3, 1)
found = [is_up()]
dataCall.deactivate(1)
dataCall.activate(1)
found.append(is_up())
net.setModemFun(4)
utime.sleep(5)
net.setModemFun(1)
found.append(is_up())
show("up", found)
from misc import Power
Power.powerRestart()
"""
    result = play(script, "no-data-call@0s-" + cure)
    assert result.values == {"up": after}
    assert [event["data"] for event in result.events if event["kind"] == "radio"] == [
        ["deactivate"],
        ["activate"],
        ["modem_fun", 4],
        ["modem_fun", 1],
    ]
    (carried,) = result.events[-1]["data"]
    assert carried["used"] == [0]  # a restart ends it in any case
    result = play(script, "no-data-call@0s-" + cure, **carried)
    assert result.values == {"up": "[True, True, True]"}


def test_a_new_address_kills_the_sockets_and_is_shown(play):
    result = play(
        """
import dataCall, checkNet
s = opened()
before = dataCall.getInfo(1, 0)[2][2]
utime.sleep(11)
show("state", s.getsocketsta())
show("back", checkNet.waitNetworkReady(60))
show("other", dataCall.getInfo(1, 0)[2][2] != before)
s.close()
show("new socket", opened().getsocketsta())
""",
        "ip-change@10s",
    )
    assert result.values == {"state": "0", "back": "(3, 1)", "other": "True", "new socket": "4"}


def test_no_name_is_answered_but_addresses_need_none(play):
    result = play(
        """
show("name", outcome(usocket.getaddrinfo, "localhost", port))
show("number", usocket.getaddrinfo("127.0.0.1", port)[0][4])
utime.sleep(60)
show("later", len(usocket.getaddrinfo("localhost", port)) > 0)
""",
        "dns-fail@0-60s",
        variants={"getaddrinfo": "error"},
    )
    assert result.values["name"] == "-2"
    assert result.values["number"].startswith("('127.0.0.1'")
    assert result.values["later"] == "True"


CONNECTS = """
control = usocket.socket()
control.settimeout(5)
show("control", seconds(control.connect, ("127.0.0.1", port)))
data = usocket.socket()
data.settimeout(15)
show("data", seconds(data.connect, ("127.0.0.1", port)))
"""


@pytest.mark.parametrize(
    ("kind", "control", "data"),
    [
        ("port-blocked", "(110, 5)", "(110, 15)"),
        ("data-blocked", "(None, 0)", "(110, 15)"),
        ("silence", "(110, 5)", "(110, 15)"),
        ("server-down", "(111, 0)", "(111, 0)"),
        ("server-silent", "(None, 0)", "(None, 0)"),
    ],
)
def test_which_connections_come_to_be(play, kind, control, data):
    start = time.monotonic()
    values = play(CONNECTS, kind, variants={"refused": "error"}).values
    assert values == {"control": control, "data": data}
    assert time.monotonic() - start < 10  # 20 s of the module are none here


def test_a_refused_connection_of_a_server_that_is_down_may_look_connected(play):
    script = "s = opened()\nshow('state', (s.getsocketsta(), outcome(s.recv, 1) in (9, 104)))"
    assert play(script, "server-down", variants={"refused": "looks_connected"}).values == {"state": "(0, True)"}


def test_a_server_that_goes_down_resets_its_connections(play):
    script = """
s = opened()
utime.sleep(10)
show("recv", outcome(s.recv, 10))
"""
    assert play(script, "server-down@10s").values == {"recv": "104"}


@pytest.mark.parametrize(("timeout", "answer"), [(5, "(110, 5)"), (9, "(11, 5)"), (12, "(110, 10)"), (0, "(11, 0)")])
@pytest.mark.parametrize("kind", ["silence", "server-silent"])
def test_silence_is_a_time_out_in_the_firmwares_steps(play, kind, timeout, answer):
    script = f"""
s = opened()
utime.sleep(10)
show("sent", s.send(b"hello"))
s.settimeout({timeout})
show("recv", seconds(s.recv, 10))
"""
    assert play(script, kind + "@10s").values == {"sent": "5", "recv": answer}


@pytest.mark.parametrize(("kind", "later"), [("silence", "(110, 5)"), ("server-silent", "(b'hello', 0)")])
def test_behind_the_silence_only_what_was_not_lost_arrives(play, kind, later):
    script = """
s = opened()
utime.sleep(10)
s.send(b"hello")
show("silent", seconds(s.recv, 10))
utime.sleep(60)
show("later", seconds(s.recv, 10))
"""
    assert play(script, kind + "@10-60s").values == {"silent": "(110, 5)", "later": later}


def test_what_is_sent_into_the_silence_fills_the_buffer_of_the_firmware(play):
    script = """
s = opened()
utime.sleep(10)
count = 0
while True:
    found = seconds(s.send, bytes(1000))
    if found[0] != 1000:
        break
    count += 1
show("then", (count, found))
"""
    assert play(script, "silence@10s").values == {"then": "(10, (110, 5))"}


def test_poll_hears_nothing_in_the_silence(play):
    script = """
import uselect
s = opened()
s.send(b"hello")
show("before", s.recv(5))
s.send(b"again")
utime.sleep(10)
poll = uselect.poll()
poll.register(s, uselect.POLLIN)
show("poll", (poll.poll(0), seconds(poll.poll, 3000)))
utime.sleep(60)
show("later", len(poll.poll(1000)))
"""
    values = play(script, "server-silent@5-60s").values
    assert values == {"before": "b'hello'", "poll": "([], ([], 3))", "later": "1"}


def test_the_data_connection_is_cut_at_its_byte_and_once_only(play):
    script = """
control = opened()
def sent():
    data = opened()
    count = 0
    while count < 5000:
        found = outcome(data.send, bytes(min(700, 5000 - count)))
        if found == 104:
            break
        count += found
    data.close()
    return count
show("counts", (sent(), sent()))
control.send(b"x")
show("control", control.recv(1))
"""
    assert play(script, "cut-data@2000B").values == {"counts": "(2000, 5000)", "control": "b'x'"}


def test_a_part_of_a_file_is_of_the_one_under_way(play):
    script = """
import _world
control = opened()
data = opened()
show("listing", data.send(bytes(900)))
data.close()
_world.file_bytes = 1000
data = opened()
show("file", (data.send(bytes(900)), outcome(data.send, b"x")))
"""
    assert play(script, "cut-data@40%").values == {"listing": "900", "file": "(400, 104)"}


def test_the_control_connection_is_cut_behind_its_command(play):
    script = """
s = opened()
s.send(b"USER x\\r\\n")
show("first", s.recv(100))
s.send(b"PASS y\\r\\nTYPE I\\r\\n")
show("third", outcome(s.recv, 100))
s.close()
s = opened()
s.send(b"a\\nb\\nc\\nd\\n")
show("once", s.recv(100))
"""
    values = play(script, "cut-control@3").values
    assert values == {"first": "b'USER x\\r\\n'", "third": "104", "once": "b'a\\nb\\nc\\nd\\n'"}


def test_both_sides_learn_of_a_cut(module, server):
    seen = []

    def serve(connection):
        connection.settimeout(5)
        try:
            connection.recv(100)
            seen.append(connection.recv(100))
        except OSError as error:
            seen.append(type(error))

    with server(serve) as port:
        script = 's = opened()\ns.send(b"a\\n")\nshow("cut", outcome(s.recv, 1))'
        assert module.run(HELPERS + script, {"port": port}, faults=faults.parse("cut-control@1")).values == {
            "cut": "104"
        }
        deadline = time.monotonic() + 5
        while not seen and time.monotonic() < deadline:
            time.sleep(0.01)
    assert seen == [ConnectionResetError]


def test_the_clock_stands_at_1970_until_ntp_sets_it(play):
    script = """
import ntptime
show("unset", utime.time() < 100)
utime.sleep(60)
show("still", 60 <= utime.time() < 100)
show("ntp", (ntptime.settime(), utime.time() > 1700000000))
utime.sleep(60)
show("kept", utime.time() > 1700000000)
"""
    values = play(script, "clock-unset").values
    assert values == {"unset": "True", "still": "True", "ntp": "(0, True)", "kept": "True"}


def test_the_clock_may_be_set_by_the_network_later_and_be_years_off(play):
    script = """
show("unset", utime.time() < 100)
utime.sleep(60)
show("set", utime.localtime()[0])
utime.sleep(60)
show("off", utime.localtime()[0])
"""
    values = play(script, "clock-unset@0-60s,clock-wrong@-3y@100s", epoch_s=1780000000).values
    assert values == {"unset": "True", "set": "2026", "off": "2023"}


def test_battery_and_signal(play):
    script = """
import net
from misc import Power
show("low", (Power.getVbatt(), net.csqQueryPoll()))
utime.sleep(60)
show("good", (Power.getVbatt(), net.csqQueryPoll()))
"""
    values = play(script, "battery@3300mV@0-60s,signal@5@0-60s", battery_mv=4100, csq=30).values
    assert values == {"low": "(3300, 5)", "good": "(4100, 30)"}


def test_a_full_flash_has_no_block_and_then_room_again(play):
    script = """
import uos
def put(path):
    with open(path, "wb") as f:
        f.write(b"x")
show("full", (outcome(put, "/usr/a"), uos.statvfs("/usr")[3], outcome(uos.mkdir, "/usr/d")))
utime.sleep(60)
show("room", (outcome(put, "/usr/a"), uos.statvfs("/usr")[3] > 0))
"""
    values = play(script, "flash-full@0-60s").values
    assert values == {"full": "(28, 0, 28)", "room": "(None, True)"}


def test_a_watchdog_that_cannot_be_had_is_false(play):
    script = "import machine\nshow('dog', machine.WDT(60))\nutime.sleep(600)\nshow('second', machine.WDT(60) is False)"
    assert play(script, "watchdog-fails@0-60s").values == {"dog": "False", "second": "False"}


def test_a_call_that_hangs_costs_its_time_once_or_the_watchdog_ends_it(play):
    script = """
s = opened()
utime.sleep(10)
show("hung", seconds(s.send, b"x"))
show("again", seconds(s.recv, 1))
"""
    assert play(script, "hang@400s@5s").values == {"hung": "(1, 400)", "again": "(b'x', 0)"}
    bitten = play("import machine\nmachine.WDT(120)\n" + script, "hang@400s@5s")
    assert bitten.status == 75
    assert bitten.events[-1]["kind"] == "watchdog"
    assert bitten.events[-1]["ms"] // 1000 == 120


@pytest.mark.parametrize(("when", "life_s"), [("90s", 90), ("90-150s", 150)])
def test_the_power_goes_at_its_moment_and_nothing_is_written_any_more(module, when, life_s):
    result = module.run(
        """
import utime
try:
    with open("/usr/kept", "wb") as f:
        f.write(b"kept")
    with open("/usr/open", "wb") as f:
        f.write(b"lost")
        utime.sleep(3600)
finally:
    try:
        open("/usr/late", "wb")
    finally:
        print("not", "reached" if 0 else "off")
""",
        faults=faults.parse("power-cut@" + when),
    )
    assert result.status == 76
    assert result.events[-1]["kind"] == "power_cut"
    assert result.events[-1]["ms"] // 1000 == 90
    (carried,) = result.events[-1]["data"]
    assert (carried["life_ms"] // 1000, carried["used"]) == (life_s, [0])
    assert (module.usr / "kept").read_bytes() == b"kept"
    assert (module.usr / "open").read_bytes() == b""
    assert not (module.usr / "late").exists()


def test_a_later_boot_knows_how_long_the_module_has_lived(play):
    script = """
import misc, sim
show("ticks", utime.ticks_ms() < 10000)
show("sim", sim.getStatus())
show("reason", misc.Power.powerOnReason())
utime.sleep(15)
show("then", sim.getStatus())
"""
    values = play(script, "sim-missing@100-110s", life_ms=100_000, boot=1, power_on_reason=3).values
    assert values == {"ticks": "True", "sim": "0", "reason": "3", "then": "1"}
    assert play(script, "sim-missing@100-110s", life_ms=100_000, used=[0]).values["sim"] == "1"


def test_cycles_begin_when_the_manager_leaves_its_rest(module):
    (module.usr / "app").mkdir()
    (module.usr / "app" / "running.py").write_text("class worker:\n    is_stopped = False\n")
    (module.usr / "ftp_manager.py").write_text("class FtpManager:\n    def on_event(self, kind, data):\n        pass\n")
    result = module.run(
        """
import usys, utime, sim
usys.path.append("/usr")
from ftp_manager import FtpManager
manager = FtpManager()
found = []
for number in (1, 2, 3):
    manager.on_event("state", ("IDLE", "due", "LINK"))
    utime.sleep(1)
    during = sim.getStatus()
    manager.on_event("cycle", ({},))
    utime.sleep(1)
    found.append((during, sim.getStatus()))
show("sim", found)
""",
        faults=faults.parse("sim-missing@cycle2"),
    )
    assert result.values == {"sim": "[(1, 1), (0, 0), (1, 1)]"}


def test_faults_of_one_kind_may_follow_each_other(play):
    script = """
import sim
found = []
for _ in range(5):
    found.append(sim.getStatus())
    utime.sleep(10)
show("sim", found)
"""
    values = play(script, "sim-missing@0-5s,sim-missing@15-25s,sim-pin@35-45s").values
    assert values == {"sim": "[0, 1, 0, 1, 2]"}
