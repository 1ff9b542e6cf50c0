# One-line parsers. parse150, 227, 229 and 257 are compared with the ftplib of this Python as well.
import ftplib

import pytest

from app.errors import LATER, PARK, PermReply, ProtocolError, TempReply, UnexpectedReply
from app.proto import parse

PEER = ("192.0.2.7", 21)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(400, TempReply), (421, TempReply), (499, TempReply), (500, PermReply), (550, PermReply), (599, PermReply)]
    + [(code, ProtocolError) for code in (0, 200, 399, 600, 633, 999)],
)
def test_error_for(code, kind):
    error = parse.error_for(code, f"{code} text", "STOR")
    assert type(error) is kind
    assert (error.code, error.verb, error.text()) == (code, "STOR", f"{code} text")
    assert error.advice


def test_full_quota_is_no_fault_of_the_file():
    assert parse.error_for(552, "552 full", "STOR").action == LATER
    assert parse.error_for(553, "553 no", "STOR").action == PARK


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("150 Opening BINARY mode data connection for a.bin (1234 bytes).", 1234),
        ("150 Opening (weird) name (7 bytes)", 7),
        ("150 Opening data connection (0 bytes)", 0),
        ("150 File status okay. About to open data connection.", None),
        ("150 Ok (x bytes)", None),
        ("150 1234 bytes)", None),
        ("150 ( bytes)", None),
        ("150 (-5 bytes)", None),
        ("150 (1234567890123456 bytes)", None),
        ("150", None),
    ],
)
def test_parse150(text, size):
    assert parse.parse150(text) == size


# Traps 20 and 21 of passive mode: what servers really send.
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("227 Entering Passive Mode (127,0,0,1,234,96).", ("127.0.0.1", 60000)),
        ("227 Entering Passive Mode (0,0,0,0,0,20)", ("0.0.0.0", 20)),
        ("227 Entering Passive Mode (10,0,0,1,255,255)", ("10.0.0.1", 65535)),
        ("227 Entering Passive Mode 10,0,0,1,4,5", ("10.0.0.1", 1029)),
        ("227 =10,0,0,1,4,5", ("10.0.0.1", 1029)),
        ("227 Entering Passive Mode (10, 0, 0, 1, 4, 5)", ("10.0.0.1", 1029)),
        ("227 Passive (10,0,0,1,4,5) ready 7", ("10.0.0.1", 1029)),
        ("227 Entering (really) Passive Mode (10,0,0,1,4,5)", ("10.0.0.1", 1029)),
        ("227 Passive on eth0: 10,0,0,1,4,5", ("10.0.0.1", 1029)),
        ("227 Passive (IPv4) 10,0,0,1,4,5", ("10.0.0.1", 1029)),
        ("227 Entering Passive Mode (10,0,0,300,4,5)", ("10.0.0.300", 1029)),  # nobody uses it, see Session
    ],
)
def test_parse227(text, found):
    assert parse.parse227(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "227 Entering Passive Mode (10,0,0,1,400,5)",
        "227 Entering Passive Mode (10,0,0,1,0,0)",
        "227 Entering Passive Mode (10,0,0,1,4)",
        "227 Entering Passive Mode ()",
        "227 Entering Passive Mode",
        "227 Entering Passive Mode (10,0,0,1,4,99999999999999999999)",
        "227",
    ],
)
def test_bad_227_is_a_protocol_error(text):
    with pytest.raises(ProtocolError):
        parse.parse227(text)


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("229 Entering Extended Passive Mode (|||50000|)", 50000),
        ("229 Entering Extended Passive Mode (|||1|).", 1),
        ("229 ok (!!!65535!)", 65535),
        ("229 (|1|10.0.0.1|50000|)", 50000),
    ],
)
def test_parse229(text, port):
    assert parse.parse229(text, PEER) == (PEER[0], port)


# Trap 19: a bad 229.
@pytest.mark.parametrize(
    "text",
    [
        "229 Entering Extended Passive Mode (|||1000000|)",
        "229 Entering Extended Passive Mode (|||65536|)",
        "229 Entering Extended Passive Mode (|||0|)",
        "229 Entering Extended Passive Mode (||50000|)",
        "229 Entering Extended Passive Mode (|||50000)",
        "229 Entering Extended Passive Mode (||||)",
        "229 Entering Extended Passive Mode (|||-5|)",
        "229 Entering Extended Passive Mode (|||5 0|)",
        "229 Entering Extended Passive Mode ()",
        "229 Entering Extended Passive Mode |||50000|",
        "229 )(|||50000|",
        "229",
    ],
)
def test_bad_229_is_a_protocol_error(text):
    with pytest.raises(ProtocolError):
        parse.parse229(text, PEER)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('257 "/" is the current directory', "/"),
        ('257 "/a ""quoted"" name"', '/a "quoted" name'),
        ('257 ""', ""),
        ("257 /plain", ""),
        ('257 "/open', "/open"),
        ("257", ""),
    ],
)
def test_parse257(text, name):
    assert parse.parse257(text) == name
    assert ftplib.parse257(text) == name


@pytest.mark.parametrize(
    "function", [parse.parse150, parse.parse227, lambda text: parse.parse229(text, PEER), parse.parse257]
)
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("200 ok", UnexpectedReply),
        ("425 later", TempReply),
        ("530 no", PermReply),
        ("633 what", ProtocolError),
        ("", UnexpectedReply),
        ("x", UnexpectedReply),
        ("\u00b2\u00b2\u00b2 x", UnexpectedReply),
    ],
)
def test_another_reply_than_the_one_due(function, text, kind):
    with pytest.raises(kind) as caught:
        function(text)
    assert type(caught.value) is kind
    assert caught.value.text() == text


# Trap 31: SIZE with extra text.
@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("213 0", 0),
        ("213 1234", 1234),
        ("213  1234 bytes", 1234),
        ("213 1234\t", 1234),
        ("213 999999999999999", 999999999999999),
    ],
)
def test_parse_size(text, size):
    assert parse.parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "213",
        "213 ",
        "213 many",
        "213 -1",
        "213 1.5",
        "213 0x10",
        "213 1234567890123456",
        "550 no",
        "200 12",
        "213 \u00b2",
    ],
)
def test_bad_size_is_a_protocol_error(text):
    with pytest.raises(ProtocolError):
        parse.parse_size(text)


@pytest.mark.parametrize(
    ("line", "name", "facts"),
    [
        (
            "type=file;size=3;modify=20240101120000; a.txt",
            "a.txt",
            {"type": "file", "size": "3", "modify": "20240101120000"},
        ),
        ("Type=FILE;SIZE=3; two  words ", "two  words ", {"type": "FILE", "size": "3"}),
        ("type=cdir; .", ".", {"type": "cdir"}),
        ("type=dir;unix.mode=0755; a;b=c", "a;b=c", {"type": "dir", "unix.mode": "0755"}),
        (" bare", "bare", {}),
        ("type=OS.unix=slink:/a;; l", "l", {"type": "OS.unix=slink:/a"}),
        ("=x;junk;size=; n", "n", {"size": ""}),
        ("type=file; ", "", {"type": "file"}),
    ],
)
def test_parse_facts(line, name, facts):
    assert parse.parse_facts(line) == (name, facts)


@pytest.mark.parametrize("line", ["", "no-blank", "type=file;size=3;"])
def test_line_without_a_name_is_a_protocol_error(line):
    with pytest.raises(ProtocolError):
        parse.parse_facts(line)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("12", 12), ("", -1), ("-1", -1), ("x", -1), ("9" * 16, -1), ("1.5", -1), ("\u00b2", -1)],
)
def test_parse_fact_size(text, size):
    assert parse.parse_fact_size({"size": text}) == size


def test_missing_size_fact():
    assert parse.parse_fact_size({}) == -1
