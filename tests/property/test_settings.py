import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import FROM_AFAR, SCHEMA, parse
from app.errors import ConfigError
from app.settings import changed
from tests.property.test_manifest import ANY_JSON

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (ROOT / "config.json").read_bytes().replace(b'"host": ""', b'"host": "ftp.example.com"')
ROWS = {row[0]: row for row in SCHEMA}
RULES = [{"from": "/usr/a", "to": "x", "include": ["*.csv"]}, {"from": "/usr/b", "after": "delete"}]


def of_kind(key):
    _, kind, _, limits, _, _ = ROWS[key]
    if kind == "int":
        return st.integers(*limits)
    if kind == "choice":
        return st.sampled_from(limits)
    if kind == "bool":
        return st.booleans()
    if kind == "windows":
        return st.lists(st.sampled_from(["22:00-06:00", "00:00-24:00"]), max_size=limits[1])
    return st.text("abc.-", min_size=max(1, limits[0]), max_size=20)


CHANGES = st.dictionaries(st.sampled_from(FROM_AFAR), st.none(), max_size=4).flatmap(
    lambda keys: st.fixed_dictionaries({key: of_kind(key) for key in keys})
)


@st.composite
def files(draw):
    """Any config.json that Ferry starts with."""
    data = json.loads(SHIPPED)
    for key, value in draw(CHANGES).items():
        section, name = key.split(".")
        data.setdefault(section, {})[name] = value
    for section in draw(
        st.sets(st.sampled_from(["device", "upload", "download", "schedule", "retry", "storage", "log"]))
    ):
        del data[section]
    if draw(st.booleans()):
        data["upload"] = RULES
    if draw(st.booleans()):
        data["server"] = [data["server"]]
    return json.dumps(data).encode()


def with_change(config, values):
    """The settings that are wanted; those of the server stand in the list of servers as well."""
    of_server = {key[len("server.") :]: value for key, value in values.items() if key.startswith("server.")}
    return {**config, **values, "servers": [{**config["servers"][0], **of_server}]}


@given(files(), CHANGES)
def test_the_settings_are_the_same_but_for_the_change(raw, values):
    assert parse(changed(raw, values)) == with_change(parse(raw), values)


@given(files(), CHANGES)
def test_a_second_time_changes_no_byte(raw, values):
    once = changed(raw, values)
    assert changed(once, values) == changed(once, {}) == once


@given(files(), st.dictionaries(st.sampled_from(FROM_AFAR), ANY_JSON, min_size=1, max_size=3))
def test_any_value_is_taken_as_it_is_or_refused(raw, values):
    try:
        text = changed(raw, values)
    except ConfigError as e:
        assert e.problems
        return
    assert parse(text) == with_change(parse(raw), values)


def test_of_several_servers_none_is_changed_and_it_says_why():
    raw = json.dumps({"server": [{"host": "a"}, {"host": "b"}]}).encode()
    with pytest.raises(ConfigError) as caught:
        changed(raw, {"server.port": 2121})
    assert caught.value.problems == ["server.port: there are several, and it does not say which"]
    servers = [server["host"] for server in parse(changed(raw, {"retry.cap_s": 9}))["servers"]]
    assert servers == ["a", "b"]


def test_it_looks_like_the_file_that_is_shipped():
    assert changed(SHIPPED, {}) == SHIPPED
    text = changed(SHIPPED, {"schedule.every_s": 77, "storage.when_full": "drop"})
    assert text == SHIPPED.replace(b'"every_s": 900', b'"every_s": 77').replace(
        b'"when_full": "keep"', b'"when_full": "drop"'
    )


def test_one_bad_value_among_good_ones_is_named_and_nothing_is_taken():
    with pytest.raises(ConfigError) as caught:
        changed(SHIPPED, {"schedule.every_s": 77, "server.port": 0, "retry.cap_s": "long"})
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["server.port", "retry.cap_s"]


@given(st.binary(max_size=60) | ANY_JSON.map(lambda data: json.dumps(data).encode()))
def test_a_file_that_somebody_spoilt_since_the_boot_is_a_config_error(raw):
    with pytest.raises(ConfigError):
        changed(raw, {"schedule.every_s": 77})
