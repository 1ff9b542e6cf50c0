# Names on the server, from the template upload.to.
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sync.names import PASSING, STABLE, about, civil, parse, passing_values, render, whole, with_number


def name(template, relative="sub/a.csv", **more):
    return render(whole(template), {**about(relative), "device": "860", "imei": "1234", **more})


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("{device}", "860/sub/a.csv"),
        ("", "sub/a.csv"),
        ("in/", "in/sub/a.csv"),
        ("/in", "/in/sub/a.csv"),
        ("/", "/sub/a.csv"),
        ("a/{device}/b-{imei}", "a/860/b-1234/sub/a.csv"),
        ("{dir}", "sub/sub/a.csv"),
        ("x/{name}", "x/a.csv"),
        ("x/{dir}/{stem}-new{ext}", "x/sub/a-new.csv"),
        ("{path}.gz", "sub/a.csv.gz"),
        ("{imei}{ext}", "1234.csv"),
    ],
)
def test_a_template_without_the_files_name_is_a_folder(to, expected):
    assert name(to) == expected


@pytest.mark.parametrize(
    ("relative", "stem", "ext"),
    [("a.tar.gz", "a.tar", ".gz"), ("plain", "plain", ""), (".hidden", ".hidden", ""), ("d.d/x", "x", ""), ("x.", "x", ".")],
)
def test_stem_and_extension(relative, stem, ext):
    assert (about(relative)["stem"], about(relative)["ext"]) == (stem, ext)


def test_a_file_at_the_top_has_no_folder_and_leaves_no_empty_one():
    assert name("{device}/{dir}/{name}", "a.csv") == "860/a.csv"


def test_passing_names_stay_in_braces_until_their_values_are_known():
    assert name("{date}/{stem}-{seq}{ext}") == "{date}/a-{seq}.csv"
    assert name("{date}/{stem}-{seq}{ext}", **passing_values(7, 3, 0, "")) == "1970-01-01/a-00000007.csv"


def test_where_the_clock_is_not_set_the_rules_text_stands():
    assert name("{date}-{time}/{boot}", **passing_values(7, 3, None, "undated")) == "undated-undated/00003/sub/a.csv"


@pytest.mark.parametrize("relative", ["{device}", "{seq}.txt", "a{b", "}"])
def test_braces_in_a_files_own_name_are_left_alone(relative):
    values = {**about(relative), "device": "860", **passing_values(1, 1, 0, "")}
    assert render(whole("in"), values) == "in/" + relative


@pytest.mark.parametrize("template", ["{", "}", "{x}", "a{date", "{{device}}", "{device}}", "{Device}", "{}", "a}b{device}"])
def test_a_template_with_unknown_names_or_lone_braces_is_refused(template):
    with pytest.raises(ValueError, match=r"."):
        parse(template)


@given(st.lists(st.one_of(st.sampled_from(["{" + n + "}" for n in STABLE + PASSING]), st.text("ab/.", max_size=4))))
def test_pieces_put_together_are_the_template(parts):
    pieces = parse("".join(parts))
    texts = [piece if i % 2 == 0 else "{" + piece + "}" for i, piece in enumerate(pieces)]
    assert "".join(texts) == "".join(parts)


@given(st.integers(0, 1 << 33))
def test_dates_are_those_of_the_calendar(seconds):
    assert civil(seconds) == tuple(time.strftime("%Y-%m-%d %H-%M-%S", time.gmtime(seconds)).split())


@pytest.mark.parametrize(
    ("remote", "expected"), [("a/b.tar.gz", "a/b.tar-2.gz"), ("x", "x-2"), ("a.b/x", "a.b/x-2"), ("/x.y", "/x-2.y")]
)
def test_a_number_goes_before_the_extension(remote, expected):
    assert with_number(remote, 2) == expected
    assert with_number(remote, 0) == remote
