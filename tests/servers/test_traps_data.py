"""The traps of the data connection: opening it, what is said beside it, its end. The list is in test_traps.py."""

import io
import socket

import pytest

from app.errors import IntegrityError, PermReply, ProtocolError, TempReply, TransportError
from app.ftp import FTP
from app.proto.session import LINE_BYTES, RATE_FLOOR_BYTES_S, Session
from tests.ftpd.fake import reset_socket
from tests.ftpd.sane import Sane
from tests.world import FAST, FastClock, FastNet, client
from tools.ftpd.faults import DATA, Fault
from tools.ftpd.proxy import Proxy

BODY = bytes(range(256)) * 20


def fetch(ftp, name, rest=None):
    got = []
    ftp.retrbinary("RETR " + name, got.append, rest=rest)
    return b"".join(got)


@pytest.fixture
def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


# 17-23: the command that opens it.


@pytest.mark.parametrize("code", [500, 502, 522, 425])
def test_trap_17_epsv_refused_is_pasv_from_then_on(world, code):
    for name in "ab":
        world.put(name, BODY)
    with Sane({"updates/x": BODY}, {"EPSV": b"%d No.\r\n" % code}) as server:
        manager = world.manager(server, {"download.from": "updates"})
        assert manager.run_cycle().ok
        assert manager.run_cycle().ok
    assert server.verbs().count("EPSV") == 1
    assert server.files["a"] == server.files["b"] == BODY
    assert world.got() == {"x": BODY}


@pytest.mark.parametrize("how", ["refuse", "unreachable"])
def test_trap_18_an_epsv_port_that_cannot_be_reached_is_pasv_from_then_on(world, how):
    world.put("a", BODY)
    with Sane() as server, Proxy(server.host, server.port, [Fault(DATA, how, nth=1)]) as proxy:
        manager = world.manager(proxy, {"server.user": "u", "server.password": "p"}, speed=FAST)
        error = manager.run_cycle().error
        assert error.verb == "EPSV" and "passive port range" in error.advice
        assert manager.run_cycle().ok
        world.put("b", BODY)
        assert manager.run_cycle().ok
    assert [verb for verb in server.verbs() if verb in ("EPSV", "PASV")] == ["EPSV", "PASV", "PASV"]


BAD_229 = [
    b"229 Entering (|||1000000|)\r\n",
    b"229 Entering (|||0|)\r\n",
    b"229 Entering (|||)\r\n",
    b"229 Entering (||%PORT%|)\r\n",
    b"229 Entering\r\n",
    b"229 (|||x|)\r\n",
    b"200 OK.\r\n",
]


@pytest.mark.parametrize("reply", BAD_229)
def test_trap_19_a_229_that_cannot_be_read_is_pasv_in_the_next_session(world, reply):
    def bad(server, _argument):
        server.open_data()
        server.send(reply)

    world.put("a", BODY)
    with Sane(override={"EPSV": bad}) as server:
        manager = world.manager(server)
        assert isinstance(manager.run_cycle().error, ProtocolError)
        assert manager.run_cycle().ok or manager.run_cycle().ok  # what looks out of step costs a cycle more
    assert server.files == {"a": BODY}


@pytest.mark.parametrize(
    "reply",
    [
        b"227 Entering Passive Mode. 127,0,0,1,%P1,P2%\r\n",
        b"227 Entering Passive Mode (127,0,0,1,%P1,P2%).\r\n",
        b"227 =127,0,0,1,%P1,P2%\r\n",
        b"227 Mode 2 (of 3): 127, 0, 0, 1, %P1,P2% now\r\n",
        b"227 (10,0,0,300,%P1,P2%)\r\n",
        b"227 (99999999999999999999,0,0,1,%P1,P2%)\r\n",
    ],
)
def test_trap_20_the_six_numbers_of_a_227_are_found_anywhere(reply):
    def pasv(server, _argument):
        server.open_data()
        server.send(reply)

    with Sane({"a": BODY}, {"EPSV": b"500 \r\n", "PASV": pasv}) as server, client(server) as ftp:
        assert fetch(ftp, "a") == BODY


@pytest.mark.parametrize("reply", [b"227 (127,0,0,1,0,0)\r\n", b"227 (127,0,0,1,9)\r\n", b"227 (127,0,0,1,256,1)\r\n"])
def test_trap_20_a_227_without_a_port_is_an_error(reply):
    with (
        Sane({"a": BODY}, {"EPSV": b"500 \r\n", "PASV": reply}) as server,
        client(server) as ftp,
        pytest.raises(ProtocolError),
    ):
        fetch(ftp, "a")


def test_trap_21_the_address_in_a_227_is_used_by_who_asks_for_it():
    asked = []

    class Net(FastNet):
        def connect(self, host, port, timeout_s):
            asked.append(host)
            return FastNet.connect(self, "127.0.0.1", port, timeout_s)

    def pasv(server, _argument):
        server.open_data()
        server.send(b"227 Entering Passive Mode (127,0,0,9,%P1,P2%).\r\n")

    with Sane({"a": BODY}, {"EPSV": b"500 \r\n", "PASV": pasv}) as server, FTP(net=Net()) as ftp:
        ftp.connect(server.host, server.port)
        ftp.login("u", "p")
        ftp.trust_server_pasv_ipv4_address = True
        assert fetch(ftp, "a") == BODY
    assert asked == ["127.0.0.1", "127.0.0.9"]


@pytest.mark.parametrize("address", [b"0,0,0,0", b"10,1,2,3", b"192,168,0,9", b"203,0,113,7"])
def test_trap_21_the_address_in_a_227_is_not_used(address):
    def pasv(server, _argument):
        server.open_data()
        server.send(b"227 Entering Passive Mode (" + address + b",%P1,P2%).\r\n")

    with Sane({"a": BODY}, {"EPSV": b"500 \r\n", "PASV": pasv}) as server, client(server) as ftp:
        assert fetch(ftp, "a") == BODY


def test_trap_22_epsv_all_is_never_sent_so_pasv_stays_possible(world):
    world.put("a", BODY)
    with Sane({"updates/x": BODY}, {"EPSV": [None, b"500 \r\n"]}) as server:
        assert world.cycle(server, {"download.from": "updates"}).ok
    assert "EPSV ALL" not in server.commands
    assert "PASV" in server.verbs()


DRFTPD = b"500 You need to use a client supporting PRET (PRE Transfer) to use PASV\r\n"


@pytest.mark.parametrize("refusal", [b"503 Use PRET.\r\n", b"425 Use PRET.\r\n", DRFTPD])
def test_trap_23_pret_is_sent_to_a_server_that_demands_it(world, refusal):
    world.put("a", BODY)
    pretended = []

    def pret(server, argument):
        pretended.append(argument)
        server.send(b"200 OK, planning to use that.\r\n")

    def opener(verb):
        def override(server, argument):
            server.normal(verb, argument) if pretended else server.send(refusal)

        return override

    override = {
        "PRET": pret,
        "EPSV": opener("EPSV"),
        "PASV": opener("PASV"),
        "FEAT": b"211-Features:\r\n PRET\r\n211 End\r\n",
    }
    with Sane(override=override) as server:
        manager = world.manager(server)
        manager.run_cycle()
        assert manager.run_cycle().ok
    assert server.files == {"a": BODY}


def test_trap_23_pret_is_sent_to_nobody_else(world):
    world.put("a", BODY)
    with Sane() as server:
        assert world.cycle(server).ok
    assert "PRET" not in server.verbs()


# 24-29: the replies beside it.


@pytest.mark.parametrize("preliminary", [b"", b"150 \r\n"])
def test_trap_24_a_download_on_which_nothing_comes_is_given_up(preliminary):
    def hang(server, _argument):
        server.send(preliminary)
        with server.accept_data():
            server.silence()

    with Sane({"a": BODY}, {"RETR": hang}) as server, client(server, FAST) as ftp:
        with pytest.raises(TransportError) as caught:
            fetch(ftp, "a")
        assert caught.value.args[0] in (11, 110)
        assert not ftp.is_open()


def test_trap_24_an_upload_that_nobody_reads_is_given_up():
    class Endless(io.RawIOBase):
        def read(self, size=-1):
            return bytes(size)

    def hang(server, _argument):
        server.send(b"150 \r\n")
        with server.accept_data():
            server.silence()

    with Sane(override={"STOR": hang}) as server, client(server, FAST) as ftp:
        with pytest.raises(TransportError) as caught:
            ftp.storbinary("STOR a", Endless(), blocksize=1 << 20)
        assert caught.value.args[0] in (11, 110)
        assert not ftp.is_open()


class Trickle(FastNet):
    """Every send over a data connection takes a second of `clock`, and `rate` bytes at most."""

    def __init__(self, clock, rate):
        FastNet.__init__(self)
        self._clock = clock
        self._rate = rate
        self._count = 0
        self.sent = 0

    def connect(self, host, port, timeout_s):
        connection = FastNet.connect(self, host, port, timeout_s)
        self._count += 1
        if self._count > 1:
            send = connection.send

            def trickle(data):
                self._clock.sleep_ms(1000)
                self.sent += send(data[: self._rate])
                return len(data[: self._rate])

            connection.send = connection.send_some = trickle
        return connection


def send_by_ftp(server, net, clock, size):
    with FTP(net=net, clock=clock) as ftp:
        ftp.connect(server.host, server.port)
        ftp.login("u", "p")
        ftp.storbinary("STOR a", io.BytesIO(bytes(size)))


def send_by_session(server, net, clock, size):
    opened = Session(net, clock)
    opened.open(server.host, server.port)
    opened.start_login("u", "p")
    opened.post_transfer([], "STOR a")
    opened.open_data()
    try:
        opened.send_blocks(io.BytesIO(bytes(size)), size, bytearray(4096))
        opened.finish()
    finally:
        opened.close()


@pytest.mark.parametrize("send", [send_by_ftp, send_by_session])
@pytest.mark.parametrize("rate", [1, RATE_FLOOR_BYTES_S - 10])
def test_trap_50_data_that_is_taken_too_slowly_to_ever_end_is_given_up(send, rate):
    clock = FastClock()
    net = Trickle(clock, rate)
    with Sane() as server, pytest.raises(TransportError, match="stalled"):
        send(server, net, clock, 100_000)
    assert net.sent <= 61 * rate


@pytest.mark.parametrize("send", [send_by_ftp, send_by_session])
def test_trap_50_a_slow_upload_above_the_floor_goes_on(send):
    clock = FastClock()
    with Sane() as server:
        send(server, Trickle(clock, RATE_FLOOR_BYTES_S + 10), clock, 20_000)
    assert server.files == {"a": bytes(20_000)}


def endless(line):
    def override(server, _argument):
        server.send(b"150 \r\n")
        with server.accept_data() as data:
            while True:
                data.sendall(line * 100)

    return override


@pytest.mark.parametrize("verb", ["MLSD", "NLST"])
def test_trap_14_a_listing_that_never_ends_is_given_up(world, verb):
    name = b"x" * (LINE_BYTES - 100)
    override = {verb: endless((b"type=cdir; " if verb == "MLSD" else b"") + name + b".part\r\n")}
    with Sane(override={"MLSD": b"500 \r\n", **override}) as server:
        manager = world.manager(server, {"download.from": "updates"})
        result = manager.run_cycle()
        assert manager.state == "BACKOFF"
        assert isinstance(result.error, IntegrityError)


def test_trap_14_text_of_any_length_may_be_fetched_by_hand():
    def long(server, _argument):
        server.send(b"150 \r\n")
        server.send_data((b"x" * 998 + b"\r\n") * 5000)
        server.send(b"226 \r\n")

    with Sane({"a": b""}, {"RETR": long}) as server, client(server) as ftp:
        got = []
        ftp.retrlines("RETR a", lambda line: got.append(len(line)))
    assert got == [998] * 5000


def refuse_data(how, reply):
    """150, then no data connection."""

    def override(server, _argument):
        server.send(b"150 \r\n")
        if how == "reset":
            reset_socket(server.accept_data())
        server.close_data_port()
        server.send(reply)
        if not reply:
            server.silence()

    return override


@pytest.mark.parametrize("how", ["reset", "refused"])
@pytest.mark.parametrize("reply", [b"", b"425 Can't open data connection.\r\n", b"426 Broken.\r\n"])
@pytest.mark.parametrize("verb", ["STOR", "RETR"])
def test_trap_25_150_without_data_is_tried_again_and_points_at_the_data_path(world, verb, how, reply):
    if verb == "STOR":
        world.put("a", BODY * 100)
    with Sane({"updates/x": BODY}, {verb: [refuse_data(how, reply)]}) as server:
        manager = world.manager(server, {"download.from": "updates"}, speed=FAST)
        # An upload that fits into the buffers of the sockets may get as far as SIZE, and start over at once.
        while not (result := manager.run_cycle()).ok:
            assert manager.state == "BACKOFF" and manager.status()["cycles"] < 4
            # A reset that comes when all bytes are in the socket's buffer shows as a final reply that does not come.
            is_reply_missing = (verb, reply, result.error.verb) == ("STOR", b"", "STOR")
            assert is_reply_missing or "data connection" in (result.error.step or result.error.advice)
    assert world.got() == {"x": BODY}
    assert server.files.get("a", BODY * 100) == BODY * 100


def test_trap_25_a_data_path_that_never_works_is_diagnosed(world):
    world.put("a", BODY)
    with Sane(override={"STOR": refuse_data("reset", b"425 Can't open data connection.\r\n")}) as server:
        manager = world.manager(server, speed=FAST)
        for _ in range(3):
            result = manager.run_cycle()
            assert not result.ok and manager.state == "BACKOFF"
        assert manager.status()["parked"] == 0
    assert "passive port range" in result.error.advice


@pytest.mark.parametrize("reply", [b"425 No.\r\n", b"426 Broken.\r\n", b"421 Bye.\r\n"])
def test_trap_25_three_cycles_without_a_data_path_point_at_it(world, reply):
    def hang_up(server, _argument):
        server.send(b"150 \r\n")
        server.accept_data().close()
        server.send(reply)

    with Sane({"updates/x": BODY}, override={"RETR": hang_up}) as server:
        manager = world.manager(server, {"download.from": "updates"}, speed=FAST)
        for _ in range(3):
            result = manager.run_cycle()
            assert not result.ok and manager.state == "BACKOFF"
    assert "passive port range" in result.error.advice


def test_trap_26_a_226_before_the_data_does_not_end_the_download():
    def early(server, name):
        server.send(b"150 \r\n226 Done.\r\n")
        server.send_data(server.files[name])

    with Sane({"a": BODY * 50}, {"RETR": [early, early]}) as server, client(server) as ftp:
        assert fetch(ftp, "a") == BODY * 50
        assert fetch(ftp, "a") == BODY * 50
        assert ftp.noop()


def test_trap_26_a_226_before_the_data_does_not_end_the_upload(world):
    world.put("a", BODY * 50)

    def early(server, name):
        data = server.accept_data()
        server.send(b"150 \r\n226 Done.\r\n")
        with data:
            server.files[name] = b"".join(iter(lambda: data.recv(65536), b""))

    with Sane(override={"STOR": early}) as server:
        manager = world.manager(server)
        # The SIZE that follows may still see half of it: that is no success.
        while not manager.run_cycle().ok:
            assert server.files.get("a") in (None, BODY * 50)
    assert server.files["a"] == BODY * 50


@pytest.mark.parametrize("preliminary", [b"125 \r\n", b"150 \r\n", b"110 MARK\r\n150 \r\n", b"150-\r\n150 \r\n"])
@pytest.mark.parametrize("final", [b"226 \r\n", b"250 \r\n", b"200 \r\n"])
def test_trap_28_any_1xx_begins_and_any_2xx_ends_a_transfer(world, preliminary, final):
    world.put("a", BODY)

    def store(server, name):
        server.send(preliminary)
        server.files[name] = server.receive_data()
        server.send(final)

    def retrieve(server, name):
        server.send(preliminary)
        server.send_data(server.files[name])
        server.send(final)

    with Sane({"updates/x": BODY}, {"STOR": store, "RETR": retrieve}) as server:
        assert world.cycle(server, {"download.from": "updates"}).ok
        with client(server) as ftp:
            assert fetch(ftp, "updates/x") == BODY
            assert ftp.storbinary("STOR b", io.BytesIO(BODY)) == final.decode().rstrip("\r\n")
    assert world.got() == {"x": BODY}
    assert server.files["a"] == server.files["b"] == BODY


@pytest.mark.parametrize("how", [socket.socket.close, reset_socket])
def test_trap_29_control_that_ends_behind_the_data_is_no_proof(how):
    def cut(server, name):
        server.send(b"150 \r\n")
        server.files[name] = server.receive_data()
        server.hang_up(how=how)

    with Sane(override={"STOR": cut}) as server, client(server) as ftp:
        with pytest.raises((EOFError, OSError)):
            ftp.storbinary("STOR a", io.BytesIO(BODY))
        assert not ftp.is_open()
        ftp.connect()
        ftp.login("u", "p")
        assert ftp.size("a") == len(BODY)


# 30-35: what came.


@pytest.mark.parametrize("text", [b"150 Here.\r\n", b"150 Opening (what bytes).\r\n", b"125 \r\n"])
def test_trap_30_a_download_without_announced_size_ends_at_the_end(text):
    def retrieve(server, name):
        server.send(text)
        server.send_data(server.files[name])
        server.send(b"226 \r\n")

    with Sane({"a": BODY}, {"RETR": retrieve, "SIZE": b"500 \r\n"}) as server, client(server) as ftp:
        assert fetch(ftp, "a") == BODY


def test_trap_30_an_announced_size_is_held_against_what_came():
    def retrieve(server, name):
        server.send(b"150 Opening (%d bytes).\r\n" % (len(server.files[name]) + 1))
        server.send_data(server.files[name])
        server.send(b"226 \r\n")

    with Sane({"a": BODY}, {"RETR": retrieve}) as server, client(server) as ftp, pytest.raises(IntegrityError):
        fetch(ftp, "a")


@pytest.mark.parametrize("text", [b"213 %d\r\n", b"213 %d bytes\r\n", b"213  %d \r\n"])
def test_trap_31_text_behind_the_size_is_ignored(text):
    reply = text % len(BODY)
    with Sane({"a": BODY}, {"SIZE": reply}) as server, client(server) as ftp:
        assert ftp.size("a") == len(BODY)


@pytest.mark.parametrize("text", [b"213 \r\n", b"213 about 5\r\n", b"213 -1\r\n", b"213 0x10\r\n", b"213 1e3\r\n"])
def test_trap_31_a_size_that_is_no_number_is_an_error(text):
    with Sane({"a": BODY}, {"SIZE": text}) as server, client(server) as ftp, pytest.raises(ProtocolError):
        ftp.size("a")


@pytest.mark.parametrize("text", ["20240229120000.123", "19100130120000", "2024-02-29 12:00", ""])
def test_trap_32_mdtm_is_an_opaque_text(text):
    with Sane({"a": BODY}, {"MDTM": b"213 %s\r\n" % text.encode()}) as server, client(server) as ftp:
        assert ftp.mdtm("a") == text


@pytest.mark.parametrize("reply", [b"554 Offset too large.\r\n", b"550 No.\r\n"])
def test_trap_34_a_restart_beyond_the_end_is_an_error_or_nothing(reply):
    with Sane({"a": BODY}, {"RETR": [None, reply]}) as server, client(server) as ftp:
        assert fetch(ftp, "a", rest=len(BODY)) == b""
        with pytest.raises(PermReply):
            fetch(ftp, "a", rest=len(BODY) + 1)
        assert ftp.noop()


@pytest.mark.parametrize("reply", [b"500 What?\r\n", b"502 No.\r\n", b"504 No.\r\n"])
def test_trap_35_a_refused_rest_is_told_to_whoever_asked_for_it(reply):
    with Sane({"a": BODY}, {"REST": [reply]}) as server, client(server) as ftp:
        with pytest.raises(PermReply):
            fetch(ftp, "a", rest=100)
        assert fetch(ftp, "a") == BODY


@pytest.mark.parametrize("reply", [b"450 Busy.\r\n", b"550 Not allowed.\r\n"])
def test_a_refused_transfer_leaves_the_session_usable(reply):
    kind = TempReply if reply.startswith(b"4") else PermReply
    with Sane({"a": BODY}, {"RETR": [reply], "STOR": [reply]}) as server, client(server) as ftp:
        with pytest.raises(kind):
            fetch(ftp, "a")
        with pytest.raises(kind):
            ftp.storbinary("STOR b", io.BytesIO(BODY))
        assert fetch(ftp, "a") == BODY


def test_trap_59_a_missing_file_leaves_no_data_connection_behind(world):
    """The vendor's note downloads by name: SIZE goes first, and nothing is opened for a file that is not there."""
    with Sane() as server:
        manager = world.manager(server)
        manager.connect(server.host, server.port)
        manager.login("u", "p")
        assert manager.download_file("/usr/", "missing") is False
        manager._by_hand()._by_hand.close()
    assert not {"EPSV", "PASV", "RETR"} & set(server.verbs())


@pytest.mark.parametrize("verb", ["STOR", "RETR"])
def test_trap_38_59_a_refusal_is_read_though_the_server_has_closed_its_data_port(world, verb):
    """The port is closed before the client has connected: the reply tells why, and EPSV is not to blame."""
    world.put("a", BODY)

    def epsv(server, _argument):
        port = server.open_data()
        command = server.line()
        if command.startswith(verb):
            server.close_data_port()
            server.send(b"229 (|||%d|)\r\n553 Denied.\r\n" % port)
        else:
            server.send(b"229 (|||%d|)\r\n" % port)
            server.normal(*command.split(" ", 1))

    with Sane({"updates/x": BODY}, {"EPSV": epsv}) as server:
        manager = world.manager(server, {"download.from": "updates"})
        result = manager.run_cycle()
        assert result.ok and manager.status()["parked"] == 1
    assert "PASV" not in server.verbs()


def test_trap_59_a_file_that_vanished_closes_its_data_connection(world):
    ended = []

    def gone(server, _name):
        data = server.accept_data()
        server.send(b"550 No such file.\r\n")
        ended.append(data.recv(1))
        data.close()

    with Sane({"updates/x": BODY, "updates/y": BODY}, {"RETR": [gone]}) as server:
        assert world.cycle(server, {"download.from": "updates"}).ok
    assert ended == [b""]
    assert world.got() == {"y": BODY}
