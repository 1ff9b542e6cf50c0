# The upload rules that say what goes, when, in which order, and what becomes of it: each does what its help text says.
import pytest

from tests.device.ferry import DEVICE, on_event_hook
from tests.device.ftpd import KILL
from tests.device.test_names_on_the_server import BIG, cut_behind_rename, mend

HOUR_S = 3600


@pytest.fixture
def data(ferry):
    """Only /usr/data goes up, and nothing comes down."""
    ferry.configure(upload={"from": "/usr/data"}, download={"from": ""})
    return ferry


def put_all(ferry, folder, names):
    for name in names:
        ferry.put(f"{folder}/{name}", name.encode())


def sent(boot):
    """Names in the order in which they went, for each cycle."""
    cycles = [[]]
    for event in boot.events:
        if event["kind"] == "up":
            cycles[-1].append(event["data"][0].rsplit("/", 1)[-1])
        elif event["kind"] == "cycle":
            cycles.append([])
    return cycles[:-1]


# --- order, priority


def test_files_go_by_name(data):
    put_all(data, "data", ["b", "d", "a", "c/x", "e"])
    assert sent(data.sync()) == [["a", "b", "x", "d", "e"]]


def test_reverse_sends_the_greatest_name_first_in_every_folder(data):
    put_all(data, "data", ["b", "d", "a", "c/x", "c/y", "e"])
    data.configure(upload={"order": "reverse"})
    assert sent(data.sync()) == [["e", "d", "y", "x", "b", "a"]]


def test_reverse_holds_for_a_folder_of_any_size(data):
    names = [f"{number:03d}" for number in range(150)]
    put_all(data, "data", names)
    data.configure(upload={"order": "reverse"})
    assert sent(data.sync(2)) == [names[::-1], []]


def test_a_rule_with_a_higher_priority_goes_first(data):
    rules = [{"from": "/usr/low", "priority": 0}, {"from": "/usr/normal"}, {"from": "/usr/high", "priority": 9}]
    data.configure(upload=[dict(rule, to="{device}" + rule["from"]) for rule in rules])
    for folder in ("low", "normal", "high"):
        put_all(data, folder, [folder])
    assert sent(data.sync()) == [["high", "normal", "low"]]


# --- what is too much


def test_larger_files_are_never_sent_and_told(data, ftpd):
    data.configure(upload={"max_bytes": 10})
    data.put("data/fits", b"x" * 10)
    data.put("data/large", b"x" * 11)
    boot = data.sync(2)
    assert ftpd.files(DEVICE) == {"fits": b"x" * 10}
    assert "upload.max_bytes is 10" in boot.skipped["/usr/data/large"]


def test_a_cycle_sends_no_more_files_than_it_may_and_the_next_goes_on(data):
    data.configure(upload={"cycle_files": 2})
    put_all(data, "data", "abcde")
    assert sent(data.sync(4)) == [["a", "b"], ["c", "d"], ["e"], []]


def test_a_cycle_sends_no_more_bytes_than_it_may_but_always_one_file(data):
    data.configure(upload={"cycle_bytes": 100})
    for name, size in {"a": 60, "b": 40, "c": 1, "d": 500, "e": 99, "f": 0, "g": 2}.items():
        data.put("data/" + name, name.encode() * size)
    assert sent(data.sync(5)) == [["a", "b"], ["c"], ["d"], ["e", "f"], ["g"]]


def test_the_limits_of_one_rule_do_not_hold_another_back(data):
    data.configure(upload=[{"from": "/usr/data", "cycle_files": 1}, {"from": "/usr/other"}])
    put_all(data, "data", "ab")
    put_all(data, "other", "xyz")
    assert sorted(sent(data.sync())[0]) == ["a", "x", "y", "z"]


def test_numbers_are_not_used_up_by_files_that_have_to_wait_for_the_next_cycle(data, ftpd):
    data.configure(upload={"cycle_files": 1, "to": "{seq}-{name}"})
    put_all(data, "data", "abc")
    data.sync(3)
    assert sorted(ftpd.files()) == ["00000001-a", "00000002-b", "00000003-c"]


def test_a_file_that_is_refused_does_not_keep_the_others_from_their_turn(data, ftpd):
    data.configure(upload={"cycle_files": 1})
    put_all(data, "data", ["a", "b", "c"])
    ftpd.on_command = lambda verb, argument, place: "450 busy" if verb == "STOR" and argument.endswith(".a.part") else None
    boot = data.boot(6)
    assert ftpd.files(DEVICE) == {"b": b"b", "c": b"c"}, boot.text


def test_what_a_limit_keeps_back_is_not_forgotten_of_what_was_sent(data, ftpd):
    """The ledger forgets what a whole walk did not see: a walk that ended early is none."""
    names = [f"{number:03d}" for number in range(230)]
    put_all(data, "data", names)
    data.sync()
    data.configure(upload={"cycle_files": 1})
    put_all(data, "data", ["!1", "!2"])
    data.sync(4)
    ftpd.forget()
    data.sync()
    assert ftpd.arguments("STOR") == []


# --- settle_s: 10 s pass between two cycles


def test_a_file_goes_when_it_stood_still_for_so_long(data):
    data.configure(upload={"settle_s": 25})
    put_all(data, "data", "a")
    boot = data.sync(5)
    assert sent(boot) == [[], [], [], ["a"], []]
    assert [path for path, _ in boot.data("wait")] == ["/usr/data/a"] * 3


def test_a_file_that_keeps_changing_waits_until_it_does_not(data, ftpd):
    data.configure(upload={"settle_s": 15})
    data.put("data/log", b"0")
    boot = data.sync(6, before=on_event_hook("""
if kind == "cycle" and data[0]["number"] <= 3:
    with open("/usr/data/log", "w") as log:
        log.write("x" * data[0]["number"])
"""))
    assert sent(boot) == [[], [], [], [], [], ["log"]]
    assert ftpd.files(DEVICE) == {"log": b"xxx"}


def test_more_files_than_can_be_watched_at_once_all_go_in_the_end(data):
    data.configure(upload={"settle_s": 15})
    put_all(data, "data", [f"{number:03d}" for number in range(150)])
    boot = data.sync(12)
    assert sum(map(len, sent(boot))) == 150


def test_a_file_that_was_sent_and_is_being_rewritten_stands_still_first_also_after_a_restart(data, ftpd):
    data.configure(upload={"settle_s": 15})
    data.put("data/log", b"old")
    data.sync(3)
    data.put("data/log", b"half of the n")
    boot = data.sync()
    assert boot.up == []
    assert ftpd.files(DEVICE) == {"log": b"old"}


def test_an_upload_that_was_cut_need_not_settle_again(data, ftpd):
    data.configure(upload={"settle_s": 15})
    data.put("data/big", BIG)
    ftpd.on_data = lambda direction, total: KILL if total >= 100_000 else None
    data.boot(3)
    mend(ftpd)
    assert data.sync().up == ["/usr/data/big"]


# --- after = move

MOVE = {"after": "move", "move_to": "/usr/sent"}


def test_a_file_that_arrived_is_moved_with_its_folders_and_not_sent_again(data, ftpd):
    data.configure(upload=MOVE)
    put_all(data, "data", ["a", "sub/b"])
    data.sync(2)
    assert data.files() == {"sent/a": b"a", "sent/sub/b": b"sub/b"}
    data.sync(2)
    assert ftpd.files(DEVICE) == {"a": b"a", "sub/b": b"sub/b"}
    assert len(ftpd.arguments("STOR")) == 2


def test_a_folder_of_what_was_sent_may_lie_in_the_folder_that_is_sent(data, ftpd):
    data.configure(upload={"after": "move", "move_to": "/usr/data/sent/"})
    put_all(data, "data", ["a", "sub/b", "sentinel"])
    data.sync(2)
    data.sync()
    assert data.files() == {"data/sent/a": b"a", "data/sent/sub/b": b"sub/b", "data/sent/sentinel": b"sentinel"}
    assert sorted(ftpd.files(DEVICE)) == ["a", "sentinel", "sub/b"]


def test_what_one_rule_has_moved_away_is_not_sent_by_another(data, ftpd):
    data.configure(upload=[dict(MOVE, **{"from": "/usr/data", "priority": 9}), {"from": "/usr", "to": "all", "exclude": ["data/"]}])
    put_all(data, "data", ["a"])
    data.sync(2)
    assert ftpd.files() == {f"{DEVICE}/a": b"a"}


def test_a_file_is_moved_only_when_the_server_has_it_under_its_name(data, ftpd):
    data.configure(upload=MOVE)
    put_all(data, "data", ["a"])
    ftpd.on_command = lambda verb, argument, place: "553 no" if verb == "RNTO" else None
    data.boot(2)
    assert data.files() == {"data/a": b"a"}


def test_a_file_that_changed_while_it_travelled_is_not_moved_and_goes_again(data, ftpd):
    data.configure(upload=MOVE)
    data.put("data/a", b"old")

    def change(verb, argument, place):
        if verb == "RNTO":
            ftpd.on_command = None
            data.put("data/a", b"new")

    ftpd.on_command = change
    data.sync()
    assert data.files() == {"data/a": b"new"}
    data.sync()
    assert data.files() == {"sent/a": b"new"}
    assert ftpd.files(DEVICE) == {"a": b"new"}


@pytest.mark.parametrize("after", ["delete", "move"])
def test_what_had_arrived_before_the_rule_said_so_is_put_away_too(data, ftpd, after):
    names = "abcdef"
    put_all(data, "data", names)
    data.sync(2)
    data.configure(upload=dict(MOVE, after=after))
    data.sync(2)
    assert sorted(data.files()) == ([] if after == "delete" else ["sent/" + name for name in names])
    assert len(ftpd.arguments("STOR")) == len(names)


@pytest.mark.parametrize("size", [5, 50_000])
def test_a_cut_between_the_servers_rename_and_the_move_neither_sends_again_nor_leaves_it(data, ftpd, size):
    data.configure(upload=MOVE)
    data.put("data/a", b"a" * size)
    cut_behind_rename(ftpd)
    data.boot()
    assert data.files() == {"data/a": b"a" * size}
    mend(ftpd)
    ftpd.forget()
    data.sync(2)
    assert data.files() == {"sent/a": b"a" * size}
    assert ftpd.arguments("STOR") == []


def test_a_file_written_anew_after_the_move_goes_and_is_moved_over_the_old_one(data, ftpd):
    data.configure(upload=MOVE)
    for content in (b"one", b"two", b"two", b"one"):
        data.put("data/a", content)
        data.sync()
        assert data.files() == {"sent/a": content}
        assert ftpd.files(DEVICE) == {"a": content}


def test_one_file_that_cannot_be_put_away_is_told_and_the_others_go(data, ftpd):
    data.configure(upload=MOVE)
    put_all(data, "data", ["a/x", "b", "c"])
    data.put("sent/a", b"a file where the folder would have to be")
    boot = data.boot(2)
    assert ftpd.files(DEVICE) == {"a/x": b"a/x", "b": b"b", "c": b"c"}, boot.text
    assert data.files() == {"data/a/x": b"a/x", "sent/a": data.files()["sent/a"], "sent/b": b"b", "sent/c": b"c"}
    assert boot.errors[0][0] == "StorageError"


def test_the_first_by_name_go_where_more_are_kept_than_the_rule_allows(data, ftpd):
    data.configure(upload=dict(MOVE, move_files=3))
    put_all(data, "data", "abcde")
    data.sync()
    assert sorted(data.files()) == ["sent/c", "sent/d", "sent/e"]
    assert sorted(ftpd.files(DEVICE)) == list("abcde")


def test_the_first_by_name_go_where_more_bytes_are_kept_than_the_rule_allows(data):
    data.configure(upload=dict(MOVE, move_bytes=100))
    for name, size in {"a": 10, "b": 60, "c": 40, "d": 60}.items():
        data.put("data/" + name, name.encode() * size)
    data.sync()
    assert sorted(data.files()) == ["sent/c", "sent/d"]


def test_without_limits_everything_is_kept(data):
    data.configure(upload=MOVE)
    names = [f"{number:03d}" for number in range(80)]
    put_all(data, "data", names)
    data.sync()
    assert sorted(data.files()) == ["sent/" + name for name in names]


def test_a_full_flash_gets_its_room_from_what_was_moved_too(data, ftpd):
    data.configure(upload=MOVE, storage={"when_full": "drop", "low_blocks": 12})
    data.put("data/a", b"a" * 40_000)
    data.sync()
    data.boot(flash_blocks=data.blocks() + 4)
    assert data.files() == {}
    assert ftpd.files(DEVICE) == {"a": b"a" * 40_000}


def test_a_downloaded_file_is_not_moved(data, ftpd):
    data.configure(upload=dict(MOVE, **{"from": "/usr"}), download={"from": "updates"})
    ftpd.put("updates/new.bin", b"new")
    data.sync(2)
    assert data.files() == {"new.bin": b"new"}


# --- SD cards and external flash


@pytest.fixture(params=["sd", "ext"])
def mount(request, data):
    (data.root / request.param).mkdir()
    return data.root / request.param


def put_on(mount, name, content):
    path = mount / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def on_mount(mount):
    return {str(path.relative_to(mount)): path.read_bytes() for path in mount.rglob("*") if path.is_file()}


@pytest.mark.parametrize("folder", ["", "/log"])
def test_a_folder_on_another_mount_is_sent_and_moved_there(data, ftpd, mount, folder):
    data.configure(upload={"from": f"/{mount.name}{folder}", "after": "move", "move_to": f"/{mount.name}/sent"})
    put_on(mount, folder.strip("/") + "/x/a.bin" if folder else "x/a.bin", BIG)
    data.sync(2)
    assert ftpd.files(DEVICE) == {"x/a.bin": BIG}
    assert on_mount(mount) == {"sent/x/a.bin": BIG}


def test_a_file_named_like_ferrys_own_is_a_file_like_any_other_there(data, ftpd, mount):
    data.configure(upload={"from": f"/{mount.name}"})
    put_on(mount, "config.json", b"{}")
    put_on(mount, "app/x.py", b"x")
    data.sync()
    assert sorted(ftpd.files(DEVICE)) == ["app/x.py", "config.json"]


def test_a_card_that_is_not_in_is_waited_for_and_the_rest_goes(data, ftpd):
    data.configure(upload=[{"from": "/sd/log"}, {"from": "/usr/data"}])
    put_all(data, "data", ["a"])
    data.sync(2)
    assert ftpd.files(DEVICE) == {"a": b"a"}


def test_a_card_that_was_out_for_a_while_is_not_sent_again(data, ftpd, mount):
    data.configure(upload={"from": f"/{mount.name}/log"})
    for number in range(230):
        put_on(mount, f"log/{number:03d}", b"%d" % number)
    data.sync()
    mount.rename(mount.with_name("out"))
    data.sync(2)
    mount.with_name("out").rename(mount)
    ftpd.forget()
    data.sync()
    assert ftpd.arguments("STOR") == []


# --- several rules


def test_one_file_may_go_to_two_places(data, ftpd):
    data.configure(upload=[{"from": "/usr/data", "to": "one"}, {"from": "/usr/data", "to": "two", "order": "reverse"}])
    put_all(data, "data", ["a", "b"])
    data.sync()
    assert sorted(ftpd.files()) == ["one/a", "one/b", "two/a", "two/b"]
    data.put("data/a", b"new")
    data.sync()
    assert ftpd.files() == {"one/a": b"new", "one/b": b"b", "two/a": b"new", "two/b": b"b"}


def test_each_rule_has_its_own_settings(data, ftpd):
    data.configure(
        upload=[
            {"from": "/usr/logs", "to": "{device}/logs", "include": ["*.log"], "after": "delete"},
            {"from": "/usr/shots", "to": "{device}/{seq}-{stem}{ext}", "after": "move", "move_to": "/usr/old", "priority": 9},
            {"from": "/usr/big", "max_bytes": 3},
            {"from": ""},
        ]
    )
    for name in ("logs/a.log", "logs/b.txt", "shots/c.jpg", "big/four", "big/one"):
        data.put(name, name[-4:].encode() if name == "big/four" else b"one")
    boot = data.sync(2)
    assert sorted(ftpd.files(DEVICE)) == ["00000001-c.jpg", "logs/a.log", "one"]
    assert sorted(data.files()) == ["big/four", "big/one", "logs/b.txt", "old/c.jpg"]
    assert list(boot.skipped) == ["/usr/big/four"]


# --- priority, whatever the mode

MIXED = [
    {"from": "/usr/photos", "to": "{device}/photos", "priority": 5},
    {"from": "/usr/logs", "to": "{device}/logs", "mode": "append", "priority": 9},
    {"from": "/usr/late", "to": "{device}/late", "priority": 0},
    {"from": "/usr/out", "to": "{device}/out", "mode": "batch", "priority": 2},
]
MIXED_FILES = {"photos/a": BIG, "logs/b": b"line\n", "late/c": b"c", "out/d": b"d"}


@pytest.fixture
def mixed(data):
    data.configure(upload=MIXED)
    for name, content in MIXED_FILES.items():
        data.put(name, content)
    return data


def test_priority_counts_over_logs_batches_and_whole_files(mixed, ftpd):
    assert sent(mixed.sync(2)) == [["b", "a", "d", "c"], []]
    mixed.put("late/c", b"new")
    assert sent(mixed.sync()) == [["c"]]


def test_a_log_that_has_priority_goes_although_a_photo_never_gets_through(mixed, ftpd):
    ftpd.on_data = lambda direction, total: KILL if total >= 100_000 else None
    mixed.boot()
    assert ftpd.files(DEVICE)["logs/b"] == b"line\n"


def test_of_rules_with_one_priority_whole_files_go_first(mixed):
    mixed.configure(upload=[dict(rule, priority=5) for rule in MIXED])
    assert sent(mixed.sync()) == [["a", "c", "b", "d"]]


def test_files_of_a_batch_stand_still_first(data, ftpd):
    data.configure(upload={"mode": "batch", "settle_s": 15, "max_bytes": 100})
    data.put("data/done", b"done")
    data.put("data/large", b"x" * 101)
    data.put("data/log", b"0")
    boot = data.sync(7, before=on_event_hook("""
if kind == "cycle" and data[0]["number"] <= 3:
    with open("/usr/data/log", "w") as log:
        log.write("x" * data[0]["number"])
"""))
    assert [cycle for cycle in sent(boot) if cycle] == [["done"], ["log"]]
    assert list(boot.skipped) == ["/usr/data/large"]
