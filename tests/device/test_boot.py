# From power-on to the first cycle and out again: the link, the settings, Ctrl-C, faults, and the firmware's variants.
import json

import pytest

from tests.device.ferry import DEVICE, interrupt, on_event_hook

# --- the link


def test_a_module_without_sim_waits_and_starts_when_there_is_one(ferry, ftpd):
    ferry.put("a.txt", b"a")
    insert = on_event_hook(
        """
if kind == "cycle" and data[0]["number"] == 3:
    _world.sim_status = 1
"""
    )
    boot = ferry.boot(4, before=insert, sim_status=0)
    assert [cycle["ok"] for cycle in boot.cycles] == [False, False, False, True]
    assert boot.cycles[0]["connections"] == 0
    assert "no SIM card" in boot.text
    assert "insert the SIM card" in boot.text
    assert ftpd.files(DEVICE) == {"a.txt": b"a"}


@pytest.mark.parametrize(
    ("world", "words"),
    [
        ({"sim_status": 2}, "PIN"),
        ({"sim_status": 18}, "busy"),
        ({"net_state": 2}, "searching"),
        ({"net_state": 3}, "refuses"),
        ({"pdp": 0}, "APN"),
    ],
)
def test_what_keeps_the_link_down_is_told_with_advice(ferry, world, words):
    boot = ferry.boot(**world)
    assert boot.status == 0
    assert words in boot.text
    assert boot.errors[0][0] == "LinkError"


@pytest.mark.parametrize(
    "variants",
    [
        {"check_net": "old"},
        {"eof": "107"},
        {"refused": "error"},
        {"getaddrinfo": "error"},
        {"accept": 2},
        {"check_net": "old", "eof": "107", "refused": "error", "getaddrinfo": "error", "accept": 2},
    ],
)
def test_firmware_variants_make_no_difference(ferry, ftpd, variants):
    files = {"a.bin": bytes(range(256)) * 300, "empty.txt": b"", "c.txt": b"c\r\n"}
    for name, content in files.items():
        ferry.put(name, content)
        ftpd.put("updates/sub/" + name, content)
    ferry.sync(2, variants=variants)
    assert ftpd.files(DEVICE) == files
    assert {name: content for name, content in ferry.files().items() if name.startswith("sub/")} == {
        "sub/" + name: content for name, content in files.items()
    }


@pytest.mark.parametrize("mode", ["looks_connected", "error"])
def test_a_refused_connection_is_called_so(ferry, ftpd, mode):
    ftpd.down()
    boot = ferry.boot(variants={"refused": mode})
    assert "connection refused" in boot.text
    assert boot.states[-1] == "BACKOFF"


@pytest.mark.parametrize("mode", ["empty", "error"])
def test_a_name_without_an_address_is_called_so(ferry, mode):
    ferry.configure(server={"host": "not..a.name"})  # no resolver asks the network for this
    boot = ferry.boot(variants={"getaddrinfo": mode})
    assert "no address for not..a.name" in boot.text
    assert boot.errors[0][1] == "dns"


def test_a_modem_that_does_not_tell_its_imei_is_asked_again(ferry, ftpd):
    ferry.configure(device={"id": ""})
    ferry.put("a.txt", b"a")
    tell = on_event_hook("if kind == 'cycle':\n    _world.imei = '861230000000001'")
    boot = ferry.boot(2, before=tell, imei="")
    assert "IMEI" in boot.lines[-1] or "IMEI" in boot.text
    assert ftpd.files() == {"861230000000001/a.txt": b"a"}


# --- the settings


def assert_does_not_start(boot, ftpd, *words):
    assert boot.status == 0
    assert boot.events == []
    assert ftpd.commands == []
    for word in words:
        assert word in boot.text
    assert "does not start" in boot.lines[-1]


def test_a_missing_config_is_told_and_nothing_is_sent(ferry, ftpd):
    ferry.remove("config.json")
    assert_does_not_start(ferry.boot(), ftpd, "config.json is missing")


def test_broken_json_is_told_with_its_line(ferry, ftpd):
    ferry.put("config.json", b'{\n  "server": {\n    "host": "127.0.0.1",\n    "port": 2x1\n  }\n}\n')
    assert_does_not_start(ferry.boot(), ftpd, "line 4")


@pytest.mark.parametrize("raw", [b"", b"   ", b"[]", b"null", b"3", b'"text"', b"{", b"\xff\xfe\x00", b"\0" * 100])
def test_a_config_that_is_no_object_is_told(ferry, ftpd, raw):
    ferry.put("config.json", raw)
    assert_does_not_start(ferry.boot(), ftpd, "config.json")


def test_a_config_of_a_megabyte_is_told_and_not_read(ferry, ftpd):
    ferry.put("config.json", b" " * 1_000_000)
    boot = ferry.boot()
    assert (boot.status, boot.events, ftpd.commands) == (0, [], [])
    assert "at most 8192" in boot.text


def test_all_faults_of_a_config_are_told_at_once(ferry, ftpd):
    ferry.configure(
        server={"port": 99999, "hots": "x", "timeout_s": 7},
        upload={"from": "relative", "after": "burn"},
        download={"from": "a/../b"},
        schedule={"every_s": True},
        serber={},
    )
    names = ["server.port", "server.hots", "server.timeout_s", "upload.from", "upload.after", "download.from"]
    assert_does_not_start(ferry.boot(), ftpd, *names, "schedule.every_s", "serber", "did you mean server")


def test_an_empty_host_is_told(ferry, ftpd):
    ferry.configure(server={"host": ""})
    assert_does_not_start(ferry.boot(), ftpd, "server.host is empty")


# --- secrets


def everything_said(boot):
    return boot.text + json.dumps(boot.events)


@pytest.mark.parametrize("level", ["debug", "info"])
def test_the_password_is_never_said(ferry, ftpd, level):
    ferry.configure(log={"level": level})
    ferry.put("a.txt", b"a")
    said = everything_said(ferry.boot())
    assert ftpd.password not in said
    assert "a.txt" in said


def test_a_wrong_password_is_never_said(ferry, ftpd):
    ferry.configure(log={"level": "debug"}, server={"password": "wrong-horse"})
    boot = ferry.boot()
    assert ftpd.arguments("PASS")[0] == "wrong-horse"
    assert "wrong-horse" not in everything_said(boot)


@pytest.mark.parametrize("where", ["log", "events"])
def test_a_server_that_repeats_the_password_does_not_get_it_said(ferry, ftpd, where):
    ftpd.on_command = lambda verb, argument, place: f"530 {argument} is wrong" if verb == "PASS" else None
    ferry.put("a.txt", b"a")
    boot = ferry.boot()
    assert f"530 {'***' if where == 'log' else ''}" in (boot.text if where == "log" else json.dumps(boot.events))
    assert ftpd.password not in (boot.text if where == "log" else json.dumps(boot.events))


def test_an_account_is_never_said_either(ferry, ftpd):
    ferry.configure(log={"level": "debug"}, server={"account": "acct-secret"})
    replies = {"PASS": "332 account", "ACCT": "530 acct-secret is wrong"}
    ftpd.on_command = lambda verb, argument, place: replies.get(verb)
    assert "acct-secret" not in everything_said(ferry.boot())


def test_a_faulty_config_does_not_tell_the_password(ferry, ftpd):
    ferry.configure(server={"port": 0, "password": "x" * 200})
    assert "xxxx" not in ferry.boot().text


# --- Ctrl-C


@pytest.mark.parametrize(
    "state", ["IDLE", "LINK", "SCAN", "SESSION", "UPLOAD", "UPDATE", "REPORT", "BACKOFF", "RECOVER", "HALT"]
)
def test_ctrl_c_ends_it_in_any_state(ferry, ftpd, state):
    """The module stands still where it enters the state, so that the signal meets it there."""
    ferry.put("a.txt", b"a")
    if state == "BACKOFF":
        ferry.configure(server={"port": 1})
    if state == "HALT":
        ftpd.password = "another"
    stand_still = on_event_hook(f"if kind == 'state' and data[2] == '{state}':\n    while True:\n        pass")
    if state == "RECOVER":  # where it begins: no event tells of it
        stand_still = on_event_hook("pass") + (
            "def _stand(self):\n    print('standing')\n    while True:\n        pass\nFtpManager._do_recover = _stand\n"
        )
    boot = signalled(ferry, stand_still, lambda line: f', "{state}"]' in line or line == "standing")
    assert boot.status == 130


def test_ctrl_c_ends_a_transfer(ferry, ftpd):
    ferry.put("a.bin", b"a" * 100_000)
    boot = signalled(
        ferry, on_event_hook("if kind == 'progress':\n    while True:\n        pass"), lambda line: '"progress"' in line
    )
    assert boot.status == 130
    boot = ferry.boot(2)
    assert boot.cycles[-1]["ok"]
    assert ftpd.files(DEVICE) == {"a.bin": b"a" * 100_000}


def test_ctrl_c_ends_the_wait_for_a_silent_server(ferry, ftpd):
    waiting = []
    ftpd.on_command = lambda verb, argument, place: waiting[0].send_signal(2) if verb == "PASS" else None

    def on_event(event, process):
        waiting[:] = [process]

    boot = ferry.boot(0, on_event=on_event)
    assert boot.status == 130


def test_ctrl_c_ends_a_rest(ferry):
    ferry.configure(schedule={"every_s": 604800})

    def on_event(event, process):
        if event["kind"] == "cycle":
            interrupt(process)

    assert ferry.boot(0, on_event=on_event, skip_sleep=False).status == 130


def signalled(ferry, before, is_there):
    """Boot, and send Ctrl-C when a line of output says that the module stands where it should."""
    sent = []

    def on_line(line, process):
        if not sent and is_there(line):
            sent.append(line)
            interrupt(process)

    boot = ferry.boot(0, before=before, on_line=on_line)
    assert sent, boot.text
    return boot


# --- faults in the program


def test_a_fault_in_a_cycle_is_told_with_its_traceback_and_the_next_cycle_goes_on(ferry, ftpd):
    ferry.put("a.txt", b"a")
    broken = (
        on_event_hook("pass")
        + """
import uos
_ilistdir = uos.ilistdir
def _broken(path):
    uos.ilistdir = _ilistdir
    raise ValueError("sawdust")
uos.ilistdir = _broken
"""
    )
    boot = ferry.boot(2, before=broken)
    assert boot.status == 0
    assert "Traceback" in boot.text
    assert "ValueError: sawdust" in boot.text
    assert [cycle["ok"] for cycle in boot.cycles] == [False, True]
    assert ftpd.files(DEVICE) == {"a.txt": b"a"}


@pytest.mark.parametrize(
    "name", ["_do_recover", "_do_link", "_do_scan", "_do_session", "_do_upload", "_do_update", "_do_report"]
)
def test_a_fault_in_any_step_costs_one_cycle(ferry, ftpd, name):
    ferry.put("a.txt", b"a")
    broken = (
        on_event_hook("pass")
        + f"""
_step = FtpManager.{name}
def _broken(self):
    FtpManager.{name} = _step
    self._steps[self.state] = lambda: _step(self)
    raise KeyError("sawdust")
FtpManager.{name} = _broken
"""
    )
    boot = ferry.boot(2, before=broken)
    assert boot.status == 0
    assert "KeyError" in boot.text
    assert [cycle["ok"] for cycle in boot.cycles] == [False, True]
    assert ftpd.files(DEVICE) == {"a.txt": b"a"}


def test_what_a_cut_left_of_settings_and_of_a_reason_is_removed_and_nobody_elses(ferry, ftpd):
    ferry.put("config.json.part", b"{")
    ferry.put(".ferry/restarts.part", b"boot 1")
    ferry.put("somebody.part", b"else's")
    ferry.sync()
    assert ferry.state_files() == ["ledger"]
    assert [path.name for path in ferry.usr.glob("*.part")] == ["somebody.part"]


def test_a_ledger_of_garbage_does_not_stop_it(ferry, ftpd):
    ferry.put("a.txt", b"a")
    ferry.sync()
    (ferry.usr / ".ferry" / "ledger").write_bytes(b"garbage" * 50)
    boot = ferry.sync()
    assert "the ledger could not be read" in boot.text
    assert ftpd.files(DEVICE) == {"a.txt": b"a"}


def test_a_ledger_with_garbage_behind_it_is_still_read(ferry, ftpd):
    ferry.put("a.txt", b"a" * 50_000)
    ferry.put("b.txt", b"b" * 50_000)
    ferry.sync()
    with (ferry.usr / ".ferry" / "ledger").open("ab") as ledger:
        ledger.write(b"torn record")
    ftpd.forget()
    ferry.put("c.txt", b"c")
    ferry.sync()
    ferry.sync()
    assert ftpd.moved["up"] == 1
    assert sorted(ftpd.files(DEVICE)) == ["a.txt", "b.txt", "c.txt"]
