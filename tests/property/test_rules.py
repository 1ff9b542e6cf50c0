import re

from hypothesis import given
from hypothesis import strategies as st

from app.sync.rules import NAME_BYTES, is_protected, matches, temp_name, why_unsafe, why_unsendable
from tools.device_files import device_files

LETTERS = "ab/*?.["


def reference(pattern, name):
    """The rule in one line: a translation to a regular expression."""
    signs = {"*": "[^/]*", "?": "[^/]"}
    return re.fullmatch("".join(signs.get(c, re.escape(c)) for c in pattern), name, re.DOTALL) is not None


@given(st.text(LETTERS, max_size=10), st.text("ab/.[", max_size=12))
def test_matches_is_the_regular_expression(pattern, name):
    assert matches(pattern, name) is reference(pattern, name)


@given(st.text(max_size=20))
def test_every_name_matches_itself_and_a_star(name):
    assert matches(name, name) is True
    assert matches("*", name) is ("/" not in name)


PROTECTED = [
    "/usr/config.json",
    "/usr/.ferry/ledger",
    "/usr/.updater/x",
    "/usr/user_apn.json",
    "/bak/x",
    "/sd/.ferry/x",
]
PROTECTED += ["/usr/" + path.as_posix() for path in device_files()] + ["/usr/a.part", "/sd/b/c.1a2b3c4d-1.part"]


@given(st.sampled_from(PROTECTED), st.lists(st.booleans(), min_size=60, max_size=60))
def test_no_spelling_of_a_protected_name_gets_through(path, is_upper):
    spelling = "".join(c.upper() if up else c for c, up in zip(path, is_upper, strict=False))
    assert is_protected(spelling + path[len(spelling) :])


@given(st.sampled_from(PROTECTED), st.lists(st.sampled_from(["/", "//", "/./", "/././/"]), min_size=9, max_size=9))
def test_no_detour_to_a_protected_name_gets_through(path, slashes):
    parts = path[1:].split("/")
    assert is_protected("".join(slash + part for slash, part in zip(slashes, parts, strict=False)))


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1, max_size=300)


@given(TEXT, st.binary(min_size=8, max_size=8), st.integers(0, 99), st.sampled_from(["", "in/", "a/b/"]))
def test_temp_name_fits_and_is_protected(name, digest, attempt, folder):
    temp = temp_name(folder + name, digest, attempt)
    assert temp.startswith(folder)
    assert "/" not in temp[len(folder) :]
    assert len(temp[len(folder) :].encode()) <= NAME_BYTES
    assert name.startswith(temp[len(folder) :].split(".", 1)[1][: -len(".part")])
    assert is_protected("/sd/" + temp)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_a_safe_name_is_one_name_in_one_folder(name):
    if why_unsafe(name) is None:
        assert name not in ("", ".", "..")
        assert not set(name) & set("/\\\r\n\0")
        assert len(name.encode()) <= NAME_BYTES
        assert why_unsendable(name) is None
