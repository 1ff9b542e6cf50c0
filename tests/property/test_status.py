import json

from hypothesis import example, given
from hypothesis import strategies as st

from app.sync.status import clean, encode

CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS)
KEYS = st.sampled_from(["a", "b_c", "d"])


def _key(pair):
    return pair[0]


VALUES = st.recursive(
    st.none() | st.integers(-(2**40), 2**40) | st.text(CHARACTERS, max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(KEYS, inner), unique_by=_key).map(tuple),
    max_leaves=6,
)


class BytesText:
    """A text as the module has them: any bytes."""

    def __init__(self, raw):
        self._raw = raw

    def encode(self):
        return self._raw


def plain(value):
    """What a reader of the JSON gets."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return {key: plain(item) for key, item in value}
    return value


@given(VALUES)
def test_any_value_is_json_and_keeps_its_order(value):
    found = json.loads(encode(value, lambda text: text))
    assert found == plain(value)
    if isinstance(value, tuple):
        assert list(found) == [key for key, _ in value]


@given(st.binary(), st.integers(0, 100))
@example(b"\xed\xa0\x80", 9)  # half of a pair
@example(b"\xf4\x90\x80\x80", 9)  # beyond the last character
@example(b"\xc0\x80\xe0\x80\x80", 9)  # longer than need be
@example(b"a\xf0\x9f\x98", 9)
def test_any_bytes_become_text_that_every_reader_takes(raw, limit):
    text = clean(BytesText(raw), limit)
    assert len(text.encode()) <= limit
    assert json.loads(json.dumps(text)) == text
    assert not any(ord(c) < 32 or ord(c) == 127 for c in text)


@given(TEXTS)
def test_only_what_cannot_be_shown_is_changed(text):
    assert clean(text, 10000) == "".join("?" if ord(c) < 32 or ord(c) == 127 else c for c in text)


@given(TEXTS, st.integers(0, 100))
def test_a_cut_text_is_the_longest_beginning_that_fits(text, limit):
    whole, cut = clean(text, 10000), clean(text, limit)
    assert whole.startswith(cut)
    assert cut == whole or len(whole[: len(cut) + 1].encode()) > limit
