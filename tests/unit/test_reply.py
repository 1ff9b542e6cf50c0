import pytest

from app.errors import ProtocolError
from app.proto.reply import LINE_BYTES, REPLY_BYTES, TEXT_BYTES, ReplyReader, printable


def replies(*pieces):
    reader = ReplyReader()
    for piece in pieces:
        reader.feed(piece)
    return drain(reader)


def drain(reader):
    found = []
    while True:
        reply = reader.next()
        if reply is None:
            return found
        found.append(reply)


PUREFTPD = b"220---------- Welcome ----------\r\n220-You are user number 1\r\n220 You will be disconnected\r\n"
FEAT = b"211-Features:\r\n EPSV\r\n MLST type*;size*;\r\n211 End\r\n"

CASES = [
    (b"220 ready\r\n", [(220, "220 ready")]),
    (b"220 ready\n", [(220, "220 ready")]),
    (b"220\r\n", [(220, "220")]),
    (b"220 \r\n", [(220, "220 ")]),
    (b"331 a\r\n230 b\r\n", [(331, "331 a"), (230, "230 b")]),
    (PUREFTPD, [(220, PUREFTPD.decode().replace("\r\n", "\n")[:-1])]),
    (FEAT, [(211, "211-Features:\n EPSV\n MLST type*;size*;\n211 End")]),
    # another code inside, the own code inside without a space, and with "-"
    (b"211-a\r\n550 b\r\n211-c\r\n2110\r\n211 d\r\n", [(211, "211-a\n550 b\n211-c\n2110\n211 d")]),
    (b"226-a\r\n226\r\n", [(226, "226-a\n226")]),
    (b"211-a\r\n\r\n211 b\r\n", [(211, "211-a\n\n211 b")]),
    (b"\r\n\n220 x\r\n", [(220, "220 x")]),
    (b"633 x\r\n", [(633, "633 x")]),
    (b'257 "a\x00b\rc"\r\n', [(257, '257 "a?b?c"')]),
    ("250 caf\u00e9\r\n".encode(), [(250, "250 caf\u00e9")]),
    (b"250 caf\xe9\r\n", [(250, "250 caf?")]),
]


@pytest.mark.parametrize(("raw", "expected"), CASES)
def test_replies(raw, expected):
    assert replies(raw) == expected


@pytest.mark.parametrize(("raw", "expected"), CASES)
def test_any_cut_in_two_gives_the_same(raw, expected):
    for at in range(len(raw) + 1):
        assert replies(raw[:at], raw[at:]) == expected


def test_one_byte_at_a_time_gives_the_same():
    raw = b"".join(raw for raw, _ in CASES)
    expected = [reply for _, found in CASES for reply in found]
    assert replies(*[raw[i : i + 1] for i in range(len(raw))]) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 400 Bad\r\n",
        b"000 x\r\n",
        b"700 x\r\n",
        b"22\r\n",
        b"2200\r\n",
        b"22a x\r\n",
    ],
)
def test_what_is_not_ftp_is_refused(raw):
    with pytest.raises(ProtocolError, match="not a reply"):
        replies(raw)


@pytest.mark.parametrize("raw", ["1\u00b2\u00b2 x\r\n", "2\u0663\u0663 x\r\n"])
def test_digits_of_other_alphabets_are_no_reply_code(raw):
    with pytest.raises(ProtocolError, match="not a reply"):
        replies(raw.encode())


def test_long_line_is_cut_and_the_rest_dropped():
    assert replies(b"220 " + b"x" * 17000 + b"\r\n221 bye\r\n") == [
        (220, "220 " + "x" * (LINE_BYTES - 4)),
        (221, "221 bye"),
    ]


def test_text_of_a_long_reply_is_bounded_and_its_end_is_found():
    found = replies(b"211-a\r\n" + b" line\r\n" * 1000 + b"211 end\r\n221 bye\r\n")
    assert [code for code, _ in found] == [211, 221]
    assert TEXT_BYTES <= len(found[0][1]) <= TEXT_BYTES + LINE_BYTES + 1


ENDLESS = [b"211-a\r\n" + b" x\r\n" * REPLY_BYTES, b"220 " + b"x" * REPLY_BYTES, b"\r\n" * REPLY_BYTES]


@pytest.mark.parametrize("raw", ENDLESS, ids=["lines", "line", "empty lines"])
def test_reply_without_an_end_is_refused(raw):
    with pytest.raises(ProtocolError, match="more than"):
        replies(raw)


def test_the_limit_does_not_depend_on_the_pieces():
    raw = b"220 " + b"x" * (REPLY_BYTES - 100) + b"\r\n"
    assert replies(*[raw[i : i + 1] for i in range(len(raw))]) == replies(raw)


def test_the_limit_is_for_one_reply_and_not_for_the_session():
    reader = ReplyReader()
    for _ in range(REPLY_BYTES // 100):
        reader.feed(b"200 " + b"x" * 200 + b"\r\n")
        assert reader.next()[0] == 200
    assert reader.is_idle()


def test_empty_pieces_cost_nothing():
    reader = ReplyReader()
    for _ in range(REPLY_BYTES + 1):
        reader.feed(b"")
    assert reader.is_idle()


@pytest.mark.parametrize(
    ("raw", "is_idle"), [(b"", True), (b"220 a\r\n", False), (b"2", False), (b"220-a\r\n", False), (b"\r\n", True)]
)
def test_is_idle(raw, is_idle):
    reader = ReplyReader()
    reader.feed(raw)
    assert reader.is_idle() is is_idle


def test_is_idle_when_everything_was_taken():
    reader = ReplyReader()
    reader.feed(FEAT)
    reader.next()
    assert reader.is_idle()
    assert reader.next() is None


def test_replies_before_the_fault_are_not_lost():
    reader = ReplyReader()
    with pytest.raises(ProtocolError):
        reader.feed(b"220 a\r\nnonsense\r\n")
    assert drain(reader) == [(220, "220 a")]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"plain ~", "plain ~"),
        (b"\x00\t\r\x1b\x7f", "?????"),
        ("\u20ac".encode(), "\u20ac"),
        (b"\xe2\x82", "??"),
        (b"\x01\xff", "??"),
    ],
)
def test_printable(raw, text):
    assert printable(raw) == text
