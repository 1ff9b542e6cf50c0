# Files on their way down: what lies in the server's folder appears on the module, and nothing else ever changes there.
import os

import pytest

from tests.device.ferry import DEVICE
from tools.sim import faults

CONTENTS = {
    "lf.txt": b"one\ntwo\n",
    "crlf.txt": b"one\r\ntwo\r\n",
    "no final newline.txt": b"one\r\ntwo",
    "all bytes.bin": bytes(range(256)) * 40,
    "empty.txt": b"",
    "grüße-日本.txt": b"utf-8",
    "100% [x] #1 *.txt": b"signs",
    "n" * 200: b"long",
    "sub/folder/file.txt": b"deep",
}


def no_mlsd(verb, argument, place):
    return "500 what?" if verb == "MLSD" else None


@pytest.fixture(params=["MLSD", "NLST"])
def listing(request, ftpd):
    """Both ways to look at a folder: with MLSD, and with NLST, SIZE and MDTM on a server without it."""
    if request.param == "NLST":
        ftpd.on_command = no_mlsd
    return request.param


def put_all(ftpd, files):
    for name, content in files.items():
        ftpd.put("updates/" + name, content)


def set_time(ftpd, name, stamp_s):
    """A server's clock has seconds: two versions within one would look alike."""
    os.utime(ftpd.root / "updates" / name, (stamp_s, stamp_s))


def test_every_byte_arrives_as_it_is(ferry, ftpd, listing):
    put_all(ftpd, CONTENTS)
    ferry.sync()
    assert ferry.files() == CONTENTS


def test_ten_megabytes_arrive_as_they_are(ferry, ftpd):
    content = os.urandom(10_000_000)
    ftpd.put("updates/big.bin", content)
    ferry.sync()
    assert ferry.files() == {"big.bin": content}


def test_what_came_down_is_neither_sent_back_nor_fetched_again(ferry, ftpd, listing):
    put_all(ftpd, CONTENTS)
    ferry.sync(2)
    ferry.sync(2)
    assert ftpd.arguments("STOR") == []
    assert len(ftpd.arguments("RETR")) == len(CONTENTS)


def test_a_changed_file_is_fetched_and_only_that(ferry, ftpd, listing):
    put_all(ftpd, {"sub/a.txt": b"aaaa", "b.txt": b"bbbb"})
    set_time(ftpd, "sub/a.txt", 1_700_000_000)
    ferry.sync()
    ftpd.forget()
    ftpd.put("updates/sub/a.txt", b"AAAA")
    set_time(ftpd, "sub/a.txt", 1_700_000_001)
    ferry.sync()
    assert ftpd.arguments("RETR") == ["updates/sub/a.txt"]
    assert ferry.files() == {"sub/a.txt": b"AAAA", "b.txt": b"bbbb"}


def test_a_hundred_files_of_one_folder_all_arrive(ferry, ftpd, listing):
    files = {f"f{i:03d}.txt": b"%d" % i for i in range(100)}
    put_all(ftpd, files)
    ferry.sync()
    assert ferry.files() == files


def test_a_missing_folder_is_no_error(ferry, ftpd, listing):
    (ftpd.root / "updates").rmdir()
    ferry.sync(2)


def test_a_missing_folder_does_not_cost_the_server_its_mlsd(ferry, ftpd):
    (ftpd.root / "updates").rmdir()
    ferry.sync()
    ftpd.put("updates/a.txt", b"a")
    ferry.put("x.txt", b"x")  # something to send, so that what was learnt would be kept
    ferry.sync(2)
    ftpd.forget()
    ferry.sync()
    assert ftpd.arguments("MLSD") == ["updates"]
    assert ftpd.arguments("NLST") == []


def test_an_edited_download_goes_up_and_is_not_overwritten(ferry, ftpd):
    ftpd.put("updates/a.txt", b"theirs")
    ferry.sync()
    ferry.put("a.txt", b"edited")
    ftpd.forget()
    ferry.sync(2)
    assert ftpd.files(DEVICE) == {"a.txt": b"edited"}
    assert ferry.files() == {"a.txt": b"edited"}
    assert ftpd.arguments("RETR") == []


def test_a_new_version_on_the_server_replaces_an_edit_that_was_sent(ferry, ftpd):
    ftpd.put("updates/a.txt", b"theirs")
    ferry.sync()
    ferry.put("a.txt", b"edited")
    ferry.sync()
    ftpd.put("updates/a.txt", b"theirs, newer")
    ferry.sync(2)
    assert ferry.files() == {"a.txt": b"theirs, newer"}
    assert ftpd.files(DEVICE) == {"a.txt": b"edited"}


def test_a_change_that_could_not_be_sent_is_not_overwritten(ferry, ftpd):
    ftpd.put("updates/a.txt", b"theirs")
    ferry.sync()
    ferry.put("a.txt", b"edited")
    ftpd.put("updates/a.txt", b"theirs, newer")
    ftpd.on_command = lambda verb, argument, place: "553 no" if verb == "STOR" else None
    boot = ferry.boot(2)
    assert ferry.files() == {"a.txt": b"edited"}
    assert "not been sent" in boot.skipped["updates/a.txt"]


def test_a_file_that_was_never_sent_is_not_overwritten(ferry, ftpd):
    ferry.put("a.txt", b"mine")
    ftpd.put("updates/a.txt", b"theirs")
    ftpd.on_command = lambda verb, argument, place: "553 no" if verb == "STOR" else None
    ferry.boot(2)
    assert ferry.files() == {"a.txt": b"mine"}


def test_a_change_made_between_the_upload_and_the_download_is_not_overwritten(ferry, ftpd):
    ferry.put("a.txt", b"mine")
    ferry.sync()
    ftpd.put("updates/a.txt", b"theirs")

    def change(verb, argument, place):
        if verb == "MLSD":
            ferry.put("a.txt", b"mine, changed meanwhile")

    ftpd.on_command = change
    ferry.boot()
    assert ferry.files() == {"a.txt": b"mine, changed meanwhile"}


def test_a_change_made_while_the_download_runs_is_not_overwritten(ferry, ftpd):
    ferry.put("a.txt", b"mine")
    ferry.sync()
    ftpd.put("updates/a.txt", b"theirs")

    def change(verb, argument, place):
        if verb == "RETR":
            ferry.put("a.txt", b"mine, changed meanwhile")

    ftpd.on_command = change
    ferry.boot()
    assert ferry.files() == {"a.txt": b"mine, changed meanwhile"}


BAD_NAMES = ["../x", "a/b", "..", ".", "/usr/abs", "a\\b", "con\x01trol", "tab\there", "del\x7f", "x" * 256]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_leaves_the_folder_or_is_none_is_refused(ferry, ftpd, listing, name):
    ftpd.extra_names = [name]
    ftpd.put("updates/good.txt", b"good")
    ftpd.put("x", b"outside")
    boot = ferry.sync()
    assert ferry.files() == {"good.txt": b"good"}
    assert ftpd.arguments("RETR") == ["updates/good.txt"]
    assert sorted(path.name for path in ferry.root.iterdir()) == ["bak", "usr"]
    if listing == "MLSD" and name not in (".", ".."):
        assert len(boot.skipped) == 1


@pytest.mark.parametrize("name", ["car\rriage", "y" * 700, "", " "])
def test_a_name_that_no_command_can_hold_does_not_keep_the_others_away(ferry, ftpd, listing, name):
    ftpd.extra_names = [name]
    ftpd.put("updates/good.txt", b"good")
    ferry.sync()
    assert ferry.files() == {"good.txt": b"good"}


def test_folders_deeper_than_a_command_do_not_keep_the_others_away(ferry, ftpd, listing):
    deep = "updates/" + "/".join(["f" * 120] * 6)
    ftpd.put(deep + "/file.txt", b"deep")
    ftpd.put("updates/zz.txt", b"good")
    ferry.sync()
    assert ferry.files()["zz.txt"] == b"good"


def test_protected_files_are_never_overwritten(ferry, ftpd, listing):
    before = {name: (ferry.usr / name).read_bytes() for name in ("ftp_manager.py", "config.json", "app/__init__.py")}
    names = ["main.py", "main.mpy", "system_config.json", "checksum.json", ".updater/x", ".ferry/ledger", "App/x.py"]
    put_all(ftpd, dict.fromkeys([*before, *names], b"bad"))
    put_all(ftpd, {"good.txt": b"good"})
    boot = ferry.sync()
    assert ferry.files() == {"good.txt": b"good"}
    assert {name: (ferry.usr / name).read_bytes() for name in before} == before
    assert not (ferry.usr / "App").exists()
    assert "updates/config.json" in boot.skipped


def test_a_temp_name_of_somebody_elses_upload_is_not_fetched(ferry, ftpd, listing):
    put_all(ftpd, {"a.txt.part": b"half", "b.txt": b"b"})
    ferry.sync()
    assert ferry.files() == {"b.txt": b"b"}


def test_a_folder_in_the_way_of_a_file_is_told_and_stays(ferry, ftpd):
    ferry.put("a/inside.txt", b"inside")
    ftpd.put("updates/a", b"a file")
    boot = ferry.sync()
    assert ferry.files() == {"a/inside.txt": b"inside"}
    assert "updates/a" in boot.skipped


def test_a_file_in_the_way_of_a_folder_is_told_and_the_others_come(ferry, ftpd, listing):
    ferry.put("a", b"a file")
    put_all(ftpd, {"a/inside.txt": b"inside", "b.txt": b"b"})
    boot = ferry.boot()
    assert ferry.files() == {"a": b"a file", "b.txt": b"b"}
    assert "updates/a/inside.txt" in boot.skipped


def test_a_file_that_shrinks_on_the_server_while_it_is_fetched_is_not_put_in_place(ferry, ftpd):
    ftpd.put("updates/a.txt", b"old")
    ferry.sync()
    ftpd.put("updates/a.txt", b"n" * 100)

    def shrink(verb, argument, place):
        if verb == "RETR":
            ftpd.put("updates/a.txt", b"n" * 10)

    ftpd.on_command = shrink
    ferry.boot()
    assert ferry.files() == {"a.txt": b"old"}
    ferry.boot()
    assert ferry.files() == {"a.txt": b"n" * 10}


def test_a_file_that_grows_on_the_server_while_it_is_fetched_is_not_put_in_place(ferry, ftpd):
    ftpd.put("updates/a.txt", b"old")
    ferry.sync()
    ftpd.put("updates/a.txt", b"n" * 100)

    def grow(verb, argument, place):
        if verb == "RETR":
            ftpd.put("updates/a.txt", b"n" * 300_000)

    ftpd.on_command = grow
    ferry.boot()
    assert ferry.files() == {"a.txt": b"old"}
    ftpd.on_command = None
    ferry.boot()
    assert ferry.files() == {"a.txt": b"n" * 300_000}


def test_a_file_that_may_not_be_read_is_parked_and_the_others_come(ferry, ftpd):
    put_all(ftpd, {"a.txt": b"a", "b.txt": b"b"})
    ftpd.on_command = lambda verb, argument, place: "550 no" if (verb, argument[-5:]) == ("RETR", "a.txt") else None
    boot = ferry.boot(2)
    assert ferry.files() == {"b.txt": b"b"}
    assert "parked" in boot.skipped["updates/a.txt"]
    assert ftpd.arguments("RETR").count("updates/a.txt") == 1


def test_a_file_removed_on_the_module_comes_again(ferry, ftpd):
    ftpd.put("updates/a.txt", b"a")
    ferry.sync()
    ferry.remove("a.txt")
    ferry.sync()
    assert ferry.files() == {"a.txt": b"a"}


def test_nothing_is_left_in_the_state_folder(ferry, ftpd):
    put_all(ftpd, CONTENTS)
    ferry.sync()
    assert ferry.state_files() == ["ledger"]


UNREADABLE = """
import usys
usys.path.append("/usr")
from app.errors import StorageError
from app.platform.files import Files
_digest = Files.digest
def digest(self, path, size, *rest):
    if path.endswith(".part") and self.size(path) < 90000:
        raise StorageError("read " + path, step="read", code=5)
    return _digest(self, path, size, *rest)
Files.digest = digest
"""


def test_a_partial_that_cannot_be_read_any_more_starts_over(ferry, ftpd):
    """FAT may lose the chain of clusters of a file that was cut."""
    ftpd.put("updates/a.bin", bytes(range(250)) * 400)
    ferry.boot(1, faults=faults.parse("cut-data@60%@cycle1"))
    (partial,) = [name for name in ferry.state_files() if name.endswith(".part")]
    ferry.sync(before=UNREADABLE)
    assert ferry.files() == {"a.bin": bytes(range(250)) * 400}
    assert partial not in ferry.state_files()
