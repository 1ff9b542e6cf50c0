# upload.to, upload.undated and upload.on_conflict: under which name a file arrives, and that it stays the same whatever is cut.
import random
import re

import pytest

from tests.device.ferry import DEVICE, on_event_hook
from tests.device.ftpd import KILL

SET_S = 1_790_000_000  # 2026-09-21 14:13:20 UTC
DAY_S = 86_400
UNSET = {"epoch_s": 0}  # a module that the network has not told the time
BIG = random.Random(1).randbytes(200_000)
SMALL = b"small"


@pytest.fixture
def data(ferry):
    """Only /usr/data goes up, and nothing comes down."""
    ferry.configure(upload={"from": "/usr/data"}, download={"from": ""})
    return ferry


def names(ftpd):
    return sorted(ftpd.files())


# --- templates


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("", "sub/a.tar.gz"),
        ("in/{device}", f"in/{DEVICE}/sub/a.tar.gz"),
        ("/abs/{imei}/", "abs/867001122334455/sub/a.tar.gz"),
        ("{device}/{name}", f"{DEVICE}/a.tar.gz"),
        ("{dir}/x/{stem}-{device}{ext}", f"sub/x/a.tar-{DEVICE}.gz"),
        ("{path}.bin", "sub/a.tar.gz.bin"),
        ("{date}/{time}-{name}", "2026-09-21/14-13-2.-a.tar.gz"),
        ("{boot}/{seq}-{stem}{ext}", "00001/00000001-a.tar.gz"),
    ],
)
def test_a_template_makes_the_name(data, ftpd, to, expected):
    data.configure(upload={"to": to})
    data.put("data/sub/a.tar.gz", b"a")
    data.sync(imei="867001122334455", epoch_s=SET_S)
    assert len(names(ftpd)) == 1
    assert re.fullmatch(expected, names(ftpd)[0])


def test_the_numbers_of_several_files_follow_each_other(data, ftpd):
    data.configure(upload={"to": "{seq}-{name}"})
    for name in "abcdefg":
        data.put("data/" + name, name.encode())
    data.sync()
    assert names(ftpd) == [f"{number:08d}-{name}" for number, name in enumerate("abcdefg", 1)]


def test_numbers_go_on_after_a_restart(data, ftpd):
    data.configure(upload={"to": "{seq}-{name}", "after": "delete"})
    for name in "abc":
        data.put("data/" + name, name.encode())
        data.sync()
    assert names(ftpd) == ["00000001-a", "00000002-b", "00000003-c"]


def test_a_boot_has_its_number(data, ftpd):
    data.configure(upload={"to": "{boot}/{name}"})
    for name in "abc":
        data.put("data/" + name, name.encode())
        data.sync()
    assert names(ftpd) == ["00001/a", "00002/b", "00003/c"]


def test_what_arrived_under_a_passing_name_is_not_sent_again_nor_after_a_restart(data, ftpd):
    data.configure(upload={"to": "{date}/{time}-{boot}-{seq}-{name}"})
    data.put("data/a.txt", b"a")
    data.sync(2, epoch_s=SET_S)
    data.sync(2, epoch_s=SET_S + DAY_S)
    assert len(names(ftpd)) == 1
    assert len(ftpd.arguments("STOR")) == 1


@pytest.mark.parametrize("after", ["keep", "delete", "move"])
def test_each_version_of_a_file_gets_its_own_number_and_none_is_replaced(data, ftpd, after):
    data.configure(upload={"to": "{seq}-{name}", "after": after, "move_to": "/usr/sent"})
    data.put("data/log.txt", b"one")
    write_two = on_event_hook("""
if kind == "cycle" and data[0]["number"] == 1:
    with open("/usr/data/log.txt", "w") as log:
        log.write("two")
""")
    data.sync(2, before=write_two)
    data.put("data/log.txt", b"three")
    data.sync()
    assert ftpd.files() == {"00000001-log.txt": b"one", "00000002-log.txt": b"two", "00000003-log.txt": b"three"}


def cut_at(ftpd, verb):
    """The server and its link are gone when it hears this command; the module ends its cycle, and its RAM is lost."""
    ftpd.on_command = lambda heard, argument, place: KILL if heard == verb else None


def cut_in_data(ftpd, at_bytes):
    ftpd.on_data = lambda direction, total: KILL if direction == "up" and total >= at_bytes else None


def cut_behind_rename(ftpd):
    """As cut_at(), but the file has its final name by then."""
    source = []

    def on_command(verb, argument, place):
        if verb == "RNFR":
            source[:] = [argument]
        if verb != "RNTO":
            return None
        (ftpd.root / source[0]).rename(ftpd.root / argument)
        return KILL

    ftpd.on_command = on_command


def mend(ftpd):
    ftpd.on_command = ftpd.on_data = None
    ftpd.restart()


CUTS = {
    "in the data": lambda ftpd: cut_in_data(ftpd, 1),
    "at SIZE": lambda ftpd: cut_at(ftpd, "SIZE"),
    "at RNFR": lambda ftpd: cut_at(ftpd, "RNFR"),
    "at RNTO": lambda ftpd: cut_at(ftpd, "RNTO"),
    "behind RNTO": cut_behind_rename,
}
TEMPLATE = "{date}/{time}-{boot}-{seq}-{name}"


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
def test_a_name_is_the_same_after_a_cut_and_a_restart(data, ftpd, content, cut):
    data.configure(upload={"to": TEMPLATE})
    data.put("data/a.bin", content)
    CUTS[cut](ftpd)
    data.boot(epoch_s=SET_S)
    mend(ftpd)
    data.sync(2, epoch_s=SET_S + DAY_S)
    assert ftpd.files() == {names(ftpd)[0]: content}
    assert re.fullmatch(r"2026-09-21/14-13-2.-00001-00000001-a\.bin", names(ftpd)[0])


def test_a_partial_whose_file_changed_meanwhile_is_removed_also_where_the_new_one_has_another_name(data, ftpd):
    data.configure(upload={"to": TEMPLATE})
    data.put("data/a.bin", BIG)
    cut_in_data(ftpd, 100_000)
    data.boot(epoch_s=SET_S)
    mend(ftpd)
    data.put("data/a.bin", BIG[::-1])
    data.sync(2, epoch_s=SET_S + DAY_S)
    assert list(ftpd.files().values()) == [BIG[::-1]]


# --- a size alone proves nothing

LARGE, OTHER = BIG[:40_000], BIG[40_000:80_000]
OLDER = {"nothing": None, "as large": BIG[80_000:120_000], "smaller": BIG[80_000:115_000]}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("older", "then"),
    [
        *[(older, then) for older in OLDER for then in ("it stays", "it is rewritten")],
        *[(older, "it is the older one again") for older in OLDER if OLDER[older]],
    ],
)
def test_what_has_arrived_is_known_after_a_cut_also_among_contents_of_one_size(data, ftpd, cut, older, then):
    if OLDER[older]:
        data.put("data/a.bin", OLDER[older])
        data.sync()
    data.put("data/a.bin", LARGE)
    CUTS[cut](ftpd)
    data.boot()
    mend(ftpd)
    content = {"it stays": LARGE, "it is rewritten": OTHER}.get(then, OLDER[older])
    data.put("data/a.bin", content)
    before = len(ftpd.arguments("STOR"))
    data.sync(2)
    assert ftpd.files() == {f"{DEVICE}/a.bin": content}
    if then == "it stays" and cut == "behind RNTO":
        assert len(ftpd.arguments("STOR")) == before


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("older", OLDER)
def test_an_older_file_is_not_taken_for_the_new_one_where_the_server_drops_what_was_cut(data, ftpd, cut, older):
    if OLDER[older]:
        data.put("data/a.bin", OLDER[older])
        data.sync()
    data.put("data/a.bin", LARGE)
    CUTS[cut](ftpd)
    data.boot()
    mend(ftpd)
    for temp in ftpd.root.rglob("*.part"):
        if temp.stat().st_size < len(LARGE):
            temp.unlink()
    data.sync(2)
    assert ftpd.files() == {f"{DEVICE}/a.bin": LARGE}


# --- a clock that is not set


@pytest.mark.parametrize("to", ["{date}/{name}", "{time}-{name}", "{device}/{date}"])
def test_a_file_whose_name_needs_the_time_waits_for_it_and_the_others_go(data, ftpd, to):
    data.configure(upload=[{"from": "/usr/data", "to": to}, {"from": "/usr/other", "to": ""}])
    data.put("data/a.txt", b"a")
    data.put("other/b.txt", b"b")
    boot = data.sync(2, **UNSET)
    assert ftpd.files() == {"b.txt": b"b"}
    assert [path for path, _ in boot.data("wait")] == ["/usr/data/a.txt"] * 2
    assert boot.skipped == {}


def test_it_goes_under_the_right_date_as_soon_as_the_clock_is_set(data, ftpd):
    data.configure(upload={"to": "{date}/{name}"})
    data.put("data/a.txt", b"a")
    data.sync(2, before=on_event_hook(f"if kind == 'cycle': _world.set_time({SET_S})"), **UNSET)
    assert names(ftpd) == ["2026-09-21/a.txt"]


def test_waiting_for_the_clock_uses_no_numbers_up(data, ftpd):
    data.configure(upload={"to": "{date}-{seq}-{name}"})
    data.put("data/a.txt", b"a")
    data.sync(5, before=on_event_hook(f"if kind == 'cycle' and data[0]['number'] == 4: _world.set_time({SET_S})"), **UNSET)
    assert names(ftpd) == ["2026-09-21-00000001-a.txt"]


def test_waiting_for_the_clock_writes_nothing_to_the_flash(data, ftpd):
    data.configure(upload={"to": "{date}/{name}"})
    data.put("data/a.txt", b"a")
    data.sync(2, **UNSET)
    before = (data.usr / ".ferry" / "ledger").read_bytes()
    boot = data.sync(3, **UNSET)
    after = (data.usr / ".ferry" / "ledger").read_bytes()
    assert len(after) - len(before) <= 64, boot.text  # that it booted


def test_undated_stands_for_both_where_the_clock_is_not_set(data, ftpd):
    data.configure(upload={"to": "{date}/{time}-{name}", "undated": "no-clock"})
    data.put("data/a.txt", b"a")
    data.sync(**UNSET)
    assert names(ftpd) == ["no-clock/no-clock-a.txt"]


def test_undated_stands_only_where_the_clock_is_not_set(data, ftpd):
    data.configure(upload={"to": "{date}/{name}", "undated": "no-clock"})
    data.put("data/a.txt", b"a")
    data.sync(epoch_s=SET_S)
    assert names(ftpd) == ["2026-09-21/a.txt"]


def test_an_undated_name_stays_undated_after_a_cut_although_the_clock_is_set_by_then(data, ftpd):
    data.configure(upload={"to": "{date}/{name}", "undated": "no-clock"})
    data.put("data/a.bin", BIG)
    cut_in_data(ftpd, 100_000)
    data.boot(**UNSET)
    mend(ftpd)
    data.sync(epoch_s=SET_S)
    assert ftpd.files() == {"no-clock/a.bin": BIG}


# --- another file of that name

THEIRS = b"of somebody else"


@pytest.fixture
def taken(data, ftpd):
    """Somebody else's a.txt is where the module's will have to go."""
    ftpd.put(f"{DEVICE}/a.txt", THEIRS)
    data.put("data/a.txt", b"mine")
    data.put("data/b.txt", b"b")
    return data


def test_overwrite_replaces_it(taken, ftpd):
    taken.sync()
    assert ftpd.files(DEVICE) == {"a.txt": b"mine", "b.txt": b"b"}


def test_suffix_takes_the_next_free_name(taken, ftpd):
    taken.configure(upload={"on_conflict": "suffix"})
    ftpd.put(f"{DEVICE}/a-1.txt", THEIRS)
    taken.sync(2)
    assert ftpd.files(DEVICE) == {"a.txt": THEIRS, "a-1.txt": THEIRS, "a-2.txt": b"mine", "b.txt": b"b"}
    assert len(ftpd.arguments("STOR")) == 2


def test_skip_leaves_both_where_they_are_and_says_so(taken, ftpd):
    taken.configure(upload={"on_conflict": "skip"})
    boot = taken.sync(2)
    assert ftpd.files(DEVICE) == {"a.txt": THEIRS, "b.txt": b"b"}
    assert taken.files() == {"data/a.txt": b"mine", "data/b.txt": b"b"}
    assert "another file of that name" in boot.skipped["/usr/data/a.txt"]
    assert not [name for name in ftpd.arguments("STOR") if "a.txt" in name]


@pytest.mark.parametrize("after", ["delete", "move"])
def test_a_file_that_was_left_where_it_is_is_neither_deleted_nor_moved(taken, ftpd, after):
    taken.configure(upload={"on_conflict": "skip", "after": after, "move_to": "/usr/sent"})
    taken.sync(2)
    assert taken.files()["data/a.txt"] == b"mine"


def test_skip_lets_the_file_go_when_the_name_is_free_again(taken, ftpd):
    taken.configure(upload={"on_conflict": "skip"})
    taken.sync()
    (ftpd.root / DEVICE / "a.txt").unlink()
    taken.sync()
    assert ftpd.files(DEVICE) == {"a.txt": b"mine", "b.txt": b"b"}


@pytest.mark.parametrize("on_conflict", ["suffix", "skip"])
def test_its_own_file_is_no_conflict(data, ftpd, on_conflict):
    data.configure(upload={"on_conflict": on_conflict})
    for content in (b"one", b"two", b"three"):
        data.put("data/a.txt", content)
        data.sync(2)
        assert ftpd.files(DEVICE) == {"a.txt": content}


def test_a_new_version_replaces_the_name_with_the_number_that_the_old_one_got(taken, ftpd):
    taken.configure(upload={"on_conflict": "suffix"})
    for content in (b"one", b"two", b"three"):
        taken.put("data/a.txt", content)
        taken.sync(2)
        assert ftpd.files(DEVICE) == {"a.txt": THEIRS, "a-1.txt": content, "b.txt": b"b"}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
def test_the_number_is_the_same_after_a_cut_and_a_restart(data, ftpd, content, cut):
    data.configure(upload={"on_conflict": "suffix"})
    ftpd.put(f"{DEVICE}/a.bin", THEIRS)
    data.put("data/a.bin", content)
    if cut == "at SIZE":  # the second: the first asks whether the name is taken
        stored = []
        ftpd.on_command = lambda verb, argument, place: (
            KILL if verb == "SIZE" and stored else stored.append(1) if verb == "STOR" else None
        )
    else:
        CUTS[cut](ftpd)
    data.boot()
    mend(ftpd)
    data.sync(2)
    assert ftpd.files(DEVICE) == {"a.bin": THEIRS, "a-1.bin": content}
    assert data.sync().up == []


@pytest.mark.parametrize("on_conflict", ["suffix", "skip"])
@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_upload_does_not_take_its_own_file_for_another_one(data, ftpd, cut, on_conflict):
    data.configure(upload={"on_conflict": on_conflict})
    data.put("data/a.bin", BIG)
    if cut == "at SIZE":
        ftpd.on_command = lambda verb, argument, place: KILL if verb == "SIZE" and ".part" in argument else None
    else:
        CUTS[cut](ftpd)
    data.boot()
    mend(ftpd)
    boot = data.sync(2)
    assert ftpd.files(DEVICE) == {"a.bin": BIG}
    assert boot.skipped == {}


@pytest.mark.parametrize("after", ["delete", "move"])
@pytest.mark.parametrize("on_conflict", ["suffix", "skip"])
def test_what_was_sent_and_put_away_is_not_replaced_by_the_next_file_of_that_name_after_a_restart(
    data, ftpd, on_conflict, after
):
    data.configure(upload={"on_conflict": on_conflict, "after": after, "move_to": "/usr/sent"})
    for content in (b"monday", b"tuesday"):
        data.put("data/log.txt", content)
        data.sync()
    there = {"log.txt": b"monday"} if on_conflict == "skip" else {"log.txt": b"monday", "log-1.txt": b"tuesday"}
    assert ftpd.files(DEVICE) == there


@pytest.mark.parametrize("contents", [(b"one", b"two"), (b"same", b"same")], ids=["two", "same"])
@pytest.mark.parametrize("on_conflict", ["suffix", "skip"])
def test_two_files_of_the_module_that_want_one_name_do_not_replace_each_other(data, ftpd, on_conflict, contents):
    data.configure(upload={"to": "{device}/{name}", "on_conflict": on_conflict})
    data.put("data/x/a.txt", contents[0])
    data.put("data/y/a.txt", contents[1])
    data.sync(2)
    there = {"a.txt": contents[0]}
    if on_conflict == "suffix":
        there["a-1.txt"] = contents[1]
    assert ftpd.files(DEVICE) == there


def test_where_all_numbers_are_taken_the_file_stays_and_is_told(data, ftpd):
    data.configure(upload={"on_conflict": "suffix"})
    theirs = {"a.txt": THEIRS, **{f"a-{number}.txt": THEIRS for number in range(1, 10)}}
    for name, content in theirs.items():
        ftpd.put(f"{DEVICE}/{name}", content)
    data.put("data/a.txt", b"mine")
    boot = data.sync(2)
    assert ftpd.files(DEVICE) == theirs
    assert "another file of that name" in boot.skipped["/usr/data/a.txt"]


@pytest.mark.parametrize("answer", ["450 busy", "451 local error", "421 going down", "500 what?", "502 no"])
@pytest.mark.parametrize("on_conflict", ["suffix", "skip"])
def test_a_server_that_does_not_tell_whether_the_name_is_taken_is_not_taken_at_its_silence(taken, ftpd, on_conflict, answer):
    taken.configure(upload={"on_conflict": on_conflict})
    ftpd.on_command = lambda verb, argument, place: answer if verb == "SIZE" and ".part" not in argument else None
    taken.boot(2)
    assert ftpd.files(DEVICE)["a.txt"] == THEIRS
    assert taken.files()["data/a.txt"] == b"mine"


@pytest.mark.parametrize("on_conflict", ["overwrite", "suffix", "skip"])
def test_a_folder_of_that_name_stays_where_it_is(data, ftpd, on_conflict):
    data.configure(upload={"on_conflict": on_conflict})
    ftpd.put(f"{DEVICE}/a.txt/inside", THEIRS)
    data.put("data/a.txt", b"mine")
    boot = data.boot(2)
    assert ftpd.files(DEVICE)["a.txt/inside"] == THEIRS, boot.text
