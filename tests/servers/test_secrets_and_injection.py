"""What nobody may see, and what nobody may slip in: PASS and ACCT in errors and logs, CR, LF and NUL in arguments."""

import io
import traceback

import pytest

from app.errors import Error
from app.ftp import FTP
from app.proto.control import COMMAND_BYTES
from tests.ftpd.sane import Sane
from tests.world import FastNet, client, session

SECRET = "hunter2-horse"


def shown(error):
    """All that a person can get to see of an error."""
    parts = [str(error), repr(error), repr(error.args), repr(vars(error))]
    return "\n".join(parts + traceback.format_exception(error))


def repeats(reply):
    return lambda server, argument: server.send(reply % argument.encode())


@pytest.mark.parametrize("reply", [b"530 'PASS %s' is wrong\r\n", b"500-What is\r\n500 PASS %s?\r\n", b"421 %s? Bye.\r\n"])
def test_a_password_that_the_server_repeats_is_in_no_error(reply, capsys):
    with Sane(override={"PASS": repeats(reply)}) as server, FTP(net=FastNet()) as ftp:
        ftp.set_debuglevel(2)
        ftp.connect(server.host, server.port)
        with pytest.raises(Error) as caught:
            ftp.login("u", SECRET)
        assert server.commands[1] == "PASS " + SECRET
    assert SECRET not in shown(caught.value)
    assert "***" in str(caught.value)
    said = capsys.readouterr().out
    assert "> PASS ***" in said and SECRET not in said


def test_an_account_that_the_server_repeats_is_in_no_error():
    override = {"PASS": b"332 Account?\r\n", "ACCT": repeats(b"530 %s is no account\r\n")}
    with (
        Sane(override=override) as server,
        pytest.raises(Error) as caught,
        session(server, login=False) as opened,
    ):
        opened.start_login("u", "p", SECRET)
    assert server.commands[2] == "ACCT " + SECRET
    assert SECRET not in shown(caught.value)


@pytest.mark.parametrize("verb", ["PASS", "pass", "ACCT", "Acct"])
def test_a_secret_that_is_sent_by_hand_is_not_said(verb, capsys):
    with Sane(override={"PASS": repeats(b"530 %s?\r\n"), "ACCT": repeats(b"530 %s?\r\n")}) as server, FTP() as ftp:
        ftp.set_debuglevel(2)
        ftp.connect(server.host, server.port)
        with pytest.raises(Error) as caught:
            ftp.sendcmd(verb + " " + SECRET)
    assert SECRET not in shown(caught.value)
    said = capsys.readouterr().out
    assert verb + " ***" in said and SECRET not in said


@pytest.mark.parametrize("end", ["", "\r", "\n", "\0"])
def test_a_password_that_cannot_be_sent_is_not_told(end):
    password = SECRET + (end or "x" * COMMAND_BYTES)
    with Sane() as server, FTP(net=FastNet()) as ftp:
        ftp.connect(server.host, server.port)
        with pytest.raises(ValueError) as caught:
            ftp.login("u", password)
        assert server.commands == []
    assert SECRET[:8] not in shown(caught.value)


@pytest.mark.parametrize("password", ["p", "230"])
def test_a_short_password_spoils_no_reply(password):
    def let_in(server, _argument):
        server.is_logged_in = True
        server.send(b"230 2300 people are here.\r\n")

    with Sane({"a": bytes(2300)}, {"PASS": let_in}) as server, FTP(net=FastNet()) as ftp:
        ftp.connect(server.host, server.port)
        assert ftp.login("u", password) == "230 2300 people are here."
        assert ftp.size("a") == 2300


CALLS = {
    "login": lambda ftp, x: ftp.login(x),
    "login password": lambda ftp, x: ftp.login("u", x),
    "acct": lambda ftp, x: ftp.acct(x),
    "cwd": lambda ftp, x: ftp.cwd(x),
    "mkd": lambda ftp, x: ftp.mkd(x),
    "rmd": lambda ftp, x: ftp.rmd(x),
    "delete": lambda ftp, x: ftp.delete(x),
    "rename from": lambda ftp, x: ftp.rename(x, "b"),
    "rename to": lambda ftp, x: ftp.rename("a", x),
    "size": lambda ftp, x: ftp.size(x),
    "mdtm": lambda ftp, x: ftp.mdtm(x),
    "nlst": lambda ftp, x: ftp.nlst(x),
    "dir": lambda ftp, x: ftp.dir(x),
    "mlsd": lambda ftp, x: list(ftp.mlsd(x)),
    "mlsd facts": lambda ftp, x: list(ftp.mlsd("", [x])),
    "sendcmd": lambda ftp, x: ftp.sendcmd(x),
    "voidcmd": lambda ftp, x: ftp.voidcmd(x),
    "putcmd": lambda ftp, x: ftp.putcmd(x),
    "retrbinary": lambda ftp, x: ftp.retrbinary("RETR " + x, len),
    "retrlines": lambda ftp, x: ftp.retrlines("RETR " + x, len),
    "storbinary": lambda ftp, x: ftp.storbinary("STOR " + x, io.BytesIO(b"")),
    "storlines": lambda ftp, x: ftp.storlines("STOR " + x, io.BytesIO(b"")),
    "transfercmd": lambda ftp, x: ftp.transfercmd("STOR " + x),
    "rest": lambda ftp, x: ftp.transfercmd("STOR b", x),
    "sendport": lambda ftp, x: ftp.sendport(x, 1),
    "sendeprt": lambda ftp, x: ftp.sendeprt(x, 1),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("end", ["\r\n", "\r", "\n", "\0"])
def test_a_line_end_in_an_argument_is_refused_and_nothing_of_it_is_sent(name, end):
    with Sane({"a": b"1"}) as server, client(server) as ftp:
        with pytest.raises(ValueError):
            CALLS[name](ftp, f"word{end}DELE a")
        assert ftp.voidcmd("NOOP")  # and the session is as it was
    assert not [line for line in server.commands if "word" in line or "DELE" in line]
    assert server.files == {"a": b"1"}


def test_a_line_end_in_an_account_is_refused_when_its_turn_comes():
    with Sane(override={"PASS": b"332 Account?\r\n"}) as server, FTP(net=FastNet()) as ftp:
        ftp.connect(server.host, server.port)
        with pytest.raises(ValueError):
            ftp.login("u", "p", "word\r\nDELE a")
        assert server.commands == ["USER u", "PASS p"]


def test_a_call_is_the_name_of_a_method():
    assert {name.split()[0] for name in CALLS} - {"rest"} <= set(dir(FTP))
