# Files on their way up: what arrives is what the module holds, under its name, once.
import random

import pytest

from tests.device.ferry import DEVICE

CONTENTS = {
    "lf.txt": b"one\ntwo\n",
    "crlf.txt": b"one\r\ntwo\r\n",
    "mixed.txt": b"one\r\ntwo\nthree\rfour\n\r",
    "no final newline.txt": b"one\r\ntwo",
    "all bytes.bin": bytes(range(256)) * 3,
    "telnet.bin": b"\xff\xf4\xff\xff\xf2" * 7,
    "empty.txt": b"",
    "one byte.txt": b"x",
    "one block.bin": b"\r\n" * 2048,
    "block and one.bin": b"\n" * 4097,
}

NAMES = [
    "two words and  two blanks.txt",
    "grüße-日本-🚢.txt",
    "[brackets].txt",
    "star*.txt",
    "100% %s %d.txt",
    "#hash.txt",
    "quote'\".txt",
    "back\\slash.txt",
    "-dash",
    ".hidden",
    "~tilde",
    "a;b=c; d.txt",
    "{device}",
    "UPPER and lower.TXT",
    "n" * 200,
    "日" * 80,
    "sub/folder/deep/file.txt",
    "sub folder [1]/ünder/file.txt",
]


@pytest.fixture
def data(ferry):
    """Only /usr/data goes up, and nothing comes down."""
    ferry.configure(upload={"from": "/usr/data"}, download={"from": ""})
    return ferry


def put_all(ferry, files):
    for name, content in files.items():
        ferry.put("data/" + name, content)


def test_every_byte_arrives_as_it_is(data, ftpd):
    put_all(data, CONTENTS)
    data.sync()
    assert ftpd.files(DEVICE) == CONTENTS


def test_ten_megabytes_arrive_as_they_are(data, ftpd):
    content = random.Random(1).randbytes(10_000_000)
    data.put("data/big.bin", content)
    data.sync()
    assert ftpd.files(DEVICE)["big.bin"] == content


@pytest.mark.parametrize("name", NAMES)
def test_a_file_keeps_its_name(data, ftpd, name):
    data.put("data/" + name, b"content")
    data.sync()
    assert ftpd.files(DEVICE) == {name: b"content"}


def test_a_blank_at_the_start_or_the_end_of_a_name_stays(data, ftpd):
    put_all(data, {" first": b"1", "last ": b"2"})
    data.sync()
    assert ftpd.files(DEVICE) == {" first": b"1", "last ": b"2"}


def test_a_path_longer_than_a_command_is_told_and_the_others_go(data, ftpd):
    deep = "/".join(["f" * 120] * 6) + "/file"
    put_all(data, {deep: b"deep", "zz.txt": b"other"})
    boot = data.sync()
    assert ftpd.files(DEVICE) == {"zz.txt": b"other"}
    assert "/usr/data/" + deep in boot.skipped


def test_a_hundred_files_of_one_folder_all_arrive(data, ftpd):
    files = {f"f{i:03d}.txt": b"%d" % i for i in range(100)}
    put_all(data, files)
    data.sync()
    assert ftpd.files(DEVICE) == files


def test_what_is_in_step_is_not_sent_again_nor_after_a_restart(data, ftpd):
    put_all(data, CONTENTS)
    data.sync(2)
    ftpd.forget()
    data.sync(2)
    assert ftpd.arguments("STOR") == []


def test_a_changed_file_of_the_same_size_goes_again_and_only_that(data, ftpd):
    put_all(data, {"a.txt": b"aaaa", "b.txt": b"bbbb"})
    data.sync()
    ftpd.forget()
    data.put("data/a.txt", b"AAAA")
    data.sync()
    assert len(ftpd.arguments("STOR")) == 1
    assert ftpd.files(DEVICE) == {"a.txt": b"AAAA", "b.txt": b"bbbb"}


def test_a_file_that_changes_back_goes_again(data, ftpd):
    for content in (b"one", b"two", b"one"):
        data.put("data/a.txt", content)
        data.sync()
        assert ftpd.files(DEVICE) == {"a.txt": content}


def test_a_file_that_changes_while_it_travels_is_not_committed_half_and_goes_in_the_next_cycle(data, ftpd):
    old, new = b"o" * 400_000, b"n" * 400_000
    data.put("data/a.bin", old)

    def change(direction, total):
        ftpd.on_data = None
        data.put("data/a.bin", new)

    ftpd.on_data = change
    seen = set()
    ftpd.on_step = lambda: seen.update(ftpd.files(DEVICE).get("a.bin", b"")[i : i + 1] for i in (0, 399_999))
    data.boot(2)
    assert ftpd.files(DEVICE) == {"a.bin": new}
    assert seen <= {b"", b"o", b"n"}


def test_a_sent_file_is_deleted_only_where_the_rule_says_so(data, ftpd):
    data.configure(upload=[{"from": "/usr/spool", "after": "delete"}, {"from": "/usr/data"}])
    data.put("spool/s.txt", b"spool")
    data.put("data/d.txt", b"data")
    data.sync()
    assert data.files() == {"data/d.txt": b"data"}
    assert ftpd.files(DEVICE) == {"s.txt": b"spool", "d.txt": b"data"}


def test_a_file_to_be_deleted_is_there_until_the_server_has_renamed_it(data, ftpd):
    data.configure(upload={"after": "delete"})
    data.put("data/a.txt", b"a")
    seen = []

    def look(verb, argument, place):
        if not (data.usr / "data/a.txt").exists():
            seen.append((verb, "a.txt" in ftpd.files(DEVICE)))

    ftpd.on_command = look
    data.sync()
    assert data.files() == {}
    assert all(is_there for _, is_there in seen)


def test_a_file_whose_rename_is_refused_is_not_deleted(data, ftpd):
    data.configure(upload={"after": "delete"})
    data.put("data/a.txt", b"a")
    ftpd.on_command = lambda verb, argument, place: "553 no" if verb == "RNTO" else None
    boot = data.boot(2)
    assert data.files() == {"data/a.txt": b"a"}
    assert "parked" in boot.skipped["/usr/data/a.txt"]
    assert ftpd.files(DEVICE) == {}


def test_the_copy_on_the_server_survives_a_new_version_whose_rename_is_refused(data, ftpd):
    data.put("data/a.txt", b"old")
    data.sync()
    data.put("data/a.txt", b"new")
    ftpd.on_command = lambda verb, argument, place: "553 no" if verb == "RNTO" else None
    data.boot(2)
    assert ftpd.files(DEVICE) == {"a.txt": b"old"}


def test_a_file_deleted_after_sending_and_written_again_goes_again(data, ftpd):
    data.configure(upload={"after": "delete"})
    for content in (b"one", b"two", b"one"):
        data.put("data/log.txt", content)
        ftpd.forget()
        data.sync()
        assert data.files() == {}
        assert ftpd.files(DEVICE) == {"log.txt": content}
        assert len(ftpd.arguments("STOR")) == 1


def test_protected_files_are_never_sent(ferry, ftpd):
    own = ["system_config.json", "user_apn.json", "apn_cfg.json", "datacall_config.json", "checksum.json"]
    for name in [*own, "q_init_fs.py", ".updater/x", "a.part", "sub/b.part", ".ferry/c", "main.mpy", "APP/d.py"]:
        ferry.put(name, b"protected")
    ferry.put("sub/config.json", b"mine")
    (ferry.root / "bak" / "b.txt").write_bytes(b"backup")
    ferry.configure(upload=[{"from": "/usr"}, {"from": "/bak"}])
    boot = ferry.boot()
    assert ftpd.files(DEVICE) == {"sub/config.json": b"mine"}, boot.text
    assert ftpd.password.encode() not in b"".join(ftpd.files().values())


def test_each_rule_has_its_own_folders(data, ftpd):
    data.configure(upload=[{"from": "/usr/a", "to": "x/{device}"}, {"from": "/usr/b", "to": ""}, {"from": "/usr/a"}])
    data.put("a/1.txt", b"1")
    data.put("b/sub/2.txt", b"2")
    data.sync()
    assert ftpd.files() == {f"x/{DEVICE}/1.txt": b"1", "sub/2.txt": b"2", f"{DEVICE}/1.txt": b"1"}


def test_only_what_include_and_exclude_allow_is_sent(data, ftpd):
    data.configure(upload={"include": ["*.log", "raw/", "top*.csv"], "exclude": ["tmp/", "secret*", "raw/*.bak"]})
    wanted = ["a.log", "deep/down/b.log", "raw/any.bin", "raw/x/y.bak", "top1.csv"]
    unwanted = ["a.txt", "tmp/c.log", "deep/secret.log", "raw/z.bak", "log", "data.csv"]
    put_all(data, {name: name.encode() for name in wanted + unwanted})
    data.sync()
    assert sorted(ftpd.files(DEVICE)) == sorted(wanted)


def test_the_module_goes_by_its_imei_where_it_has_no_name(data, ftpd):
    data.configure(device={"id": ""})
    data.put("data/a.txt", b"a")
    data.sync(imei="867001122334455")
    assert ftpd.files() == {"867001122334455/a.txt": b"a"}
