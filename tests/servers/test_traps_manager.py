"""The traps of files: proof, resuming, names, folders, listings. FtpManager on CPython. The list is in test_traps.py."""

import socket

import pytest

from app.errors import LATER, IntegrityError, PermReply
from app.sync.download import RESUME_BYTES as DOWN_RESUME
from app.sync.upload import RESUME_BYTES as UP_RESUME
from tests.ftpd.fake import reset_socket
from tests.ftpd.sane import Sane
from tests.world import DEVICE, FAST
from tools.ftpd.faults import DATA, Fault
from tools.ftpd.proxy import Proxy

BODY = bytes(range(256)) * 20
BIG = bytes(range(251)) * 1000
assert len(BIG) > 2 * max(UP_RESUME, DOWN_RESUME)

DOWNLOADS = {"download.from": "updates"}


def stored(server):
    """What the server has under final names."""
    return {name: data for name, data in server.files.items() if not name.endswith(".part")}


def of(server, verb):
    """The arguments of every `verb` that the server got."""
    return [command[len(verb) + 1 :] for command in server.commands if command.startswith(verb + " ")]


def store_and(after, keep=None):
    """STOR and APPE that put `keep` bytes (None: all) on disk and then call `after(server)`."""

    def override(server, name):
        server.send(b"150 \r\n")
        old = server.files.get(name, b"")[: server.take_offset()]
        server.files[name] = old + server.receive_data(keep)
        after(server)

    return override


def short(server, name):
    server.send(b"150 \r\n")
    server.files[name] = server.receive_data()[:100]
    server.send(b"226 Transfer complete.\r\n")


# 1-4: proof.


def final_name(temp):
    """The name that a temp name is for: `a` of `1a2b3c4d.a.part`."""
    return temp.split(".", 1)[1][: -len(".part")]


def test_trap_01_a_226_for_a_short_file_is_not_believed(world):
    world.put("a", BODY)
    with Sane(override={"STOR": [short]}) as server:
        result = world.cycle(server)
    assert result.ok and result.retries == 1
    assert stored(server) == {"a": BODY}
    assert len(set(of(server, "STOR"))) == 2


def test_trap_01_a_file_that_stays_short_never_gets_its_name(world):
    world.put("a", BODY)
    with Sane(override={"STOR": short}) as server:
        result = world.cycle(server)
        assert stored(server) == {} and "RNTO" not in server.verbs()
    assert result.up_count == 0
    assert "parked" in result.skipped[0][2]


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_trap_01_02_an_upload_cut_on_the_way_never_gets_its_name_short(world, ftpd, how):
    """Against the real servers: all say 226 to a FIN, one says it to a reset."""
    world.put("a", BIG)
    seen = []
    with Proxy(ftpd.host, ftpd.port, [Fault(DATA, how, after_bytes=50_000, nth=1)]) as proxy:
        manager = world.manager(proxy, {"server.user": ftpd.user, "server.password": ftpd.password}, speed=10)
        while not manager.run_cycle().ok:
            seen.append((ftpd.root / "a").exists())
            assert len(seen) < 3
    assert True not in seen
    assert [path.name for path in ftpd.root.iterdir()] == ["a"]
    assert (ftpd.root / "a").read_bytes() == BIG


@pytest.mark.parametrize("body", [BODY, BIG])
def test_trap_03_a_name_that_the_server_keeps_locked_is_left_for_a_fresh_one(world, body):
    world.put("a", body)
    locked = []

    def lock(server, name):
        if not locked:
            locked.append(name)
        if name == locked[0]:
            server.silence()
        server.normal("STOR", name)

    with Sane(override={"STOR": lock}) as server:
        manager = world.manager(server, speed=FAST)
        assert not manager.run_cycle().ok
        assert manager.run_cycle().ok
    assert stored(server) == {"a": body}


def test_trap_03_bytes_of_two_writers_are_noticed(world):
    world.put("a", BODY)

    def both(server, name):
        server.send(b"150 \r\n")
        server.files[name] = server.receive_data() + b"of the zombie"
        server.send(b"226 \r\n")

    with Sane(override={"STOR": [both]}) as server:
        assert world.cycle(server).ok
    assert stored(server) == {"a": BODY}


def test_trap_04_a_temp_file_that_the_server_removed_starts_over_under_a_fresh_name(world):
    world.put("a", BODY)

    def gone(server, name):
        server.files.pop(name)
        server.send(b"550 No such file.\r\n")

    with Sane(override={"RNFR": [gone]}) as server:
        assert world.cycle(server).ok
    assert stored(server) == {"a": BODY}
    assert len(set(of(server, "STOR"))) == 2


# 27, 29: no final reply.

NO_REPLY = {
    "never": lambda server: server.silence(),
    "closed": lambda server: server.hang_up(),
    "reset": lambda server: server.hang_up(how=reset_socket),
}


@pytest.mark.parametrize("how", NO_REPLY)
@pytest.mark.parametrize("body", [BODY, BIG], ids=["small", "big"])
def test_trap_27_29_an_upload_whose_226_never_comes_is_measured_in_a_new_session(world, body, how):
    world.put("a", body)
    with Sane(override={"STOR": store_and(NO_REPLY[how])}) as server:
        manager = world.manager(server, speed=FAST)
        assert not manager.run_cycle().ok
        assert manager.run_cycle().ok
    assert stored(server) == {"a": body}
    assert server.verbs().count("STOR") == 1


@pytest.mark.parametrize("how", ["never", "closed"])  # a reset may take the data with it
@pytest.mark.parametrize("body", [BODY, BIG], ids=["small", "big"])
def test_trap_27_29_34_a_download_whose_226_never_comes_is_not_fetched_again(world, body, how):
    def retrieve(server, name):
        server.send(b"150 \r\n")
        server.send_data(server.files[name][server.take_offset() :])
        NO_REPLY[how](server)

    with Sane({"updates/x": body}, {"RETR": retrieve}) as server:
        manager = world.manager(server, DOWNLOADS, speed=FAST)
        for _ in range(3):
            if manager.run_cycle().ok:
                break
    assert world.got() == {"x": body}
    assert server.verbs().count("RETR") == 1


@pytest.mark.parametrize("verb", ["STOR", "RETR"])
def test_trap_26_a_final_reply_without_a_preliminary_one_ends_nothing_early(world, verb):
    world.put("a", BIG)

    def only_final(server, name):
        data = server.accept_data()
        server.send(b"226 Done.\r\n")
        with data:
            if verb == "STOR":
                server.files[name] = b"".join(iter(lambda: data.recv(65536), b""))
            else:
                data.sendall(server.files[name])

    with Sane({"updates/x": BIG}, {verb: only_final}) as server:
        manager = world.manager(server, DOWNLOADS, speed=FAST)
        assert any(manager.run_cycle().ok for _ in range(4))  # SIZE may come before the server has read all of it
    assert world.got() == {"x": BIG}
    assert stored(server) == {"a": BIG, "updates/x": BIG}


# 30-33: sizes and versions of downloads.


@pytest.mark.parametrize("reply", [b"500 What?\r\n", b"502 No.\r\n"])
def test_trap_30_a_listing_with_sizes_needs_no_size(world, reply):
    with Sane({"updates/x": BODY}, {"SIZE": reply, "MDTM": reply}) as server:
        assert world.cycle(server, DOWNLOADS).ok
    assert world.got() == {"x": BODY}


def test_trap_30_files_whose_size_nobody_tells_are_left_alone_and_said(world):
    with Sane({"updates/x": BODY}, {"SIZE": b"500 \r\n", "MLSD": b"500 \r\n"}) as server:
        result = world.cycle(server, DOWNLOADS)
    assert world.got() == {}
    assert result.skipped


@pytest.mark.parametrize("code", [500, 502])
def test_trap_31_a_server_without_size_is_a_clear_error(world, code):
    world.put("a", BODY)
    with Sane(override={"SIZE": b"%d What?\r\n" % code}) as server:
        result = world.cycle(server)
        assert stored(server) == {}
    assert "parked" in result.skipped[0][2] and "cannot tell sizes" in result.skipped[0][2]


def test_trap_31_type_i_comes_before_the_first_size(world):
    world.put("a", BODY)

    def only_binary(server, argument):
        if "TYPE I" in server.server.commands:
            server.normal("SIZE", argument)
        else:
            server.send(b"550 SIZE not allowed in ASCII mode.\r\n")

    with Sane({"updates/x": BODY}, {"SIZE": only_binary, "MLSD": b"500 \r\n"}) as server:
        assert world.cycle(server, DOWNLOADS).ok
    assert stored(server)["a"] == BODY and world.got() == {"x": BODY}


def test_trap_31_a_size_of_550_is_no_proof(world):
    world.put("a", BODY)
    with Sane(override={"SIZE": b"550 Not allowed.\r\n"}) as server:
        result = world.cycle(server)
        assert stored(server) == {}
    assert result.up_count == 0 and result.skipped


@pytest.mark.parametrize("mark", ["20240229120000.123", "19100130120000", "20240229120000", "yesterday"])
@pytest.mark.parametrize("has_mlsd", [True, False])
def test_trap_32_a_time_is_compared_as_it_stands(world, mark, has_mlsd):
    marks = [mark]

    def mlsd(server, _argument):
        if not has_mlsd:
            server.send(b"500 \r\n")
            return
        server.send(b"150 \r\n")
        server.send_data(b"type=file;size=3;modify=%s; x\r\n" % marks[-1].encode())
        server.send(b"226 \r\n")

    def mdtm(server, _argument):
        server.send(b"213 %s\r\n" % marks[-1].encode())

    with Sane({"updates/x": b"old"}, {"MLSD": mlsd, "MDTM": mdtm}) as server:
        manager = world.manager(server, DOWNLOADS)
        assert manager.run_cycle().down_count == 1
        assert manager.run_cycle().down_count == 0
        server.files["updates/x"] = b"new"
        marks.append("later")
        assert manager.run_cycle().down_count == 1
    assert world.got() == {"x": b"new"}


@pytest.mark.parametrize("reply", [b"550 No.\r\n", b"500 What?\r\n"])
def test_trap_32_a_server_without_mdtm_goes_by_size(world, reply):
    with Sane({"updates/x": BODY}, {"MLSD": b"500 \r\n", "MDTM": reply}) as server:
        manager = world.manager(server, DOWNLOADS)
        assert [manager.run_cycle().down_count for _ in range(2)] == [1, 0]


@pytest.mark.parametrize("sent", [BODY + b"more", BODY[:-1]], ids=["grown", "shrunk"])
def test_trap_33_a_file_that_changes_size_while_it_comes_is_not_put_in_place(world, sent):
    def retrieve(server, _name):
        server.send(b"150 \r\n")
        server.send_data(sent)
        server.send(b"226 \r\n")

    with Sane({"updates/x": BODY}, {"RETR": [retrieve, retrieve]}) as server:
        manager = world.manager(server, DOWNLOADS)
        result = manager.run_cycle()
        assert world.got() == {} and result.down_count == 0 and result.skipped
        server.files["updates/x"] = sent
        assert manager.run_cycle().ok
    assert world.got() == {"x": sent}


# 34-37, 58: going on after a cut.


def cut_upload(server, name):
    """Keep 100,000 bytes and lose the link."""
    server.send(b"150 \r\n")
    server.files[name] = server.receive_data(100_000)
    server.hang_up(how=reset_socket)


def cut_download(server, name):
    server.send(b"150 \r\n")
    server.send_data(server.files[name][:100_000])
    server.hang_up()


def test_trap_34_an_upload_that_is_all_there_is_not_sent_again(world):
    world.put("a", BIG)
    with Sane(override={"STOR": [store_and(NO_REPLY["reset"])]}) as server:
        manager = world.manager(server)
        assert not manager.run_cycle().ok
        assert manager.run_cycle().ok
    assert stored(server) == {"a": BIG}
    assert server.verbs().count("STOR") == 1 and "APPE" not in server.verbs()


def test_trap_35_a_rest_that_is_ignored_by_retr_starts_over(world):
    def whole(server, name):
        server.take_offset()
        server.normal("RETR", name)

    with Sane({"updates/x": BIG}, {"RETR": [cut_download, whole]}) as server:
        manager = world.manager(server, DOWNLOADS)
        assert not manager.run_cycle().ok
        assert manager.run_cycle().ok
    assert world.got() == {"x": BIG}
    assert len(of(server, "REST")) == 1


def test_trap_35_a_download_goes_on_where_it_was_cut(world):
    with Sane({"updates/x": BIG}, {"RETR": [cut_download]}) as server:
        manager = world.manager(server, DOWNLOADS)
        assert not manager.run_cycle().ok
        result = manager.run_cycle()
    assert result.ok and result.counts.received_bytes < len(BIG) - 90_000
    assert world.got() == {"x": BIG}


def truncates(server, name):
    server.take_offset()
    server.send(b"150 \r\n")
    server.files[name] = server.receive_data()
    server.send(b"226 \r\n")


def fills_with_zeros(server, name):
    server.send(b"150 \r\n")
    server.files[name] = bytes(server.take_offset()) + server.receive_data()
    server.send(b"226 \r\n")


def appends_at_the_end(server, name):
    server.take_offset()
    server.normal("APPE", name)


@pytest.mark.parametrize("appe", [None, b"502 No.\r\n", truncates], ids=["appends", "refused", "truncates"])
@pytest.mark.parametrize("resumed", [truncates, fills_with_zeros, appends_at_the_end])
def test_trap_36_whatever_rest_before_stor_does_the_file_is_whole_in_the_end(world, resumed, appe):
    """Zeros give the right size, and no server tells more than a size: REST is never sent before STOR."""
    world.put("a", BIG)

    def store(server, name):
        resumed(server, name) if server.offset else server.normal("STOR", name)

    with Sane(override={"STOR": [cut_upload] + [store] * 5, **({"APPE": appe} if appe else {})}) as server:
        manager = world.manager(server)
        assert not manager.run_cycle().ok
        assert manager.run_cycle().ok
    assert {name: data == BIG for name, data in stored(server).items()} == {"a": True}
    assert len(of(server, "APPE")) == 1 and of(server, "REST") == []


def test_trap_36_what_came_out_wrong_is_not_tried_twice(world):
    """APPE does not go on where it should; every first STOR of a file is cut."""
    cut = set()

    def store(server, name):
        if final_name(name) not in cut:
            cut.add(final_name(name))
            cut_upload(server, name)
        else:
            server.normal("STOR", name)

    with Sane(override={"STOR": store, "APPE": truncates}) as server:
        manager = world.manager(server)
        for name in "abcd":
            world.put(name, BIG)
            assert not manager.run_cycle().ok
            assert manager.run_cycle().ok
    assert len(of(server, "APPE")) == 1
    assert stored(server) == dict.fromkeys("abcd", BIG)


REFUSED_APPE = [
    b"502 No.\r\n",
    b"500 What?\r\n",
    b"504 No.\r\n",
    b"550 Permission denied.\r\n",
    b"553 No.\r\n",
    b"451 Append/Restart not permitted, try again.\r\n",  # proftpd, as it is shipped
]


@pytest.mark.parametrize("reply", REFUSED_APPE)
@pytest.mark.parametrize("folder", ["", "d/"])
def test_trap_37_a_server_that_refuses_appe_gets_the_whole_file(world, reply, folder):
    with Sane(override={"STOR": [cut_upload, None, cut_upload], "APPE": reply}) as server:
        manager = world.manager(server)
        for name in "ab":
            world.put(folder + name, BIG)
            assert not manager.run_cycle().ok
            result = manager.run_cycle()
            assert result.skipped == [] and result.ok
        assert manager.status()["parked"] == 0
    assert stored(server) == {folder + "a": BIG, folder + "b": BIG}
    assert len(of(server, "APPE")) == 1  # and that is remembered


def test_trap_37_an_append_behind_bytes_of_a_zombie_is_noticed(world):
    world.put("a", BIG)

    def raced(server, name):
        server.files[name] += b"zombie"
        server.normal("APPE", name)

    with Sane(override={"STOR": [cut_upload], "APPE": [raced]}) as server:
        manager = world.manager(server)
        assert not manager.run_cycle().ok
        assert manager.run_cycle().ok
    assert stored(server) == {"a": BIG}
    asked = [command for command in server.commands if not command.startswith(("EPSV", "TYPE"))]
    at = next(number for number, command in enumerate(asked) if command.startswith("APPE "))
    temp = asked[at].split(" ", 1)[1]
    assert final_name(asked[at]) == "a"
    assert asked[at + 1] == "SIZE " + temp
    before = asked[:at][::-1]
    assert set(before[: before.index("SIZE " + temp)]) == {"SIZE a"}  # nothing that takes long is in between


def fall_silent(server, name):
    server.send(b"150 \r\n")
    with server.accept_data() as data:
        data.sendall(server.files[name][:100_000])
        server.silence()


@pytest.mark.parametrize("is_up", [True, False], ids=["up", "down"])
def test_trap_58_a_link_that_dies_costs_the_session_and_not_what_has_arrived(world, is_up):
    if is_up:
        world.put("a", BIG)
    override = {"STOR": [cut_upload], "RETR": [fall_silent]}
    with Sane({} if is_up else {"updates/x": BIG}, override) as server:
        manager = world.manager(server, {} if is_up else DOWNLOADS, speed=FAST)
        assert not manager.run_cycle().ok
        result = manager.run_cycle()
    assert result.ok and server.session_count == 2
    moved = result.counts.sent_bytes if is_up else result.counts.received_bytes
    assert moved < len(BIG) - 100_000 + 2000
    assert (stored(server) if is_up else world.got()) == ({"a": BIG} if is_up else {"x": BIG})


# 38-40: what a server refuses to store.


def refuse_b(reply):
    def override(server, name):
        server.send(reply) if final_name(name) == "b" else server.normal("STOR", name)

    return override


@pytest.mark.parametrize("reply", [b"550 Denied.\r\n", b"553 Bad name.\r\n"])
def test_trap_38_a_file_that_is_refused_for_good_is_parked_and_the_others_go(world, reply):
    for name in "abc":
        world.put(name, BODY)
    with Sane(override={"STOR": refuse_b(reply)}) as server:
        manager = world.manager(server)
        result = manager.run_cycle()
        assert result.ok and result.up_count == 2
        assert "parked" in result.skipped[0][2] and manager.status()["parked"] == 1
        assert manager.run_cycle().ok
        world.put("b", b"new version")
        manager.run_cycle()
    assert len(of(server, "STOR")) == 4  # a, b, c, and the new b
    assert stored(server) == {"a": BODY, "c": BODY}


@pytest.mark.parametrize(
    "reply", [b"452 Disk full.\r\n", b"552 Quota exceeded.\r\n", b"450 In use.\r\n", b"425 Exists.\r\n"]
)
def test_trap_38_a_server_without_room_is_asked_again_later(world, reply):
    for name in "abc":
        world.put(name, BODY)
    with Sane(override={"STOR": [None, reply]}) as server:
        manager = world.manager(server)
        result = manager.run_cycle()
        assert manager.state == "BACKOFF"
        assert result.error.action == LATER and manager.status()["parked"] == 0
        assert manager.run_cycle().ok
    assert stored(server) == dict.fromkeys("abc", BODY)


def no_overwrite(code):
    def override(server, name):
        if name in server.files:
            server.send(b"%d File exists.\r\n" % code)
        else:
            server.normal("RNTO", name)

    return override


@pytest.mark.parametrize("code", [550, 553])
def test_trap_39_a_server_that_does_not_overwrite_gets_the_old_file_out_of_the_way(world, code):
    world.put("a", BODY)
    with Sane({"a": b"old"}, {"RNTO": no_overwrite(code)}) as server:
        assert world.cycle(server).ok
    assert stored(server) == {"a": BODY}


def test_trap_39_several_files_that_exist_all_get_their_names_in_one_cycle(world):
    for name in "abcd":
        world.put(name, BODY)
    with Sane(dict.fromkeys("abcd", b"old"), {"RNTO": no_overwrite(550)}) as server:
        result = world.cycle(server)
    assert result.ok and result.up_count == 4
    assert stored(server) == dict.fromkeys("abcd", BODY)


def test_trap_39_files_that_may_not_be_replaced_are_parked_and_the_others_go(world):
    for name in "abc":
        world.put(name, BODY)

    def keep_b(server, name):
        server.send(b"550 Denied.\r\n") if name == "b" else server.normal("RNFR", name)

    with Sane({"b": b"old"}, {"RNTO": no_overwrite(550), "RNFR": keep_b}) as server:
        result = world.cycle(server)
    assert result.up_count == 2 and "parked" in result.skipped[0][2]
    assert stored(server) == {"a": BODY, "b": b"old", "c": BODY}


def test_trap_40_a_drop_box_gets_files_under_their_final_names_and_no_questions(world):
    for name in ("a", "d/b"):
        world.put(name, BODY)
    refused = dict.fromkeys(("SIZE", "MDTM", "MLSD", "NLST", "LIST", "RNFR", "RNTO", "DELE", "MKD"), b"550 Denied.\r\n")
    with Sane(override=refused) as server:
        manager = world.manager(server, {"server.verify": "none"})
        assert manager.run_cycle().ok
        assert manager.run_cycle().up_count == 0
    assert server.files == {"a": BODY, "d/b": BODY}
    assert not {"SIZE", "RNFR", "DELE"} & set(server.verbs())


@pytest.mark.parametrize(("policy", "got"), [("suffix", {"a": b"old", "a-1": BODY}), ("skip", {"a": b"old"})])
@pytest.mark.parametrize("is_late", [False, True], ids=["there", "comes in between"])
def test_trap_39_a_file_that_is_not_ours_stays_unless_the_rule_says_overwrite(world, policy, got, is_late):
    """Also one that takes the name while ours is on its way, where the server tells by refusing the rename."""
    world.put("a", BODY)

    def store(server, name):
        server.files.setdefault("a", b"old")
        server.normal("STOR", name)

    with Sane({} if is_late else {"a": b"old"}, {"STOR": store, "RNTO": no_overwrite(550)}) as server:
        assert world.cycle(server, {"upload.on_conflict": policy}).ok
    assert stored(server) == got
    assert server.files == got


MARKED = {"server.verify": "marker"}
DROP_BOX = dict.fromkeys(("SIZE", "MDTM", "RNFR", "RNTO", "MKD", "REST", "APPE"), b"550 Denied.\r\n")


@pytest.mark.parametrize("size", [0, len(BODY)])
def test_trap_40_a_marker_comes_behind_a_file_that_is_whole_and_holds_its_size(world, size):
    world.put("d/a", BODY[:size])
    with Sane(override=DROP_BOX) as server:
        manager = world.manager(server, MARKED)
        assert manager.run_cycle().ok
        assert manager.run_cycle().up_count == 0
    assert server.files == {"d/a": BODY[:size], "d/a.ok": str(size).encode()}
    assert of(server, "STOR") == ["d/a", "d/a.ok"]


def test_trap_40_a_file_that_was_cut_has_no_marker_until_it_is_whole(world):
    world.put("a", BIG)
    with Sane(override={**DROP_BOX, "STOR": [cut_upload]}) as server:
        manager = world.manager(server, MARKED)
        assert not manager.run_cycle().ok
        assert list(server.files) == ["a"]
        assert manager.run_cycle().ok
    assert server.files == {"a": BIG, "a.ok": str(len(BIG)).encode()}


def test_trap_40_a_new_version_takes_the_marker_of_the_old_one_away_first(world):
    world.put("a", BODY)
    box = {**DROP_BOX, "STOR": [None, None, cut_upload]}
    with Sane(override=box) as server:
        manager = world.manager(server, MARKED)
        assert manager.run_cycle().ok
        world.put("a", BIG)
        assert not manager.run_cycle().ok
        assert list(server.files) == ["a"]
        assert manager.run_cycle().ok
    assert server.files == {"a": BIG, "a.ok": str(len(BIG)).encode()}


@pytest.mark.parametrize("code", [452, 553])
def test_trap_40_a_file_whose_marker_is_refused_is_not_called_sent(world, code):
    world.put("a", BODY)
    with Sane(override={**DROP_BOX, "STOR": [None, b"%d No.\r\n" % code]}) as server:
        result = world.manager(server, MARKED).run_cycle()
    assert result.up_count == 0 and result.skipped
    assert list(server.files) == ["a"]


def test_trap_40_a_link_that_dies_before_the_marker_sends_both_again(world):
    world.put("a", BODY)

    def die(server, _name):
        server.hang_up(how=reset_socket)

    with Sane(override={**DROP_BOX, "STOR": [None, die]}) as server:
        manager = world.manager(server, MARKED)
        assert not manager.run_cycle().ok
        assert manager.run_cycle().ok
    assert server.files == {"a": BODY, "a.ok": str(len(BODY)).encode()}


def test_trap_40_a_drop_box_gets_the_whole_file_after_a_cut(world):
    world.put("a", BIG)
    refused = dict.fromkeys(("SIZE", "RNFR", "DELE", "REST", "APPE"), b"550 Denied.\r\n")
    with Sane(override={**refused, "STOR": [cut_upload]}) as server:
        manager = world.manager(server, {"server.verify": "none"})
        assert not manager.run_cycle().ok
        assert manager.run_cycle().ok
    assert server.files == {"a": BIG}


# 41-43: folders and names.


@pytest.mark.parametrize("reply", [b"550 It is there.\r\n", b"521 Exists.\r\n", b"553 No.\r\n", b"257 made\r\n"])
def test_trap_41_folders_are_made_one_by_one_and_once(world, reply):
    with Sane(override={"MKD": reply}) as server:
        manager = world.manager(server, {"upload.to": "{device}"})
        for name in ("x/y/a", "x/b"):
            world.put(name, BODY)
            assert manager.run_cycle().ok
    assert of(server, "MKD")[:3] == [DEVICE, DEVICE + "/x", DEVICE + "/x/y"]
    if not reply.startswith(b"553"):
        assert len(of(server, "MKD")) == 3
    assert set(server.files) == {DEVICE + "/x/y/a", DEVICE + "/x/b"}


def test_trap_41_a_folder_that_somebody_removed_is_made_again(world):
    def store(server, name):
        if name.rpartition("/")[0] in server.server.folders:
            server.normal("STOR", name)
        else:
            server.send(b"553 Could not create file.\r\n")

    with Sane(override={"STOR": store}) as server:
        manager = world.manager(server)
        world.put("d/a", BODY)
        assert manager.run_cycle().ok
        server.folders.clear()
        world.put("d/b", BODY)
        assert manager.run_cycle().ok
    assert set(server.files) == {"d/a", "d/b"}


def test_trap_42_paths_are_relative_and_nobody_asks_where_we_are(world):
    world.put("d/a", BODY)
    with Sane({"updates/x": BODY}) as server:
        assert world.cycle(server, {"upload.to": "{device}", **DOWNLOADS}).ok
    assert not {"CWD", "CDUP", "PWD"} & set(server.verbs())
    assert not [command for command in server.commands if " /" in command]


def strict_name(server, name):
    """What deny_file and its like refuse."""
    last = name.rpartition("/")[2]
    if last.startswith(".") or last != last.strip() or len(last.encode("latin-1")) > 255:
        server.send(b"553 Prohibited file name.\r\n")
    else:
        server.normal("STOR", name)


@pytest.mark.parametrize("name", ["a", "a b.txt", "x" * 250, "x" * 255, "ü" * 127])
def test_trap_43_temp_names_have_no_leading_dot_and_fit(world, name):
    world.put(name, BODY)
    with Sane(override={"STOR": strict_name}) as server:
        assert world.cycle(server).ok
    assert [stored_name.encode("latin-1").decode() for stored_name in server.files] == [name]
    (temp,) = of(server, "STOR")
    assert temp.endswith(".part")


@pytest.mark.parametrize("name", [".hidden", "a*", "a[1]"])
def test_trap_43_a_name_that_the_server_prohibits_is_parked(world, name):
    world.put("good", BODY)
    world.put(name, BODY)

    def prohibit(server, stored_name):
        server.send(b"553 Prohibited.\r\n") if final_name(stored_name).encode(
            "latin-1"
        ).decode() == name else server.normal("STOR", stored_name)

    with Sane(override={"STOR": prohibit}) as server:
        result = world.cycle(server)
    assert result.ok and "parked" in result.skipped[0][2]
    assert stored(server) == {"good": BODY}


# 44-46: listings.


def with_nothing(server, _argument):
    server.send(b"150 \r\n")
    server.send_data(b"")
    server.send(b"226 No files found.\r\n")


@pytest.mark.parametrize("reply", [b"450 No files found.\r\n", b"550 No files found.\r\n", with_nothing])
def test_trap_44_an_empty_listing_is_no_error(world, reply):
    with Sane(override={"NLST": reply, "MLSD": b"500 \r\n"}) as server:
        manager = world.manager(server, DOWNLOADS)
        assert manager.run_cycle().ok
        assert manager.run_cycle().ok


@pytest.mark.parametrize("reply", [b"550 No such folder.\r\n", with_nothing])
def test_trap_44_an_empty_mlsd_is_no_error(world, reply):
    with Sane(override={"MLSD": reply}) as server:
        assert world.cycle(server, DOWNLOADS).ok
    assert "NLST" not in server.verbs()


@pytest.mark.parametrize("prefix", ["", "updates/", "./updates/"])
@pytest.mark.parametrize("refusal", [b"500 What?\r\n", b"502 No.\r\n", b"504 No.\r\n"])
def test_trap_45_without_mlsd_names_and_sizes_do_and_list_is_never_used(world, refusal, prefix):
    def nlst(server, _argument):
        server.send(b"150 \r\n")
        names = ("x", "a b", ".", "..", "y.part")
        server.send_data("".join(prefix + name + "\r\n" for name in names).encode())
        server.send(b"226 \r\n")

    files = {"updates/x": BODY, "updates/a b": BODY, "updates/y.part": b"half"}
    with Sane(files, {"MLSD": refusal, "NLST": [nlst, nlst]}) as server:
        manager = world.manager(server, DOWNLOADS)
        assert manager.run_cycle().ok
        assert manager.run_cycle().ok
    assert world.got() == {"x": BODY, "a b": BODY}
    assert server.verbs().count("MLSD") == 1 and "LIST" not in server.verbs()


MLSD = (
    b"type=cdir;modify=20240229120000; .\r\n"
    b"Type=pdir;Modify=20240229120000; ..\r\n"
    b"TYPE=File;SIZE=%d;Modify=20240229120000.123;UNIX.mode=0644; x\r\n"
    b"type=OS.unix=slink:/etc/passwd;size=4; link\r\n"
    b"modify=20240229120000;type=file;size=%d;UNIQUE=1g2; a b; c\r\n"
) % (len(BODY), len(BODY))


def test_trap_46_mlsd_facts_are_read_in_any_case_and_the_folder_itself_is_left_out(world):
    def mlsd(server, argument):
        if argument != "updates":
            server.send(b"550 Not that.\r\n")
            return
        server.send(b"150 \r\n")
        server.send_data(MLSD)
        server.send(b"226 \r\n")

    with Sane({"updates/x": BODY, "updates/a b; c": BODY}, {"MLSD": mlsd}) as server:
        assert world.cycle(server, DOWNLOADS).ok
    assert world.got() == {"x": BODY, "a b; c": BODY}
    assert of(server, "MLSD") == ["updates"]


# 54: the end of TLS data.


@pytest.mark.parametrize("reply", [b"426 Broken.\r\n", b"451 TLS: no close_notify.\r\n"])
def test_trap_54_a_false_alarm_is_settled_by_the_size(world, reply):
    world.put("a", BODY)
    with Sane(override={"STOR": store_and(lambda server: server.send(reply))}) as server:
        assert world.cycle(server).ok
    assert stored(server) == {"a": BODY}
    assert server.verbs().count("STOR") == 1


@pytest.mark.parametrize("reply", [b"426 Broken.\r\n", b"451 TLS: no close_notify.\r\n"])
def test_trap_54_a_true_alarm_is_settled_by_the_size(world, reply):
    world.put("a", BODY)

    def lose(server, name):
        server.send(b"150 \r\n")
        server.files[name] = server.receive_data()[:1000]
        server.send(reply)

    with Sane(override={"STOR": [lose]}) as server:
        result = world.cycle(server)
    assert result.ok and result.retries == 1
    assert stored(server) == {"a": BODY}


def test_a_download_that_ends_early_with_226_is_not_put_in_place(world):
    def retrieve(server, name):
        server.send(b"150 \r\n")
        server.send_data(server.files[name][:100], socket.socket.close)
        server.send(b"226 \r\n")

    with Sane({"updates/x": BODY}, {"RETR": retrieve}) as server:
        result = world.cycle(server, DOWNLOADS)
    assert world.got() == {} and [name for name, _, _, _, _ in result.errors] == [IntegrityError.__name__]


def test_a_download_that_is_refused_is_parked_until_there_is_a_new_version(world):
    with Sane({"updates/x": BODY, "updates/y": BODY}, {"RETR": [b"550 Denied.\r\n"]}) as server:
        manager = world.manager(server, DOWNLOADS)
        result = manager.run_cycle()
        assert result.ok and [name for name, _, _, _, _ in result.errors] == [PermReply.__name__]
        assert manager.run_cycle().down_count == 0
        server.files["updates/x"] = b"new"
        assert manager.run_cycle().down_count == 1
    assert world.got() == {"x": b"new", "y": BODY}
