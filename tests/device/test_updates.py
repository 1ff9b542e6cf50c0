# Updates by manifest: made by `python -m tools publish`, taken by the module as a whole or not at all.
import hashlib
import json
import re

import pytest
from click.testing import CliRunner

from tests.device.ferry import DEVICE, on_event_hook
from tests.device.ftpd import KILL
from tools.publish.cli import publish

RESTART = 75
HEAP = "320k"  # its code is compiled while all the rest is loaded
FULL_HEAP = "336k"  # for a manifest of the largest size; a module has 512k, and words half as long
SITE = {"site/a.txt": b"a" * 3000, "site/b/c.txt": b"c\n" * 900, "site/empty": b"", "big.bin": bytes(range(256)) * 300}
KEY = "a secret of the fleet"
NOW_S = 1_790_000_000
UNSET = {"epoch_s": 0}


class Publisher:
    def __init__(self, ftpd, folder):
        self.target = ftpd.root / "updates"
        self.target.mkdir(exist_ok=True)
        self._source = folder / "source"

    def __call__(self, files, *options):
        """Publish exactly these files below /usr."""
        for path in sorted(self._source.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        self._source.mkdir(exist_ok=True)
        for name, content in files.items():
            path = self._source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        done = CliRunner().invoke(publish, [str(self._source), str(self.target), *options])
        assert done.exit_code == 0, done.output
        return self.manifest()

    def manifest(self):
        return json.loads((self.target / "manifest").read_bytes().split(b"\n", 1)[1])

    def write(self, text, head=b"FERRY1 -\n"):
        """Any bytes as the manifest."""
        (self.target / "manifest").write_bytes(head + (text if isinstance(text, bytes) else json.dumps(text).encode()))


@pytest.fixture
def module(ferry):
    ferry.heap = HEAP
    ferry.configure(update={"from": "updates"}, download={"from": ""}, upload={"from": "/usr/out"})
    return ferry


@pytest.fixture
def publisher(ftpd, tmp_path):
    return Publisher(ftpd, tmp_path)


def entry(path, content):
    return {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_a_set_comes_whole_and_once(module, ftpd, publisher):
    publisher(SITE)
    boot = module.sync(3)
    assert module.files() == SITE
    assert module.state_files() == ["ledger"]
    assert len(ftpd.arguments("RETR")) == 3  # manifest, pack, the large one
    assert boot.cycles[1]["round_trips"] <= 5
    ftpd.forget()
    module.sync()
    assert ftpd.arguments("RETR") == []


def test_an_idle_check_is_three_round_trips_and_no_flash_write(module, ftpd, publisher):
    module.configure(upload={"from": ""})
    publisher(SITE)
    module.sync()
    ledger = module.usr / ".ferry" / "ledger"
    before = []
    boot = module.sync(3, on_event=lambda e, p: before.append(ledger.read_bytes()) if e["kind"] == "cycle" else None)
    assert [cycle["round_trips"] for cycle in boot.cycles] == [3, 3, 3]
    assert before[0] == before[2]


def test_what_did_not_change_is_not_fetched_and_what_is_gone_is_deleted(module, ftpd, publisher):
    publisher(SITE)
    module.sync()
    ftpd.forget()
    changed = {**SITE, "site/a.txt": b"new"}
    del changed["site/b/c.txt"]
    publisher(changed, "--delete", "/usr/site/b/c.txt")
    module.sync()
    assert module.files() == changed
    assert ftpd.moved["down"] < 10_000


PACKED = {f"{number:02}.bin": bytes([number]) * 4096 for number in range(20)}


@pytest.mark.parametrize(
    ("changed", "offsets"),
    [(["19.bin"], [19]), (["00.bin", "19.bin"], [0, 19]), (["10.bin", "12.bin"], [10])],
    ids=["one", "far from each other", "near each other"],
)
def test_of_a_pack_only_what_is_needed_is_fetched(module, ftpd, publisher, changed, offsets):
    """What lies between two files is read where asking again would cost more."""
    publisher(PACKED)
    module.sync()
    ftpd.forget()
    new = {**PACKED, **{name: name.encode().ljust(4096, b"x") for name in changed}}
    publisher(new)
    module.sync()
    assert module.files() == new
    packs = [name for name in ftpd.arguments("RETR") if "pack-" in name]
    assert len(packs) == len(offsets)
    assert ftpd.arguments("REST") == [str(4096 * offset) for offset in offsets if offset]


MANY = {f"site/{number % 5}/file-{number:03}.txt": b"%d" % number * 100 for number in range(120)}


@pytest.mark.parametrize("is_field", [False, True], ids=["source", "compiled"])
def test_as_many_files_as_a_manifest_holds(module, publisher, is_field):
    if is_field:
        module.compile()
    module.heap = FULL_HEAP
    publisher(MANY)
    assert (publisher.target / "manifest").stat().st_size > 15_000
    module.sync(2)
    assert module.files() == MANY
    assert module.state_files() == ["ledger"]


@pytest.mark.parametrize("heap", ["240k", "272k", "304k"])
def test_an_update_for_which_there_is_too_little_memory_is_refused_and_all_else_goes_on(module, ftpd, publisher, heap):
    module.compile()
    module.heap = heap
    publisher(MANY)
    module.put("out/a", b"a")
    boot = module.boot(3)
    assert boot.status == 0
    assert "too little memory" in boot.skipped["updates/manifest"], boot.text
    assert boot.cycles[-1]["ok"], boot.text
    assert module.files() == {"out/a": b"a"}
    assert ftpd.files(DEVICE) == {"a": b"a"}


def test_an_update_is_not_sent_back(module, ftpd, publisher):
    module.configure(upload={"from": "/usr"})
    publisher(SITE)
    module.sync(2)
    module.sync(2)
    assert ftpd.files(DEVICE) == {}


@pytest.mark.parametrize("at_bytes", [100, 2000, 6000, 50_000, 70_000])
def test_a_cut_update_leaves_the_old_set_and_goes_on(module, ftpd, publisher, at_bytes):
    old = {name: b"old " + name.encode() for name in SITE}
    publisher(old)
    module.sync()
    publisher(SITE)
    ftpd.moved["down"] = 0

    def on_data(moved, total):
        if moved == "down" and ftpd.moved["down"] >= at_bytes:
            ftpd.on_data = None
            return KILL
        return None

    ftpd.on_data = on_data
    module.boot()
    assert module.files() == old
    ftpd.restart()
    module.sync()
    assert module.files() == SITE
    assert ftpd.moved["down"] < 1.5 * sum(map(len, SITE.values())) + 8000


# --- signed


def test_signed_updates(module, publisher, tmp_path):
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    module.configure(update={"key": KEY})
    publisher(SITE, "--key-file", str(key))
    module.sync()
    assert module.files() == SITE


@pytest.mark.parametrize("options", [(), ("--key-file",)])
def test_an_update_that_is_not_signed_with_the_key_is_refused(module, publisher, tmp_path, options):
    key = tmp_path / "key"
    key.write_text("another key")
    module.configure(update={"key": KEY})
    publisher(SITE, *options, *([str(key)] if options else []))
    boot = module.boot(2)
    assert module.files() == {}
    assert "sign" in boot.skipped["updates/manifest"]
    assert KEY not in boot.text


# --- bad manifests


BAD = {
    "cut": b'{"version": 2, "files": [{"pa',
    "no object": [],
    "brackets without end": b"[" * 12_000,
    "no version": {"files": []},
    "version of another kind": {"version": "2"},
    "leaves": {"version": 2, "files": [entry("/usr/../etc/x", b"")]},
    "relative": {"version": 2, "files": [entry("usr/x", b"")]},
    "on no mount": {"version": 2, "files": [entry("/x", b"")]},
    "detour": {"version": 2, "files": [entry("/usr/./x", b"")]},
    "twice by a detour": {"version": 2, "files": [entry("/usr/x", b""), entry("/usr//x", b"")]},
    "file and folder": {"version": 2, "files": [entry("/usr/x", b""), entry("/usr/x/y", b"")]},
    "deletes what starts": {"version": 2, "delete": ["/usr/main.py"]},
    "deletes what takes back": {"version": 2, "delete": ["/usr/app/apply.py"]},
    "firmware's own": {"version": 2, "files": [entry("/usr/system_config.json", b"")]},
    "settings": {"version": 2, "files": [entry("/usr/config.json", b"")]},
    "state": {"version": 2, "files": [entry("/usr/.ferry/ledger", b"")]},
    "backup": {"version": 2, "files": [entry("/bak/x", b"")]},
    "twice": {"version": 2, "files": [entry("/usr/x", b""), entry("/usr/X", b"")]},
    "deleted too": {"version": 2, "files": [entry("/usr/x", b"")], "delete": ["/usr/x"]},
    "odd digest": {"version": 2, "files": [{"path": "/usr/x", "size": 1, "sha256": "zz" * 32}]},
    "negative size": {"version": 2, "files": [{"path": "/usr/x", "size": -1, "sha256": "0" * 64}]},
    "not in the pack": {"version": 2, "pack": {"name": "p", "size": 3}, "files": [{**entry("/usr/x", b"1234"), "at": 0}]},
    "pack leaves": {"version": 2, "pack": {"name": "../p", "size": 3}, "files": []},
    "unknown setting": {"version": 2, "settings": {"schedule.evry_s": 60}},
    "setting not from afar": {"version": 2, "settings": {"server.password": "x"}},
    "bad setting": {"version": 2, "settings": {"schedule.every_s": 1}},
    "object that is missing": {"version": 2, "files": [entry("/usr/x", b"nowhere")]},
    "a folder in the way": {"version": 2, "files": [entry("/usr/site", b"")]},
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_manifest_changes_nothing_and_is_told(module, ftpd, publisher, name):
    publisher(SITE)
    module.sync()
    publisher.write(BAD[name])
    ftpd.forget()
    boot = module.boot(2)
    assert boot.status == 0
    assert module.files() == SITE
    assert module.state_files() == ["ledger"]
    assert boot.skipped["updates/manifest"].startswith("parked: ")
    assert ftpd.arguments("RETR").count("updates/manifest") == 1  # it is not fetched again and again


def test_a_huge_manifest_is_not_fetched(module, ftpd, publisher):
    publisher.write(b" " * 20_000)
    boot = module.boot(2)
    assert "16384" in boot.skipped["updates/manifest"]
    assert ftpd.arguments("RETR") == []


def test_an_older_version_is_refused(module, publisher):
    publisher(SITE, "--version", "7")
    module.sync()
    publisher.write({"version": 6, "files": [], "delete": ["/usr/big.bin"]})
    boot = module.boot()
    assert "older" in boot.skipped["updates/manifest"]
    assert module.files() == SITE


def test_a_wrong_object_is_refused_as_a_whole(module, publisher):
    made = publisher(SITE)
    digest = next(e["sha256"] for e in made["files"] if e["path"] == "/usr/big.bin")
    path = publisher.target / "files" / digest
    path.write_bytes(b"x" * path.stat().st_size)
    boot = module.boot(2)
    assert module.files() == {}
    assert "sha256" in boot.skipped["updates/manifest"]


def test_an_update_for_others_is_left_alone(module, publisher):
    publisher(SITE, "--devices", "pump-*")
    boot = module.sync(2)
    assert module.files() == {}
    assert "other devices" in boot.text
    publisher(SITE, "--devices", DEVICE[:2] + "*")
    module.sync()
    assert module.files() == SITE


def test_a_share_of_the_fleet_is_always_the_same_modules(module, publisher):
    bucket = int.from_bytes(hashlib.sha256(b"bucket" + DEVICE.encode()).digest()[:4], "big") % 100
    publisher({"a": b"first"}, "--share", str(bucket))
    boot = module.sync(2)
    assert module.files() == {}
    assert f"for {bucket} % of the fleet" in boot.text
    publisher({"a": b"first"}, "--share", str(bucket + 1))
    module.sync(2)
    assert module.files() == {"a": b"first"}
    publisher({"a": b"second"}, "--share", str(bucket + 1))
    module.sync()
    assert module.files() == {"a": b"second"}


def test_an_expired_update_is_left_alone(module, ftpd, publisher):
    publisher.write({"version": 2, "files": [entry("/usr/x", b"")], "expires": NOW_S - 1})
    boot = module.sync(2, epoch_s=NOW_S)
    assert module.files() == {}
    assert "2: it has expired" in boot.text
    assert ftpd.arguments("RETR") == ["updates/manifest"]


def test_an_update_that_expires_waits_for_the_clock(module, ftpd, publisher):
    publisher({"a": b"a"}, "--expires", "2099-12-31")
    boot = module.sync(3, **UNSET)
    assert module.files() == {}
    assert "1: it may have expired: the clock is not set" in boot.text
    assert ftpd.arguments("RETR") == ["updates/manifest"]  # it is not read again and again meanwhile
    module.sync(2, before=on_event_hook(f"if kind == 'cycle': _world.set_time({NOW_S})"), **UNSET)
    assert module.files() == {"a": b"a"}


def test_an_update_that_has_no_room_changes_nothing(module, publisher):
    module.sync()
    publisher(SITE)
    boot = module.boot(flash_blocks=module.blocks() + 10)
    assert module.files() == {}
    assert "blocks" in boot.skipped["updates/manifest"]
    module.sync()
    assert module.files() == SITE


def test_new_folders_take_room_too(module, publisher):
    publisher({f"f{number}/x": b"x" for number in range(10)})
    boot = module.boot(flash_blocks=module.blocks() + 20)
    assert module.files() == {}
    assert "blocks" in boot.skipped["updates/manifest"]
    assert module.state_files() == ["ledger"]
    boot = module.sync(flash_blocks=module.blocks() + 45)
    assert len(module.files()) == 10


def test_a_new_version_needs_room_for_itself_alone(module, publisher):
    """19 blocks of 4 KiB; the old ones are free when the new ones are in place."""
    publisher({"big.bin": SITE["big.bin"]})
    module.sync()
    new = SITE["big.bin"][::-1]
    publisher({"big.bin": new})
    module.sync(flash_blocks=module.blocks() + 30)
    assert module.files() == {"big.bin": new}


def cut_once(ftpd, at_bytes):
    def on_data(moved, total):
        if moved == "down" and ftpd.moved["down"] >= at_bytes:
            ftpd.on_data = None
            return KILL
        return None

    ftpd.moved["down"] = 0
    ftpd.on_data = on_data


def test_what_is_left_of_a_version_that_is_gone_makes_room_for_the_next(module, ftpd, publisher):
    module.sync()
    publisher({"big.bin": SITE["big.bin"]})
    cut_once(ftpd, 60_000)
    limit = module.blocks() + 33
    module.boot(flash_blocks=limit)
    assert [name for name in module.state_files() if name.endswith(".part")]
    ftpd.restart()
    new = SITE["big.bin"][::-1]
    publisher({"big.bin": new})
    module.sync(flash_blocks=limit)
    assert module.files() == {"big.bin": new}
    assert module.state_files() == ["ledger"]


def test_an_interrupted_file_goes_on_in_a_flash_that_it_fills(module, ftpd, publisher):
    module.sync()
    publisher({"big.bin": SITE["big.bin"]})
    cut_once(ftpd, 60_000)
    limit = module.blocks() + 33
    module.boot(flash_blocks=limit)
    ftpd.restart()
    module.sync(flash_blocks=limit)
    assert module.files() == {"big.bin": SITE["big.bin"]}
    assert ftpd.moved["down"] < 100_000


def test_what_is_changed_here_while_the_update_is_fetched_is_not_replaced(module, ftpd, publisher):
    module.configure(upload={"from": "/usr/site"})
    publisher({"site/a.txt": b"old"})
    module.sync(2)
    publisher({"site/a.txt": b"theirs", "big.bin": SITE["big.bin"]})

    def on_data(moved, total):
        if moved == "down" and total >= 30_000:
            ftpd.on_data = None
            module.put("site/a.txt", b"mine")

    ftpd.on_data = on_data
    boot = module.boot()
    assert module.files() == {"site/a.txt": b"mine"}, boot.text
    module.sync(2)
    assert module.files() == {"site/a.txt": b"theirs", "big.bin": SITE["big.bin"]}
    assert ftpd.files(DEVICE) == {"a.txt": b"mine"}


def test_a_set_that_the_boot_cannot_finish_makes_no_loop_of_restarts(module, publisher):
    """The flash refuses a move of a set whose journal is written."""
    module.sync()
    (module.usr / ".ferry" / "new.part").write_bytes(b"new")
    moves = [["/usr/.ferry/new.part", "/usr/site/a.txt", ""]]
    module.put(".ferry/apply", json.dumps({"version": 2, "moves": moves, "what": "update"}).encode())
    module.put("site", b"a file in the place of the folder")
    publisher.write({"version": 2, "files": [entry("/usr/site/a.txt", b"new")]})
    boot = boot_as_it_is(module, 2)
    assert boot.status == 0, boot.text
    assert "could not be finished" in boot.text
    assert [cycle["ok"] for cycle in boot.cycles] == [False, False]
    module.remove("site")
    assert boot_as_it_is(module, 2).status == 0
    assert module.files() == {"site/a.txt": b"new"}
    assert module.state_files() == ["ledger"]


def test_what_was_changed_here_and_not_sent_is_not_replaced(module, ftpd, publisher):
    module.configure(upload={"from": "/usr/site"})
    publisher(SITE)
    module.sync()
    module.put("site/a.txt", b"mine")
    publisher({**SITE, "site/a.txt": b"theirs"})
    ftpd.on_command = lambda verb, argument, place: "550 no" if verb == "STOR" else None
    module.boot()
    assert module.files()["site/a.txt"] == b"mine"
    ftpd.on_command = None
    module.sync(2)
    assert module.files()["site/a.txt"] == b"theirs"
    assert ftpd.files(DEVICE)["a.txt"] == b"mine"


def test_deletes_are_for_files_that_came_from_the_server(module, publisher):
    publisher(SITE)
    module.sync()
    module.put("own.txt", b"own")
    module.put("site/a.txt", b"edited")
    publisher({"x": b"x"}, "--delete", "/usr/own.txt", "--delete", "/usr/site/a.txt", "--delete", "/usr/big.bin")
    boot = module.sync()
    assert set(module.files()) == {"own.txt", "site/a.txt", "site/b/c.txt", "site/empty", "x"}
    assert {"/usr/own.txt", "/usr/site/a.txt"} <= set(boot.skipped)


# --- settings from the server


def test_settings_are_taken_kept_and_confirmed(module, publisher):
    publisher({}, "--set", "schedule.every_s=77")
    boot = module.boot(0)
    assert boot.status == RESTART
    assert json.loads((module.usr / "config.json").read_text())["schedule"]["every_s"] == 77
    assert "0.old" in module.state_files()
    module.sync(2)
    assert module.state_files() == ["ledger", "restarts"]
    assert json.loads((module.usr / "config.json").read_text())["schedule"]["every_s"] == 77


def test_settings_that_do_not_reach_the_server_are_taken_back(module, publisher, ftpd):
    module.configure(update={"trial_cycles": 3})
    before = json.loads((module.usr / "config.json").read_text())
    publisher({}, "--set", "server.port=9")
    assert module.boot(0).status == RESTART
    assert json.loads((module.usr / "config.json").read_text())["server"]["port"] == 9
    boot = module.boot(0)
    assert boot.status == RESTART
    assert [cycle["ok"] for cycle in boot.cycles] == [False] * 3
    assert json.loads((module.usr / "config.json").read_text()) == before
    ftpd.forget()
    module.sync(2)
    assert ftpd.arguments("RETR") == []  # it is not taken again
    publisher({"x": b"x"}, "--set", "schedule.every_s=66")
    assert module.boot(0).status == RESTART
    module.sync(2)
    assert module.files() == {"x": b"x"}


# --- Ferry itself


BROKEN = "raise ValueError('this version does not work')\n"


def code(module, name):
    return (module.usr / name).read_text()


def own(publisher, version, **files):
    """A manifest with files of Ferry's own code."""
    entries = []
    for name, text in files.items():
        raw = text.encode()
        made = entry("/usr/" + name, raw)
        path = publisher.target / "files" / made["sha256"]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(raw)
        entries.append(made)
    publisher.write({"version": version, "files": entries})


def boot_as_it_is(module, cycles=0):
    return module.boot(cycles, main=code(module, "main.py"))


def test_new_code_runs_and_is_confirmed_by_a_good_cycle(module, publisher):
    module.sync()
    own(publisher, 2, **{"app/__init__.py": code(module, "app/__init__.py") + "NEW = 1\n", "app/more.py": "X = 1\n"})
    assert boot_as_it_is(module).status == RESTART
    assert "NEW" in code(module, "app/__init__.py")
    assert "0.old" in module.state_files()
    boot = boot_as_it_is(module, 2)
    assert "confirmed" in boot.text
    assert module.state_files() == ["ledger", "restarts"]
    assert "NEW" in code(module, "app/__init__.py")


@pytest.mark.parametrize("name", ["app/sync/upload.py", "ftp_manager.py", "app/errors.py"])
def test_code_that_does_not_run_comes_back_and_is_refused_from_then_on(module, publisher, name):
    module.sync()
    good = code(module, name)
    own(publisher, 2, **{name: BROKEN, "app/more.py": "X = 1\n"})
    assert boot_as_it_is(module).status == RESTART
    for _ in range(3):
        boot = boot_as_it_is(module, 1)
        assert "does not work" in boot.text
        assert boot.status == RESTART  # by itself: nobody is there to switch it off and on
    boot = boot_as_it_is(module, 2)
    assert [cycle["ok"] for cycle in boot.cycles] == [True, True], boot.text
    assert code(module, name) == good
    assert not (module.usr / "app" / "more.py").exists()
    assert boot.states.count("UPDATE") == 2
    assert module.state_files() == ["ledger", "refused", "restarts"]
    own(publisher, 3, **{"app/more.py": "X = 2\n"})
    assert boot_as_it_is(module).status == RESTART
    assert boot_as_it_is(module, 1).cycles[0]["ok"]
    assert code(module, "app/more.py") == "X = 2\n"


@pytest.mark.parametrize("names", [["big.bin/x"], ["y", "y/x"]], ids=["there", "in the set"])
def test_a_file_where_a_folder_would_have_to_be_refuses_the_set(module, publisher, names):
    """Behind the point of no return nothing could be done about it any more."""
    publisher(SITE)
    module.sync()
    own(publisher, 2, **{name: name for name in names})
    boot = module.boot(2)
    assert boot.status == 0, boot.text
    assert module.files() == SITE
    assert module.state_files() == ["ledger"]
    assert re.search("in the way|file and a folder", boot.skipped["updates/manifest"])


def test_code_that_refuses_the_settings_comes_back_by_itself(module, publisher):
    module.sync()
    refuses = code(module, "app/config.py") + "def parse(raw):\n    raise ConfigError(['not these'])\n"
    own(publisher, 2, **{"app/config.py": refuses})
    for _ in range(4):
        assert boot_as_it_is(module).status == RESTART
    assert boot_as_it_is(module, 1).cycles[0]["ok"]
