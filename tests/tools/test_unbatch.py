# What `python -m tools unbatch` makes of batches: good ones, bad ones, and when it is killed.
import json
import os
import subprocess
import sys

import pytest

from tests.tools.batches import batch, header
from tools.device_files import ROOT
from tools.unbatch import cli
from tools.unbatch.lock import only_one

FILES = {"a.txt": b"a\r\n", "deep/er/grüße 日本.txt": b"hello", "empty": b"", "large": bytes(range(256)) * 1000}
NAME = "batch-00000007.tar"


def tree(folder):
    """{name: bytes} of the files below `folder`, without the lock."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".unbatch.lock"
    }


def facts(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def server(tmp_path, fill):
    """The server's folder with one batch of the module 8611."""
    return fill(tmp_path / "srv", {f"8611/{NAME}": batch(FILES)})


def test_files_appear_beside_the_batch_and_the_batch_goes(call, server):
    assert call("unbatch", server).exit_code == 0
    assert tree(server / "8611") == FILES


def test_into_mirrors_the_folders_of_the_modules(call, server, tmp_path):
    assert call("unbatch", server, "--into", tmp_path / "data").exit_code == 0
    assert tree(tmp_path / "data" / "8611") == FILES
    assert tree(server) == {}


def test_keep_moves_the_batch_to_done_where_it_is_not_found_again(call, server):
    call("unbatch", server, "--keep")
    (kept,) = (server / "8611" / "done").iterdir()
    assert kept.read_bytes() == batch(FILES)
    assert facts(call("unbatch", server, "--json")) == []


def test_batches_are_unpacked_in_the_order_in_which_they_were_sent(call, tmp_path, fill):
    fill(tmp_path, {"batch-9.tar": batch({"x": b"old"}), "batch-10.tar": batch({"x": b"new"})})
    for name in ("batch-9.tar", "batch-10.tar"):
        os.utime(tmp_path / name, (1e9, 1e9))
    call("unbatch", tmp_path)
    assert tree(tmp_path) == {"x": b"new"}


def test_file_that_was_sent_after_the_batch_stays(call, server, fill):
    os.utime(server / "8611" / NAME, (1e9, 1e9))
    fill(server / "8611", {"a.txt": b"sent later"})
    (fact,) = facts(call("unbatch", server, "--json"))
    assert fact["newer"] == ["a.txt"]
    assert tree(server / "8611") == {**FILES, "a.txt": b"sent later"}


def test_file_that_was_sent_before_the_batch_is_replaced(call, server, fill):
    fill(server / "8611", {"a.txt": b"sent before"})
    os.utime(server / "8611" / "a.txt", (1e9, 1e9))
    call("unbatch", server)
    assert tree(server / "8611") == FILES


def test_unpacked_files_have_time_and_rights_of_the_batch(call, server):
    os.utime(server / "8611" / NAME, (1e9, 1e9))
    os.chmod(server / "8611" / NAME, 0o640)
    call("unbatch", server)
    facts_of = (server / "8611" / "a.txt").stat()
    assert (facts_of.st_mtime, facts_of.st_mode & 0o777) == (1e9, 0o640)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_folder_whose_name_is_no_text_stops_nobody(call, tmp_path, fill, options):
    try:
        fill(tmp_path / os.fsdecode(b"caf\xe9\x1b[31m"), {NAME: batch(FILES)})
    except OSError:
        pytest.skip("this file system has no such names")
    result = call("unbatch", tmp_path, *options)
    assert (result.exit_code, result.output.isascii(), "\x1b" in result.output) == (0, True, False)
    assert set(tree(tmp_path).values()) == set(FILES.values())


def test_what_is_no_batch_is_left_alone(call, tmp_path, fill):
    others = {f"1a2b3c4d.{NAME}.part": b"x", "batch-x.tar": b"x", "a.tar": b"x", f"{NAME}.gz": b"x"}
    assert call("unbatch", fill(tmp_path, others)).exit_code == 0
    assert tree(tmp_path) == others


GOOD = header(b"good", 4) + b"good" + bytes(508)
END = bytes(1024)
BROKEN = {
    "nothing": b"",
    "zeros": END,
    "no end": GOOD,
    "half an end": GOOD + bytes(512),
    "cut in the content": GOOD + header(b"x", 600) + bytes(512),
    "cut in a header": GOOD + header(b"x", 1)[:300],
    "damaged header": GOOD + bytes(100) + GOOD[100:] + END,
    "flipped bit in a header": GOOD + header(b"x", 1).replace(b"x", b"y", 1) + bytes(512) + END,
    "something behind the end": GOOD + END + b"x" + bytes(511),
    "text": b"no tar at all" * 100,
    "absolute path": GOOD + header(b"/etc/x", 0) + END,
    "path upwards": GOOD + header(b"a/../../x", 0) + END,
    "backslash": GOOD + header(b"..\\x", 0) + END,
    "empty part": GOOD + header(b"a//x", 0) + END,
    "line end in a name": GOOD + header(b"a\nx", 0) + END,
    "name that is not UTF-8": GOOD + header(b"caf\xe9", 0) + END,
    "symbolic link": GOOD + header(b"x", 0, b"2") + END,
    "hard link": GOOD + header(b"x", 0, b"1") + END,
    "folder": GOOD + header(b"x", 0, b"5") + END,
    "device": GOOD + header(b"x", 0, b"3") + END,
    "pipe": GOOD + header(b"x", 0, b"6") + END,
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_batch_goes_to_bad_untouched_with_nothing_unpacked_and_the_others_go_on(call, tmp_path, fill, what):
    server = fill(tmp_path / "srv", {"batch-1.tar": BROKEN[what], "m/batch-2.tar": batch({"x": b"x"})})
    result = call("unbatch", server, "--json")
    assert result.exit_code == 1
    said = facts(result)
    assert [fact["state"] for fact in said] == ["bad", "unpacked"]
    assert said[0]["problem"]
    (bad,) = (server / "bad").iterdir()
    assert tree(server) == {f"bad/{bad.name}": BROKEN[what], "m/x": b"x"}
    assert names_beside(server) == {"srv"}
    assert call("unbatch", server).exit_code == 0


def names_beside(folder):
    return {path.name for path in folder.parent.iterdir()}


def test_link_on_the_server_leads_nowhere_else(call, server, tmp_path):
    (tmp_path / "else").mkdir()
    os.symlink(tmp_path / "else", server / "8611" / "deep")
    assert call("unbatch", server).exit_code == 1
    assert tree(tmp_path / "else") == {}


def test_folder_in_the_way_of_a_file_puts_the_batch_aside(call, server):
    (server / "8611" / "a.txt").mkdir()
    result = call("unbatch", server)
    assert (result.exit_code, "a.txt" in result.output) == (1, True)
    assert len(list((server / "8611" / "bad").iterdir())) == 1
    assert not list(server.rglob("*.part"))


def test_full_disk_leaves_the_batch_for_the_next_run(call, server, monkeypatch):
    def is_full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", is_full)
        result = call("unbatch", server)
    assert (result.exit_code, "No space" in result.output) == (1, True)
    assert tree(server) == {f"8611/{NAME}": batch(FILES)}
    assert call("unbatch", server).exit_code == 0
    assert tree(server / "8611") == FILES


def test_second_one_keeps_away_while_the_first_is_at_work(call, server):
    with only_one(server) as is_ours:
        assert is_ours
        (fact,) = facts(call("unbatch", server, "--json"))
        assert fact["state"] == "busy"
        assert tree(server) == {f"8611/{NAME}": batch(FILES)}
    assert call("unbatch", server).exit_code == 0
    assert tree(server / "8611") == FILES


def test_watch_finds_what_comes_later_and_ends_with_ctrl_c(call, server, fill, monkeypatch):
    rounds = []

    def wait(_):
        rounds.append(tree(server))
        if len(rounds) == 2:
            raise KeyboardInterrupt
        fill(server, {"8611/batch-8.tar": batch({"later": b"1"})})

    monkeypatch.setattr(cli.time, "sleep", wait)
    assert call("unbatch", server, "--watch").exit_code == 0
    assert [set(found) for found in rounds] == [
        {f"8611/{name}" for name in FILES},
        {f"8611/{name}" for name in (*FILES, "later")},
    ]


# Kills itself right before its n-th change of the disk.
_KILLED = """
import os, signal, sys
from pathlib import Path
from tools.unbatch.unpack import unpack
left = int(sys.argv[2])
def hook(event, args):
    global left
    if event in ("os.mkdir", "os.rename", "os.remove", "os.utime", "os.chmod") or event == "open" and args[2] & os.O_WRONLY:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
unpack(Path(sys.argv[1]), Path(sys.argv[1]).parent, False)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_at_any_change_nothing_is_half_there_and_the_next_run_mends_it(call, tmp_path, fill):
    for changes in range(40):
        server = fill(tmp_path / str(changes), {NAME: batch(FILES)})
        command = [sys.executable, "-c", _KILLED, str(server / NAME), str(changes)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        left = {name: raw for name, raw in tree(server).items() if not name.endswith(".part")}
        is_there = left.pop(NAME, None) is not None
        assert left.items() <= FILES.items(), f"killed at change {changes}"
        assert is_there or left == FILES, f"killed at change {changes}"
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        assert call("unbatch", server).exit_code == 0
        assert tree(server) == FILES, f"killed at change {changes}"
    assert changes > 4 * len(FILES)
