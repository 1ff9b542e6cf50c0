# The reply parser: any split of the same bytes gives the same, any bytes give replies or a ProtocolError, memory is bounded.
import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import ProtocolError
from app.proto.reply import LINE_BYTES, TEXT_BYTES, ReplyReader, printable

LINES = st.one_of(
    st.sampled_from(
        [b"220 ready\r\n", b"211-Features\r\n", b" MLST size*;\r\n", b"211 End\r\n", b"226\r\n", b"\r\n", b"\n"]
    ),
    st.sampled_from([b"HTTP/1.1 400\r\n", b"250-\r\n", b"250 \r\n", b"2500\r\n", b"633 x\r\n", b"\xff\xfe\r\n"]),
    st.binary(max_size=6).map(lambda raw: b"250 " + raw + b"\n"),
    st.integers(LINE_BYTES - 6, LINE_BYTES + 6).map(lambda n: b"250 " + b"x" * n + b"\r\n"),
    st.sampled_from(["250 \u20ac\r\n", "2\u00b20 x\r\n", "\u0661\u0662\u0663 x\r\n"]).map(str.encode),
)
STREAMS = st.one_of(st.lists(LINES, max_size=12).map(b"".join), st.binary(max_size=300))


def run(pieces):
    """Replies up to the end or the fault, and the fault's text."""
    reader = ReplyReader()
    fault = ""
    try:
        for piece in pieces:
            reader.feed(piece)
    except ProtocolError as e:
        fault = e.text()
    replies = []
    while True:
        reply = reader.next()
        if reply is None:
            return replies, fault, reader.is_idle()
        replies.append(reply)


def cut(raw, places):
    edges = [0, *sorted({at % (len(raw) + 1) for at in places}), len(raw)]
    return [raw[a:b] for a, b in itertools.pairwise(edges)]


@given(STREAMS, st.lists(st.integers(0, 10000), max_size=20))
def test_any_split_gives_the_same(raw, places):
    assert run(cut(raw, places)) == run([raw])


@given(STREAMS)
def test_one_byte_at_a_time_gives_the_same(raw):
    assert run([raw[i : i + 1] for i in range(len(raw))]) == run([raw])


@given(STREAMS)
def test_every_reply_is_well_formed_and_bounded(raw):
    replies, _, _ = run([raw])
    for code, text in replies:
        assert 100 <= code <= 699
        assert text.startswith(str(code))
        assert len(text) <= TEXT_BYTES + LINE_BYTES + 1
        assert not any(ord(c) < 32 and c != "\n" for c in text)


@given(STREAMS)
def test_what_waits_for_more_bytes_is_bounded(raw):
    reader = ReplyReader()
    try:
        for _ in range(20):
            reader.feed(raw.rstrip(b"\n"))
    except ProtocolError:
        pass
    assert len(reader._line) <= LINE_BYTES
    assert len(reader._text) <= TEXT_BYTES + LINE_BYTES + 1


@given(st.binary(max_size=100))
@example(b"\xed\xa0\x80")
def test_printable_is_text_without_control_characters(raw):
    text = printable(raw)
    assert not any(ord(c) < 32 or ord(c) == 127 for c in text)
    text.encode()
