"""The traps of the control connection: greeting, replies, login, TLS, idle time, addresses. The list is in test_traps.py."""

import hashlib
import select
import socket
import ssl
import threading

import pytest

from app.errors import (
    HALT,
    LATER,
    AuthError,
    ConnectionClosed,
    PermReply,
    ProtocolError,
    TempReply,
    TransportError,
    UnexpectedReply,
)
from app.ftp import FTP
from app.platform.sockets import Net
from app.proto.control import TLS_CONTROL, TLS_EXPLICIT, Facts
from app.proto.reply import LINE_BYTES, TEXT_BYTES
from tests.ftpd import fake
from tests.ftpd.fake import Fake
from tests.ftpd.fixtures import require
from tests.ftpd.sane import Sane
from tests.world import FAST, FastNet, client, session
from tools.ftpd.servers import make_certificate, running

BODY = bytes(range(256)) * 20
GREETING = fake.send(b"220 hi\r\n")
LOGIN = [
    fake.expect("USER"),
    fake.send(b"331 \r\n"),
    fake.expect("PASS"),
    fake.send(b"230 \r\n"),
    fake.expect("TYPE", "I"),
    fake.send(b"200 \r\n"),
]


def login_replies(greeting=b"220 hi\r\n", user=b"331 \r\n", password=b"230 \r\n"):
    """A server that answers the login so, and TYPE with 200."""
    return Sane(override={"": greeting, "USER": user, "PASS": password, "TYPE": b"200 \r\n", "QUIT": b"221 \r\n"})


# 5, 6: flights.


QUIET_S = 0.05  # a command that is sent too early is here by then


def must_be_quiet(dialogue):
    """Fails the test's server if the client has sent a command that it should have kept."""
    assert dialogue._unread == b"" and not select.select([dialogue.control], [], [], QUIET_S)[0], "a command in mid-transfer"


def quiet_transfer(verb):
    """The normal transfer, with a look at the control connection when the data has passed."""

    def override(server, name):
        server.send(b"150 \r\n")
        if verb == "STOR":
            server.files[name] = server.receive_data()
        else:
            server.send_data(server.files[name])
        must_be_quiet(server)
        server.send(b"226 \r\n")

    return override


def test_trap_05_nothing_is_sent_between_a_transfer_and_its_final_reply(world):
    for name in "abc":
        world.put(name, BODY)
    override = {"STOR": quiet_transfer("STOR"), "RETR": quiet_transfer("RETR")}
    with Sane({"updates/x": BODY, "updates/y": BODY}, override) as server:
        assert world.cycle(server, {"download.from": "updates"}).ok
    assert server.verbs().count("STOR") == 3
    assert world.got() == {"x": BODY, "y": BODY}


def drop_flight(server, argument):
    """Answer the USER of a flight and lose what came in the same segment."""
    server.normal("USER", argument)
    server._unread = b""


def test_trap_06_a_server_that_drops_flights_gets_one_command_at_a_time_and_that_is_remembered(world):
    sizes = []

    def count_commands(server, argument):
        sizes.append(server._unread.count(b"\n"))
        drop_flight(server, argument)

    world.put("a", BODY)
    with Sane(override={"USER": count_commands}) as server:
        manager = world.manager(server, speed=FAST)
        assert not manager.run_cycle().ok
        for name in "bc":
            world.put(name, BODY)
        assert manager.run_cycle().ok
        world.put("d", BODY)
        assert manager.run_cycle().ok
        world.put("e", BODY)
        assert world.cycle(server, speed=FAST).ok
    assert sizes[0] > 0
    assert sizes[1:] == [0, 0, 0]
    assert set(server.files) == set("abcde")


def test_trap_06_replies_out_of_order_end_the_session_and_the_flights():
    facts = Facts()
    with Sane({"a": BODY}, {"SIZE": b"350 And to?\r\n"}) as server, session(server, facts=facts) as opened:
        opened.post(["SIZE a", "NOOP"])
        with pytest.raises(ProtocolError):
            opened.reply()
        assert not opened.is_open()
    assert not facts.flights


# 7-9: the way in.


def test_trap_07_a_reply_in_clear_behind_auth_is_discarded_and_nothing_follows():
    script = [GREETING, fake.expect("AUTH"), fake.send(b"234 go\r\n230 you are in\r\n"), fake.expect_close()]
    with Fake(script) as server, pytest.raises(ProtocolError), session(server, tls=TLS_EXPLICIT):
        pass
    assert server.commands == [b"AUTH TLS"]


@pytest.mark.parametrize(("user", "password"), [(b"331 \r\n", b"230 \r\n"), (b"503 \r\n", b"503 \r\n")])
def test_trap_08_a_greeting_of_230_is_a_login_in_plain_mode(user, password):
    with login_replies(b"230 You are in.\r\n", user, password) as server, session(server) as opened:
        opened.post(["NOOP"])
        with pytest.raises(PermReply):  # Sane itself knows of no login
            opened.demand()
        assert opened.is_open()


def test_trap_08_a_greeting_of_230_does_not_replace_tls():
    script = [
        fake.send(b"230 You are in.\r\n"),
        fake.expect("AUTH"),
        fake.send(b"503 What for?\r\n"),
        fake.expect_close(),
    ]
    with Fake(script) as server, pytest.raises(PermReply), session(server, tls=TLS_EXPLICIT):
        pass


@pytest.mark.parametrize("password", [b"230 \r\n", b"503 Not now.\r\n"])
def test_trap_09_the_reply_that_let_us_in_is_what_login_returns(password):
    with login_replies(user=b"232 Welcome.\r\n", password=password) as server, FTP(net=FastNet()) as ftp:
        ftp.connect(server.host, server.port)
        assert ftp.login("u", "p") == ("230 " if password.startswith(b"230") else "232 Welcome.")


@pytest.mark.parametrize("user", [b"230 Welcome.\r\n", b"232 Welcome.\r\n", b"200 Welcome.\r\n"])
@pytest.mark.parametrize("password", [b"230 \r\n", b"202 \r\n", b"503 Not now.\r\n", b"500 What?\r\n"])
def test_trap_09_a_user_without_password_is_logged_in(user, password):
    with login_replies(user=user, password=password) as server, session(server) as opened:
        assert opened.is_open()


def test_trap_09_acct_is_given_when_it_is_configured(world):
    world.put("a", BODY)

    def account(server, argument):
        assert argument == "secret"
        server.is_logged_in = True
        server.send(b"230 \r\n")

    with Sane(override={"PASS": b"332 Account?\r\n", "ACCT": account}) as server:
        assert world.cycle(server, {"server.account": "secret"}).ok
    assert server.files == {"a": BODY}


@pytest.mark.parametrize("replies", [{"PASS": b"332 Account?\r\n"}, {"USER": b"332 Account?\r\n", "PASS": b"503 \r\n"}])
def test_trap_09_acct_that_is_not_configured_is_a_clear_error(replies):
    with Sane(override=replies) as server, pytest.raises(AuthError) as caught, session(server):
        pass
    assert "server.account" in caught.value.advice


# 10-12: classes of replies.


@pytest.mark.parametrize("reply", [b"314 pi\r\n", b"150 pi\r\n", b"631 pi\r\n"])
def test_trap_10_a_nonsense_class_is_an_error_of_its_step(reply):
    with (
        Sane(override={"TYPE": reply}) as server,
        pytest.raises((ProtocolError, UnexpectedReply)) as caught,
        session(server),
    ):
        pass
    assert caught.value.verb == "TYPE"


def test_trap_10_a_nonsense_class_to_rnto_is_no_success(world):
    world.put("a", BODY)
    with Sane(override={"RNTO": b"314 pi\r\n"}) as server:
        result = world.cycle(server)
    assert not result.ok and result.up_count == 0
    assert result.error.verb == "RNTO"


@pytest.mark.parametrize(
    "reply",
    [
        b"530 Sorry, too many users.\r\n",
        b"530 Sorry, the maximum number of clients (5) are already connected.\r\n",
        b"421 There are too many connected users, please try later.\r\n",
        b"530 Not logged in: user limit reached\r\n",
        b"431 Temporarily unavailable.\r\n",
    ],
)
@pytest.mark.parametrize("verb", ["USER", "PASS"])
def test_trap_11_too_many_users_passes(world, verb, reply):
    world.put("a", BODY)
    with Sane(override={verb: [reply]}) as server:
        manager = world.manager(server)
        result = manager.run_cycle()
        assert manager.state == "BACKOFF"
        assert result.error.action == LATER
        assert manager.run_cycle().ok


@pytest.mark.parametrize("reply", [b"530 Login incorrect.\r\n", b"430 Invalid user.\r\n", b"633 No.\r\n", b"530 \r\n"])
def test_trap_11_a_wrong_password_is_tried_once_and_then_slowly(world, reply):
    world.put("a", BODY)
    with Sane(override={"PASS": reply}) as server:
        worker = world.worker(server)
        assert worker.turn() >= 3_600_000
        assert worker.manager.state == "HALT"
    assert server.verbs().count("PASS") == 1


@pytest.mark.parametrize(
    "verb", ["", "USER", "PASS", "TYPE", "MKD", "EPSV", "STOR", "SIZE", "RNFR", "RNTO", "MLSD", "RETR"]
)
def test_trap_12_421_at_any_time_is_back_off_and_the_next_session_goes_on(world, verb):
    world.put("d/a", BODY)

    def shut_down(server, _argument):
        server.hang_up(b"421 Shutting down.\r\n")

    with Sane({"updates/x": BODY}, {verb: [shut_down]}) as server:
        manager = world.manager(server, {"download.from": "updates"})
        result = manager.run_cycle()
        assert manager.state == "BACKOFF"
        assert result.error.action == LATER and result.error.code == 421
        assert manager.run_cycle().ok
    assert server.files == {"d/a": BODY, "updates/x": BODY}
    assert world.got() == {"x": BODY}


# 13-16: bytes.

MANY_LINES = [
    b"220-Welcome\r\n220-to this server\r\n220 Ready.\r\n",
    b"220-Welcome\r\n  to this server\r\n\r\n221 other code\r\n220 Ready.\r\n",
    b"220-Welcome\r\n221-nested\r\n221 nested\r\n220-more\r\n220 Ready.\r\n",
    b"220-Welcome\n220 Ready.\n",
]


@pytest.mark.parametrize("greeting", MANY_LINES)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_trap_13_only_the_same_code_and_a_space_end_a_reply(greeting, size):
    script = [fake.send_in_pieces(greeting, size), *LOGIN]
    with Fake(script) as server, session(server) as opened:
        assert opened.welcome.startswith("220-Welcome")
        assert opened.welcome.endswith("220 Ready.")


def test_trap_13_the_final_reply_may_have_many_lines(world):
    world.put("a", BODY)

    def store(server, name):
        server.send(b"150-Accepted\r\n150 data\r\n")
        server.files[name] = server.receive_data()
        server.send(b"226-File successfully transferred\r\n550 is a number\r\n226 0.000 seconds\r\n")

    with Sane(override={"STOR": store, "RNTO": [b"250-Renamed\r\n250 so it is\r\n"]}) as server:
        assert world.cycle(server).ok


def test_trap_14_a_long_line_is_cut_and_a_long_reply_too():
    greeting = b"220-" + b"x" * 17_000 + b"\r\n" + b"220-y\r\n" * 2000 + b"220 Ready.\r\n"
    with Sane(override={"": greeting}) as server, session(server) as opened:
        assert len(opened.welcome) <= TEXT_BYTES + LINE_BYTES + 1
        assert opened._reader.is_idle()


@pytest.mark.parametrize("piece", [b"x" * 4096, b"220-x\r\n" * 500])
def test_trap_14_a_reply_that_never_ends_is_an_error(piece):
    def talk(server, _argument):
        server.send(b"220-")
        while True:
            server.send(piece)

    with Sane(override={"": talk}) as server, pytest.raises(ProtocolError), session(server):
        pass


def test_trap_15_control_bytes_do_no_harm_and_pwd_is_never_asked(world):
    world.put("a", BODY)
    override = {
        "": b"220 a\0b\x1b[2J\r\r\n",
        "PASS": lambda server, argument: (server.do_PASS(argument), server.send(b"")),
        "PWD": b'257 "/\0\xff" \r\n',
    }
    with Sane(override=override) as server:
        assert world.cycle(server).ok
        with client(server) as ftp:
            assert ftp.getwelcome() == "220 a?b?[2J"
            assert ftp.pwd() == "/??"
    assert server.verbs().count("PWD") == 1
    assert "\x1b" not in "".join(world.log)


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"+OK POP3 ready\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46\n",
        b"<html>\r\n",
    ],
)
def test_trap_16_another_service_on_the_port_is_called_that(world, greeting):
    with Sane(override={"": greeting}) as server:
        result = world.cycle(server)
    assert isinstance(result.error, ProtocolError)
    assert "really an FTP server" in result.error.advice
    assert server.verbs() == []


def test_trap_16_smtp_greets_with_220_and_is_found_out_at_the_login(world):
    refusal = b"500 5.5.1 Invalid command\r\n"
    with Sane(override={"": b"220 mail ESMTP\r\n", "USER": refusal, "PASS": refusal, "TYPE": refusal}) as server:
        result = world.cycle(server)
    assert not result.ok and result.error.verb in ("USER", "PASS")


# 47-50: hints, names, types, slow servers.


@pytest.mark.parametrize(
    "features",
    [
        b"211-Features:\r\n EPSV\r\n SIZE\r\n211 End\r\n",
        b"211-Features:\r\n211-EPSV\r\n211-SIZE\r\n211 End\r\n",
        b"211- Features:\r\n  EPSV\r\n  SIZE\r\n211 End.\r\n",
    ],
)
def test_trap_47_feat_is_read_in_its_variants(features):
    with Sane(override={"FEAT": features}) as server, client(server) as ftp:
        assert [feature.replace("211-", "") for feature in ftp.feat()] == ["EPSV", "SIZE"]


@pytest.mark.parametrize("reply", [b"500 What?\r\n", b"502 No.\r\n", b"211 No features.\r\n"])
def test_trap_47_a_server_without_feat_has_no_features(reply):
    with Sane(override={"FEAT": reply}) as server, client(server) as ftp:
        assert ftp.feat() == []


def test_trap_47_a_cycle_asks_for_no_features(world):
    world.put("a", BODY)
    with Sane({"updates/x": BODY}) as server:
        assert world.cycle(server, {"download.from": "updates"}).ok
    assert not {"FEAT", "OPTS", "SYST", "PWD", "CWD", "LIST"} & set(server.verbs())


@pytest.mark.parametrize("verb", ["MLSD", "NLST"])
def test_trap_48_a_name_that_is_not_utf8_is_left_out_and_said(world, verb):
    def listing(server, _argument):
        lead = b"type=file;size=1;modify=1; " if verb == "MLSD" else b""
        server.send(b"150 \r\n")
        server.send_data(lead + b"caf\xe9\r\n" + lead + b"x\r\n")
        server.send(b"226 \r\n")

    override = {verb: listing} if verb == "MLSD" else {verb: listing, "MLSD": b"500 \r\n"}
    with Sane({"updates/x": b"1"}, override) as server:
        result = world.cycle(server, {"download.from": "updates"})
    assert world.got() == {"x": b"1"}
    assert [reason for _, _, reason in result.skipped] == ["a name in it is not UTF-8"]
    assert "OPTS" not in server.verbs()


def test_trap_48_utf8_names_go_as_they_are_without_opts(world):
    world.put("größe.txt", BODY)
    with Sane() as server:
        assert world.cycle(server).ok
    assert [name.encode("latin-1").decode() for name in server.files] == ["größe.txt"]
    assert "OPTS" not in server.verbs()


def test_trap_49_every_session_asks_for_type_i(world):
    with Sane() as server:
        manager = world.manager(server)
        for name in "ab":
            world.put(name, BODY)
            assert manager.run_cycle().ok
    assert server.verbs().count("TYPE") == server.session_count == 2
    assert server.commands[:3] == ["USER u", "PASS p", "TYPE I"]


def test_trap_49_the_type_is_set_again_after_a_listing_and_a_reconnect():
    with Sane({"a": BODY}) as server, client(server) as ftp:
        ftp.nlst()
        got = []
        ftp.retrbinary("RETR a", got.append)
        ftp.nlst()
        ftp.connect()
        ftp.login("u", "p")
        ftp.retrbinary("RETR a", got.append)
    assert b"".join(got) == BODY * 2
    types = [c for c in server.commands if c.startswith(("TYPE", "NLST", "RETR", "USER"))]
    assert types == [
        "USER u",
        "TYPE I",
        "TYPE A",
        "NLST",
        "TYPE I",
        "RETR a",
        "TYPE A",
        "NLST",
        "USER u",
        "TYPE I",
        "RETR a",
    ]


def test_trap_50_a_greeting_that_drips_is_awaited():
    script = [fake.send_in_pieces(b"220-slow\r\n220 Ready.\r\n"), *LOGIN]
    with Fake(script) as server, session(server) as opened:
        assert opened.is_open()


def drip_for_ever(server, _argument):
    while not server.server.closing.is_set():
        server.send(b"2")
        server.wait(0.02)


@pytest.mark.parametrize("verb", ["", "USER", "NOOP"])
def test_trap_50_a_reply_that_drips_for_ever_is_given_up(verb):
    with (
        Sane(override={verb: drip_for_ever}) as server,
        pytest.raises(TransportError) as caught,
        session(server, FAST) as opened,
    ):
        opened.post(["NOOP"])
        opened.demand()
    assert caught.value.args[0] == 110


@pytest.mark.parametrize("verb", ["", "USER", "PASS", "TYPE"])
def test_trap_50_a_server_that_says_nothing_is_given_up(verb):
    with (
        Sane(override={verb: lambda server, _argument: server.silence()}) as server,
        pytest.raises(TransportError) as caught,
        session(server, FAST),
    ):
        pass
    assert caught.value.args[0] in (11, 110)


def test_trap_50_data_that_comes_too_slowly_to_ever_end_is_given_up():
    def drip(server, _argument):
        server.send(b"150 \r\n")
        with server.accept_data() as data:
            while not server.server.closing.is_set():
                data.send(b"x")
                server.wait(0.05)

    with (
        Sane({"a": BODY}, {"RETR": drip}) as server,
        client(server, 4 * FAST) as ftp,
        pytest.raises(TransportError, match="stalled"),
    ):
        ftp.retrbinary("RETR a", lambda block: None)


# 51-55: TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    require("pyftpdlib", tls=True)
    return make_certificate(tmp_path_factory.mktemp("tls"))


def fingerprint(certificate):
    pem = certificate.read_text().split("-----BEGIN CERTIFICATE-----")[1]
    der = ssl.PEM_cert_to_DER_cert("-----BEGIN CERTIFICATE-----" + pem)
    return hashlib.sha256(der).hexdigest()


def start_tls(certificate):
    def step(dialogue):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        dialogue.control = context.wrap_socket(dialogue.control, server_side=True)

    return step


@pytest.mark.parametrize("code", [500, 502, 504, 534])
@pytest.mark.parametrize("mode", [TLS_EXPLICIT, TLS_CONTROL])
def test_trap_51_auth_refused_is_said_and_nothing_goes_in_clear(world, mode, code):
    world.put("a", BODY)
    with Sane(override={"AUTH": b"%d No.\r\n" % code}) as server:
        manager = world.manager(server, {"server.tls": mode})
        result = manager.run_cycle()
    assert result.error.verb == "AUTH" and result.error.code == code
    assert "server.tls" in result.error.advice
    assert set(server.verbs()) == {"AUTH"}


@pytest.mark.parametrize(
    "reply",
    [
        b"530 Non-anonymous sessions must use encryption.\r\n",
        b"530 Use AUTH first.\r\n",
        b"503 Use AUTH first.\r\n",
        b"550 SSL/TLS required on the control channel\r\n",
        b"421 Sorry, cleartext sessions and weak ciphers are not accepted on this server.\r\n",
    ],
)
@pytest.mark.parametrize("verb", ["USER", "PASS"])
def test_trap_51_a_server_that_wants_tls_is_understood(world, verb, reply):
    with Sane(override={verb: reply}) as server:
        result = world.cycle(server)
    assert "server.tls" in result.error.advice


def tls_login(certificate, prot, *rest):
    return [
        GREETING,
        fake.expect("AUTH", "TLS"),
        fake.send(b"234 go\r\n"),
        start_tls(certificate),
        fake.expect("USER"),
        fake.send(b"331 \r\n"),
        fake.expect("PASS"),
        fake.send(b"230 \r\n"),
        fake.expect("PBSZ", "0"),
        fake.send(b"200 \r\n"),
        fake.expect("PROT", prot),
        *rest,
    ]


@pytest.mark.parametrize("piece", [b"2", b"220-more\r\n"], ids=["bytes", "lines"])
def test_trap_50_a_reply_that_drips_for_ever_inside_tls_is_given_up(certificate, piece):
    dripped = []

    def drip(dialogue):
        while not select.select([dialogue.control], [], [], 0.02)[0]:
            dialogue.control.sendall(piece)
            dripped.append(piece)

    rest = [fake.send(b"200 \r\n"), fake.expect("TYPE"), fake.send(b"200 \r\n"), fake.expect("NOOP"), drip]
    with (
        Fake(tls_login(certificate, "P", *rest)) as server,
        pytest.raises(TransportError) as caught,
        session(server, FAST, tls=TLS_EXPLICIT) as opened,
    ):
        opened.post(["NOOP"])
        opened.demand()
    assert caught.value.args[0] == 110
    assert len(dripped) < 256  # a line is not waited for


@pytest.mark.parametrize(("mode", "prot"), [(TLS_EXPLICIT, "P"), (TLS_CONTROL, "C")])
def test_trap_52_pbsz_comes_before_prot_which_says_what_was_configured(certificate, mode, prot):
    rest = [fake.send(b"200 \r\n"), fake.expect("TYPE"), fake.send(b"200 \r\n"), fake.silence()]
    with Fake(tls_login(certificate, prot, *rest)) as server, session(server, tls=mode) as opened:
        assert opened.is_open()


@pytest.mark.parametrize("code", [500, 504, 534, 536])
def test_trap_52_prot_refused_ends_the_session_and_never_falls_back(certificate, code):
    rest = [fake.send(b"%d No.\r\n" % code), fake.silence()]
    with (
        Fake(tls_login(certificate, "P", *rest)) as server,
        pytest.raises(AuthError) as caught,
        session(server, tls=TLS_EXPLICIT),
    ):
        pass
    assert caught.value.action == HALT and "server.tls" in caught.value.advice


@pytest.mark.parametrize(
    "reply",
    [
        b"522 SSL connection failed: session reuse required\r\n",
        b"425 Unable to build data connection: TLS session of data connection not resumed: session reuse required\r\n",
        b"450 TLS session of data connection has not been reused.\r\n",
    ],
)
def test_trap_53_session_reuse_names_the_setting_of_the_server(world, reply):
    world.put("a", BODY)

    def refuse(server, _argument):
        server.send(b"150 \r\n")
        server.receive_data()
        server.send(reply)

    with Sane(override={"STOR": refuse}) as server:
        manager = world.manager(server)
        result = manager.run_cycle()
        assert manager.state == "HALT"
    assert "require_ssl_reuse" in result.error.advice


def test_trap_53_vsftpd_that_requires_session_reuse_does_not_hang_us(world, tmp_path_factory):
    require("vsftpd", tls=True)
    world.put("a", BODY)
    with running("vsftpd", tmp_path_factory.mktemp("reuse"), tls=True, require_ssl_reuse=True) as server:
        manager = world.manager(server, {"server.tls": TLS_EXPLICIT, "server.timeout_s": 5})
        result = manager.run_cycle()
        assert result.up_count == 0 and not (server.root / "a").exists()
        assert "require_ssl_reuse" in result.error.advice


@pytest.mark.parametrize("pin", ["same", "with colons", "upper case", "none"])
def test_trap_55_the_pin_is_compared_and_no_clock_is_needed(certificate, pin):
    found = fingerprint(certificate)
    pairs = ":".join(found[i : i + 2] for i in range(0, 64, 2))
    value = {"same": found, "with colons": pairs, "upper case": pairs.upper(), "none": ""}[pin]
    rest = [fake.send(b"200 \r\n"), fake.expect("TYPE"), fake.send(b"200 \r\n"), fake.silence()]
    with Fake(tls_login(certificate, "P", *rest)) as server, session(server, tls=TLS_EXPLICIT, pin=value) as opened:
        assert opened.is_open()


def test_trap_55_another_certificate_gets_no_password(certificate):
    script = [GREETING, fake.expect("AUTH"), fake.send(b"234 go\r\n"), start_tls(certificate), fake.silence()]
    with Fake(script) as server, pytest.raises(AuthError) as caught, session(server, tls=TLS_EXPLICIT, pin="ab" * 32):
        pass
    assert fingerprint(certificate) in str(caught.value)
    assert server.commands == [b"AUTH TLS"]


# 56, 57, 60: idle time, addresses, who is in between.


def test_trap_56_no_connection_stays_open_between_cycles(world):
    ended = []
    all_ended = threading.Event()

    def until_closed(server, _argument):
        ended.append(server.line())
        if len(ended) == 2:
            all_ended.set()

    with Sane(override={"QUIT": until_closed}) as server:
        manager = world.manager(server)
        for _ in range(2):
            assert manager.run_cycle().ok
            assert manager._session is None
        assert all_ended.wait(5)
    assert ended == [None, None]
    assert server.session_count == 2


def answers(*pairs):
    """What a look-up gives for these (host, port)."""
    return lambda _host, _port: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", pair) for pair in pairs]


@pytest.fixture
def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_trap_57_every_address_of_a_name_is_tried(monkeypatch, closed_port):
    with Sane() as server:
        nobody = ("127.0.0.1", closed_port)
        found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", closed_port, 0, 0))]
        found += answers(nobody, nobody, (server.host, server.port))("", 0)
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, port: found)
        connection = Net().connect("ftp.example.com", server.port, 5)
        greeting = connection.recv(3)
        connection.close()
    assert greeting == b"220"


def test_trap_57_the_data_connection_goes_to_the_address_that_answered(world, monkeypatch):
    world.put("a", BODY)
    with Sane() as server:
        real = socket.getaddrinfo
        table = {"ftp.example.com": "127.0.0.1"}
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, port: real(table.get(host, host), port))
        assert world.cycle(server, {"server.host": "ftp.example.com"}).ok
    assert server.files == {"a": BODY}


def test_trap_57_every_session_looks_the_name_up_again(world, monkeypatch):
    asked = []
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port: asked.append(host) or real("127.0.0.1", port))
    with Sane() as server:
        manager = world.manager(server, {"server.host": "ftp.example.com"})
        assert manager.run_cycle().ok and manager.run_cycle().ok
    assert asked == ["ftp.example.com"] * 2


@pytest.mark.parametrize("failure", ["empty", "error"])
def test_trap_57_a_failed_look_up_is_told_as_such(world, monkeypatch, failure):
    def look_up(_host, _port):
        if failure == "error":
            raise OSError(-2)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with Sane() as server:
        manager = world.manager(server, {"server.host": "ftp.example.com"})
        result = manager.run_cycle()
        assert manager.state == "BACKOFF" and result.error.step == "dns"


@pytest.fixture
def unknown(monkeypatch):
    """The names that are not found, a set; every other one is 127.0.0.1."""
    names = set()
    real = socket.getaddrinfo

    def look_up(host, port):
        if host in names:
            raise OSError(-2)
        return real("127.0.0.1", port)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


def test_trap_57_the_last_good_address_serves_while_the_name_is_not_found(world, unknown):
    with Sane() as server:
        manager = world.manager(server, {"server.host": "ftp.example.com"})
        assert manager.run_cycle().ok
        unknown.add("ftp.example.com")
        assert manager.run_cycle().ok


def test_trap_57_without_a_data_call_no_address_is_found_and_that_is_told(world, unknown):
    """The firmware of 2026 raises then, for an address in digits too."""
    with Sane() as server:
        manager = world.manager(server, {"server.host": "ftp.example.com"})
        assert manager.run_cycle().ok
        unknown.update(("ftp.example.com", "127.0.0.1"))
        error = manager.run_cycle().error
    assert (type(error), error.step) == (TransportError, "dns")


@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        ("", b"HTTP/1.1 302 Found\r\n"),
        ("PASS", b"530 Login incorrect.\r\n"),
        ("STOR", b"452 Disk full.\r\n"),
        ("SIZE", b"451 Local error.\r\n"),
        ("RNTO", b"451 Local error.\r\n"),
    ],
)
def test_trap_60_the_error_names_the_hop_that_failed(world, verb, reply):
    world.put("a", BODY)
    with Sane(override={verb: reply}) as server:
        result = world.cycle(server)
    assert [step for _, step, _, _, _ in result.errors] == [verb or "greeting"]
    assert result.errors and all(advice for _, _, _, _, advice in result.errors)


def test_trap_60_a_proxy_that_breaks_epsv_and_pasv_is_called_the_data_connection(world, closed_port):
    world.put("a", BODY)

    def rewritten(reply):
        def override(server, _argument):
            server.open_data()
            server.send(reply)

        return override

    override = {
        "EPSV": rewritten(b"229 (|||%d|)\r\n" % closed_port),
        "PASV": rewritten(b"227 (10,0,0,1,%d,%d)\r\n" % divmod(closed_port, 256)),
    }
    with Sane(override=override) as server:
        manager = world.manager(server)
        for verb in ("EPSV", "PASV"):
            error = manager.run_cycle().error
            assert error.verb == verb and error.step == "data connection" and "passive port range" in error.advice


def test_a_connection_that_ends_in_place_of_a_reply_is_said():
    with (
        Sane(override={"PASS": lambda server, _argument: server.hang_up()}) as server,
        pytest.raises(ConnectionClosed),
        session(server),
    ):
        pass


def test_a_temporary_refusal_of_the_login_is_no_wrong_password():
    with Sane(override={"PASS": b"451 Local error.\r\n"}) as server, pytest.raises(TempReply), session(server):
        pass
