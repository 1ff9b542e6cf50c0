"""The servers, the proxy and the fakes do what the other tests rely on. The client is CPython's ftplib, or a bare socket."""

import ftplib
import io
import socket
import ssl
import threading
import time

import pytest

from tests.ftpd import fake, fixtures
from tests.ftpd.fake import Deviation, Fake, reset_socket
from tests.ftpd.fixtures import require
from tests.ftpd.sane import Sane
from tools.ftpd.faults import CONTROL, DATA, DOWN, Fault
from tools.ftpd.meter import Meter, Turns
from tools.ftpd.proxy import Proxy
from tools.ftpd.servers import HAPROXY, NAMES, ServerError, _session_members, available, running

TIMEOUT_S = 5
# Enough for a far client's order of events, see meter.py.
FAR_MS = 10
BODY = bytes(range(256)) * 1000


class Raw:
    """A client that sends what the test says, when it says so."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.lines = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.lines.close()
        self.sock.close()

    def ask(self, *commands, replies=None):
        """Send the commands in one write; the last line of each reply."""
        self.sock.sendall(b"".join(command.encode() + b"\r\n" for command in commands))
        return self.replies(len(commands) if replies is None else replies)

    def replies(self, count):
        return [self.reply() for _ in range(count)]

    def reply(self):
        while (line := self.lines.readline())[3:4] != b" ":
            if not line:
                raise EOFError
        return line.rstrip().decode()

    def connect_data(self, reply):
        return socket.create_connection(("127.0.0.1", int(reply.split("|")[3])), TIMEOUT_S)


def connect(port, server=None, client=ftplib.FTP):
    """A logged-in ftplib client; user and password are the server's, or those of Sane."""
    ftp = client()
    try:
        ftp.connect("127.0.0.1", port, TIMEOUT_S)
        ftp.login(*(server.user, server.password) if server else ("u", "p"))
    except BaseException:
        ftp.close()
        raise
    return ftp


def download(ftp, name):
    got = io.BytesIO()
    ftp.retrbinary(f"RETR {name}", got.write)
    return got.getvalue()


def read_all(sock):
    """(what came, how it ended: "fin", "rst" or "silence")."""
    got = b""
    try:
        while more := sock.recv(65536):
            got += more
    except ConnectionResetError:
        return got, "rst"
    except TimeoutError:
        return got, "silence"
    return got, "fin"


def read_new(connect):
    """read_all of a new connection, which may be reset before the client knows that it is connected."""
    try:
        sock = connect()
    except ConnectionResetError:
        return b"", "rst"
    with sock:
        return read_all(sock)


@pytest.fixture
def sane():
    with Sane(files={"f": BODY}) as server:
        yield server


# The servers.


def test_upload_and_download_through_the_proxy_are_byte_exact(ftpd):
    with Proxy(ftpd.host, ftpd.port) as proxy:
        ftp = connect(proxy.port, ftpd)
        ftp.storbinary("STOR a.bin", io.BytesIO(BODY))
        assert (ftpd.root / "a.bin").read_bytes() == BODY
        assert download(ftp, "a.bin") == BODY
        ftp.af = socket.AF_INET6  # ftplib asks by EPSV then; before, it was PASV
        assert set(ftp.nlst()) - {".", ".."} == {"a.bin"}
        ftp.quit()
        proxy.wait_idle(TIMEOUT_S)
        counts = proxy.counts()
    assert (counts.data_up_bytes, counts.commands["STOR"], counts.commands["EPSV"]) == (len(BODY), 1, 1)
    assert counts.control_connections == 1
    assert counts.data_connections == 3


def test_the_user_may_overwrite_and_delete_what_the_test_put_there(ftpd):
    (ftpd.root / "sub").mkdir()
    (ftpd.root / "sub" / "old").write_bytes(b"old")
    ftp = connect(ftpd.port, ftpd)
    ftp.storbinary("STOR sub/old", io.BytesIO(b"new"))
    assert (ftpd.root / "sub" / "old").read_bytes() == b"new"
    ftp.delete("sub/old")
    ftp.quit()
    assert list(ftpd.root.rglob("*")) == [ftpd.root / "sub"]


@pytest.mark.parametrize("name", ["proftpd", "pyftpdlib"])
def test_a_wrong_password_is_refused(name, tmp_path):
    require(name)
    with running(name, tmp_path) as server, Raw(server.port) as client:
        client.reply()
        assert client.ask(f"USER {server.user}", "PASS wrong")[1].startswith("530")


@pytest.mark.parametrize("name", NAMES)
def test_tls_protects_control_and_data(name, tmp_path):
    require(name, tls=True)
    with running(name, tmp_path, tls=True) as server, Proxy(server.host, server.port) as proxy:
        context = ssl.create_default_context(cafile=server.certificate)
        ftp = connect(proxy.port, server, lambda: ftplib.FTP_TLS(context=context))
        ftp.prot_p()
        ftp.storbinary("STOR a", io.BytesIO(BODY))
        ftp.close()
        assert (tmp_path / "a").read_bytes() == BODY
        assert proxy.counts().commands == {"AUTH": 1}


@pytest.mark.parametrize("name", ["vsftpd", "proftpd"])
def test_implicit_tls_goes_through_a_transparent_proxy(name, tmp_path):
    require(name, tls=True)
    with running(name, tmp_path, tls=True, implicit_tls=True) as server:
        context = ssl.create_default_context(cafile=server.certificate)
        with Proxy(server.host, server.port, transparent=True) as proxy:
            plain = socket.create_connection((proxy.host, proxy.port), TIMEOUT_S)
            with context.wrap_socket(plain, server_hostname="localhost") as sock:
                assert sock.recv(3) == b"220"


@pytest.mark.parametrize("name", ["vsftpd", "proftpd"])
def test_require_ssl_reuse_refuses_data_without_it(name, tmp_path):
    require(name, tls=True)
    with running(name, tmp_path, tls=True, require_ssl_reuse=True) as server:
        context = ssl.create_default_context(cafile=server.certificate)
        ftp = connect(server.port, server, lambda: ftplib.FTP_TLS(context=context))
        ftp.prot_p()
        with pytest.raises((ftplib.Error, OSError, EOFError)):
            ftp.storbinary("STOR a", io.BytesIO(BODY))
        ftp.close()


@pytest.mark.parametrize("name", NAMES)
def test_max_clients_turns_the_second_away(name, tmp_path):
    require(name)
    with running(name, tmp_path, max_clients=1) as server:
        first = connect_when_free(server)
        with pytest.raises((ftplib.error_temp, ftplib.error_perm, EOFError)) as refused:
            connect(server.port, server)
        first.close()
    assert str(refused.value)[:3] in ("421", "530")


def connect_when_free(server):
    """The probe that read the greeting may still hold the only place; the server says so until it has noticed the end."""
    give_up = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return connect(server.port, server)
        except (ftplib.error_temp, ftplib.error_perm, EOFError):
            assert time.monotonic() < give_up


@pytest.mark.parametrize("name", ["vsftpd", "pyftpdlib"])
def test_a_disabled_verb_is_refused(name, tmp_path):
    require(name)
    with running(name, tmp_path, disabled=("SIZE",)) as server:
        ftp = connect(server.port, server)
        with pytest.raises(ftplib.error_perm, match=r"^5"):
            ftp.size("a")
        ftp.quit()


@pytest.mark.parametrize("name", ["vsftpd", "proftpd", "pyftpdlib"])
def test_data_timeout_ends_a_transfer_that_stands_still(name, tmp_path):
    require(name)
    with running(name, tmp_path, data_timeout_s=1) as server, Raw(server.port) as client:
        client.reply()
        client.ask(f"USER {server.user}", f"PASS {server.password}")
        with client.connect_data(client.ask("EPSV")[0]) as data:
            client.ask("STOR a", replies=1)
            data.sendall(b"x")
            if name == "proftpd":
                assert read_all(client.sock) == (b"", "fin")
            else:
                assert client.reply()[0] == "4"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_running_even_with_a_session_open(name, tmp_path):
    require(name)
    with running(name, tmp_path) as server:
        ftp = connect(server.port, server)
        assert server.pid in _session_members(server.pid)
    assert _session_members(server.pid) == []
    with pytest.raises(OSError):
        socket.create_connection((server.host, server.port), TIMEOUT_S)
    ftp.close()


def test_a_server_that_does_not_start_says_why(tmp_path):
    require("proftpd")
    with pytest.raises(ServerError, match="did not start") as failure, running("proftpd", tmp_path, max_clients="x"):
        pass
    assert "fatal: MaxClients" in str(failure.value)


def test_an_option_that_the_server_lacks_is_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="pure-ftpd has no option disabled"),
        running("pure-ftpd", tmp_path, disabled=("SIZE",)),
    ):
        pass


def test_available_names_all_four_and_haproxy():
    assert set(available()) == {*NAMES, HAPROXY}


@pytest.mark.parametrize(("required", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_server_that_cannot_run_skips_the_test_unless_required(monkeypatch, required, outcome):
    monkeypatch.setenv("FERRY_REQUIRE_SERVERS", required)
    monkeypatch.setattr(fixtures, "available", lambda _tls: {"vsftpd": "it is Tuesday"})
    with pytest.raises(outcome, match="vsftpd: it is Tuesday"):
        require("vsftpd")


# What is counted.


def played(script, client, delay_ms=FAR_MS):
    """Counts of `client`, given a Raw, against a script behind the proxy."""
    with Fake(script) as server, Proxy(server.host, server.port, delay_ms=delay_ms) as proxy:
        with Raw(proxy.port) as raw:
            client(raw)
        proxy.wait_idle(TIMEOUT_S)
        return proxy.counts()


GREETING = [fake.send(b"220-Hello\r\n220 there\r\n")]
LOGIN = [fake.expect("USER"), fake.send(b"331 \r\n"), fake.expect("PASS"), fake.send(b"230 \r\n")]
EPSV = [fake.expect("EPSV"), fake.open_data(), fake.send(b"229 ok (|||%PORT%|)\r\n")]
END = [fake.expect_close()]


def test_login_one_at_a_time_is_four_round_trips():
    def client(raw):
        raw.reply()
        raw.ask("USER u")
        raw.ask("PASS p")

    counts = played(GREETING + LOGIN + END, client)
    assert counts.round_trips == 4  # connect, greeting, USER, PASS
    assert counts.commands == {"USER": 1, "PASS": 1}
    assert (counts.control_up_bytes, counts.control_down_bytes) == (16, 34)


def test_login_flight_is_three_round_trips():
    def client(raw):
        raw.reply()
        raw.ask("USER u", "PASS p")

    assert played(GREETING + LOGIN + END, client).round_trips == 3


def test_login_flight_before_the_greeting_is_two_round_trips():
    assert played(GREETING + LOGIN + END, lambda raw: raw.ask("USER u", "PASS p", replies=3)).round_trips == 2


STOR = [fake.expect("STOR"), fake.accept_data(), fake.send(b"150 \r\n"), fake.receive_data(), fake.send(b"226 \r\n")]


def test_upload_whose_data_does_not_wait_for_150_is_three_round_trips():
    def client(raw):
        raw.reply()
        port = raw.ask("EPSV", "STOR a", replies=1)[0]
        with raw.connect_data(port) as data:
            data.sendall(BODY)
        raw.replies(2)

    counts = played(GREETING + EPSV + STOR + END, client)
    assert counts.round_trips == 2 + 3
    assert counts.data_up_bytes == len(BODY)


def test_upload_whose_data_waits_for_150_is_four_round_trips():
    def client(raw):
        raw.reply()
        port = raw.ask("EPSV", "STOR a", replies=1)[0]
        with raw.connect_data(port) as data:
            raw.reply()
            data.sendall(BODY)
        raw.reply()

    assert played(GREETING + EPSV + STOR + END, client).round_trips == 2 + 4


def test_upload_of_nothing_is_three_round_trips():
    def client(raw):
        raw.reply()
        port = raw.ask("EPSV", "STOR a", replies=1)[0]
        raw.connect_data(port).close()
        raw.replies(2)

    assert played(GREETING + EPSV + STOR + END, client).round_trips == 2 + 3


@pytest.mark.parametrize("verb", ["RETR", "LIST"])
@pytest.mark.parametrize("is_flight", [True, False])
def test_download_and_list_are_three_round_trips(verb, is_flight):
    def client(raw):
        raw.reply()
        if is_flight:
            data = raw.connect_data(raw.ask("EPSV", f"{verb} a", replies=1)[0])
        else:
            data = raw.connect_data(raw.ask("EPSV")[0])
            raw.ask(f"{verb} a", replies=0)
        with data:
            assert read_all(data) == (BODY, "fin")
        raw.replies(2)

    steps = [fake.expect(verb), fake.send(b"150 \r\n"), fake.send_data(BODY), fake.send(b"226 \r\n")]
    counts = played(GREETING + EPSV + steps + END, client)
    assert counts.round_trips == 2 + 3
    assert counts.data_down_bytes == len(BODY)


def test_what_comes_after_the_client_closed_is_no_round_trip():
    meter = Meter()
    meter.control_connected()
    meter.control_received(5)
    meter.control_sent(6)
    meter.control_closed()
    meter.control_received(5)
    assert meter.counts.round_trips == 2


def test_a_link_that_stays_cut_lets_nobody_in(sane):
    with Proxy(sane.host, sane.port, faults=[Fault(DATA, "rst", after_bytes=1000, is_link=True, stays=True)]) as proxy:
        ftp = connect(proxy.port)
        with pytest.raises((OSError, EOFError)):
            ftp.storbinary("STOR a", io.BytesIO(BODY))
        ftp.close()
        with pytest.raises((OSError, EOFError)):
            connect(proxy.port)
        proxy.clear_faults()
        connect(proxy.port).close()


def test_waits_of_two_sessions_that_overlap_are_one_turn():
    turns = Turns()
    one, other = Meter(turns), Meter(turns)
    for meter in (one, other):
        meter.control_connected()
    for meter in (one, other):
        meter.control_received(5)
    assert turns.count == 2  # the connects, the greetings
    for _ in range(3):  # the one is always half a turn ahead
        one.control_sent(6)
        other.control_received(5)
        other.control_sent(6)
        one.control_received(5)
    assert turns.count == 5
    other.control_received(5)
    one.data_connected()  # nothing is under way any more: what comes now comes behind all that
    one.data_sent("a", 100)
    one.control_received(5)
    assert turns.count == 7
    assert one.counts.round_trips + other.counts.round_trips == 4 + 3 + 3 + 2


def test_turns_of_one_session_are_its_round_trips(sane):
    with Proxy(sane.host, sane.port, delay_ms=FAR_MS) as proxy:
        ftp = connect(proxy.port)
        ftp.storbinary("STOR a", io.BytesIO(BODY))
        ftp.quit()
        proxy.wait_idle(TIMEOUT_S)
        assert proxy.turns() == proxy.counts().round_trips == 10
        proxy.reset_counts()
        assert proxy.turns() == 0


def test_counts_of_ftplib_are_known(sane):
    with Proxy(sane.host, sane.port, delay_ms=FAR_MS) as proxy:
        ftp = connect(proxy.port)
        # connect, greeting, USER, PASS
        assert proxy.counts().round_trips == 4
        proxy.reset_counts()
        ftp.storbinary("STOR a", io.BytesIO(BODY))
        ftp.quit()
        proxy.wait_idle(TIMEOUT_S)
        counts = proxy.counts()
    # TYPE, PASV, connect, 150, 226, QUIT
    assert counts.round_trips == 6
    assert counts.commands == {"TYPE": 1, "PASV": 1, "STOR": 1, "QUIT": 1}
    assert counts.control_connections == 0
    assert counts.wire_bytes > len(BODY)
    assert sane.files["a"] == BODY


def test_each_session_is_counted_by_itself(sane):
    with Proxy(sane.host, sane.port) as proxy:
        connect(proxy.port).quit()
        connect(proxy.port).close()
        proxy.wait_idle(TIMEOUT_S)
        assert [counts.commands["QUIT"] for counts in proxy.session_counts()] == [1, 0]


def test_delay_makes_a_round_trip_last_twice_as_long(sane):
    with Proxy(sane.host, sane.port, delay_ms=50) as proxy, Raw(proxy.port) as raw:
        start_s = time.monotonic()
        raw.reply()
        greeted_s = time.monotonic()
        raw.ask("NOOP")
        # connect and greeting; one command
        assert 0.2 <= greeted_s - start_s < 0.3
        assert 0.1 <= time.monotonic() - greeted_s < 0.2


def test_rate_limits_each_direction(sane):
    with Proxy(sane.host, sane.port, rate_bytes_s=1_000_000) as proxy:
        ftp = connect(proxy.port)
        start_s = time.monotonic()
        assert download(ftp, "f") == BODY
        assert 0.25 <= time.monotonic() - start_s < 0.5
        ftp.quit()


# What is broken.


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("after", [0, 1, 70_000, len(BODY)])
def test_download_is_cut_after_exactly_so_many_bytes(sane, how, after):
    with Proxy(sane.host, sane.port, [Fault(DATA, how, DOWN, after)]) as proxy:
        ftp = connect(proxy.port)
        assert read_new(lambda: ftp.transfercmd("RETR f")) == (BODY[:after], how)
        ftp.close()


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("after", [0, 1, 70_000])
def test_upload_is_cut_after_exactly_so_many_bytes(how, after):
    ends = []

    def take(dialogue):
        data = dialogue.data_connection()
        ends.append(read_all(data))

    script = GREETING + EPSV + [fake.expect("STOR"), take] + END
    with (
        Fake(script) as server,
        Proxy(server.host, server.port, [Fault(DATA, how, after_bytes=after)]) as proxy,
        Raw(proxy.port) as raw,
    ):
        raw.reply()
        port = raw.ask("EPSV", "STOR a", replies=1)[0]
        with pytest.raises(OSError), raw.connect_data(port) as data:
            while True:
                data.sendall(BODY)
    assert ends == [(BODY[:after], how)]


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_control_is_cut_after_exactly_so_many_bytes_down(sane, how):
    fault = Fault(CONTROL, how, DOWN, 8)
    with Proxy(sane.host, sane.port, [fault], delay_ms=FAR_MS) as proxy, Raw(proxy.port) as raw:
        assert read_all(raw.sock) == (b"220 Read", how)
        proxy.wait_idle(TIMEOUT_S)


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_control_is_cut_after_exactly_so_many_bytes_up(how):
    got = []
    with (
        Fake([lambda dialogue: got.append(read_all(dialogue.control))]) as server,
        Proxy(server.host, server.port, [Fault(CONTROL, how, after_bytes=7)]) as proxy,
        Raw(proxy.port) as raw,
    ):
        raw.ask("USER u", "PASS p", replies=0)
        assert read_all(raw.sock) == (b"", how)
    assert got == [(b"USER u\r", how)]


def test_silence_keeps_both_sides_open_and_passes_nothing(sane):
    with Proxy(sane.host, sane.port, [Fault(DATA, "silence", DOWN, 1000)]) as proxy:
        ftp = connect(proxy.port)
        with ftp.transfercmd("RETR f") as data:
            data.settimeout(0.2)
            assert read_all(data) == (BODY[:1000], "silence")
        ftp.close()
        proxy.wait_idle(TIMEOUT_S)


def test_silence_stops_an_upload_soon(sane):
    sent = 0
    with Proxy(sane.host, sane.port, [Fault(DATA, "silence", after_bytes=10)]) as proxy:
        ftp = connect(proxy.port)
        with ftp.transfercmd("STOR a") as data:
            data.settimeout(0.2)
            with pytest.raises(TimeoutError):
                while sent < 64 * len(BODY):
                    sent += data.send(BODY)
        ftp.close()


def test_drip_is_one_byte_at_a_time(sane):
    with Proxy(sane.host, sane.port, [Fault(CONTROL, "drip", DOWN)]) as proxy:
        connect(proxy.port).quit()
        proxy.wait_idle(TIMEOUT_S)
        down = [event.what for event in proxy.events() if event.direction == DOWN]
        assert set(down) == {"1 bytes", "end"}
        assert len(down) > 20


def test_refused_and_unreachable_data_ports(sane):
    faults = [Fault(DATA, "refuse", nth=1), Fault(DATA, "unreachable", nth=2)]
    with Proxy(sane.host, sane.port, faults) as proxy:
        ftp = connect(proxy.port)
        with pytest.raises(ConnectionRefusedError):
            ftp.transfercmd("NLST")
        ftp.timeout = 0.2
        with pytest.raises(TimeoutError):
            ftp.transfercmd("NLST")
        ftp.timeout = TIMEOUT_S
        assert ftp.nlst() == ["f"]
        ftp.quit()


def test_a_verb_is_cut_before_the_server_sees_it(sane):
    with Proxy(sane.host, sane.port, [Fault(CONTROL, "rst", verb="NOOP", occurrence=2)]) as proxy:
        ftp = connect(proxy.port)
        ftp.voidcmd("NOOP")
        with pytest.raises(ConnectionResetError):
            ftp.voidcmd("NOOP")
        ftp.close()
    assert sane.verbs() == ["USER", "PASS", "NOOP"]


def test_a_reply_is_cut_before_the_client_sees_it(sane):
    with Proxy(sane.host, sane.port, [Fault(CONTROL, "fin", reply="226")]) as proxy:
        ftp = connect(proxy.port)
        with pytest.raises(EOFError):
            ftp.storbinary("STOR a", io.BytesIO(BODY))
        ftp.close()
    assert sane.files["a"] == BODY


def test_faults_choose_a_connection_and_change_while_running(sane):
    with Proxy(sane.host, sane.port) as proxy:
        ftp = connect(proxy.port)
        proxy.set_faults(Fault(DATA, "rst", DOWN, after_bytes=5, nth=2))
        assert ftp.nlst() == ["f"]
        with pytest.raises(ConnectionResetError):
            download(ftp, "f")
        ftp.close()
        proxy.clear_faults()
        with connect(proxy.port) as ftp:
            assert download(ftp, "f") == BODY


def test_link_fault_takes_all_connections_with_it(sane):
    with Proxy(sane.host, sane.port, [Fault(DATA, "rst", DOWN, 1000, is_link=True)]) as proxy:
        ftp = connect(proxy.port)
        with ftp.transfercmd("RETR f") as data:
            assert read_all(data) == (BODY[:1000], "rst")
        assert read_all(ftp.sock)[1] == "rst"  # the 226 may have come through before: the server was done with the data
        ftp.close()
        proxy.wait_idle(TIMEOUT_S)


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_cut_all_ends_what_is_open(sane, how):
    with Proxy(sane.host, sane.port) as proxy:
        ftp = connect(proxy.port)
        proxy.cut_all(how)
        assert read_all(ftp.sock) == (b"", how)
        proxy.wait_idle(TIMEOUT_S)
        ftp.close()


def test_early_fin_of_an_upload_is_226_all_the_same(ftpd):
    with Proxy(ftpd.host, ftpd.port, [Fault(DATA, "fin", after_bytes=50_000)]) as proxy:
        ftp = connect(proxy.port, ftpd)
        ftp.voidcmd("TYPE I")
        data = ftp.transfercmd("STOR short")
        with data, pytest.raises(OSError):
            while True:
                data.sendall(BODY)
        assert ftp.voidresp().startswith("226")
        ftp.quit()
    assert (ftpd.root / "short").read_bytes() == BODY[:50_000]


@pytest.mark.parametrize("wrong", [{"on": "x"}, {"how": "x"}, {"on": DATA, "verb": "STOR"}, {"how": "refuse"}])
def test_a_fault_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError):
        Fault(**{"on": CONTROL, "how": "rst"} | wrong)


def test_the_server_being_away_is_a_reset_for_the_client():
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with Proxy("127.0.0.1", port) as proxy:
        assert read_new(lambda: socket.create_connection((proxy.host, proxy.port), TIMEOUT_S)) == (b"", "rst")


# The fakes.


def test_fake_records_what_the_client_sent():
    script = [
        *GREETING,
        *LOGIN,
        *EPSV,
        fake.expect("STOR", "a"),
        fake.send_in_pieces(b"150 \r\n"),
        fake.receive_data(4),
        fake.reset_data(),
        fake.send(b"451 \r\n"),
        fake.close(),
    ]
    with Fake(script) as server, Raw(server.port) as raw:
        raw.reply()
        raw.ask("USER u", "PASS p")
        data = raw.connect_data(raw.ask("EPSV")[0])
        data.sendall(b"1234")
        assert raw.ask("STOR a", replies=2) == ["150", "451"]
        assert read_all(data) == (b"", "rst")
        assert read_all(raw.sock) == (b"", "fin")
        data.close()
    assert server.commands == [b"USER u", b"PASS p", b"EPSV", b"STOR a"]
    assert server.received == [b"1234"]


def test_fake_names_the_step_at_which_the_client_deviated():
    step = r"connection 2, step 2 \(expect\): expected QUIT , got b'NOOP'"
    scripts = [*LOGIN, fake.reset()], [*GREETING, fake.expect("QUIT")]
    with pytest.raises(Deviation, match=step), Fake(*scripts) as server:
        with Raw(server.port) as raw:
            raw.ask("USER u", "PASS p")
            assert read_all(raw.sock)[1] == "rst"
        with Raw(server.port) as raw:
            raw.reply()
            raw.ask("NOOP", replies=0)


def test_a_failing_test_is_not_hidden_by_the_deviation_that_follows():
    with pytest.raises(ZeroDivisionError), Fake([fake.expect("USER")]) as server, Raw(server.port):
        raise ZeroDivisionError


def test_sane_overrides_by_bytes_function_and_list():
    override = {
        "": b"220-\r\n220 x\r\n",
        "SIZE": [b"550 \r\n", None],
        "PWD": lambda session, _argument: session.hang_up(b"421 \r\n", reset_socket),
    }
    with Sane(files={"f": BODY}, override=override) as server:
        ftp = connect(server.port)
        with pytest.raises(ftplib.error_perm):
            ftp.size("f")
        assert ftp.size("f") == len(BODY)
        with pytest.raises((ftplib.error_temp, ConnectionResetError)):
            ftp.pwd()
        ftp.close()
    assert server.verbs() == ["USER", "PASS", "SIZE", "SIZE", "PWD"]


def test_sane_stores_resumes_renames_and_lists():
    with Sane() as server:
        ftp = connect(server.port)
        ftp.storbinary("STOR d/a", io.BytesIO(b"12345"))
        ftp.storbinary("STOR d/a", io.BytesIO(b"678"), rest=5)
        ftp.storbinary("APPE d/a", io.BytesIO(b"9"))
        ftp.rename("d/a", "d/b")
        assert ftp.nlst("d") == ["b"]
        assert list(ftp.mlsd("d")) == [("b", {"type": "file", "size": "9", "modify": "20240229120000"})]
        assert download(ftp, "d/b") == b"123456789"
        ftp.quit()
    assert server.files == {"d/b": b"123456789"}


def test_sane_does_not_keep_a_test_waiting_for_a_client_that_never_connects():
    start_s = time.monotonic()
    with Sane() as server, Raw(server.port) as raw:
        raw.reply()
        raw.ask("USER u", "PASS p", "EPSV", "STOR a", replies=4)
    assert time.monotonic() - start_s < 2


def test_sane_raises_what_an_override_raised():
    override = {"USER": lambda _session, _argument: 1 / 0}
    with pytest.raises(ZeroDivisionError), Sane(override=override) as server, Raw(server.port) as raw:
        raw.reply()
        raw.ask("USER u", replies=0)
        read_all(raw.sock)


def test_no_thread_outlives_its_test():
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ftp-")] == []
