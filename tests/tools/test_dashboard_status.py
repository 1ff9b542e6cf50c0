# A status file is input from elsewhere: whatever is in it, it is read or refused with a reason, and disguises nothing.
import json

import pytest

from tests.browser.fleet import status
from tools.dashboard.status import _KEYS, MOST_BYTES, Unreadable, parse
from tools.device_files import ROOT

NOW = 1_795_000_000


def raw(**more):
    return json.dumps(status("m", NOW, **more)).encode()


def test_the_status_that_the_readme_shows_is_read_whole():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text[text.index('```json\n{"format": 1') + 8 :].partition("```")[0]
    told = json.loads(shown)
    found = parse(shown.encode())
    assert [found[key] for key in _KEYS] == [told[key] or "" if key == "time" else told[key] for key in _KEYS]


def test_keys_that_protocol_names_are_those_that_are_read():
    text = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
    table = text[text.index("## What a module tells") :].partition("**When.**")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in row.replace("`", " ").split()} - {"format"} == set(_KEYS)


def test_what_is_missing_or_new_is_no_reason_to_refuse():
    found = parse(b'{"format": 1, "device": "m", "from_a_newer_ferry": [1]}')
    assert (found["device"], found["error"], found["parked"], found["signal"]) == (
        "m",
        None,
        {"count": 0, "files": []},
        None,
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (raw()[:300], "broken JSON in line"),
        (b"\xff\xfe{}", "byte 1 is no UTF-8"),
        (b"[1]", "no object"),
        (b'{"a": 1}', "no status of a module"),
        (b'{"format": 2, "device": "m"}', "format is 2"),
        (b'{"format": true, "device": "m"}', "format is true"),
        (b'{"format": 1, "device": ""}', "device is empty"),
        (b'{"format": 1, "device": 7}', "device is 7; it must be a text"),
        (b'{"format": 1, "device": "m", "signal": NaN}', "NaN is no JSON number"),
        (b'{"format": 1, "device": "m", "signal": 1e400}', "signal is Infinity; it must be a whole number"),
        (b'{"format": 1, "device": "m", "signal": 1.5}', "signal is 1.5"),
        (b'{"format": 1, "device": "m", "cycle": -1}', "0 or more"),
        (b'{"format": 1, "device": "m", "cycle": ' + b"9" * 20 + b"}", "at most 2^53"),
        (b'{"format": 1, "device": "m", "cycle": ' + b"9" * 5000 + b"}", "too long"),
        (b'{"format": 1, "device": "m", "error": "x"}', 'error is "x"; it must be an object'),
        (b'{"format": 1, "device": "m", "error": {"code": []}}', "error.code is []"),
        (b'{"format": 1, "device": "m", "parked": {"files": [["a"]]}}', "[path, reason]"),
        (b'{"format": 1, "device": "m", "restarts": [1]}', "restarts is 1"),
        (b"[" * 9000, "too deep"),
        (b" " * (MOST_BYTES + 1), "more than 16,384 are not read"),
    ],
)
def test_what_is_no_status_is_refused_with_the_reason(content, said):
    with pytest.raises(Unreadable) as refused:
        parse(content)
    assert said in str(refused.value)


def test_a_text_cannot_break_the_line_turn_the_writing_or_break_the_page_s_encoding():
    found = parse(b'{"format": 1, "device": "a\\u202egpj\\n\\ud800\\u0007", "model": "' + b"x" * 900 + b'"}')
    assert found["device"] == "a�gpj���"
    assert len(found["model"]) == 501
    json.dumps(found, ensure_ascii=False).encode()
