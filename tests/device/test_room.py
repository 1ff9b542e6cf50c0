# storage.when_full, storage.low_blocks and upload.drop_unsent: what goes from a flash that fills up, in which order, and what never.
import pytest

from tests.device.ferry import DEVICE, on_event_hook
from tools.sim.child import find_interpreter
from tools.sim.flash import FILE_SYSTEMS, Flash
from tools.sim.module import flash

FILE_BYTES, FILE_BLOCKS = 20_000, 5
LOW_BLOCKS = 12
NO_LINK = {"sim_status": 0}

FLASH_BYTES = 512 * 1024

# Somebody else takes what is left of the flash, in a place where Ferry never looks: before the room is looked after, or as
# soon as some of a download has come.
FILL_UP = """
import uos
with open("/usr/app/ballast", "ab") as ballast:
    try:
        while ballast.write(b"b" * 512):
            ballast.flush()
    except OSError as e:
        if e.args[0] != 28:
            raise
"""
FILL_UP_BEFORE = on_event_hook("pass") + FILL_UP
FILL_UP_MEANWHILE = on_event_hook("if kind == 'progress' and data[0] >= 20000:" + FILL_UP.replace("\n", "\n    "))


def content(name):
    return name.encode() * (FILE_BYTES // len(name))


@pytest.fixture
def spool(ferry):
    """Only /usr/data goes up and nothing comes down; `arrived` in this order, which is not that of the names."""
    ferry.configure(upload={"from": "/usr/data"}, download={"from": ""}, storage={"low_blocks": LOW_BLOCKS})
    for name in ("c", "a", "d", "b"):
        ferry.put("data/" + name, content(name))
        ferry.sync()
    return ferry


def names(ferry):
    return sorted(name.removeprefix("data/") for name in ferry.files())


def boot_with_free(ferry, blocks, **more):
    """Boot with so many blocks of the flash free."""
    return ferry.boot(flash_blocks=ferry.blocks() + blocks, **more)


def dropped(boot):
    return [path.removeprefix("/usr/data/") for path, _ in boot.data("drop")]


def unsent(boot):
    """What went without having been sent, in this order, as it was told."""
    return [path.removeprefix("/usr/data/") for _, path, reason in boot.data("skip") if "before it was sent" in reason]


# --- what has arrived


@pytest.mark.parametrize(
    ("free", "gone"), [(LOW_BLOCKS, []), (LOW_BLOCKS - 1, ["c"]), (LOW_BLOCKS - 5, ["c"]), (3, ["c", "a"])]
)
def test_what_arrived_first_goes_first_and_no_more_than_is_needed(spool, ftpd, free, gone):
    spool.configure(storage={"when_full": "drop"})
    boot = boot_with_free(spool, free)
    assert dropped(boot) == gone, boot.text
    assert names(spool) == sorted(set("abcd") - set(gone))
    assert boot.cycles[0]["ok"], boot.text
    assert ftpd.files(DEVICE) == {name: content(name) for name in "abcd"}


def test_low_blocks_says_how_much_room_is_made(spool):
    spool.configure(storage={"when_full": "drop", "low_blocks": 3 * FILE_BLOCKS})
    assert dropped(boot_with_free(spool, 3)) == ["c", "a", "d"]


def test_what_was_dropped_is_neither_sent_nor_missed_again(spool, ftpd):
    spool.configure(storage={"when_full": "drop"})
    boot_with_free(spool, 3)
    ftpd.forget()
    boot = spool.sync(2)
    assert ftpd.arguments("STOR") == []
    assert ftpd.arguments("DELE") == []
    assert boot.skipped == {}


def test_a_file_that_changed_since_it_arrived_counts_as_unsent(spool, ftpd):
    spool.configure(storage={"when_full": "drop"})
    spool.put("data/c", b"x" * FILE_BYTES)
    boot = boot_with_free(spool, LOW_BLOCKS - 1)
    assert dropped(boot) == ["a"]
    assert ftpd.files(DEVICE)["c"] == b"x" * FILE_BYTES


@pytest.mark.parametrize("drop_unsent", [False, True])
def test_a_full_flash_loses_nothing_where_files_are_to_be_kept(spool, drop_unsent):
    """What has arrived stays; what has not is spared too, unless the rule says otherwise, and here there is none such."""
    spool.configure(upload={"drop_unsent": drop_unsent})
    boot = boot_with_free(spool, 1)
    assert dropped(boot) == []
    assert names(spool) == ["a", "b", "c", "d"]


# --- without a link


@pytest.mark.parametrize("world", [NO_LINK, {"net_state": 2}, {"pdp": 0}])
def test_room_is_made_without_a_link(spool, ftpd, world):
    spool.configure(storage={"when_full": "drop"})
    ftpd.forget()
    boot = boot_with_free(spool, 3, **world)
    assert dropped(boot) == ["c", "a"]
    assert boot.errors[0][0] == "LinkError"
    assert ftpd.arguments("USER") == []  # the QUIT of the session before may be heard late


def test_room_is_made_while_the_server_is_gone(spool, ftpd):
    spool.configure(storage={"when_full": "drop"})
    ftpd.down()
    assert dropped(boot_with_free(spool, 3)) == ["c", "a"]


# --- what was never sent


def put_unsent(ferry):
    """Four files that have not arrived, and none that has."""
    for name in "abcd":
        ferry.remove("data/" + name)
        ferry.put("data/new " + name, content("new " + name))


@pytest.mark.parametrize("when_full", ["keep", "drop"])
def test_unsent_files_stay_whatever_the_flash_holds(spool, ftpd, when_full):
    spool.configure(storage={"when_full": when_full})
    put_unsent(spool)
    boot = boot_with_free(spool, 0, **NO_LINK)
    assert dropped(boot) + unsent(boot) == []
    assert names(spool) == ["new a", "new b", "new c", "new d"]
    boot_with_free(spool, 0)
    assert {name: content(name) for name in names(spool)}.items() <= ftpd.files(DEVICE).items()
    assert "new d" in ftpd.files(DEVICE)


def test_unsent_files_go_where_the_rule_says_so_and_each_is_told(spool, ftpd):
    spool.configure(storage={"when_full": "drop"}, upload={"drop_unsent": True})
    put_unsent(spool)
    boot = boot_with_free(spool, 3, **NO_LINK)
    assert unsent(boot) == ["new a", "new b"]
    assert names(spool) == ["new c", "new d"]
    for name in ("new a", "new b"):
        assert f"/usr/data/{name} skipped: dropped before it was sent" in boot.text
    spool.sync()
    assert {"new c", "new d"} <= ftpd.files(DEVICE).keys()
    assert not {"new a", "new b"} & ftpd.files(DEVICE).keys()


def test_the_first_by_name_goes_unsent_also_where_the_last_is_sent_first(spool):
    spool.configure(storage={"when_full": "drop"}, upload={"drop_unsent": True, "order": "reverse"})
    put_unsent(spool)
    assert unsent(boot_with_free(spool, 3, **NO_LINK)) == ["new a", "new b"]


def test_what_has_arrived_goes_before_what_has_not(spool):
    spool.configure(storage={"when_full": "drop", "low_blocks": 4 * FILE_BLOCKS}, upload={"drop_unsent": True})
    spool.put("data/0 new", content("0 new"))
    boot = boot_with_free(spool, 0, **NO_LINK)
    assert dropped(boot) == ["c", "a", "d", "b"]
    assert unsent(boot) == []
    assert names(spool) == ["0 new"]


def test_only_files_of_the_rule_that_allows_it_go_unsent(ferry):
    ferry.configure(
        upload=[{"from": "/usr/data/loose", "drop_unsent": True}, {"from": "/usr/data/tight"}],
        storage={"when_full": "drop", "low_blocks": 4 * FILE_BLOCKS},
    )
    for folder in ("loose", "tight"):
        for name in ("x", "y"):
            ferry.put(f"data/{folder}/{name}", content(name))
    ferry.boot(**NO_LINK)  # the firmware's own file and the ledger are there
    boot = boot_with_free(ferry, 1, **NO_LINK)
    assert unsent(boot) == ["loose/x", "loose/y"], boot.text
    assert names(ferry) == ["tight/x", "tight/y"]


def test_unsent_files_of_the_rule_with_less_priority_go_first(ferry):
    ferry.configure(
        upload=[
            {"from": "/usr/data/alarms", "drop_unsent": True, "priority": 9},
            {"from": "/usr/data/photos", "drop_unsent": True, "mode": "batch", "to": "{device}", "priority": 1},
        ],
        storage={"when_full": "drop", "low_blocks": 4 * FILE_BLOCKS},
    )
    for folder in ("alarms", "photos"):
        for name in ("x", "y"):
            ferry.put(f"data/{folder}/{name}", content(name))
    ferry.boot(**NO_LINK)
    boot = boot_with_free(ferry, 2 * FILE_BLOCKS, **NO_LINK)
    assert unsent(boot) == ["photos/x", "photos/y"], boot.text
    assert names(ferry) == ["alarms/x", "alarms/y"]


# --- a real file system without a free block


@pytest.fixture(params=FILE_SYSTEMS)
def on_flash(request, ferry, tmp_path):
    """Boot `ferry` with /usr on a simulated flash of 384k with this file system: on_flash(before) -> Boot."""
    ferry.heap = "512k"  # a block device written in Python takes its part
    image = Flash(find_interpreter(None, ferry.heap).path, tmp_path / "image", request.param, FLASH_BYTES)

    def boot(before="", **world):
        flash(ferry.usr, ferry.config, is_small=True)
        main = (ferry.usr / "main.py").read_text()
        ferry.put("main.py", f"{before}\n{main}".encode())
        image.fill(ferry.usr)
        found = ferry.boot(before=before, main=main, flash=image.world(0), **world)
        image.dump(ferry.usr)
        return found

    return boot


def files(ferry):
    """As ferry.files(), without the ballast, which lies where Ferry never looks."""
    return {name: found for name, found in ferry.files().items() if not name.startswith("app/")}


def test_a_flash_without_a_free_block_keeps_the_old_file_and_the_whole_ledger(ferry, ftpd, on_flash):
    ftpd.put("updates/a.bin", b"old" * 1000)
    ferry.put("data/sent.txt", b"sent")
    assert on_flash().cycles[0]["ok"]
    ftpd.put("updates/a.bin", b"new" * 15_000)
    boot = on_flash(FILL_UP_MEANWHILE)
    assert "a.bin" in str(boot.skipped), boot.text
    assert [error[0] for error in boot.errors] == ["StorageError"]
    assert files(ferry) == {"a.bin": b"old" * 1000, "data/sent.txt": b"sent"}
    assert ferry.state_files() == ["ledger"]
    ftpd.forget()
    (ferry.usr / "app" / "ballast").unlink()
    assert on_flash().cycles[0]["ok"]
    assert files(ferry) == {"a.bin": b"new" * 15_000, "data/sent.txt": b"sent"}
    assert ftpd.arguments("STOR") == []



@pytest.mark.parametrize("on_flash", ["lfs1", "fat"], indirect=True)
def test_a_flash_without_a_free_block_gets_room_and_the_rest_still_goes_up(ferry, ftpd, on_flash):
    ferry.configure(storage={"when_full": "drop", "low_blocks": FILE_BLOCKS}, upload={"from": "/usr/data"})
    for name in ("a", "b"):  # the ledger notes a file as arrived when it has to be written for the next one
        ferry.put("data/" + name, content(name))
        assert on_flash().cycles[0]["ok"]
    ferry.put("data/new", content("new"))
    boot = on_flash(FILL_UP_BEFORE)
    assert dropped(boot) == ["a"], boot.text
    assert files(ferry) == {"data/b": content("b"), "data/new": content("new")}
    assert boot.cycles[0]["ok"], boot.text
    assert ftpd.files(DEVICE) == {name: content(name) for name in ("a", "b", "new")}


NO_CARD = """
import uos
def without(call):
    def mounted(path, *more):
        if path.startswith("/sd"):
            raise OSError(19)  # nothing is mounted at /, so there is nowhere to look
        return call(path, *more)
    return mounted
for name in ("stat", "statvfs", "ilistdir"):
    setattr(uos, name, without(getattr(uos, name)))
"""


def test_a_card_that_is_not_in_keeps_nothing_else_from_going(ferry, ftpd):
    ferry.configure(upload=[{"from": "/sd/data"}, {"from": "/usr/data"}], storage={"when_full": "drop"})
    ferry.put("data/a", b"a")
    ferry.sync(before=NO_CARD)
    assert ftpd.files(DEVICE) == {"a": b"a"}
