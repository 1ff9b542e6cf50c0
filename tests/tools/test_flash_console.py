# Ferry's console from the PC, against a real REPL beside a running Ferry.
import json
import os
import select
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from tests.tools.pty_module import PtyModule, config
from tools.board import console
from tools.board.cli import COMMANDS
from tools.device_files import ROOT, device_files


def start(folder, settings):
    code = {path.as_posix(): (ROOT / path).read_bytes() for path in device_files()}
    return PtyModule(folder, {**code, "config.json": settings})


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """A module whose Ferry runs in its thread: all these tests together neither stop nor restart it."""
    with start(tmp_path_factory.mktemp("beside"), config()) as module:
        module.wait_for_prompt()
        wait_until_it_runs(module)
        yield module
        assert module.boots == 1


def call(module, name, *args, text=None):
    command = {command.name: command for command in COMMANDS}[name]
    return CliRunner().invoke(command, [*args, "--port", module.port], input=text)


def wait_until_it_runs(module):
    """The prompt may come before the thread has begun."""
    assert any(json.loads(call(module, "status", "--json").output)["is_running"] for _ in range(100))


def test_status(beside):
    done = call(beside, "status")
    assert done.exit_code == 0, done.output
    assert "now       starts; the first cycle in" in done.output
    assert "device    pump-7" in done.output


def test_status_for_programs(beside):
    found = json.loads(call(beside, "status", "--json").output)
    assert (found["Ferry"], found["device"], found["is_running"]) == ("0.1.0", "pump-7", True)


def test_set_is_checked_on_the_module_and_counts(beside):
    done = call(beside, "set", "schedule.every_s", "600")
    assert done.exit_code == 0, done.output
    assert "-> 600" in done.output
    assert call(beside, "set", "schedule.every_s", "600").exit_code == 0  # is that already
    assert json.loads(call(beside, "get", "schedule.every_s", "--json").output) == {"schedule.every_s": 600}
    done = call(beside, "set", "schedule.every_s", "5")
    assert done.exit_code == 1
    assert "10 to 604800" in done.output


@pytest.mark.parametrize(
    ("key", "typed", "held"),
    [
        ("server.user", "12345", "12345"),  # digits, and text all the same
        ("server.user", 'a "b" \\ é', 'a "b" \\ é'),
        ("server.tls", "explicit", "explicit"),
        ("server.timeout_s", "20", 20),
        ("upload.exclude", '["*.tmp", "é"]', ["*.tmp", "é"]),
        ("upload.whole_lines", "false", False),
    ],
)
def test_what_is_typed_becomes_the_settings_type(beside, key, typed, held):
    done = call(beside, "set", key, typed)
    assert done.exit_code == 0, done.output
    section, _, name = key.partition(".")
    assert json.loads(beside.code()["config.json"])[section][name] == held
    assert json.loads(call(beside, "get", key, "--json").output) == {key: held}


def test_a_secret_is_asked_for_and_never_shown(beside):
    done = call(beside, "set", "server.password", text="hush-hush\nhush-hush\n")
    assert done.exit_code == 0, done.output
    shown = call(beside, "get", "server").output
    assert "hush" not in done.output + shown
    assert "topsecret" not in done.output + shown
    assert json.loads(beside.code()["config.json"])["server"]["password"] == "hush-hush"


def test_a_value_that_is_no_secret_must_be_there(beside):
    done = call(beside, "set", "server.host")
    assert done.exit_code == 2
    assert "VALUE is missing" in done.output


def test_unknown_keys_are_the_modules_to_judge(beside):
    done = call(beside, "set", "server.hots", "x")
    assert (done.exit_code, "did you mean server.host" in done.output) == (1, True)
    done = call(beside, "get", "nothing")
    assert (done.exit_code, "unknown key" in done.output) == (1, True)


def test_check_says_what_is_wrong_and_is_1_then(beside):
    done = call(beside, "check")
    assert done.exit_code == 1
    assert "WRONG connect" in done.output


def test_log_files_pause_resume(beside):
    assert "info    Ferry 0.1.0" in call(beside, "log").output
    assert "No log was kept" in call(beside, "log", "last").output
    assert "0 files" in call(beside, "files").output
    assert "Paused" in call(beside, "pause").output
    assert "paused" in json.loads(call(beside, "status", "--json").output)["now"]
    assert "Cycles come" in call(beside, "resume").output


def test_a_prompt_is_left_behind(beside):
    call(beside, "status")
    assert beside.output().endswith(">>> ")


def test_where_main_holds_the_repl_nothing_is_interrupted_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.board.repl.FREE_S", 0.3)
    with start(tmp_path, config(run={"thread": False})) as module:
        module.wait_for("Ferry 0.1")
        done = call(module, "status")
        assert done.exit_code == 1
        assert "run.thread = false" in done.output
        assert "--interrupt" in done.output
        assert module.boots == 1
        done = call(module, "set", "schedule.every_s", "600", "--interrupt")
        assert done.exit_code == 0, done.output
        assert "it is restarted afterwards" in done.output
        module.wait_for("Ferry 0.1", boots=3)
        assert json.loads(module.code()["config.json"])["schedule"]["every_s"] == 600


def test_restart_where_ferry_does_not_run_starts_it(tmp_path):
    with start(tmp_path, config(server={"host": ""})) as module:
        module.wait_for("Ferry does not start")
        module.wait_for_prompt()
        assert call(module, "set", "server.host", "ftp.example.com").exit_code == 0
        done = call(module, "restart")
        assert done.exit_code == 0, done.output
        assert "Ferry 0.1.0" in done.output
        assert "does not start" not in done.output
        wait_until_it_runs(module)
        assert module.boots == 2


def test_restart_of_a_running_ferry_is_its_own(tmp_path):
    with start(tmp_path, config()) as module:
        module.wait_for_prompt()
        wait_until_it_runs(module)
        done = call(module, "restart")
        assert done.exit_code == 0, done.output
        assert "as soon as Ferry rests" in done.output
        module.wait_for("restart: asked for at the REPL")  # the worker's own words


def test_restart_of_a_main_that_holds_the_repl(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.board.repl.FREE_S", 0.3)
    with start(tmp_path, config(run={"thread": False})) as module:
        module.wait_for("Ferry 0.1")
        done = call(module, "restart", "--interrupt")
        assert done.exit_code == 0, done.output
        assert "Ferry 0.1.0" in done.output
        assert module.boots == 3


def test_a_module_without_ferry(tmp_path):
    with PtyModule(tmp_path) as module:
        module.wait_for_prompt()
        done = call(module, "status")
        assert done.exit_code == 1
        assert "python -m tools flash" in done.output


def test_text_of_the_module_cannot_obey_the_terminal(tmp_path):
    with start(tmp_path, config()) as module:
        module.wait_for_prompt()
        (module.usr / "a\x1b[2Jb").write_bytes(b"1")
        done = call(module, "files")
        assert "\x1b" not in done.output
        assert "a\\x1b[2Jb" in done.output


def test_repl_wants_a_terminal(beside):
    done = CliRunner().invoke({command.name: command for command in COMMANDS}["repl"], [beside.port])
    assert done.exit_code == 2
    assert "status, get, set" in done.output


def test_repl_is_a_terminal_until_its_key(beside):
    import pty

    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tools", "repl", beside.port], stdin=inner, stdout=inner, stderr=inner, cwd=ROOT
    )
    try:
        seen = _read_until(outer, b">>> ")
        os.write(outer, b"print(6 * 7)\r")
        seen += _read_until(outer, b"42")
        os.write(outer, b"\x1d")
        _read_until(outer, b"", lambda: process.poll() is not None)
        assert process.wait(20) == 0
        assert b"Ctrl-] leaves" in seen
    finally:
        process.kill()
        process.wait(20)
        os.close(outer)
        os.close(inner)


def _read_until(end, text, is_over=lambda: False):
    seen, deadline = b"", time.monotonic() + 30
    while not (text and text in seen) and not is_over():
        assert time.monotonic() < deadline, seen
        if select.select([end], [], [], 0.1)[0]:
            seen += os.read(end, 4096)
    return seen


def test_lines_of_the_log_are_no_part_of_the_status():
    text = (
        "Ferry     0.1.0\n  123.456 info    the cycle begins\nparked    2\n          /usr/a: 553\n          /usr/b: 553\n"
        "restart   after boot 3: asked\n"
    )
    assert console.parse_status(text) == {
        "Ferry": "0.1.0",
        "parked": ["2", "/usr/a: 553", "/usr/b: 553"],
        "restart": "after boot 3: asked",
        "is_running": True,
    }
    assert not console.parse_status("Ferry does not run. Ctrl-D starts it\nFerry     0.1.0")["is_running"]
