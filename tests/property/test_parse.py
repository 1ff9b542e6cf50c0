# Whatever a server says in one line: a value of the right kind, or one of our exceptions.
import ftplib

from hypothesis import given
from hypothesis import strategies as st

from app.errors import Error
from app.proto import parse

PEER = ("192.0.2.7", 21)
DIGITS = "0123456789\u00b2\u0663"
NOISE = st.text(alphabet=DIGITS + '()|,-;= "ab\u20ac', max_size=40)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.tuples(st.sampled_from(["150", "213", "227", "229", "257", "550", "999", "\u00b2\u00b2\u00b2"]), NOISE).map(
        " ".join
    ),
)


def value_or_ours(function, *args):
    """None if one of our exceptions came; its text and advice must be there."""
    try:
        return function(*args)
    except Error as e:
        assert str(e)
        assert e.advice
        return None


@given(TEXTS)
def test_parse150(text):
    assert (value_or_ours(parse.parse150, text) or 0) >= 0


@given(TEXTS)
def test_parse227(text):
    found = value_or_ours(parse.parse227, text)
    if found:
        assert len([int(part) for part in found[0].split(".")]) == 4
        assert 0 < found[1] <= 65535


@given(TEXTS)
def test_parse229(text):
    found = value_or_ours(parse.parse229, text, PEER)
    if found:
        assert found[0] == PEER[0]
        assert 0 < found[1] <= 65535


@given(TEXTS)
def test_parse257_agrees_with_ftplib(text):
    found = value_or_ours(parse.parse257, text)
    if found is not None:
        assert found == ftplib.parse257(text)


@given(TEXTS)
def test_parse_size(text):
    assert (value_or_ours(parse.parse_size, text) or 0) >= 0


@given(TEXTS)
def test_parse_fact_size(text):
    assert parse.parse_fact_size({"size": text}) >= -1


OCTETS = st.integers(0, 255)


@given(
    st.tuples(*[OCTETS] * 4), st.integers(1, 65535), st.sampled_from(["%s", "(%s)", "=%s", "to (%s).", "mode %s ok"])
)
def test_address_of_227_agrees_with_ftplib(host, port, form):
    text = "227 " + form % ",".join(str(n) for n in (*host, port >> 8, port & 255))
    assert parse.parse227(text) == ftplib.parse227(text)


@given(st.integers(1, 65535), st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="0123456789()"))
def test_port_of_229_agrees_with_ftplib(port, mark):
    text = f"229 Extended ({mark * 3}{port}{mark})"
    assert parse.parse229(text, PEER) == ftplib.parse229(text, PEER)


@given(st.text(max_size=60))
def test_facts_line_is_a_name_and_facts_or_our_exception(line):
    found = value_or_ours(parse.parse_facts, line)
    if found:
        name, facts = found
        assert line.endswith(" " + name)
        assert all(key and key == key.lower() for key in facts)
        parse.parse_fact_size(facts)


FACT = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=";="), min_size=1, max_size=8)


@given(st.dictionaries(FACT.map(str.lower), FACT, max_size=4), st.text(min_size=1, max_size=30))
def test_facts_come_back(facts, name):
    line = "".join(f"{key.upper()}={value};" for key, value in facts.items()) + " " + name
    assert parse.parse_facts(line) == (name, facts)
