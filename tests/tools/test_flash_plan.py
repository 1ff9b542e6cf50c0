# What flashing has to do, from what is there and what is to be there. Pure.
import pytest

from tools import sizes
from tools.board import images, plan
from tools.board.errors import BoardError
from tools.publish.contents import from_bytes

MAIN = from_bytes("/usr/main.py", b"main")
APPLY = from_bytes("/usr/app/apply.py", b"apply")
LOG = from_bytes("/usr/app/log.py", b"log")
NEW = [APPLY, LOG, MAIN]


def on_module(*contents):
    return {content.path: (content.size, content.sha256) for content in contents}


def found(*contents, **more):
    more = {"is_ferry_boot": True, "folders": ("/usr/app", "/usr/.ferry"), "free_blocks": 90, **more}
    return plan.Found(files=on_module(*contents), **more)


def old(path):
    return from_bytes(path, b"old")


def test_nothing_to_do_where_all_is_there():
    planned = plan.make(NEW, found(*NEW))
    assert planned.is_empty
    assert planned.copies == planned.moves == []


def test_only_what_differs_is_copied_main_last():
    planned = plan.make(NEW, found(APPLY, old("/usr/main.py")))
    assert planned.copies == [LOG, MAIN]
    assert planned.changed == {"/usr/app/log.py": "new", "/usr/main.py": "changed"}


def test_main_is_moved_first_so_that_every_boot_finishes_the_rest():
    moves = plan.make(NEW, found(APPLY, old("/usr/main.py"))).moves
    assert [move[1] for move in moves] == ["/usr/main.py", "/usr/app/log.py"]
    assert all(move[2] == "" for move in moves)


def test_main_of_another_program_is_kept_under_a_name_that_is_free():
    there = found(old("/usr/main.py"), is_ferry_boot=False, names=("main.py", "main.py.old"))
    planned = plan.make(NEW, there)
    assert planned.kept_main == "/usr/main.py.old2"
    assert planned.moves[0] == [plan.staged_path(MAIN), "/usr/main.py", "/usr/main.py.old2"]
    assert planned.first == APPLY


def test_what_finishes_a_set_is_not_placed_early_where_there_is_one():
    assert plan.make(NEW, found(old("/usr/app/apply.py"))).first is None
    assert plan.make(NEW, found(old("/usr/app/apply.mpy"))).first is None


def test_source_that_would_be_loaded_in_place_of_compiled_code_goes():
    compiled = [from_bytes("/usr/app/apply.mpy", b"x"), from_bytes("/usr/ferry.mpy", b"y"), MAIN]
    planned = plan.make(compiled, found(APPLY, LOG, old("/usr/ferry.py"), old("/usr/own.py"), MAIN))
    assert planned.gone == ["/usr/app/apply.py", "/usr/app/log.py", "/usr/ferry.py"]
    assert planned.moves[-3:] == [["", path, ""] for path in planned.gone]


def test_another_programs_app_folder_is_left_alone_but_for_what_hides_ferrys():
    there = found(old("/usr/app/theirs.py"), old("/usr/app/log.mpy"), old("/usr/main.py"), is_ferry_boot=False)
    assert plan.make(NEW, there).gone == ["/usr/app/log.mpy"]


def test_settings_and_data_never_go():
    there = found(*NEW, old("/usr/config.json"))
    assert plan.make(NEW, there).is_empty


def test_what_a_cut_left_staged_is_not_copied_again():
    whole, part = plan.staged_path(LOG), plan.staged_path(MAIN)
    staged = {whole: (LOG.size, LOG.sha256), part: (2, LOG.sha256)}
    planned = plan.make(NEW, found(APPLY, staged=staged))
    assert planned.copies == [MAIN]
    assert len(planned.moves) == 2


def test_a_trial_ends_and_what_it_kept_goes():
    journal = plan.make(NEW, found(APPLY, backups=("/usr/.ferry/0.old",))).journal()
    assert journal["ends_trial"]
    assert journal["moves"][-1] == ["", "/usr/.ferry/0.old", ""]
    assert "trial_boots" not in journal


@pytest.mark.parametrize(
    ("size", "blocks"),
    [(0, 0), (1, 1), (4096, 1), (4097, 2), (4096 + 4088, 2), (8192, 3), (65536, 17)],  # PLATFORM's measured values
)
def test_blocks_of_a_file(size, blocks):
    assert found().blocks(size) == blocks


def test_room_counts_files_folders_journal_and_reserve():
    big = from_bytes("/usr/app/sync/big.py", bytes(8192))
    planned = plan.make([big], found(APPLY, MAIN, free_blocks=11))
    assert planned.need_blocks == 3 + 2 + 2 + 4  # file, app/sync, journal twice, reserve
    assert planned.has_room
    assert not plan.make([big], found(APPLY, MAIN, free_blocks=10)).has_room


def test_what_another_version_left_staged_makes_room():
    planned = plan.make(NEW, found(free_blocks=1, staged={"/usr/.ferry/flash-0.part": (8192, "")}))
    assert planned.free_blocks == 1 + 3


def test_room_counts_the_other_programs_main_twice():
    big = from_bytes("/usr/main.py", bytes(9000))
    there = found(APPLY, big, is_ferry_boot=False)
    assert plan.make([MAIN], there).need_blocks == 1 + 2 + 4 + there.blocks(9000)


def test_old_code_is_erased_main_first():
    there = found(APPLY, LOG, MAIN, old("/usr/ferry.mpy"), old("/usr/own.py"), old("/usr/config.json"))
    assert plan.own_code(there) == ["/usr/main.py", "/usr/app/apply.py", "/usr/app/log.py", "/usr/ferry.mpy"]


# The word in usys.implementation: 1.13 with byte strings; with unicode; v6.3 of a 64-bit host; none; one of the future.
@pytest.mark.parametrize(
    ("word", "text"),
    [(0x0205, "other flags"), (0x0105, "other flags"), (0, "does not tell"), (0x0007, "version 7")],
)
def test_a_firmware_that_no_compiler_fits_is_refused(word, text):
    with pytest.raises(BoardError, match=text) as raised:
        images.compiler_for(word)
    assert "Leave --mpy out" in str(raised.value)


@pytest.mark.skipif(not images._cross_v6 or not sizes.compiler(), reason="PyPI has no compiler for this machine")
@pytest.mark.parametrize(("word", "magic"), [(0x1C05, b"M\x05\x00"), (0x0B06, b"M\x06")])
def test_the_compiler_is_chosen_by_what_the_firmware_takes(word, magic):
    contents = images.code(images.compiler_for(word))
    assert contents[-1].path == "/usr/main.py"
    assert all(content.source.startswith(magic) for content in contents[:-1])


def test_a_missing_compiler_for_newer_firmware_is_told(monkeypatch):
    monkeypatch.setattr(images, "_cross_v6", None)
    with pytest.raises(BoardError, match="not installed here"):
        images.compiler_for(0x0B06)
