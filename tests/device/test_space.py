# A flash that is full or fills up: the old file stays, no stub is left, what fits still comes, uploads still go.
import pytest

from tests.device.ferry import DEVICE, on_event_hook
from tests.device.ftpd import KILL

RESERVE_BLOCKS = 4  # storage.reserve_blocks
BODY = bytes(range(250)) * 400  # 25 blocks

# Blocks that somebody else takes away as soon as some of the file has come.
FILL_UP = on_event_hook(
    """
if kind == "progress" and data[0] >= 20000:
    import uos
    _world.flash_blocks -= uos.statvfs("/usr")[3]
"""
)


@pytest.fixture
def small(ferry, ftpd):
    """A module with room for the state folder, the ledger and `blocks` more: small(blocks) -> flash_blocks."""
    (ferry.usr / ".ferry").mkdir()
    return lambda blocks: ferry.blocks() + 1 + 1 + 1 + RESERVE_BLOCKS + blocks


def test_what_does_not_fit_is_told_and_what_is_smaller_still_comes(ferry, ftpd, small):
    ftpd.put("updates/a big.bin", b"b" * 200_000)
    ftpd.put("updates/b small.bin", b"s" * 9_000)
    ftpd.put("updates/c big.bin", b"c" * 200_000)
    boot = ferry.boot(flash_blocks=small(20))
    assert ferry.files() == {"b small.bin": b"s" * 9_000}
    assert {"updates/a big.bin", "updates/c big.bin"} == set(boot.skipped)
    assert ftpd.arguments("RETR") == ["updates/b small.bin"]
    assert boot.errors[0][0] == "StorageError"


def test_a_new_version_that_does_not_fit_beside_the_old_one_leaves_the_old_one(ferry, ftpd, small):
    ftpd.put("updates/a.bin", b"o" * 100_000)
    ferry.sync()
    ftpd.put("updates/a.bin", b"n" * 110_000)
    ferry.boot(flash_blocks=ferry.blocks() + 20)
    assert ferry.files() == {"a.bin": b"o" * 100_000}
    assert ferry.state_files() == ["ledger"]


def test_it_comes_when_there_is_room_again(ferry, ftpd, small):
    ftpd.put("updates/a.bin", b"a" * 100_000)
    ferry.boot(flash_blocks=small(10))
    assert ferry.files() == {}
    ferry.sync()
    assert ferry.files() == {"a.bin": b"a" * 100_000}


def test_a_flash_that_fills_up_in_the_middle_leaves_the_old_file_and_no_stub(ferry, ftpd):
    ftpd.put("updates/a.bin", b"old")
    ferry.sync()
    ftpd.put("updates/a.bin", b"n" * 300_000)
    boot = ferry.boot(before=FILL_UP)
    assert ferry.files() == {"a.bin": b"old"}
    assert ferry.state_files() == ["ledger"]
    assert [error[0] for error in boot.errors] == ["StorageError"]


def test_the_session_goes_on_after_a_file_for_which_the_room_ran_out(ferry, ftpd):
    ftpd.put("updates/a.bin", b"a" * 300_000)
    ftpd.put("updates/b.txt", b"")  # nothing fits any more but what needs nothing
    boot = ferry.boot(before=FILL_UP)
    assert "updates/a.bin" in boot.skipped
    assert boot.status == 0
    assert boot.cycles[0]["connections"] < 8
    ferry.sync()
    assert ferry.files() == {"a.bin": b"a" * 300_000, "b.txt": b""}


def test_a_full_flash_does_not_stop_uploads_which_make_room(ferry, ftpd):
    ferry.configure(upload={"after": "delete"})
    ferry.sync()  # the state folder is there
    content = b"x" * 50_000
    for name in "abc":
        ferry.put(name, content)
    boot = ferry.boot(2, flash_blocks=ferry.blocks() + 1)
    assert ftpd.files(DEVICE) == dict.fromkeys("abc", content)
    assert ferry.files() == {}, boot.text


def test_a_flash_that_was_full_before_the_first_boot_does_not_stop_uploads(ferry, ftpd):
    ferry.configure(upload={"after": "delete"})
    ferry.put("a", b"x" * 50_000)
    boot = ferry.boot(3, flash_blocks=ferry.blocks() + 2)
    assert ftpd.files(DEVICE) == {"a": b"x" * 50_000}, boot.text


def test_a_server_that_is_full_is_asked_again_later_and_loses_nothing(ferry, ftpd):
    ferry.put("a.txt", b"new")
    ftpd.put(DEVICE + "/a.txt", b"old")
    ftpd.on_command = lambda verb, argument, place: "452 disk full" if verb == "STOR" else None
    boot = ferry.boot(2)
    assert ftpd.files(DEVICE) == {"a.txt": b"old"}
    assert "BACKOFF" in boot.states
    ftpd.on_command = None
    ferry.sync()
    assert ftpd.files(DEVICE) == {"a.txt": b"new"}


@pytest.fixture
def cut_download(ferry, ftpd, small):
    """A module whose flash has little more room than for a file of 100,000 bytes, of which 70,000 are there; -> its size."""
    ferry.configure(upload={"from": ""})
    ftpd.put("updates/big.bin", BODY)
    limit = small(25)
    ftpd.on_data = lambda moved, total: KILL if moved == "down" and total >= 70_000 else None
    ferry.boot(flash_blocks=limit)
    ftpd.on_data = None
    ftpd.restart()
    return limit


def test_an_interrupted_file_goes_on_in_a_flash_that_it_fills(ferry, ftpd, cut_download):
    before = ftpd.moved["down"]
    ferry.sync(flash_blocks=cut_download)
    assert ferry.files() == {"big.bin": BODY}
    assert ftpd.moved["down"] - before < 50_000


def test_what_is_left_of_a_version_that_is_gone_makes_room_for_the_next(ferry, ftpd, cut_download):
    ftpd.put("updates/big.bin", BODY[::-1] + b"x")
    ferry.sync(flash_blocks=cut_download)
    assert ferry.files() == {"big.bin": BODY[::-1] + b"x"}
    assert ferry.state_files() == ["ledger"]
