"""One module and several servers in its settings: what arrived at one, what was begun with one, and what that means at another."""

import os

import pytest

from app.sync import ledger as ledger_module
from app.sync.folders import Folders
from app.sync.records import PUT_VERIFIED
from app.sync.upload import RESUME_BYTES, Uploader, alternate
from tests.fakes import MemoryFiles
from tests.ftpd.fake import reset_socket
from tests.ftpd.sane import Sane
from tests.world import FAST, session

BODY = bytes(range(256)) * 20
BIG = bytes(range(251)) * 1000
assert len(BIG) > 2 * RESUME_BYTES
LATER = "20250101000000"
DAY_MS = 86_400_000


@pytest.fixture
def a():
    with Sane() as server:
        yield server


@pytest.fixture
def b():
    with Sane() as server:
        yield server


class Chosen:
    """In place of Failover: the server that the test wants."""

    def __init__(self, index):
        self.index = index

    def before_cycle(self, now_ms):
        pass

    def failed(self, now_ms):
        pass

    def succeeded(self):
        pass


def manager(world, servers, at, settings=()):
    """A module that has `servers` in its settings, was started anew, and goes to number `at` of them."""
    made = world.manager(servers[at], settings, FAST)
    (known,) = made._config["servers"]
    known = [{**known, "host": server.host, "port": server.port} for server in servers]
    made.configure({**made._config, "servers": known})
    made._failover = Chosen(at)
    return made


def cycle(world, servers, at, settings=()):
    """One cycle of many in the same boot: what the ledger knows in RAM is known in the next one."""
    made = manager(world, servers, at, settings)
    result = made.run_cycle()
    made._ledger.flush()
    return result


def sent(result):
    assert result.ok, result.error_text
    return result.up_count, result.up_bytes


def fetched(result):
    assert result.ok, result.error_text
    return result.down_count


def stored(server):
    """What a server has under final names."""
    return {name: data for name, data in server.files.items() if not name.endswith(".part")}


def of(server, verb):
    """The arguments of every `verb` that the server got."""
    return [command[len(verb) + 1 :] for command in server.commands if command.startswith(verb + " ")]


def fail_next(server, verb, override):
    """Let the server do something else the next time that the verb comes."""
    server._overrides[verb] = [override]


def cut(opened, _argument):
    opened.hang_up(how=reset_socket)


def rename_and_cut(opened, name):
    """The rename takes place and nobody hears of it."""
    opened.files[name] = opened.files.pop(opened.rename_from)
    opened.hang_up(how=reset_socket)


def store_part_and_cut(opened, name):
    opened.send(b"150 Go ahead.\r\n")
    opened.files[name] = opened.receive_data(2 * RESUME_BYTES)
    opened.hang_up(how=reset_socket)


# --- whole files


def test_what_arrived_at_one_server_is_not_sent_to_another(world, a, b):
    world.put("x", BODY)
    assert sent(cycle(world, [a, b], 0)) == (1, len(BODY))
    assert sent(cycle(world, [a, b], 1)) == (0, 0)
    world.put("y", BODY)
    assert sent(cycle(world, [a, b], 1)) == (1, len(BODY))
    assert sent(cycle(world, [a, b], 0)) == (0, 0)
    assert (stored(a), stored(b)) == ({"x": BODY}, {"y": BODY})


def test_the_last_file_before_a_power_cut_may_be_on_both(world, a, b):
    with_a = manager(world, [a, b], 0)
    for names in ("wx", "y"):
        for name in names:
            world.put(name, BODY)
        assert with_a.run_cycle().ok
    assert sent(cycle(world, [a, b], 1)) == (1, len(BODY))  # that it has its name at `a` was known in RAM only
    assert sent(cycle(world, [a, b], 0)) == (0, 0)
    assert (stored(a), stored(b)) == ({"w": BODY, "x": BODY, "y": BODY}, {"y": BODY})


def test_a_cut_between_rename_and_record_is_not_settled_with_another_server(world, a, b):
    b.files["x"] = bytes(len(BODY))  # somebody else's, and of the same size: it proves nothing
    world.put("x", BODY)
    fail_next(a, "RNTO", rename_and_cut)
    assert not cycle(world, [a, b], 0).ok
    assert sent(cycle(world, [a, b], 1)) == (1, len(BODY))
    assert stored(b) == {"x": BODY}
    assert sent(cycle(world, [a, b], 0)) == (0, 0)
    assert stored(a) == {"x": BODY}  # at worst it is on both


def test_a_cut_between_rename_and_record_is_settled_with_its_own_server(world, a, b):
    world.put("x", BODY)
    fail_next(a, "RNTO", rename_and_cut)
    assert not cycle(world, [a, b], 0).ok
    assert sent(cycle(world, [b, a], 1))[0] == 1  # told now, and found there
    assert len(of(a, "STOR")) == 1
    assert (stored(a), stored(b)) == ({"x": BODY}, {})


def test_a_partial_on_one_server_is_not_gone_on_with_on_another(world, a, b):
    world.put("x", BIG)
    fail_next(a, "STOR", store_part_and_cut)
    assert not cycle(world, [a, b], 0).ok
    (partial,) = a.files
    b.files[partial] = bytes(2 * RESUME_BYTES)  # the same temp name, but not what we have sent there
    assert sent(cycle(world, [a, b], 1)) == (1, len(BIG))
    assert b.files == {"x": BIG}
    assert of(b, "REST") == of(b, "APPE") == []
    assert sent(cycle(world, [a, b], 0)) == (0, 0)


def test_a_file_that_was_cut_on_both_starts_over_on_the_first(world, a, b):
    world.put("x", BIG)
    for server, at in ((a, 0), (b, 1)):
        fail_next(server, "STOR", store_part_and_cut)
        assert not cycle(world, [a, b], at).ok
    assert sent(cycle(world, [a, b], 0)) == (1, len(BIG))
    assert a.files == {"x": BIG}
    assert of(a, "REST") == of(a, "APPE") == []


def test_the_temp_name_left_on_one_server_is_removed_when_the_module_is_back(world, a, b):
    world.put("x", BIG)
    fail_next(a, "STOR", store_part_and_cut)
    assert not cycle(world, [a, b], 0).ok
    (partial,) = a.files
    with_b = manager(world, [a, b], 1)
    assert sent(with_b.run_cycle()) == (1, len(BIG))
    assert with_b._outbox.left == {0: [partial]}
    with session(a, FAST) as opened:
        ledger = ledger_module.Ledger(MemoryFiles(), "/ledger")
        alternate(Uploader(opened, None, ledger, None, None, Folders(), None, left=with_b._outbox.left.pop(0)).finish())
    assert a.files == {}


@pytest.mark.parametrize("on_conflict", ["skip", "suffix"])
def test_a_file_of_ours_on_one_server_makes_the_name_on_another_no_name_of_ours(world, a, b, on_conflict):
    settings = {"upload.on_conflict": on_conflict}
    b.files["x"] = b"somebody else's"
    world.put("x", BODY)
    assert sent(cycle(world, [a, b], 0, settings))[0] == 1
    world.put("x", BODY + b"changed")
    cycle(world, [a, b], 1, settings)
    assert b.files["x"] == b"somebody else's"
    assert b.files.get("x-1") == (BODY + b"changed" if on_conflict == "suffix" else None)


def test_a_list_in_another_order_is_the_same_servers(world, a, b):
    world.put("x", BIG)
    fail_next(a, "STOR", store_part_and_cut)
    assert not cycle(world, [a, b], 0).ok
    assert sent(cycle(world, [b, a], 1)) == (1, len(BIG))
    assert sum(len(data) for data in a.files.values()) == len(BIG)
    assert of(a, "APPE") + of(a, "REST") != []  # it went on from where it was


def test_a_second_server_in_the_settings_sends_nothing_again(world, a, b):
    settings = {"upload.mode": "append", "download.from": "updates"}
    a.files["updates/u"] = b.files["updates/u"] = BODY
    world.put("log", b"one\n" * 100)
    made = world.manager(a, settings, FAST)  # it knows no numbers, and writes what was always written
    assert sent(made.run_cycle()) == (1, 400)
    for at, servers in ((0, [a]), (0, [a, b]), (1, [b, a])):
        result = cycle(world, servers, at, settings)
        assert (sent(result), fetched(result)) == ((0, 0), 0)


def test_a_server_with_a_new_name_is_the_old_one(world, a, b):
    settings = {"upload.mode": "append"}
    world.put("log", b"one\n" * 100)
    assert sent(cycle(world, [a], 0, settings)) == (1, 400)
    b.files = a.files  # another address, and the same disk behind it
    world.put("log", b"one\n" * 101)
    assert sent(cycle(world, [b], 0, settings)) == (1, 4)
    assert b.files == {"log": b"one\n" * 101}


def test_a_log_whose_record_a_power_cut_took_goes_on_on_a_server_with_a_new_name(world, a, b):
    settings = {"upload.mode": "append"}
    world.put("log", b"one\n" * 100)
    assert manager(world, [a], 0, settings).run_cycle().ok
    b.files = a.files
    world.put("log", b"one\n" * 101)
    assert cycle(world, [b], 0, settings).ok
    assert b.files == {"log": b"one\n" * 101}


def test_what_was_begun_with_a_server_that_was_replaced_is_sent_to_the_new_one(world, a, b):
    b.files["x"] = bytes(len(BODY))
    world.put("x", BODY)
    fail_next(a, "RNTO", rename_and_cut)
    assert not cycle(world, [a], 0).ok
    assert sent(cycle(world, [b], 0)) == (1, len(BODY))
    assert b.files == {"x": BODY}


def test_a_name_on_a_server_that_replaced_another_is_not_ours(world, a, b):
    settings = {"upload.on_conflict": "skip"}
    b.files["x"] = b"somebody else's"
    world.put("x", BIG)
    fail_next(a, "STOR", store_part_and_cut)
    assert not cycle(world, [a], 0, settings).ok
    cycle(world, [b], 0, settings)
    assert b.files == {"x": b"somebody else's"}


# --- files that grow


LOG = {"upload.mode": "append"}


def test_a_log_is_whole_on_each_server_and_only_what_lacks_goes(world, a, b, monkeypatch):
    monkeypatch.setattr(ledger_module, "_SPARE", -1000)  # each cycle compacts: what nobody asks for is gone
    lines = [b"line %d\n" % i for i in range(100)]

    def grow_to(count, at):
        world.put("log", b"".join(lines[:count]))
        return sent(cycle(world, [a, b], at, LOG))[1]

    def length(low, high):
        return len(b"".join(lines[low:high]))

    assert grow_to(20, 0) == length(0, 20)
    assert grow_to(40, 1) == length(0, 40)
    assert grow_to(50, 1) == length(40, 50)
    assert grow_to(70, 0) == length(20, 70)
    assert grow_to(70, 0) == 0
    assert grow_to(70, 1) == length(50, 70)
    assert a.files == b.files == {"log": b"".join(lines[:70])}


def test_a_log_that_was_cut_on_one_server_is_whole_on_the_other_and_goes_on_on_the_first(world, a, b):
    world.put("log", BODY)
    settings = {**LOG, "upload.whole_lines": False}

    def append_part_and_cut(opened, name):
        opened.send(b"150 Go ahead.\r\n")
        opened.files[name] = opened.receive_data(1000)
        opened.hang_up(how=reset_socket)

    fail_next(a, "APPE", append_part_and_cut)
    assert not cycle(world, [a, b], 0, settings).ok
    assert sent(cycle(world, [a, b], 1, settings)) == (1, len(BODY))
    assert sent(cycle(world, [a, b], 0, settings))[0] == 1
    assert a.files == b.files == {"log": BODY}


def test_a_log_that_is_whole_on_the_present_server_does_not_fill_the_outbox(world, a, b):
    world.put("log", BODY)
    settings = {**LOG, "upload.whole_lines": False}
    with_b = manager(world, [a, b], 1, settings)
    assert with_b.run_cycle().ok
    assert not with_b._outbox.is_full(1, 0)
    with_b._ledger.server = 0
    assert with_b._outbox.is_full(1, 0)


def test_a_log_keeps_the_name_that_it_got_on_each_server(world, a, b):
    settings = {**LOG, "upload.to": "{stem}-{boot}.log"}
    for line, count, at in ((b"old\n", 9, 0), (b"new\n", 1, 0), (b"new\n", 2, 1), (b"new\n", 3, 0), (b"new\n", 4, 1)):
        world.put("log", line * count)
        assert sent(cycle(world, [a, b], at, settings))[0] == 1
    assert a.files == {"log-00001.log": b"old\n" * 9, "log-00002-1.log": b"new\n" * 3}
    assert b.files == {"log-00003.log": b"new\n" * 4}


# --- batches


BATCH = {"upload.mode": "batch"}


@pytest.mark.parametrize("how", [cut, rename_and_cut])
@pytest.mark.parametrize("first", [0, 1])
def test_a_batch_that_waits_for_its_name_goes_again_to_the_other_server(world, a, b, first, how):
    for name in "xyz":
        world.put(name, BODY)
    servers = [a, b]
    fail_next(servers[first], "RNTO", how)
    assert not cycle(world, servers, first, BATCH).ok
    tar = next(iter(servers[first].files.values()))
    with_other = manager(world, servers, 1 - first, BATCH)
    assert sent(with_other.run_cycle())[0] == 3
    assert [(len(data), name[:6]) for name, data in servers[1 - first].files.items()] == [(len(tar), "batch-")]
    assert len(with_other._outbox.left[first]) == 1
    assert sent(cycle(world, [a, b], 0, BATCH)) == sent(cycle(world, [a, b], 1, BATCH)) == (0, 0)


def test_a_batch_that_waits_for_its_name_on_a_server_that_was_replaced_goes_again(world, a, b):
    world.put("x", BODY)
    fail_next(a, "RNTO", rename_and_cut)
    assert not cycle(world, [a], 0, BATCH).ok
    b.files = {name: bytes(len(data)) for name, data in a.files.items()}  # its name and its size, by whatever accident
    assert sent(cycle(world, [b], 0, BATCH))[0] == 1
    assert len([data for data in b.files.values() if BODY in data]) == 1


def test_files_of_a_batch_that_is_void_make_no_room(world, a, b):
    world.put("x", BODY)
    fail_next(a, "RNTO", rename_and_cut)
    assert not cycle(world, [a], 0, BATCH).ok
    again = manager(world, [b], 0, BATCH)
    again._enter(again._step())
    assert [(found.path, found.age) for found in again._outbox.candidates("/usr")] == [("/usr/data/x", None)]


# --- updates


def test_an_update_is_judged_by_its_version_and_not_by_its_time_on_another_server(world, a, b, monkeypatch):
    from app import apply  # needs the module's names, which `world` brings
    from app.platform import files

    monkeypatch.setattr(apply, "uos", files.uos)
    settings = {"update.from": "updates"}

    def publish(server, version):
        server.files["updates/manifest"] = b'FERRY1 -\n{"version": %d, "files": []}' % version

    def taken(at):
        made = manager(world, [a, b], at, settings)
        assert made.run_cycle().ok
        made._ledger.flush()
        return made.status()["update"], len(of((a, b)[at], "RETR"))

    publish(a, 2)
    publish(b, 3)  # the same size and, with these servers, the same time
    assert taken(0) == ("2: in place", 1)
    assert taken(0) == ("", 1)
    assert taken(1) == ("3: in place", 1)
    note, retr_count = taken(0)  # read once in a boot, and found to be older
    assert ("version 2 is older than the 3" in note, retr_count) == (True, 2)
    publish(a, 3)
    assert taken(0)[0] == "3: it is in place"


# --- downloads


DOWN = {"download.from": "updates", "upload.from": ""}


def show(server, modified):
    """Let a server's folder show its files with this time."""

    def listing(opened, folder):
        names = [name for name in opened.files if name.startswith(folder + "/")]
        lines = [f"type=file;size={len(opened.files[n])};modify={modified}; {n[len(folder) + 1 :]}\r\n" for n in names]
        opened.send(b"150 Here it comes.\r\n")
        opened.send_data("".join(lines).encode())
        opened.send(b"226 Sent.\r\n")

    server._overrides["MLSD"] = listing


@pytest.mark.parametrize("modified", [LATER, "20240229120000"], ids=["other times", "the same times"])
def test_mirrors_fetch_nothing_twice(world, a, b, modified):
    a.files["updates/u"] = b.files["updates/u"] = BODY
    show(b, modified)
    assert fetched(cycle(world, [a, b], 0, DOWN)) == 1
    assert [fetched(cycle(world, [a, b], at, DOWN)) for at in (1, 1, 0, 0)] == [0] * 4
    assert of(b, "RETR") == []


def test_another_size_or_another_name_on_the_mirror_is_news(world, a, b):
    a.files["updates/u"] = BODY
    b.files.update({"updates/u": BODY + b"more", "updates/v": b"new"})
    assert fetched(cycle(world, [a, b], 0, DOWN)) == 1
    assert fetched(cycle(world, [a, b], 1, DOWN)) == 2
    assert world.got() == {"u": BODY + b"more", "v": b"new"}
    assert fetched(cycle(world, [a, b], 1, DOWN)) == 0


def test_back_on_the_first_its_times_count_again(world, a, b):
    a.files["updates/u"] = b.files["updates/u"] = BODY
    assert fetched(cycle(world, [a, b], 0, DOWN)) == 1
    assert fetched(cycle(world, [a, b], 1, DOWN)) == 0
    a.files["updates/u"] = BODY[::-1]
    show(a, LATER)
    assert fetched(cycle(world, [a, b], 0, DOWN)) == 1
    assert world.got() == {"u": BODY[::-1]}


def test_a_mirror_that_is_alone_now_is_believed_its_times(world, a, b):
    a.files["updates/u"] = BODY
    b.files["updates/u"] = BODY[::-1]
    assert fetched(cycle(world, [a, b], 0, DOWN)) == 1
    assert fetched(cycle(world, [b], 0, DOWN)) == 1
    assert world.got() == {"u": BODY[::-1]}
    assert fetched(cycle(world, [b], 0, DOWN)) == 0


def test_a_partial_of_one_server_is_not_gone_on_with_from_another(world, a, b):
    a.files["updates/u"] = BIG
    b.files["updates/u"] = BIG[::-1]

    def send_part_and_cut(opened, name):
        opened.send(b"150 Here it comes.\r\n")
        opened.send_data(opened.files[name][: len(BIG) // 2])
        opened.hang_up(how=reset_socket)

    fail_next(a, "RETR", send_part_and_cut)
    assert not cycle(world, [a, b], 0, DOWN).ok
    assert [name for name in os.listdir(world.usr / ".ferry") if name.endswith(".part")] != []
    assert fetched(cycle(world, [a, b], 1, DOWN)) == 1
    assert world.got() == {"u": BIG[::-1]}


# --- the records


def test_the_record_of_a_file_under_way_names_its_server(world, a, b):
    world.put("x", BODY)
    fail_next(b, "RNTO", cut)
    assert not cycle(world, [a, b], 1).ok
    again = manager(world, [a, b], 0)
    again._enter(again._step())
    assert [(entry.kind, entry.server) for entry in again._ledger.pending.values()] == [(PUT_VERIFIED, 1)]


# --- other settings in the same boot


def to(world, made, server, **settings):
    """Hand a running module settings with another server, as its worker does."""
    other = world.manager(server, settings, FAST)._config
    made.configure(other)
    return made.run_cycle()


def test_another_server_in_the_settings_is_a_stranger(world, a, b):
    made = world.manager(a, {"upload.to": "folder/{path}"}, FAST)
    world.put("1", BODY)
    assert sent(made.run_cycle()) == (1, len(BODY))
    made._facts.mlsd = made._facts.epsv = False
    world.put("2", BODY)
    assert sent(to(world, made, b, **{"upload.to": "folder/{path}"})) == (1, len(BODY))
    assert stored(b) == {"folder/2": BODY}
    assert made._facts.flags() == 0


def test_what_one_server_refused_is_tried_with_the_server_of_new_settings(world, b):
    with Sane(override={"STOR": b"553 No.\r\n"}) as a:
        made = world.manager(a, (), FAST)
        world.put("1", BODY)
        assert made.run_cycle().skip_count == 1
        assert made.status()["parked"] == 1
        assert sent(to(world, made, b)) == (1, len(BODY))
        assert made.status()["parked"] == 0


def test_new_settings_leave_the_outbox_what_it_knows_of_this_boot(world, a):
    settings = {"device.id": "", "upload.to": "{device}/{name}", "upload.settle_s": 3600}
    made = world.manager(a, settings, FAST)
    world.put("1", BODY)
    assert made.run_cycle().wait_count == 1
    made._clock.sleep_ms(3_600_000)
    made._outbox.left[1] = ["a.part"]
    assert sent(to(world, made, a, **settings)) == (1, len(BODY))
    assert not made.is_full(1, 0)
    made.configure(made._config)
    assert not made.is_full(1, 0)
    assert made.status()["device"] == "860000000000000"
    assert made._outbox.left == {1: ["a.part"]}


def test_new_settings_begin_no_new_day_of_the_data_budget_where_the_clock_is_not_set(world, a):
    made = world.manager(a, {"budget.day_bytes": 10**6}, FAST)
    made._clock.seconds = lambda: None
    made.run_cycle(DAY_MS + 1000)
    used = made.status()["bytes_today"]
    assert used > 0
    made.configure(made._config)
    made.is_spent(DAY_MS + 2000)
    assert made.status()["bytes_today"] == used
