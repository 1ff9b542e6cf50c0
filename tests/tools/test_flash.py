# `flash` against a real REPL: MicroPython on a pseudo-terminal, with stand-ins for the firmware's modules.
import json
import socket

import pytest
from click.testing import CliRunner

from tests.tools.pty_module import PtyModule, config
from tools.board import flash as steps
from tools.board import images, plan
from tools.board.cli import COMMANDS
from tools.device_files import squeezed

FOREIGN = 'import utime\nprint("hello")\nwhile True:\n    utime.sleep_ms(50)\n'


def call(module, *args, name="flash", text=None):
    command = {command.name: command for command in COMMANDS}[name]
    return CliRunner().invoke(command, [*map(str, args), *([] if module is None else [module.port])], input=text)


def runs(module):
    """The prompt may come before Ferry's thread has begun."""
    return any("now       starts" in call(None, "-p", module.port, name="status").output for _ in range(50))


@pytest.fixture
def module(tmp_path):
    """module(...) -> a PtyModule: `settings` of a Ferry of which one file is old, `main` of another program, or nothing."""
    made = []

    def make(settings=None, main=None, is_all_old=False, **more):
        files = {"main.py": main.encode()} if main else {}
        if settings:
            files = {**wanted(), "config.json": settings, "app/log.py": wanted()["app/log.py"] + b"# old\n"}
        if is_all_old:
            files = {path: raw + b"\n" for path, raw in files.items()}
        made.append(PtyModule(tmp_path, files, **more).__enter__())
        return made[0]

    yield make
    for one in made:
        one.__exit__()


@pytest.fixture
def is_held(monkeypatch):
    """For a module whose main.py holds the REPL: nobody waits long for its answer."""
    monkeypatch.setattr("tools.board.repl.FREE_S", 0.3)


@pytest.fixture
def settings_file(tmp_path):
    path = tmp_path / "settings.json"
    path.write_bytes(config())
    return path


def wanted(compile_to=None):
    return {content.path.removeprefix("/usr/"): content.source for content in images.code(compile_to)}


def assert_nothing_is_left(usr):
    folder = usr / ".ferry"
    assert [path.name for path in folder.iterdir() if path.name.startswith(("flash-", "apply", "trial"))] == []


def test_a_fresh_module_gets_all_and_ferry_comes_up(module, settings_file):
    one = module()
    one.wait_for_prompt()
    done = call(one, "--config", settings_file)
    assert done.exit_code == 0, done.output
    assert one.code() == {**wanted(), "config.json": settings_file.read_bytes()}
    assert "Ferry 0.1.0" in done.output
    assert "flashed; Ferry is up" in done.output
    assert "EC600U" in done.output
    assert one.watchdog().startswith("watchdog_armed")  # Ferry's
    assert_nothing_is_left(one.usr)


def test_a_firmware_without_raw_paste_gets_the_same(module, settings_file, monkeypatch):
    monkeypatch.setattr("tools.board.repl._PIECE_S", 0)
    one = module(settings=config(), has_paste=False)
    one.wait_for("Ferry 0.1")
    done = call(one, "--config", settings_file)
    assert done.exit_code == 0, done.output
    assert one.code() == {**wanted(), "config.json": settings_file.read_bytes()}


def test_without_settings_the_template_is_put_there_and_told(module):
    one = module()
    one.wait_for_prompt()
    done = call(one)
    assert done.exit_code == 0, done.output
    assert "python -m tools set server.host" in done.output
    assert json.loads(one.code()["config.json"])["server"]["host"] == ""


def test_what_is_there_is_not_copied_and_the_app_is_not_stopped(module, settings_file):
    one = module()
    one.wait_for_prompt()
    call(one, "--config", settings_file)
    boots = one.boots
    done = call(one, "--json")
    found = json.loads(done.output)
    assert (found["changes"], found["copy_bytes"], found["is_up"]) == ([], 0, None)
    assert found["module"]["is_running"]
    done = call(one)
    assert "all is there already" in done.output
    assert one.boots == boots


def test_compiled_code_replaces_source_that_would_hide_it(module):
    one = module(settings=config())
    one.wait_for("Ferry 0.1")
    done = call(one, "--mpy")
    assert done.exit_code == 0, done.output
    found = one.code()
    assert found.pop("config.json")
    assert found == wanted(images._compile_v6)
    assert [path for path in found if path.endswith(".py")] == ["main.py"]
    done = call(one)  # and back
    assert done.exit_code == 0, done.output
    assert not [path for path in one.code() if path.endswith(".mpy")]
    assert one.boots == 3


def test_dry_run_changes_nothing_and_leaves_the_app_running(module):
    one = module(settings=config())
    one.wait_for("Ferry 0.1")
    before = one.code()
    done = call(one, "--dry-run", "--mpy")
    assert done.exit_code == 0, done.output
    assert "would copy" in done.output
    assert "new\t/usr/app/apply.mpy" in done.output
    assert (one.code(), one.boots) == (before, 1)
    assert runs(one)


def test_an_app_that_holds_the_repl_is_stopped_and_started_again(module, is_held):
    one = module(settings=config(run={"thread": False}))
    one.wait_for("Ferry 0.1")
    done = call(one, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "stopping main.py" in done.output
    one.wait_for("Ferry 0.1", boots=3)  # stopped at the first, left alone at the second
    done = call(one)
    assert done.exit_code == 0, done.output
    assert "flashed; Ferry is up" in done.output


def test_main_of_another_program_is_stopped_and_kept(module, is_held):
    one = module(main=FOREIGN)
    one.wait_for("hello")
    done = call(one)
    assert done.exit_code == 0, done.output
    assert "kept\tmain.py of another program, as /usr/main.py.old" in done.output
    assert (one.usr / "main.py.old").read_text() == FOREIGN
    assert one.code()["main.py"] == wanted()["main.py"]


def test_a_cycle_that_takes_long_is_cut(module, monkeypatch):
    monkeypatch.setattr(steps, "STOP_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects by itself, never greets
        server = {"port": silent.getsockname()[1], "timeout_s": 20}
        one = module(settings=config(server=server))
        one.wait_for_prompt()
        silent.settimeout(60)
        assert call(None, "-p", one.port, name="sync").exit_code == 0
        called, _ = silent.accept()  # the cycle is under way
        done = call(one)
        called.close()
    assert done.exit_code == 0, done.output
    assert "its cycle takes long" in done.output
    assert one.code() == {**wanted(), "config.json": one.code()["config.json"]}


def test_a_set_on_trial_is_over(module):
    one = module(settings=config())
    one.wait_for("Ferry 0.1")
    state = one.usr / ".ferry"
    state.mkdir(exist_ok=True)
    (state / "0.old").write_bytes(b"kept")
    moves = [["/usr/.ferry/0.part", "/usr/app/log.py", "/usr/.ferry/0.old"]]
    (state / "trial").write_text(json.dumps({"version": 7, "boots": 1, "limit": 3, "moves": moves}))
    done = call(one)
    assert done.exit_code == 0, done.output
    assert_nothing_is_left(one.usr)
    assert not (state / "0.old").exists()


def test_a_set_that_was_cut_is_finished_first(module):
    one = module(settings=config())
    one.wait_for("Ferry 0.1")
    state = one.usr / ".ferry"
    state.mkdir(exist_ok=True)
    (state / "new").write_bytes(b"of the set")
    moves = [["/usr/.ferry/new", "/usr/site.txt", ""]]
    (state / "apply").write_text(json.dumps({"version": 7, "what": "update", "moves": moves}))
    done = call(one)
    assert done.exit_code == 0, done.output
    assert (one.usr / "site.txt").read_bytes() == b"of the set"
    assert_nothing_is_left(one.usr)


def test_ctrl_c_in_the_middle_of_a_block_leaves_the_old_version_running(module, monkeypatch):
    from tools.board.repl import Repl

    one = module(settings=config())
    one.wait_for("Ferry 0.1")
    before, write, blocks = one.code(), Repl._write, [0]

    def interrupted(repl, raw):
        blocks[0] += b"_board.write" in raw
        if blocks[0] == 2:
            blocks[0] += 1
            write(repl, raw[:40])
            raise KeyboardInterrupt
        write(repl, raw)

    monkeypatch.setattr(Repl, "_write", interrupted)
    done = call(one)
    assert (done.exit_code, blocks[0] > 2) == (1, True)
    assert "restarting the module's app" in done.output
    one.wait_for("Ferry 0.1", boots=2)
    assert one.code() == before
    assert runs(one)


def test_an_unplugged_cable_is_told_with_what_becomes_of_the_module(module):
    one = module(settings=config(), is_all_old=True)
    one.wait_for("Ferry 0.1")
    one.cut_at = 30_000
    done = call(one)
    assert done.exit_code == 1
    assert "the port is gone" in done.output
    assert "The old version is whole" in done.output


# --- wrong input


def test_bad_settings_are_told_before_the_module_is_asked(tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(config(server={"host": "", "password": "topsecret\n"}, schedule={"every_s": 1}))
    done = call(None, "/dev/none", "--config", path)
    assert done.exit_code == 2
    for text in ("server.host", "schedule.every_s", "server.password"):
        assert text in done.output
    assert "topsecret" not in done.output
    assert "/dev/none" not in done.output


def test_settings_that_are_not_there(tmp_path):
    done = call(None, "/dev/none", "--config", tmp_path / "none.json")
    assert done.exit_code == 2
    assert "No such file" in done.output


def test_no_port():
    done = call(None, "/dev/ttyUSB99")
    assert done.exit_code == 1
    assert "there is no such port" in done.output


def test_firmware_that_takes_other_mpy(module, is_held, monkeypatch):
    monkeypatch.setattr(images, "_cross_v6", None)
    one = module(settings=config(run={"thread": False}))
    one.wait_for("Ferry 0.1")
    done = call(one, "--mpy")
    assert done.exit_code == 1
    assert "Leave --mpy out" in done.output
    one.wait_for("Ferry 0.1", boots=3)  # it runs again


def test_no_room_changes_nothing_and_says_what_helps(module):
    one = module(settings=config(), is_all_old=True, flash_blocks=170)
    one.wait_for("Ferry 0.1")
    before = one.code()
    done = call(one)
    assert done.exit_code == 1
    assert "there is no room" in done.output
    assert "--mpy" in done.output
    assert "--erase code" in done.output
    assert (one.code(), one.boots) == (before, 1)
    done = call(one, "--erase", "code")
    assert done.exit_code == 1  # nobody to ask
    assert "add -y" in done.output
    assert (one.code(), one.boots) == (before, 1)
    done = call(one, "--erase", "code", "-y")
    assert done.exit_code == 0, done.output
    assert one.code() == {**wanted(), "config.json": before["config.json"]}


@pytest.mark.parametrize("what", ["code", "all"])
def test_who_says_no_to_erasing_keeps_all(module, monkeypatch, what):
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda stream: True, raising=False)
    one = module(settings=config())
    one.wait_for("Ferry 0.1")
    before = one.code()
    done = call(one, "--erase", what, text="n\n")
    assert done.exit_code == 1
    assert {"code": "Remove Ferry's code (49 files) first?", "all": "data that was not sent included?"}[what] in done.output
    assert (one.code(), one.boots) == (before, 1)
    assert runs(one)


def test_a_flash_of_384_kib_takes_it_compiled_and_not_as_source(module, settings_file):
    one = module(flash_blocks=95)
    one.wait_for_prompt()
    done = call(one, "--config", settings_file)
    assert done.exit_code == 1
    assert "there is no room" in done.output
    done = call(one, "--config", settings_file, "--mpy")
    assert done.exit_code == 0, done.output
    assert "flashed; Ferry is up" in done.output


def test_erase_all_leaves_the_firmwares_files_and_the_settings(module):
    one = module(settings=config())
    one.wait_for("Ferry 0.1")
    (one.usr / "data" / "deep").mkdir(parents=True)
    (one.usr / "data" / "deep" / "a.csv").write_bytes(b"1")
    (one.usr / "own.py").write_bytes(b"x = 1")
    kept = one.code()["config.json"]
    done = call(one, "--erase", "all", "-y")
    assert done.exit_code == 0, done.output
    assert one.code() == {**wanted(), "config.json": kept}
    assert (one.usr / "system_config.json").exists()
    assert not (one.usr / "data").exists()


def test_no_secret_is_printed(module, settings_file):
    one = module()
    one.wait_for_prompt()
    for args in (["--config", settings_file], ["--config", settings_file, "--json"]):
        assert "topsecret" not in call(one, *args).output


def test_what_is_copied_damaged_is_copied_again_and_then_refused(module, monkeypatch):
    from tools.board import device

    one = module(settings=config())
    one.wait_for("Ferry 0.1")
    before = one.code()
    monkeypatch.setattr(device.base64, "b64encode", lambda block: b"AAAA")
    done = call(one)
    assert done.exit_code == 1
    assert "arrives damaged, 3 times" in done.output
    assert one.code() == before
    one.wait_for("Ferry 0.1", boots=2)
    assert runs(one)
    assert_nothing_is_left(one.usr)


def test_the_program_for_the_module_compiles_for_its_firmware(tmp_path):
    from tools.board import device
    from tools.sizes import compile_mpy

    source = tmp_path / "on_module.py"
    source.write_text(squeezed(device._PROGRAM.read_text(encoding="utf-8")), encoding="utf-8")
    assert compile_mpy(source, tmp_path / "out.mpy") == ""
    assert plan.STATE + '"' in source.read_text()
