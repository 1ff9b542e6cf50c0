# Ferry at the REPL, on MicroPython: beside a worker that rests, and where main.py did not run.
import json

import pytest

from tests.device.ferry import DEVICE, on_event_hook
from tools.device_files import ROOT
from tools.sim.firmware import FIRMWARE

HEAP = "320k"  # from source: what a person asks for is compiled beside all the rest
FRESH = "from usr import ferry as f\n"  # all that a person has to type at a fresh REPL
NOT_RUNNING = "Ferry does not run. Ctrl-D starts it, f.restart() restarts the module."


@pytest.fixture
def ferry(ferry):
    ferry.heap = HEAP
    ferry.configure(log={"level": "warning"})
    return ferry


def fresh(ferry, *lines):
    """What each of the lines prints at a REPL where main.py did not run: {line: [printed]}, and the boot."""
    boot = ferry.boot(0, main=FRESH + "".join(f"print({'>>> ' + line!r})\n{line}\n" for line in lines))
    return answers(boot), boot


def beside(ferry, *lines, cycles=2):
    """The same beside Ferry: a person types the lines, one each time the worker takes a rest."""
    before = f"""
import usys
usys.path.append("/usr")
from app.platform.clock import Clock
_typed = {["from usr import ferry as f", *lines]!r}
_names = {{}}
_sleep_ms = Clock.sleep_ms
def _rest(self, ms):
    import app
    if _typed and app.running.result and app.running.manager.state in ("IDLE", "BACKOFF", "HALT"):
        line = _typed.pop(0)
        print(">>> " + line)
        exec(line, _names)
    _sleep_ms(self, ms)
Clock.sleep_ms = _rest
"""
    ferry.configure(schedule={"every_s": 3600})
    boot = ferry.boot(cycles, before=before)
    return answers(boot), boot


def answers(boot):
    found, printed = {}, []
    for line in boot.lines:
        if line.startswith(">>> "):
            printed = found.setdefault(line[4:], [])
        else:
            printed.append(line)
    assert "Traceback" not in boot.text, boot.text
    return found


def value(lines, name):
    """What stands behind a name in the block of status()."""
    return [line[10:] for line in lines if line[:10].strip() == name]


# --- beside a running Ferry


def test_status_tells_what_ferry_does(ferry, ftpd):
    ferry.put("a.txt", b"a")
    said, _ = beside(ferry, "f.status()", "f.sync()")
    lines = said["f.status()"]
    assert value(lines, "now")[0].startswith("rests; the next cycle in ")
    assert value(lines, "device") == [DEVICE]
    assert value(lines, "server") == [f"127.0.0.1:{ftpd.port}"]
    assert int(value(lines, "today")[0].partition(" bytes on the air")[0]) > 1000
    assert value(lines, "cycles")[0].startswith("1, the last good one ")
    assert value(lines, "last") == ["1 up, 0 down, 0 skipped"]
    assert value(lines, "boots") == ["1"]
    assert value(lines, "signal") == ["24 of 31"]
    assert NOT_RUNNING not in lines


def test_status_tells_an_error_with_advice_and_when_it_is_tried_again(ferry, ftpd):
    ftpd.password = "another"
    said, _ = beside(ferry, "f.status()", "f.sync()")
    lines = said["f.status()"]
    assert value(lines, "now")[0].startswith("the login is refused; the next try in 59 min")
    assert value(lines, "error")[0].startswith("AuthError in PASS: 530")
    assert "          check server.user and server.password" in lines


def test_parked_files_are_told_with_the_reason(ferry, ftpd):
    ferry.put("bad.bin", b"bad")
    ferry.put("good.bin", b"good")
    ftpd.on_command = lambda verb, argument, place: "553 no such luck" if "bad" in argument else None
    said, _ = beside(ferry, "f.status()", "f.files()", "f.sync()")
    assert value(said["f.status()"], "parked") == ["1"]
    assert "          /usr/bad.bin: 553 no such luck" in said["f.status()"]
    assert [line for line in said["f.files()"] if line.startswith("/usr/bad.bin  3 bytes  parked: 553 no such luck")]


def test_sync_lets_a_cycle_begin_at_once(ferry, ftpd):
    typed = ["open('/usr/new.txt', 'w').close()", "f.sync()"]
    _, boot = beside(ferry, *typed)
    assert "new.txt" in ftpd.files(DEVICE)
    assert len(boot.cycles) == 2


def test_a_setting_counts_from_the_next_cycle_on(ferry, ftpd):
    ferry.put("a.txt", b"a")
    said, boot = beside(ferry, "f.set('upload.to', 'elsewhere')", "f.get('upload.to')", "f.sync()")
    assert said["f.set('upload.to', 'elsewhere')"][-1] == "It counts from the next cycle on."
    assert said["f.get('upload.to')"][0] == '* upload.to = "elsewhere"'
    assert ftpd.files("elsewhere") == ftpd.files(DEVICE) == {"a.txt": b"a"}
    assert [cycle["ok"] for cycle in boot.cycles] == [True, True]


def test_a_setting_counts_in_a_cycle_that_is_wanted_at_once(ferry, ftpd):
    ferry.put("a.txt", b"a")
    beside(ferry, "f.set('upload.to', 'elsewhere'); f.sync()")
    assert ftpd.files("elsewhere") == {"a.txt": b"a"}


def test_a_bad_value_changes_nothing(ferry, ftpd):
    typed = "f.set('server.timeout_s', '5')"
    print_config = "print(open('/usr/config.json').read())"
    said, boot = beside(ferry, print_config, typed, print_config + ";", "f.sync()")
    assert said[typed][0].startswith('server.timeout_s: "5" is not allowed; it must be one of 5, 10, 15, 20')
    assert said[print_config] == said[print_config + ";"] != []
    assert boot.cycles[1]["ok"]


def test_paused_no_cycle_begins_until_it_goes_on(ferry, ftpd):
    typed = ["f.pause()", *["utime.sleep_ms(200000)"] * 20, "f.status()", "f.resume()"]
    said, boot = beside(ferry, "import utime", *typed)
    assert value(said["f.status()"], "now") == ["paused; f.resume() goes on"]
    assert value(said["f.status()"], "cycles")[0].startswith("1, ")
    assert len(boot.cycles) == 2


def test_restart_restarts_with_the_reason_and_the_log_is_kept(ferry, ftpd):
    ftpd.password = "another"
    _, boot = beside(ferry, "f.restart()", cycles=0)
    assert boot.status == 75
    assert "restart: asked for at the REPL" in boot.lines[-1]
    said, _ = fresh(ferry, "f.status()", "f.log()")
    assert value(said["f.status()"], "restart") == ["after boot 1: asked for at the REPL"]
    assert [line for line in said["f.log()"] if "AuthError" in line]
    said, _ = beside(ferry, "f.log('last')", "f.log()", "f.sync()")
    assert [line for line in said["f.log('last')"] if "AuthError" in line]
    assert "    restart" not in "\n".join(said["f.log()"])


def test_what_only_shows_leaves_the_flash_and_the_memory_as_they_were(ferry, ftpd):
    ferry.put("a.txt", b"a")
    compacting = "open('/usr/.ferry/ledger.new', 'w').close()"  # the worker in the middle of it
    look = "import uos; print(sorted([(e[0], e[3]) for d in ('/usr', '/usr/.ferry') for e in uos.ilistdir(d)]))"
    loaded = "import usys; print([n for n in ('look', 'keys', 'check', 'config', 'settings') if 'app.' + n in usys.modules])"
    shown = ["f.status()", "f.files()", "f.check()", "f.get()", "f.get('server')", "f.log()", "f.log('last')", "f.help()"]
    said, _ = beside(ferry, compacting, look, *shown, look + ";", loaded, "f.sync()")
    assert "ledger.new" in said[look][0]
    assert said[look] == said[look + ";"]
    assert said[loaded] == ["[]"]


def test_console_and_worker_load_the_schema_one_after_the_other(ferry, ftpd):
    lock = "{'acquire': lambda self: print('borrowed'), 'release': lambda self: print('given back')}"
    typed = ["import app", f"app.config_lock = type('Lock', (), {lock})()"]
    get, bad, good = "f.get('log.level')", "f.set('log.level', 3)", "f.set('log.level', 'error')"
    said, _ = beside(ferry, *typed, get, bad, good, "f.sync()")
    one_at_a_time = ["borrowed", "given back"]
    assert [line for line in said[get] if line in one_at_a_time] == one_at_a_time
    assert [line for line in said[bad] if line in one_at_a_time] == one_at_a_time
    assert [line for line in said[good] if line in one_at_a_time] == one_at_a_time * 2


def test_the_module_has_its_own_name_too(ferry, ftpd):
    said, _ = beside(ferry, "import app.console as f", "f.pause()", "f.resume()", "f.sync()")
    assert said["f.pause()"][0].startswith("Paused")


# --- a fresh REPL


@pytest.mark.parametrize("name", ["from usr import ferry as f", "import usr.ferry as f", "from usr.ferry import *"])
def test_the_short_name_works_where_main_did_not_run(ferry, ftpd, name):
    boot = ferry.boot(0, main=name + "\n" + ("pause()" if "*" in name else "f.pause()"))
    assert (boot.status, boot.lines) == (0, [NOT_RUNNING])


def test_a_fresh_repl_can_do_it_all(ferry, ftpd):
    ferry.put("a.txt", b"a")
    ferry.configure(server={"host": "nowhere.invalid"})
    typed = "f.set('server.host', '127.0.0.1')"
    said, _ = fresh(ferry, "f.status()", typed, "f.sync()", "f.files()", "f.log()", "f.resume()")
    assert said["f.status()"][0] == NOT_RUNNING
    assert value(said["f.status()"], "device") == [DEVICE]
    assert value(said["f.status()"], "server") == [f"nowhere.invalid:{ftpd.port}"]
    assert value(said["f.status()"], "power on") == ["power key"]
    assert value(said["f.status()"], "boots") == ["0"]
    assert said[typed] == ['server.host: "nowhere.invalid" -> "127.0.0.1"', "It counts when Ferry starts."]
    assert said["f.sync()"][-1] == "ok: 1 sent, 0 fetched, 0 skipped"
    assert said["f.log()"] == ["No log was kept: it is when it holds an error at a restart."]
    assert said["f.resume()"] == [NOT_RUNNING]
    assert ftpd.files(DEVICE) == {"a.txt": b"a"}
    ftpd.forget()
    ferry.sync()
    assert ftpd.moved["up"] == 0


EACH = {  # what may be typed, and a word of what is said
    "f.status()": "Ferry",
    "f.check()": "all is well",
    "f.files()": "1 files",
    "f.get()": "server.host",
    "f.get('server.host')": "127.0.0.1",
    "f.set('schedule.every_s', 3601)": "3600 -> 3601",
    "f.log()": "",
    "f.log('last')": "No log was kept",
    "f.pause()": "",
    "f.resume()": "",
    "f.help()": "f.restart()",
    "f.sync()": "",
    "f.restart()": "",
}


@pytest.mark.parametrize("year", FIRMWARE)
@pytest.mark.parametrize("place", [fresh, beside])
def test_each_function_works_at_either_prompt_with_either_firmware(ferry, ftpd, place, year):
    ferry.put("a.txt", b"a")
    ferry.configure(schedule={"every_s": 3600}, upload={"to": "{device}"})
    boot_once = ferry.boot
    ferry.boot = lambda *args, **more: boot_once(*args, variants=FIRMWARE[year], **more)
    more = {} if place is fresh else {"cycles": 0}
    said, boot = place(ferry, *EACH, **more)
    for line, word in EACH.items():
        assert word in "\n".join(said[line]), (line, said[line])
    assert boot.status == 75, boot.text
    shown, _ = fresh(ferry, "f.status()")
    assert value(shown["f.status()"], "restart")[-1].endswith("asked for at the REPL")


def test_a_cycle_that_fails_in_the_foreground_is_told_with_advice(ferry, ftpd):
    ftpd.password = "another"
    said, boot = fresh(ferry, "f.sync()")
    assert said["f.sync()"][-1].startswith("failed: AuthError in PASS: 530")
    assert said["f.sync()"][-1].endswith("; check server.user and server.password")
    assert boot.status == 0


def test_bad_settings_are_told_in_place_of_a_traceback(ferry, ftpd):
    ferry.configure(server={"port": 0})
    said, _ = fresh(ferry, "f.status()", "f.files()", "f.get()", "f.sync()", f"f.set('server.port', {ftpd.port})")
    problem = "server.port: 0 is not allowed"
    assert value(said["f.status()"], "settings")[0].startswith(problem)
    assert said["f.files()"][0].startswith(problem)
    assert said["f.get()"][0].startswith(problem)
    assert problem in "\n".join(said["f.sync()"])
    assert ferry.sync().cycles[0]["ok"]


@pytest.mark.parametrize(
    ("name", "content"), [("apply", {"version": 2, "moves": []}), ("trial", {"version": 2, "boots": 0, "moves": []})]
)
def test_a_cycle_of_the_old_code_confirms_no_update(ferry, ftpd, name, content):
    ferry.put(".ferry/" + name, json.dumps(content).encode())
    said, _ = fresh(ferry, "f.sync()")
    assert said["f.sync()"] == ["An update is in place and waits for a restart: f.restart()"]
    assert ferry.state_files() == [name]


def test_an_update_that_has_had_a_boot_is_confirmed_by_a_cycle_in_the_foreground(ferry, ftpd):
    ferry.put(".ferry/trial", json.dumps({"version": 2, "boots": 1, "limit": 3, "moves": []}).encode())
    said, _ = fresh(ferry, "f.sync()")
    assert said["f.sync()"][-1] == "ok: 0 sent, 0 fetched, 0 skipped"
    assert ferry.state_files() == ["ledger"]


def test_ctrl_c_in_the_main_thread_leaves_no_watchdog_behind(ferry, ftpd):
    ferry.configure(run={"thread": False})
    before = """
import usys
usys.path.append("/usr")
from app.platform.clock import Clock
import _world
def interrupted(self, ms):
    print("watchdog", _world._watchdog[0])
    raise KeyboardInterrupt
Clock.sleep_ms = interrupted
"""
    typed = """
try:
    main()
except KeyboardInterrupt:
    pass
print("watchdog", _world._watchdog and _world._watchdog[0])
from usr import ferry as f
f.status()
"""
    defined = (ROOT / "main.py").read_text().split("if __name__")[0]
    boot = ferry.boot(0, before=before, main=defined + typed)
    assert [line for line in boot.lines if line.startswith("watchdog ")] == ["watchdog 300000", "watchdog None"]
    assert NOT_RUNNING in boot.lines


def test_check_takes_a_setting_that_the_worker_has_not_taken_yet(ferry, ftpd):
    typed = "f.set('server.port', 1); f.check()"
    said, _ = beside(ferry, typed, "f.set('schedule.jitter_s', 1)", "f.sync()")
    assert "server 127.0.0.1:1" in said[typed]


def test_restart_at_a_fresh_repl_restarts(ferry, ftpd):
    _, boot = fresh(ferry, "f.restart()")
    assert boot.status == 75


# --- files


def test_each_file_is_told_where_it_stands(ferry, ftpd):
    ferry.configure(
        upload=[
            {"from": "/usr/data", "to": "{device}/data", "max_bytes": 100, "exclude": ["*.tmp"]},
            {"from": "/usr/log", "to": "{device}/log", "mode": "append"},
            {"from": "/usr/cam", "to": "{device}/{date}/{name}"},
            {"from": "/usr/slow", "to": "{device}/slow", "settle_s": 60},
            {"from": "/usr", "to": "{device}", "include": ["none"]},
        ]
    )
    for name in ("data/a.csv", "data/b.csv", "log/app.log"):
        ferry.put(name, b"1234\n")
    ferry.sync()
    ferry.put("data/b.csv", b"4321\n")  # rewritten with the same size
    ferry.put("data/large.csv", b"x" * 101)
    ferry.put("data/c.tmp", b"x")
    ferry.put("log/app.log", b"1234\n5678\n")
    ferry.put("cam/shot.jpg", b"x")
    ferry.put("slow/slow.txt", b"x")
    said, _ = fresh(ferry, "f.files()")
    lines = said["f.files()"]
    assert lines[-1] == "6 files, 1 of them sent"
    assert lines[-2] == "/usr/data/a.csv  5 bytes  sent"
    assert "/usr/data/b.csv  5 bytes  goes" in lines
    assert "/usr/data/large.csv  101 bytes  never: 101 bytes; upload.max_bytes is 100" in lines
    assert "/usr/log/app.log  10 bytes  goes" in lines
    assert "/usr/slow/slow.txt  1 bytes  waits: goes when it stood still for 60 s" in lines
    protected = [line for line in lines if line.startswith("/usr  protected: ")]
    assert len(protected) == 1
    for name in ("config.json", "ferry.py", "main.py", ".ferry", "app"):
        assert name in protected[0]


def test_what_a_good_cycle_sent_last_is_sent_although_the_flash_does_not_say_so_yet(ferry, ftpd):
    ferry.put("data/a.csv", b"1234\n")
    ferry.put("log/app.log", b"1234\n")
    ferry.configure(upload=[{"from": "/usr/data"}, {"from": "/usr/log", "mode": "append"}])
    rewrite = "s = open('/usr/data/a.csv', 'w'); s.write('4321\\n'); s.close()"
    said, _ = beside(ferry, "f.files()", rewrite, "f.files() ", "f.sync()")
    assert said["f.files()"] == [
        "/usr/data/a.csv  5 bytes  sent",
        "/usr/log/app.log  5 bytes  sent",
        "2 files, 2 of them sent",
    ]
    assert said["f.files() "][0] == "/usr/data/a.csv  5 bytes  goes"


def test_what_was_cut_is_under_way(ferry, ftpd):
    ferry.put("data/a.bin", b"a" * 100_000)
    ferry.configure(upload={"from": "/usr/data"})
    ferry.boot(0, before=on_event_hook("if kind == 'progress':\n    raise SystemExit"))
    said, _ = fresh(ferry, "f.files()")
    assert said["f.files()"] == ["/usr/data/a.bin  100000 bytes  under way", "1 files, 0 of them sent"]


def test_a_name_with_a_date_waits_for_the_clock(ferry, ftpd):
    ferry.put("cam/shot.jpg", b"x")
    ferry.configure(upload={"from": "/usr/cam", "to": "{device}/{date}/{name}"})
    boot = ferry.boot(0, main=FRESH + "f.files()", epoch_s=0)
    assert "/usr/cam/shot.jpg  1 bytes  waits: the clock is not set, and its name holds date or time" in boot.lines


def test_a_used_up_budget_is_a_reason_to_wait(ferry, ftpd):
    ferry.put("data/a.bin", b"x" * 5000)
    ferry.configure(upload={"from": "/usr/data"}, budget={"day_bytes": 4000})
    said, _ = fresh(ferry, "f.files()")
    assert said["f.files()"][0] == "/usr/data/a.bin  5000 bytes  waits: it alone is more than budget.day_bytes"


def test_of_many_files_what_is_not_sent_comes_first(ferry, ftpd):
    for number in range(60):
        ferry.put(f"data/{number:02}.txt", b"x")
    ferry.configure(upload={"from": "/usr/data"})
    ferry.sync()
    for number in range(57, 60):
        ferry.put(f"data/{number:02}.txt", b"new")
    said, _ = fresh(ferry, "f.files()")
    lines = said["f.files()"]
    assert lines[:3] == [f"/usr/data/{number}.txt  3 bytes  goes" for number in (57, 58, 59)]
    assert lines[3:50] == [f"/usr/data/{number:02}.txt  1 bytes  sent" for number in range(47)]
    assert lines[50:] == ["and 10 more", "60 files, 57 of them sent"]


# --- in the field


def test_compiled_it_fits_beside_a_running_ferry(ferry, ftpd):
    ferry.put("a.txt", b"a")
    ferry.configure(schedule={"every_s": 3600})
    ferry.compile()
    said, boot = beside(ferry, "f.status()", "f.files()", "f.get()", "f.set('schedule.every_s', 600)", "f.sync()")
    assert "MemoryError" not in boot.text
    assert said["f.set('schedule.every_s', 600)"][0] == "schedule.every_s: 3600 -> 600"
    assert [cycle["ok"] for cycle in boot.cycles] == [True, True]
