# Whatever lies in the folder of the status files: the dashboard reads it or says why not.
import json

from hypothesis import given
from hypothesis import strategies as st

from tests.browser.fleet import UNREACHED, status
from tools.dashboard.status import _KEYS, Unreadable, parse

GOOD = status("m", 1_795_000_000, error=UNREACHED)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def is_read_or_refused(content):
    try:
        found = parse(content)
    except Unreadable as error:
        assert str(error)
        return
    assert found.keys() == _KEYS.keys()
    assert json.dumps(found, ensure_ascii=False).encode().decode().isprintable()


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    is_read_or_refused(content)


@given(st.dictionaries(st.sampled_from([*_KEYS, "format"]), values))
def test_any_values_are_read_or_refused(more):
    is_read_or_refused(json.dumps({**GOOD, **more}).encode())
