import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sync.manifest import ManifestError, bucket, hmac_sha256, mounts_of, parse, why_not_here
from app.sync.rules import is_own_code, is_protected

KEY = "a secret of the fleet"
HEAD = b"FERRY1 -\n"
KEYS = {"version", "files", "pack", "delete", "settings", "expires", "devices", "share"}

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
PATHS = st.sampled_from(
    [
        "/usr/a",
        "/usr/b/c",
        "/usr/app/x.py",
        "/usr/config.json",
        "/sd/a",
        "/bak/x",
        "/usr/../x",
        "usr/a",
        "/usr",
        "",
        "/usr/A",
    ]
)
SIZES = st.sampled_from([0, 1, 10, 2**31 - 1, 2**31, -1, True, 1.0, "1"])
FILES = st.fixed_dictionaries(
    {"path": PATHS, "size": SIZES, "sha256": st.sampled_from(["0" * 64, "ab" * 32, "AB" * 32, "0" * 63, "zz" * 32, 7])},
    optional={"at": SIZES},
)


def or_any(likely):
    return st.one_of(likely, likely, likely, ANY_JSON)


MANIFESTS = st.fixed_dictionaries(
    {"version": or_any(st.sampled_from([1, 2**31 - 1, 0, 2**31, True]))},
    optional={
        "files": or_any(st.lists(or_any(FILES), max_size=3)),
        "pack": or_any(st.fixed_dictionaries({"name": st.sampled_from(["p", "../p", ""]), "size": SIZES})),
        "delete": or_any(st.lists(PATHS, max_size=3)),
        "settings": or_any(st.dictionaries(st.text(max_size=5), ANY_JSON, max_size=2)),
        "expires": or_any(SIZES),
        "devices": or_any(st.lists(st.text(max_size=4), max_size=3)),
        "share": or_any(st.sampled_from([0, 50, 100, 101])),
    },
)


def check(raw):
    """A manifest or a ManifestError, and of a manifest what the module relies on."""
    try:
        found = parse(raw, "")
    except ManifestError as e:
        assert str(e)
        return
    assert set(found) >= KEYS
    paths = [entry["path"] for entry in found["files"]] + found["delete"]
    assert len({path.lower() for path in paths}) == len(paths)
    assert not [path for path in paths for other in paths if path.lower().startswith(other.lower() + "/")]
    for path in paths:
        assert path.startswith("/")
        assert ".." not in path.split("/")
        assert is_own_code(path) or not is_protected(path)
    for entry in found["files"]:
        assert 0 <= entry["size"] < 2**31
        if entry.get("at") is not None:
            assert 0 <= entry["at"] <= found["pack"]["size"] - entry["size"]
    assert set(mounts_of(found)) == {"/" + entry["path"].split("/")[1] for entry in found["files"]}
    assert isinstance(why_not_here(found, "m1", 10), (str, type(None)))


@given(st.binary(max_size=300))
def test_any_bytes(raw):
    check(raw)
    check(HEAD + raw)


@given(ANY_JSON)
def test_any_json(data):
    check(HEAD + json.dumps(data).encode())


@given(MANIFESTS)
def test_what_is_nearly_a_manifest(data):
    check(HEAD + json.dumps(data).encode())


def signed(body):
    return b"FERRY1 " + hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest().encode() + b"\n" + body


BODY = json.dumps({"version": 2, "files": [{"path": "/usr/a", "size": 1, "sha256": "0" * 64}], "share": 50}).encode()


@given(st.data())
def test_a_signed_manifest_with_one_byte_changed_is_refused(data):
    raw = bytearray(signed(BODY))
    assert parse(bytes(raw), KEY)["version"] == 2
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ManifestError):
        parse(bytes(raw), KEY)


@given(st.data())
def test_a_signed_manifest_with_bytes_cut_off_or_added_is_refused(data):
    raw = signed(BODY)
    changed = data.draw(
        st.integers(0, len(raw) - 1).map(lambda n: raw[:n]) | st.binary(min_size=1).map(lambda b: raw + b)
    )
    with pytest.raises(ManifestError):
        parse(changed, KEY)


@given(st.binary(max_size=200), st.binary(max_size=300))
def test_the_signature_is_that_of_rfc_2104(key, raw):
    assert hmac_sha256(key, raw) == hmac.new(key, raw, hashlib.sha256).digest()


@pytest.mark.parametrize("form", ["m%d", "86123405%07d", "site-%d.pump"])
def test_shares_are_spread_evenly_over_a_fleet(form):
    buckets = [bucket(form % number) for number in range(10_000)]
    counts = [buckets.count(number) for number in range(100)]
    # Chi-squared of 99 degrees of freedom: above 149 in one of a thousand fleets.
    assert sum((count - 100) ** 2 / 100 for count in counts) < 149
    assert set(buckets) == set(range(100))
