"""What a setting turns on: active mode (server.mode), and the login before the greeting (server.talk_first)."""

import socket

import pytest

from app.errors import LATER, TransportError
from app.platform.sockets import STRANGERS, Connection, Listener
from app.proto.session import Session
from tests.ftpd.sane import Sane
from tests.world import FAST, FastClock, FastNet

BODY = bytes(range(256)) * 200
ACTIVE = {"server.mode": "active", "download.from": "updates"}
STRANGER = "127.0.0.2"


def test_active_mode_carries_files_both_ways(world, ftpd):
    world.put("d/a", BODY)
    (ftpd.root / "updates").mkdir()
    (ftpd.root / "updates" / "x").write_bytes(BODY)
    manager = world.manager(ftpd, ACTIVE)
    connected = []
    connect = manager._net.connect
    manager._net.connect = lambda *where: connected.append(where) or connect(*where)
    assert manager.run_cycle().ok
    assert len(connected) == 1  # the control connection
    assert (ftpd.root / "d" / "a").read_bytes() == BODY
    assert world.got() == {"x": BODY}


def active_server(dial):
    """A Sane server that comes to the client; `dial(connect)` gives the connections, the last one carries the data."""
    port = []

    def take_port(server, argument):
        numbers = argument.split(",")
        port.append(int(numbers[4]) * 256 + int(numbers[5]))
        server.send(b"200 \r\n")

    def connect(source):
        return socket.create_connection(("127.0.0.1", port[-1]), 5, (source, 0))

    def retrieve(server, name):
        server.send(b"150 \r\n")
        with dial(connect) as data:
            data.sendall(server.files[name])
        server.send(b"226 \r\n")

    return Sane({"a": BODY}, {"PORT": take_port, "RETR": retrieve})


def fetch(server):
    """RETR a in active mode -> the bytes."""
    session = Session(FastNet(), FastClock(), 5, own_address=lambda: "127.0.0.1")
    try:
        session.open(server.host, server.port)
        session.start_login("u", "p")
        session.post_transfer([], "RETR a")
        session.open_data()
        got = []
        session.receive_blocks(got.append)
        session.finish()
        return b"".join(got)
    finally:
        session.close()


def turned_away(connect):
    with connect(STRANGER) as stranger:
        stranger.sendall(b"not what you asked for")
        try:
            assert stranger.recv(1) == b""
        except ConnectionResetError:
            return  # it was closed with this unread


def test_who_connects_from_elsewhere_is_turned_away():
    def dial(connect):
        for _ in range(STRANGERS - 1):
            turned_away(connect)
        return connect("127.0.0.1")

    with active_server(dial) as server:
        assert fetch(server) == BODY


def test_so_many_strangers_end_the_transfer():
    def dial(connect):
        for _ in range(STRANGERS):
            turned_away(connect)
        return socket.socket()  # the client has closed its port

    with active_server(dial) as server, pytest.raises(TransportError) as caught:
        fetch(server)
    assert caught.value.verb == "PORT" and caught.value.step == "data connection"


def test_a_refusal_in_active_mode_is_read_and_the_session_goes_on(world):
    """Nobody comes to the port then: to wait for it would be a time-out, and the end of the session."""
    for name in "ab":
        world.put(name, BODY)

    def store(server, name):
        if name.split(".")[1] == "a":
            server.send(b"553 Not this one.\r\n")
            return
        with socket.create_connection(("127.0.0.1", server.port_of_client), 5) as data:
            server.send(b"150 \r\n")
            server.files[name] = b"".join(iter(lambda: data.recv(65536), b""))
        server.send(b"226 \r\n")

    def take_port(server, argument):
        numbers = argument.split(",")
        server.port_of_client = int(numbers[4]) * 256 + int(numbers[5])
        server.send(b"200 \r\n")

    with Sane(override={"PORT": take_port, "STOR": store}) as server:
        manager = world.manager(server, {"server.mode": "active"})
        result = manager.run_cycle()
    assert result.ok and result.up_count == 1 and manager.status()["parked"] == 1
    assert server.files == {"b": BODY} and server.session_count == 1


class _Accepting:
    """A listening socket of the firmware, which gives these."""

    def __init__(self, *found):
        self._found = list(found)

    def settimeout(self, seconds):
        pass

    def accept(self):
        return self._found.pop(0)


class _Accepted:
    def __init__(self):
        self.is_closed = False

    def send(self, data):
        return len(data)

    def settimeout(self, seconds):
        pass

    def close(self):
        self.is_closed = True


@pytest.mark.parametrize("shape", [lambda s, ip: (s, (ip, 2020)), lambda s, ip: (s, ip, 2020)], ids=["2 values", "3 values"])
def test_accept_with_2_and_with_3_values_tells_who_it_is(shape):
    stranger, server = _Accepted(), _Accepted()
    listener = Listener(_Accepting(shape(stranger, STRANGER), shape(server, "127.0.0.1")), 50_000, 5)
    connection = listener.accept("127.0.0.1")
    assert isinstance(connection, Connection) and connection._sock is server
    assert stranger.is_closed and not server.is_closed


# --- the login before the greeting


def test_talking_first_saves_a_round_trip(world, ftpd):
    trips = []
    for is_early in (False, True):
        result = world.cycle(ftpd, {"server.talk_first": is_early})
        assert result.ok
        trips.append(result.counts.round_trips)
    assert trips == [3, 2]
    world.put("a", BODY)
    assert world.cycle(ftpd, {"server.talk_first": True}).ok
    assert (ftpd.root / "a").read_bytes() == BODY


def test_talking_first_does_not_send_a_password_in_clear(world):
    with Sane(override={"AUTH": b"502 No.\r\n"}) as server:
        result = world.cycle(server, {"server.talk_first": True, "server.tls": "explicit"})
    assert not result.ok
    assert server.verbs() == ["AUTH"]


@pytest.mark.parametrize("greeting", [b"421 Too many users.\r\n", b"HTTP/1.1 400 Bad Request\r\n"])
def test_a_greeting_that_says_no_is_understood_behind_the_login(world, greeting):
    with Sane(override={"": [greeting]}) as server:
        manager = world.manager(server, {"server.talk_first": True}, speed=FAST)
        error = manager.run_cycle().error
        assert error.verb == "greeting"
        assert error.action == LATER or "really an FTP server" in error.advice
        assert manager.run_cycle().ok
