# Ferry at the REPL: what is said, what is set, and that nothing is changed by a wrong word. The device's files are loaded with
# empty stand-ins for the firmware's modules: what they do is tested on MicroPython (tests/device/test_console.py).
import importlib
import json
import sys
import types

import pytest

from app.config import SCHEMA
from app.errors import StorageError
from app.sync.ledger import Ledger
from app.sync.records import PUT_DONE, digest8
from app.worker import last_restarts, note_restart
from tests.fakes import MemoryFiles
from tests.unit.device_code import FIRMWARE

CONFIG = "/usr/config.json"


class Flash(MemoryFiles):
    def read(self, path, at_most):
        self._step("read", path)
        return self.store.get(path)

    def replace(self, path, raw):
        self._step("replace", path)
        self.store[path] = raw

    def config(self):
        return json.loads(self.store[CONFIG])


class Worker:
    """What the console may see of a worker, and set."""

    def __init__(self):
        self.is_running = True
        self.is_paused = self.is_wanted = self.has_new_settings = False
        self.wanted_restart = self.waits_for = ""

    def sync(self):
        self.is_wanted = True


@pytest.fixture
def device(monkeypatch):
    """Loads the device's modules that name the firmware."""
    before = set(sys.modules)
    for name in FIRMWARE:
        if name not in sys.modules:
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    # On the module app.config is loaded anew each time; here all tests share it.
    monkeypatch.setattr(importlib.import_module("app.start"), "forget_config", lambda: None)
    yield importlib.import_module
    for name in sorted({name for name in sys.modules if name.startswith("app.")} - before, reverse=True):  # for nobody else
        del sys.modules[name]
        package, _, own = name.rpartition(".")
        vars(sys.modules[package]).pop(own, None)


@pytest.fixture
def flash(device, monkeypatch):
    flash = Flash()
    flash.store[CONFIG] = b'{"server": {"host": "a.example", "password": "horse"}}'
    monkeypatch.setattr(device("app.platform.files"), "Files", lambda: flash)
    sys.modules.pop("app.keys", None)  # it has the other Files
    return flash


@pytest.fixture
def f(flash, device):
    return device("app.console")


@pytest.fixture
def worker(device, monkeypatch):
    worker = Worker()
    monkeypatch.setattr(device("app"), "running", worker)
    return worker


@pytest.fixture
def said(capsys):
    return lambda: capsys.readouterr().out.splitlines()


# --- settings


def test_a_setting_is_written_as_a_person_would_and_told(f, flash, said):
    f.set("schedule.every_s", 600)
    assert said() == ["schedule.every_s: 900 -> 600", "It counts when Ferry starts."]
    assert flash.config() == {"server": {"host": "a.example", "password": "horse"}, "schedule": {"every_s": 600}}
    assert b'\n    "every_s": 600\n' in flash.store[CONFIG]


def test_a_running_worker_is_told_of_new_settings(f, worker, said):
    f.set("server.host", "b.example")
    assert said() == ['server.host: "a.example" -> "b.example"', "It counts from the next cycle on."]
    assert worker.has_new_settings


@pytest.mark.parametrize(("key", "value"), [("run.thread", False), ("power.sleep", True)])
def test_what_is_looked_at_once_counts_after_a_restart(f, worker, said, key, value):
    f.set(key, value)
    assert said()[1] == "It counts after a restart: f.restart()"


def test_a_value_that_is_set_already_costs_no_flash(f, flash, worker, said):
    flash.fail_at = 2  # the first step reads
    f.set("server.host", "a.example")
    assert said() == ['server.host is "a.example" already']
    assert not worker.has_new_settings


def test_true_is_not_taken_for_one(f, flash, said):
    f.set("storage.reserve_blocks", 1)
    f.set("storage.reserve_blocks", True)
    assert "storage.reserve_blocks: true is not allowed" in said()[-1]
    assert flash.config()["storage"]["reserve_blocks"] == 1


@pytest.mark.parametrize(
    ("key", "value", "lines"),
    [
        ("server.port", 0, ["server.port: 0 is not allowed; it must be a whole number from 1 to 65535 TCP port"]),
        ("server.host", "", ["server.host is empty"]),
        ("server.timeout_s", 7, ["server.timeout_s: 7 is not allowed; it must be one of 5, 10, 15, 20"]),
        ("server.port", "21", ['server.port: "21" is not allowed', "numbers, True and False go without quotes"]),
        ("run.thread", "true", ['run.thread: "true" is not allowed', "numbers, True and False go without quotes"]),
        ("upload.include", "*.csv", ['upload.include: "*.csv" is not allowed; it must be a list']),
        ("upload.after", "move", ["upload.move_to: is empty"]),
        ("server.pasword", "x", ["server.pasword: unknown key; did you mean server.password?"]),
        ("server", "x", ["server: unknown key; "]),
        ("a.b.c", "x", ["a.b.c: unknown key; "]),
        ("upload[1].mode", "batch", ["upload[1].mode: there are 1; the first is upload[0]"]),
        ("upload[x].mode", "batch", ["upload[x].mode: unknown key; did you mean upload.mode?"]),
        (5, 5, ["5: unknown key; "]),
        ("upload.include", [["*.csv"]], ['upload.include: [["*.csv"]] is not allowed; it must be a list']),
        ("upload.include", {"a": 1}, ['upload.include: {"a": 1} is not allowed; it must be a list']),
        ("schedule.windows", ["22:00-06:00", ["1"]], ["schedule.windows: "]),
        ("schedule.every_s", 600.5, ["schedule.every_s: 600.5 is not allowed; it must be a whole number"]),
        ("schedule.every_s", None, ["schedule.every_s: null is not allowed; it must be a whole number"]),
        ("server.host", print, ["server.host: <built-in function print> is no value of a setting"]),
        ("server", {"host": "x"}, ["server: unknown key; "]),
    ],
)
def test_a_bad_value_is_one_line_and_nothing_is_written(f, flash, worker, said, key, value, lines):
    before = dict(flash.store)
    f.set(key, value)
    found = said()
    assert [line[: len(start)] for line, start in zip(found, lines, strict=True)] == lines
    assert flash.store == before
    assert not worker.has_new_settings


def test_a_rule_in_a_list_is_named_by_its_number(f, flash, said):
    rules = [{"from": "/usr/a"}, {"from": "/usr/b"}]
    flash.store[CONFIG] = json.dumps({"server": {"host": "h"}, "upload": rules}).encode()
    f.set("upload[1].mode", "batch")
    f.set("upload.mode", "batch")
    assert flash.config()["upload"] == [{"from": "/usr/a"}, {"from": "/usr/b", "mode": "batch"}]
    assert said()[-1] == "upload.mode: there are 2; the first is upload[0]"


def test_the_only_rule_needs_no_number(f, flash):
    flash.store[CONFIG] = json.dumps({"server": {"host": "h"}, "upload": [{"from": "/usr/a"}]}).encode()
    f.set("upload.mode", "batch")
    f.set("upload[0].priority", 9)
    assert flash.config()["upload"] == [{"from": "/usr/a", "mode": "batch", "priority": 9}]


@pytest.mark.parametrize("raw", [b"{", b"[]", b"3", b'{"server": 3}', b'{"upload": [3]}'])
def test_a_broken_file_is_told_and_left_alone(f, flash, said, raw):
    flash.store[CONFIG] = raw
    f.set("upload.mode", "batch")
    f.set("server.port", 2121)
    f.get()
    assert len([line for line in said() if "config.json" in line or "server" in line or "upload" in line]) >= 3
    assert flash.store[CONFIG] == raw


def test_a_missing_file_is_told(f, flash, said):
    del flash.store[CONFIG]
    f.set("server.port", 2121)
    f.get()
    assert [line.split(":")[0] for line in said()] == ["config.json is missing"] * 2


def test_a_full_flash_is_told_and_the_worker_not(f, flash, worker, said):
    flash.fail_at = 2
    f.set("server.port", 2121)
    assert "StorageError in replace" in said()[-1]
    assert flash.config() == {"server": {"host": "a.example", "password": "horse"}}
    assert not worker.has_new_settings


def test_all_settings_are_shown_once_and_the_changed_ones_marked(f, said):
    f.get()
    lines = said()
    assert sorted(line[2:].split(" = ")[0] for line in lines[:-1]) == sorted(row[0] for row in SCHEMA)
    assert [line for line in lines if line.startswith("*")] == [
        '* server.host = "a.example"',
        "* server.password = ***",
        "* differs from the default",
    ]


def test_one_setting_is_explained(f, said):
    f.get("schedule.every_s")
    assert said() == ["  schedule.every_s = 900", "  time between two cycles; default 900 s"]


def test_a_section_is_shown(f, said):
    f.get("link")
    assert [line[2:6] for line in said()[:-1]] == ["link", "link"]


def test_rules_are_shown_one_after_the_other(f, flash, said):
    rules = [{"from": "/usr/a"}, {"from": "/usr/b"}]
    flash.store[CONFIG] = json.dumps({"server": {"host": "h"}, "upload": rules}).encode()
    f.get("upload.from")
    f.get("upload[1].from")
    assert said()[:-1] == [
        '* upload[0].from = "/usr/a"',
        '* upload[1].from = "/usr/b"',
        "* differs from the default",
        '* upload[1].from = "/usr/b"',
    ]


def test_one_of_several_servers_is_named_by_its_number(f, flash, said):
    servers = [{"host": "a", "password": "horse"}, {"host": "b"}]
    flash.store[CONFIG] = json.dumps({"server": servers}).encode()
    f.set("server[1].port", 2121)
    f.get("server.password")
    assert flash.config()["server"][1] == {"host": "b", "port": 2121}
    assert said()[2:] == ["* server[0].password = ***", '  server[1].password = ""', "* differs from the default"]


def test_an_unknown_key_is_told(f, said):
    f.get("server.hots")
    f.get("hello")
    f.get(5)
    assert said() == [
        "server.hots: unknown key; did you mean server.host?",
        "hello: unknown key; f.get() shows all",
        "5: unknown key; f.get() shows all",
    ]


def test_secrets_are_never_shown(f, said):
    f.get()
    f.get("server.password")
    f.set("server.password", "donkey")
    f.set("server.password", "x" * 200)
    f.set("update.key", "staple")
    text = "\n".join(said())
    assert "server.password: *** -> ***" in text
    assert 'update.key: "" -> ***' in text
    for secret in ("horse", "donkey", "xxx", "staple"):
        assert secret not in text


# --- the worker


def test_flags_are_all_that_is_set(f, worker, said):
    f.pause()
    assert worker.is_paused
    f.resume()
    assert not worker.is_paused
    f.sync()
    assert worker.is_wanted
    f.restart()
    assert worker.wanted_restart == "asked for at the REPL"
    assert len(said()) == 4


def test_a_worker_whose_thread_has_ended_does_not_run(f, worker, said):
    worker.is_running = False
    f.pause()
    f.resume()
    assert said() == ["Ferry does not run. Ctrl-D starts it, f.restart() restarts the module."] * 2
    assert not worker.is_paused


def test_without_a_worker_restart_notes_the_reason_keeps_the_log_and_restarts(f, flash, device, monkeypatch):
    note_restart(flash, "boot 3: no link", ["what went wrong"])
    at_restart = []
    monkeypatch.setattr(
        device("app.platform.quec").Power, "restart", lambda self: at_restart.append(last_restarts(flash))
    )
    f.restart()
    assert at_restart == [(["boot 3: no link", "asked for at the REPL"], ["what went wrong"])]


def test_a_full_flash_does_not_keep_a_person_from_restarting(f, flash, device, monkeypatch, said):
    restarted = []
    monkeypatch.setattr(device("app.platform.quec").Power, "restart", lambda self: restarted.append(self))
    flash.fail_at = 2  # the first step reads
    f.restart()
    assert len(restarted) == 1
    assert "error 28" in said()[0]


def test_a_flash_that_fails_is_a_line(f, flash, said):
    flash.fail_at = 1
    f.get("server.host")
    assert said() == [f"StorageError in read: read {CONFIG}: error 28; {StorageError.advice}"]


def test_help_names_every_function(f, said):
    f.help()
    text = "\n".join(said())
    functions = [x.__name__ for x in vars(f).values() if isinstance(x, types.FunctionType)]
    names = [name for name in functions if not name.startswith("_")]
    assert len(names) == 11
    for name in names:
        assert f"f.{name}(" in text or name == "help"


def test_the_short_name_has_every_function(f, device, monkeypatch):
    monkeypatch.setattr(sys, "path", ["/usr", *sys.path])
    short = device("ferry")
    for name in ("check", "files", "get", "help", "log", "pause", "restart", "resume", "set", "status", "sync"):
        assert getattr(short, name) is getattr(f, name)


# --- words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7260, "2 h 1 min"), (90000, "1 d 1 h")],
)
def test_times_are_in_words(device, seconds, words):
    assert device("app.look")._span(seconds) == words


@pytest.mark.parametrize(
    ("state", "flags", "words"),
    [
        ("RECOVER", {}, "starts; the first cycle in 45 s"),
        ("IDLE", {}, "rests; the next cycle in 45 s"),
        ("BACKOFF", {}, "the last cycle failed; the next try in 45 s"),
        ("HALT", {}, "the login is refused; the next try in 45 s"),
        ("UPLOAD", {"is_paused": True}, "in a cycle: UPLOAD"),
        ("IDLE", {"is_paused": True}, "paused; f.resume() goes on"),
        ("IDLE", {"is_wanted": True}, "a cycle begins"),
        ("IDLE", {"waits_for": "the signal is 3"}, "no cycle now: the signal is 3; next look in 45 s"),
        ("IDLE", {"wanted_restart": "why", "is_paused": True}, "a restart is due: why"),
    ],
)
def test_what_the_worker_does_is_in_words(device, state, flags, words):
    worker = Worker()
    for name, value in flags.items():
        setattr(worker, name, value)
    assert device("app.look")._doing(worker, state, 45) == words


def test_every_resting_state_has_words(device):
    from ftp_manager import RESTING

    assert set(RESTING) | {"RECOVER"} == set(device("app.look")._STATES)


def test_the_ledger_is_where_the_cycle_keeps_it(device):
    from ftp_manager import LEDGER

    assert device("app.look").LEDGER == LEDGER


def test_a_ledger_that_the_worker_rewrites_meanwhile_is_told_and_not_searched(device, monkeypatch):
    look = device("app.look")
    files = MemoryFiles()
    monkeypatch.setattr(look, "_Files", lambda: files)
    worker = Ledger(files, look.LEDGER)
    keys = [digest8(str(number)) for number in range(300)]
    for key in keys:
        worker.put(PUT_DONE, key, 7)
    worker.compact()
    ledger = look._Ledger()
    assert ledger.numbers(keys[0]) == (7, 0)
    ledger.close()
    worker.compact()
    with pytest.raises(StorageError, match="meanwhile"):
        ledger.numbers(keys[1])
