# The simulator's parts, each alone.
import ast
import os
import shutil
import sys

import pytest

from tools import dev
from tools.device_files import ROOT
from tools.sim import check, child, module, naming, settings
from tools.sim.record import Record
from tools.sim.remote import Content


def run_child(text, silence_s=20.0):
    with child.Child([sys.executable, "-c", text]) as process:
        return list(process.items(silence_s)), process.wait()


def test_events_and_log_lines_are_told_apart():
    text = r"""print('a log line'); print('\x1e{"kind": "state", "data": ["A", "go", "B"], "ms": 7}')"""
    items, status = run_child(text)
    assert items == ["a log line", child.Event("state", ["A", "go", "B"], 7)]
    assert status == 0


def test_event_behind_an_unfinished_line():
    items, _ = run_child(r"""print('half\x1e{"kind": "died"}')""")
    assert items == ["half", child.Event("died", [], 0)]


def test_unreadable_event_is_shown_not_dropped():
    items, _ = run_child(r"""print('\x1e{broken')""")
    assert items == ["unreadable event: {broken"]


def test_bytes_that_are_no_utf8_do_no_harm():
    items, _ = run_child(r"""import sys; sys.stdout.buffer.write(b'\xff\n')""")
    assert items == ["\ufffd"]


def test_silence_is_noticed_and_the_process_ended():
    with child.Child([sys.executable, "-c", "input() if 0 else __import__('time').sleep(60)"]) as process:
        with pytest.raises(child.Silence, match=r"0.2 s"):
            list(process.items(0.2))
        process.stop()
        assert process.wait() != 0


def test_without_micropython_it_is_cpython_and_says_so(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    found = child.find_interpreter(None, "512k")
    assert found.name.startswith("CPython")
    assert found.heap == ""
    assert found.command("w.json")[0] == sys.executable


@pytest.fixture
def upy():
    found = child.find_interpreter(None, "256k")
    if not found.heap:
        pytest.skip("no micropython beside this Python nor on the PATH")
    return found


def test_the_heap_has_room_for_the_stand_ins_on_top(upy, tmp_path):
    world = tmp_path / "world.json"
    for folder in ("usr", "bak"):
        (tmp_path / folder).mkdir()
    module.write_world(world, tmp_path, 1, 1)
    weight = child.stand_ins_bytes(upy.path, world)
    assert 30_000 < weight < 80_000
    assert upy.command(world)[1:3] == ["-X", f"heapsize={256 * 1024 + weight}"]
    assert not any((tmp_path / "usr").iterdir()), "weighing boots nothing"


def test_what_is_weighed_is_what_ferry_loads_in_every_boot():
    """Not more: the heap would be larger than it says."""
    boot = ast.parse((ROOT / "tools/sim/boot.py").read_text(encoding="utf-8"))
    weighed = next(
        ast.literal_eval(node.value)
        for node in boot.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "WEIGHED"
    )
    always = ["main.py", "ftp_manager.py", "app/start.py", "app/config.py", "app/platform/quec.py"]
    always += ["app/platform/sockets.py", "app/platform/clock.py", "app/platform/files.py", "app/sync/upload.py"]
    always += ["app/sync/names.py", "app/sync/records.py", "app/sync/rules.py", "app/sync/download.py", "app/worker.py"]
    loaded = set()
    for path in always:
        body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        body += [inner for node in body if isinstance(node, ast.Try) for inner in node.body]
        for node in body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            loaded.update(names)
    shims = {path.stem for path in (ROOT / "tools/qpycom_stubs").glob("*.py")} - {"gc", "micropython"}
    assert set(weighed) <= loaded | {"_thread"}  # that one is loaded where a thread is wanted, which is the default
    assert set(weighed) >= loaded & shims


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("ftp://h", settings.Server("h")),
        ("ftp://u:p@h:2121/a/b/", settings.Server("h", 2121, "u", "p", "a/b")),
        ("ftp://u%40x:p%2Fq@h/", settings.Server("h", 21, "u@x", "p/q")),
    ],
)
def test_server_url(url, server):
    assert settings.parse_server(url) == server


def test_server_path_becomes_the_base_of_both_folders():
    config = settings.use_server({}, settings.parse_server("ftp://u:p@h/fleet"))
    assert settings.uploads(config, "42")[0].target == "fleet/42"
    assert settings.download(config)[0] == "fleet/updates"
    assert settings.server_of(config) == settings.Server("h", 21, "u", "p", tls="off")


def test_of_several_servers_the_first_is_asked():
    config = {"server": [{"host": "a", "port": 2121, "user": "u"}, {"host": "b"}]}
    assert settings.server_of(config) == settings.Server("a", 2121, "u", tls="off")
    assert settings.use_server(config, settings.Server("h"))["server"] == {
        "host": "h",
        "port": 21,
        "user": "",
        "password": "",
    }


def test_no_download_stays_no_download_with_a_server_path():
    config = settings.use_server({"download": {"from": ""}}, settings.parse_server("ftp://h/fleet"))
    assert settings.download(config) is None


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.csv", "a/b/c.csv", True),
        ("*.csv", "a/b.csv/c", False),
        ("a/*.csv", "a/b.csv", True),
        ("a/*.csv", "a/b/c.csv", False),
        ("a/*.csv", "b.csv", False),
        ("?.txt", "a/x.txt", True),
        ("?.txt", "xy.txt", False),
        ("log/", "log/a/b", True),
        ("log/", "logs/a", False),
        ("[a].txt", "[a].txt", True),
        ("[a].txt", "a.txt", False),
        ("a.b", "axb", False),
    ],
)
def test_patterns(pattern, path, fits):
    assert settings.matches(pattern, path) is fits


@pytest.mark.parametrize(
    ("path", "is_protected"),
    [
        ("/usr/config.json", True),
        ("/usr/data/config.json", False),
        ("/usr/app/x.py", True),
        ("/usr/application.txt", False),
        ("/usr/.updater/x", True),
        ("/usr/System_Config.JSON", True),
        ("/usr/data/x.part", True),
        ("/sd/.ferry/x", True),
        ("/sd/app/x", False),
        ("/bak/x", True),
        ("/usr/data/x.txt", False),
    ],
)
def test_protected(path, is_protected):
    assert settings.is_protected(path) is is_protected


@pytest.mark.parametrize("section", [5, None, [], [5], "x"])
def test_settings_of_the_wrong_type_count_as_defaults(section):
    config = {"server": section, "download": section, "upload": {"from": section}, "device": section}
    assert settings.server_of(config) is None
    assert settings.download(config) == ("updates", "/usr")
    assert settings.uploads(config, "42")[0].target == "42"


class FakeRemote:
    def __init__(self, files):
        self.files = files

    def read(self, path):
        return self.files.get(path)

    def walk(self, folder):
        top = "" if folder == "." else folder + "/"
        return [path.removeprefix(top) for path in sorted(self.files) if path.startswith(top)]


A, B = Content(1, "a"), Content(1, "b")


@pytest.mark.parametrize(
    ("after_rule", "before", "after", "server", "sent", "state"),
    [
        ("keep", A, A, A, True, check.SAME),
        ("keep", A, A, None, False, check.MISSING),
        ("keep", A, A, B, True, check.DIFFERS),
        ("keep", A, None, A, True, check.LOST),
        ("delete", A, None, A, True, check.DELETED),
        ("delete", A, None, None, True, check.LOST),
        ("delete", A, None, B, True, check.LOST),
        ("delete", A, None, A, False, check.LOST),
    ],
)
def test_verdict_on_an_upload(after_rule, before, after, server, sent, state):
    config = {"upload": {"from": "/usr/d", "to": "t", "after": after_rule}}
    record = Record()
    if sent:
        record.feed(child.Event("up", ["/usr/d/x", "t/x", 1], 0))

    def files(content):
        return {"/usr/d/x": content} if content else {}

    remote = FakeRemote({"t/x": server} if server else {})
    rows = check._uploads(config, files(before), files(after), remote, set(), record)
    assert [row.state for row in rows] == [state]


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("", "sub/a.tar.gz"),
        ("in/", "in/sub/a.tar.gz"),
        ("/in", "/in/sub/a.tar.gz"),
        ("{path}.bak", "sub/a.tar.gz.bak"),
        ("{dir}//{stem}-x{ext}", "sub/a.tar-x.gz"),
        ("{name}", "a.tar.gz"),
        ("{date}/{name}", None),
        ("{seq}", None),
    ],
)
def test_a_name_on_the_server_is_known_beforehand_unless_it_holds_what_passes(template, name):
    assert naming.name_of(template, "sub/a.tar.gz") == name


@pytest.mark.parametrize(
    ("template", "name", "fits"),
    [
        ("{date}/{name}", "2026-11-22/a.csv", True),
        ("{date}/{name}", "2026-11-22/b.csv", False),
        ("{date}/{name}", "no-clock/a.csv", True),
        ("{date}/{name}", "1/a.csv", False),
        ("{time}-{boot}-{name}", "13-14-15-00001-a.csv", True),
        ("{seq}-{name}", "00000001-a.csv", True),
        ("{seq}-{name}", "1-a.csv", False),
        ("{name}", "a-1.csv", True),
        ("{name}", "a-10.csv", False),
        ("{name}", "a.csv-1", False),
        ("{seq}", "00000007/a-9.csv", True),
        ("{stem}.{seq}", "a.00000007", True),
        ("{stem}.{seq}", "a-2.00000007", True),
    ],
)
def test_names_that_are_not_known_beforehand(template, name, fits):
    assert bool(naming.pattern_of(template, "a.csv", "no-clock", has_number=True).fullmatch(name)) is fits


@pytest.mark.parametrize(
    ("template", "folder"),
    [("{device}", ""), ("a/b-{seq}/{name}", "a"), ("a/b", "a/b"), ("/a/{name}", "/a"), ("/", "/"), ("", "")],
)
def test_the_folder_that_is_searched_for_names(template, folder):
    assert naming.folder_of(template) == folder


def verdicts(rule, after, server, before=None, events=()):
    """{file below /usr/d: state}; `after` and `before` are {name: content}."""
    record = Record()
    for kind, *data in events:
        record.feed(child.Event(kind, data, 0))
    record.feed(child.Event("cycle", [{"number": 1, "ok": True}], 0))
    rules = rule if isinstance(rule, list) else [{"from": "/usr/d", "to": "t", **rule}]
    now, was = ({"/usr/d/" + name: found for name, found in side.items()} for side in (after, before or after))
    rows = check._uploads({"upload": rules}, was, now, FakeRemote(server), set(), record)
    return {row.local.removeprefix("/usr/d/"): row.state for row in rows}


DATED = {"to": "{date}/{name}"}


def test_where_the_name_is_open_the_content_decides():
    server = {"2026-01-01/x": A, "2026-01-02/x": B}
    assert verdicts(DATED, {"x": A}, server) == {"x": check.SAME}
    assert verdicts(DATED, {"x": Content(2, "c")}, server) == {"x": check.DIFFERS}
    assert verdicts(DATED, {"y": A}, server) == {"y": check.MISSING}


def test_one_file_on_the_server_is_not_two_of_the_module():
    rule = {"to": "{seq}-{name}"}
    assert verdicts(rule, {"p/x": A, "q/x": A}, {"00000001-x": A}) == {"p/x": check.SAME, "q/x": check.DIFFERS}
    assert verdicts(rule, {"p/x": A, "q/x": A}, {"00000001-x": A, "00000002-x": A}) == dict.fromkeys(
        ["p/x", "q/x"], check.SAME
    )


def test_a_number_in_the_name_is_right_only_where_the_rule_allows_it():
    server = {"t/x.a": B, "t/x-1.a": A}
    assert verdicts({"on_conflict": "suffix"}, {"x.a": A}, server) == {"x.a": check.SAME}
    assert verdicts({}, {"x.a": A}, server) == {"x.a": check.DIFFERS}


@pytest.mark.parametrize(
    ("rule", "events", "state"),
    [
        ({"on_conflict": "skip"}, [("skip", "up", "/usr/d/x", "parked: the server has another file of that name")], "TAKEN"),
        ({"on_conflict": "skip"}, [], "DIFFERS"),
        ({"on_conflict": "overwrite"}, [("skip", "up", "/usr/d/x", "the server has another file of that name")], "DIFFERS"),
        ({"settle_s": 60}, [("wait", "/usr/d/x", "it is watched")], "WAITS"),
        ({"settle_s": 60}, [], "DIFFERS"),
        ({}, [("wait", "/usr/d/x", "no rule says so")], "DIFFERS"),
        ({"cycle_files": 1}, [("up", "/usr/d/a", "t/a", 1)], "WAITS"),
        ({"cycle_bytes": 1}, [("up", "/usr/d/a", "t/a", 1)], "WAITS"),
        ({"cycle_files": 1}, [], "DIFFERS"),
        ({}, [("up", "/usr/d/a", "t/a", 1)], "DIFFERS"),
    ],
)
def test_a_file_that_its_rule_keeps_back_is_in_step(rule, events, state):
    assert verdicts(rule, {"x": A}, {"t/x": B}, events=events) == {"x": getattr(check, state)}


def test_a_file_that_its_rule_finds_too_large_is_in_step():
    content = {"x": Content(11, "x"), "y": Content(10, "y")}
    assert verdicts({"max_bytes": 10}, content, {}) == {"x": check.LARGE, "y": check.MISSING}


MOVE = {"after": "move", "move_to": "/usr/d/old"}
SENT = [("up", "/usr/d/x", "t/x", 1)]


@pytest.mark.parametrize(
    ("rule", "after", "server", "events", "state"),
    [
        (MOVE, {"old/x": A}, A, SENT, "MOVED"),
        (MOVE, {"old/x": B}, A, SENT, "LOST"),
        (MOVE, {}, A, SENT, "LOST"),
        (dict(MOVE, move_files=1), {}, A, SENT, "MOVED"),
        (MOVE, {"old/x": A}, B, SENT, "LOST"),
        (MOVE, {"old/x": A}, A, [], "LOST"),
    ],
)
def test_verdict_on_a_file_that_was_to_be_moved(rule, after, server, events, state):
    assert verdicts(rule, after, {"t/x": server}, {"x": A}, events) == {"x": getattr(check, state)}


def test_what_lies_in_the_folder_of_what_was_moved_is_nobodys_to_send():
    rules = [dict(MOVE, **{"from": "/usr/d", "to": "t"}), {"from": "/usr", "to": "all"}]
    assert verdicts(rules, {"old/x": A}, {}) == {}


def test_a_file_that_two_rules_send_may_go_when_both_have():
    rules = [{"from": "/usr/d", "to": "t", "after": "delete"}, {"from": "/usr/d", "to": "u"}]
    both = [*SENT, ("up", "/usr/d/x", "u/x", 1)]
    assert verdicts(rules, {}, {"t/x": A, "u/x": A}, {"x": A}, both) == {"x": check.DELETED}
    assert verdicts(rules, {}, {"t/x": A}, {"x": A}, SENT) == {"x": check.DELETED}
    assert verdicts(rules, {}, {"t/x": A}, {"x": A}, both) == {"x": check.LOST}


def test_changed_protected_file_is_told():
    config = {"upload": {"from": "/usr", "to": "t"}}
    rows = check._uploads(config, {"/usr/user_apn.json": A}, {"/usr/user_apn.json": B}, FakeRemote({}), set(), Record())
    assert [row.state for row in rows] == [check.TOUCHED]
    assert check.TOUCHED not in check.GOOD


def test_states_after_the_last_cycle_belong_to_it():
    record = Record()
    record.feed(child.Event("cycle", [{"number": 1, "ok": True}], 0))
    record.feed(child.Event("state", ["REPORT", "reported", "IDLE"], 0))
    record.close()
    assert len(record.cycles) == 1
    assert record.cycles[0]["states"] == [{"from": "REPORT", "event": "reported", "to": "IDLE"}]


def test_root_is_the_given_folder_and_stays(tmp_path):
    usr = tmp_path / "module"
    usr.mkdir()
    with module.root_folder(usr) as root:
        (root / "usr" / "x").write_text("kept")
    assert (usr / "x").read_text() == "kept"
    assert not os.path.exists(root)


def test_dev_names_the_nearest_command(capsys):
    assert dev.main(["tset"]) == 2
    assert "Did you mean 'test'?" in capsys.readouterr().err


def test_dev_refuses_an_old_python_with_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(dev, "OLDEST", (99, 0))
    assert dev.main(["test"]) == 1
    assert "99.0 or newer" in capsys.readouterr().err


def test_dev_without_arguments_shows_its_commands(capsys):
    assert dev.main([]) == 0
    assert "tools/dev.py test" in capsys.readouterr().out
