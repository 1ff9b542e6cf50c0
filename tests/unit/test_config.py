import json

import pytest

from app.config import SCHEMA, TEXT_BYTES, nearest, parse
from app.errors import ConfigError
from tools.device_files import ROOT

HOST = {"server": {"host": "ftp.example.com"}}


def read(**sections):
    """The settings of a config.json with these sections, and a host."""
    data = {**HOST, **sections}
    if isinstance(data["server"], dict):
        data["server"] = {**HOST["server"], **data["server"]}
    return parse(json.dumps(data).encode())


def problems_of(raw):
    with pytest.raises(ConfigError) as caught:
        parse(raw if isinstance(raw, bytes) else json.dumps(raw).encode())
    return caught.value.problems


def problem_of(**sections):
    with pytest.raises(ConfigError) as caught:
        read(**sections)
    assert len(caught.value.problems) == 1, caught.value.problems
    return caught.value.problems[0]


# --- defaults


def test_config_json_of_the_repo_is_the_defaults():
    data = json.loads((ROOT / "config.json").read_text(encoding="utf-8"))
    shown = {section + "." + name for section, values in data.items() for name in values}
    assert shown <= {row[0] for row in SCHEMA}  # what most people need; the README has them all
    data["server"]["host"] = HOST["server"]["host"]
    assert parse(json.dumps(data).encode()) == parse(json.dumps(HOST).encode())


def test_config_json_of_the_repo_lacks_the_host_only():
    problems = problems_of((ROOT / "config.json").read_bytes())
    assert len(problems) == 1
    assert "server.host is empty" in problems[0]
    assert "ftp.example.com" in problems[0]


def test_what_is_not_given_has_its_default():
    config = read()
    for key, kind, default, _, _, _ in SCHEMA:
        section, name = key.split(".")
        found = config["upload"][0][name] if section == "upload" else config[key]
        if key != "server.host":
            assert found == (list(default) if kind in ("list", "windows") else default), key


@pytest.mark.parametrize("row", SCHEMA, ids=lambda row: row[0])
def test_default_is_allowed(row):
    if row[0] != "server.host":
        section, name = row[0].split(".")
        assert read(**{section: {name: row[2]}}) == read()


def test_lists_of_two_rules_are_not_one_list():
    config = read(upload=[{}, {}])
    config["upload"][0]["include"].append("*.txt")
    assert config["upload"][1]["include"] == []
    assert read()["upload"][0]["include"] == []


# --- every kind of value

PATHS = [1, None, True, ["/usr"], "usr", "data/x", "/a\nb", "/" + "x" * 200]
PATHS += ["/", "//usr", "/usr/./data", "/usr//data", "/usr/../bak", "/.."]
BAD = {
    "device.id": [1, None, "a b", "a/b", "..", ".", "x" * 65, "a\n", "{device}", "m\u00fcller", True, []],
    "server.host": ["x" * 256, 5, None, "a\rb", [], {}],
    "server.port": [0, 65536, 99999, -1, "21", 21.0, 21.5, None, True, False, [21]],
    "server.user": ["x" * 129, 5, "a\r\nPASS b", "\x7f", None],
    "server.tls": ["on", "", "OFF", True, False, None],
    "server.tls_pin": ["ab", "0" * 63, "0" * 65, "g" * 64, "0" * 32 + "x" + "0" * 31, "0" * 64 + ":" * 40, 5, None],
    "server.active_host": ["x" * 256, "a\nb", 5, None],
    "server.talk_first": [0, 1, "true", None, []],
    "server.sessions": [0, 3, "2", None, True],
    "server.verify": ["none ", True, None, "sha256"],
    "server.mode": ["Passive", "", None, 1, True, ["passive"]],
    "server.timeout_s": [0, 6, 25, "15", None, True, -5, []],
    "upload.from": PATHS,
    "upload.to": ["../x", "a/../b", "x" * 201, 5, None, "a\tb", "{imai}", "{device", "a}"],
    "upload.include": ["*.txt", [1], [""], ["a\n"], [None], ["x"] * 33, None, {"a": 1}, [["a"]]],
    "upload.exclude": ["*.txt", [1], [""], ["x"] * 33, None],
    "upload.after": ["remove", None, True, 0],
    "upload.mode": ["Whole", None, True, "tar"],
    "upload.whole_lines": [1, None, "yes"],
    "upload.batch_files": [0, 257, None, True],
    "upload.batch_bytes": [1023, 16777217, None, True],
    "upload.on_conflict": ["ask", None, True],
    "upload.move_to": ["sent", "/usr/../x", None, 5],
    "upload.move_files": [-1, 65536, None, True],
    "upload.move_bytes": [-1, 1073741824, None, True],
    "upload.undated": ["a b", "x" * 33, None, 0],
    "upload.settle_s": [-1, 86401, None, True],
    "upload.order": ["time", None, True],
    "upload.priority": [-1, 10, None, True],
    "upload.max_bytes": [-1, 1073741824, None, True],
    "upload.cycle_files": [-1, 65536, None, True],
    "upload.cycle_bytes": [-1, 1073741824, None, True],
    "upload.drop_unsent": [1, 0, None, "yes", []],
    "download.from": ["..", "../../etc", 5, "x" * 201],
    "download.to": [*PATHS, ""],
    "update.from": ["..", 5, "x" * 201],
    "update.trial_boots": [0, 101, None, True],
    "update.trial_cycles": [0, 1001, None, True],
    "schedule.every_s": [9, 604801, "900", 900.5, None, True],
    "schedule.jitter_s": [-1, 86401, None, False],
    "schedule.first_s": [-1, 86401, None, True],
    "schedule.windows": ["22:00-06:00", ["22-06"], ["24:01-01:00"], ["1:00-02:00"], ["10:00-10:00"], ["a"], [5], None],
    "schedule.when_files": [-1, 65536, None, True],
    "schedule.when_bytes": [-1, 1073741824, None, True],
    "schedule.min_battery_mv": [-1, 20001, None, True],
    "schedule.min_signal": [-1, 32, None, True],
    "budget.day_bytes": [-1, 1073741824, None, True],
    "budget.cycle_bytes": [-1, 1073741824, None, True],
    "link.hold_s": [-1, 61, None, True],
    "link.restart_after_s": [-1, 604801, None, True],
    "clock.source": ["gps", None, True],
    "clock.ntp_host": ["x" * 256, None, 5],
    "run.thread": [0, 1, None, "yes"],
    "run.watchdog_s": [1, 60, "300", None, True],
    "power.sleep": [0, 1, None, "yes"],
    "power.psm_tau_s": [-1, 35712001, None, True],
    "power.psm_active_s": [1, 11161, None, True],
    "status.to": ["../x", "x" * 201, 5, None, "{imai}"],
    "status.every": [0, 65536, None, True],
    "retry.base_s": [0, 3601, None, True],
    "retry.cap_s": [0, 86401, None],
    "failover.after": [0, 1001, "2"],
    "failover.return_s": [59, 604801, None],
    "storage.reserve_blocks": [-1, 1025, None, True],
    "storage.when_full": ["delete", None, True, 0],
    "storage.low_blocks": [-1, 65536, None, True],
    "log.level": ["INFO", "trace", None, 1, ["info"]],
}
GOOD = {
    "device.id": ["", "a-B_9.x", "x" * 64],
    "server.host": ["h", "192.0.2.1", "x" * 255],
    "server.port": [1, 65535],
    "server.user": ["", "x" * 128, "m\u00fcller", "a b"],
    "server.password": ["", "p\u00e4ss \"' {}", "x" * 128],
    "server.account": ["", "x" * 128],
    "server.tls": ["off", "explicit", "implicit", "control-only"],
    "server.tls_pin": ["", "0" * 64, "AbCdEf01" * 8, ":".join(["ab"] * 32)],
    "server.talk_first": [True, False],
    "server.sessions": [1, 2],
    "server.verify": ["none", "marker"],
    "server.mode": ["active", "passive"],
    "server.timeout_s": [5, 10, 15, 20],
    "upload.from": ["", "/usr/", "/usr/data", "/sd/a..b", "/" + "x" * 199],
    "upload.to": [
        "",
        "/abs",
        "a/{device}/b",
        "{dir}/{stem}-{seq}-{boot}{ext}",
        "{date}/{time}/{imei}/{path}{name}",
        "x" * 200,
    ],
    "upload.include": [[], ["*.txt", "logs/"], ["x"] * 32],
    "upload.after": ["delete"],
    "upload.drop_unsent": [True],
    "download.from": ["", "a/b"],
    "download.to": ["/usr/in"],
    "schedule.every_s": [10, 604800],
    "schedule.windows": [[], ["22:00-06:00", "12:00-24:00"], ["00:00-00:01"]],
    "run.watchdog_s": [0, 1800],
    "retry.cap_s": [1, 86400],
    "failover.after": [1, 1000],
    "failover.return_s": [60, 604800],
    "storage.reserve_blocks": [0, 1024],
    "storage.when_full": ["drop"],
    "storage.low_blocks": [0, 65535],
    "log.level": ["debug", "error"],
}


SECRETS = {row[0] for row in SCHEMA if row[1] == "secret"}


def test_every_key_has_bad_samples():
    assert set(BAD) | SECRETS == {row[0] for row in SCHEMA}


# Words of the answer, where they are not the limits of the schema's row; () stands for the upper limit alone.
ALLOWED = {
    "bool": ("true", "false"),
    "hex": ("64 hex digits",),
    **dict.fromkeys(("name", "token", "text", "list", "remote", "template", "windows"), ()),
}


@pytest.mark.parametrize("key", BAD)
def test_bad_value_is_answered_with_key_value_and_what_is_allowed(key):
    section, name = key.split(".")
    _, kind, _, limits, _, words = next(row for row in SCHEMA if row[0] == key)
    for value in BAD[key]:
        problem = problem_of(**{section: {name: value}})
        assert problem.startswith(key + ": ")
        assert json.dumps(value)[:60] in problem
        assert "it must be" in problem
        for limit in ALLOWED.get(kind, limits) or limits[1:]:
            assert str(limit) in problem
        assert words in problem
        assert "\n" not in problem


@pytest.mark.parametrize("key", GOOD)
def test_good_value_is_taken_as_it_is(key):
    section, name = key.split(".")
    for value in GOOD[key]:
        config = read(**{section: {name: value}})
        assert (config["upload"][0][name] if section == "upload" else config[key]) == value


def test_limits_of_texts_count_bytes():
    read(server={"user": "\u20ac" * 42})
    assert problem_of(server={"user": "\u20ac" * 43}).startswith("server.user")


# --- secrets


@pytest.mark.parametrize(
    "server",
    [
        {"password": "hunter2" + "x" * 128},
        {"account": "hunter2" + "x" * 128},
        {"password": "hunter2\n"},
        {"password": ["hunter2"]},
        {"pasword": "hunter2"},
        [{"host": "h", "password": "hunter2" + "x" * 128}],
        ["hunter2"],
    ],
    ids=["too long", "account", "control character", "no text", "mistyped key", "in a list", "a text for a server"],
)
def test_the_password_is_never_printed(server):
    assert "hunter2" not in str(problems_of({"server": server}))


# --- everything at once


def test_all_problems_at_once():
    problems = problems_of(
        {
            "server": {"port": 99999, "hots": "h", "password": 5},
            "upload": [{"from": "usr"}, {"after": "burn"}, 7],
            "downlod": {},
            "log": [],
        }
    )
    starts = ["downlod:", "server.hots:", "server.host ", "server.port:", "server.password:"]
    starts += ["upload[0].from:", "upload[1].after:", "upload[2]:", "log:"]
    assert len(problems) == len(starts)
    for start in starts:
        assert [p for p in problems if p.startswith(start)], start


def test_the_error_text_has_every_problem_and_says_what_to_do():
    with pytest.raises(ConfigError) as caught:
        parse(b'{"server": {"port": 0, "mode": "x"}}')
    for problem in caught.value.problems:
        assert problem in str(caught.value)
    assert len(caught.value.problems) == 3
    assert "config.json" in caught.value.advice


# --- unknown keys


@pytest.mark.parametrize(
    ("section", "key", "near"),
    [("server", "prot", "port"), ("server", "pasword", "password"), ("schedule", "every", "every_s")],
)
def test_mistyped_key_gets_the_nearest_one(section, key, near):
    problem = problem_of(**{section: {key: 1}})
    assert problem == f"{section}.{key}: unknown key; did you mean {section}.{near}?"


def test_key_that_looks_like_none_gets_the_list():
    problem = problem_of(retry={"zzzzzzzzzzzzzzzz": 1})
    assert "known: base_s, cap_s" in problem


def test_mistyped_section_gets_the_nearest_one():
    assert problem_of(uplaod={}) == "uplaod: unknown section; did you mean upload?"


def test_mistyped_key_in_a_rule_names_the_rule():
    assert problem_of(upload=[{}, {"form": "/usr"}]).startswith(
        "upload[1].form: unknown key; did you mean upload[1].from?"
    )


@pytest.mark.parametrize(
    ("key", "near"), [("port", "port"), ("Port", "port"), ("por", "port"), ("xyzzyxyzzy", None), ("", None)]
)
def test_nearest(key, near):
    assert nearest(key, ["host", "port", "password"]) == near


# --- upload rules


def test_upload_as_one_object_is_one_rule():
    assert [rule["from"] for rule in read(upload={"from": "/sd"})["upload"]] == ["/sd"]


def test_upload_as_a_list_is_a_rule_each():
    config = read(upload=[{"from": "/sd", "after": "delete"}, {"to": "x"}])
    assert [(r["from"], r["to"], r["after"]) for r in config["upload"]] == [
        ("/sd", "{device}", "delete"),
        ("/usr", "x", "keep"),
    ]


def test_no_upload_rules_are_allowed():
    assert read(upload=[])["upload"] == []


# --- servers


def test_one_server_is_a_list_of_one_as_well():
    config = read(server={"user": "u"})
    assert [(s["host"], s["port"], s["user"]) for s in config["servers"]] == [("ftp.example.com", 21, "u")]


def test_the_flat_keys_are_of_the_first_of_several_servers():
    config = read(server=[{"host": "a", "port": 2121, "tls": "explicit"}, {"host": "b", "user": "u"}])
    assert (config["server.host"], config["server.port"], config["server.tls"]) == ("a", 2121, "explicit")
    assert [(s["host"], s["port"], s["user"], s["tls"]) for s in config["servers"]] == [
        ("a", 2121, "", "explicit"),
        ("b", 21, "u", "off"),
    ]


def test_a_problem_of_one_of_several_servers_says_of_which():
    problems = problems_of({"server": [{"host": "a"}, {"port": 0, "usr": "u"}, "c"]})
    assert [problem.split(" ")[0] for problem in problems] == [
        "server[1].usr:",
        "server[1].host",
        "server[1].port:",
        "server[2]:",
    ]


@pytest.mark.parametrize("count", [0, 5])
def test_a_list_of_servers_has_one_to_four(count):
    assert problem_of(server=[{"host": f"h{i}"} for i in range(count)]).startswith(f"server: {count} are given")


def test_the_same_server_twice_is_refused():
    servers = [{"host": "a", "user": "u"}, {"host": "b", "user": "u"}, {"host": "A", "port": 21, "user": "u"}]
    assert problem_of(server=servers).startswith("server[2]: is the same as server[0]")


def test_two_servers_that_the_ledger_could_not_tell_apart_are_refused(monkeypatch):
    monkeypatch.setattr("app.config.server_mark", lambda host, port, user: 7)
    assert problem_of(server=[{"host": "a"}, {"host": "b"}]).startswith("server[1]: is the same as server[0]")


@pytest.mark.parametrize("other", [{"host": "b"}, {"host": "a", "port": 22}, {"host": "a", "user": "v"}])
def test_servers_that_differ_in_host_or_port_or_user_are_two(other):
    assert len(read(server=[{"host": "a"}, other])["servers"]) == 2


def test_a_rule_that_needs_proof_is_refused_if_any_server_gives_none():
    problem = problem_of(server=[{"host": "a"}, {"host": "b", "verify": "none"}], upload={"mode": "append"})
    assert "server.verify = size" in problem


# --- the file


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b'{\n"server": {\n"host": "h",\n}\n}', 4),
        (b'{"server"', 1),
        (b"", 1),
        (b'{\n\n"server": nope}', 3),
        (b'{"log": {"level": "info"}}\n}', 2),
    ],
)
def test_broken_json_is_answered_with_its_line(raw, line):
    problems = problems_of(raw)
    assert len(problems) == 1
    assert f"broken JSON in line {line};" in problems[0]


def test_text_that_is_not_utf8_is_a_problem_of_the_file():
    assert "config.json" in problems_of(b'{"server": {"host": "\xff"}}')[0]


def test_oversize_file_is_refused_unread():
    assert str(TEXT_BYTES) in problems_of(b" " * (TEXT_BYTES + 1))[0]
    parse(json.dumps(HOST).encode().ljust(TEXT_BYTES))


@pytest.mark.parametrize("raw", [b"[]", b"null", b"5", b'"x"', b"true"])
def test_file_that_is_no_object_is_refused(raw):
    problem = problems_of(raw)[0]
    assert "must be an object" in problem
    assert "server" in problem


@pytest.mark.parametrize(
    "raw",
    [
        b'{"server": {"user": "\\ud800"}}',
        b"[" * 8000,
        b"[" * 4000 + b"]" * 4000,
        b'{"server": {"host": ' + b"[" * 4000 + b"]" * 4000 + b"}}",
    ],
)
def test_half_a_character_and_brackets_without_end_are_a_config_error(raw):
    with pytest.raises(ConfigError):
        parse(raw)


# --- settings that do not go together


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"after": "move"}, "move_to: is empty"),
        ({"after": "move", "move_to": "/sd/sent"}, "same mount"),
        ({"after": "move", "from": "/usr/a", "move_to": "/usr/a"}, "from: lies in move_to (/usr/a)"),
        ({"after": "move", "from": "/usr/a/b", "move_to": "/usr/a/"}, "from: lies in move_to (/usr/a/)"),
        ({"mode": "append", "after": "delete"}, "after: must be keep"),
        ({"mode": "append", "settle_s": 5}, "settle_s: has no effect"),
        ({"mode": "append", "cycle_files": 5}, "cycle_files: has no effect"),
        ({"mode": "batch", "cycle_bytes": 5}, "cycle_bytes: has no effect"),
        ({"mode": "batch", "on_conflict": "skip"}, "on_conflict: has no effect"),
        ({"mode": "batch", "to": "{device}/{date}"}, "to: must be a folder"),
        ({"mode": "batch", "to": "{name}.tar"}, "to: must be a folder"),
    ],
)
def test_rule_whose_settings_do_not_go_together_is_refused(rule, words):
    assert words in problem_of(upload=rule)
    assert words in problem_of(upload=[{}, rule])


def test_a_rule_that_would_send_what_another_has_moved_away_is_refused():
    rules = [{"from": "/usr/a", "after": "move", "move_to": "/usr/sent"}, {"from": "/usr/sent/more"}]
    assert "upload[1].from: lies in move_to (/usr/sent)" in problem_of(upload=rules)


@pytest.mark.parametrize(
    ("update", "download", "is_good"),
    [
        ("updates", "updates", False),
        ("updates/fleet", "/updates/", False),
        ("/updates", "updates", False),
        ("fleet", "/", False),
        ("updates2", "updates", True),
        ("fleet", "updates", True),
        ("updates", "", True),
        ("", "updates", True),
        ("fleet", "fleet/files-by-hand", True),
    ],
)
def test_a_manifest_is_not_looked_for_where_all_files_are_fetched_one_by_one(update, download, is_good):
    given = {"update": {"from": update}, "download": {"from": download}}
    if is_good:
        read(**given)
    else:
        assert "update.from: lies in download.from" in problem_of(**given)


@pytest.mark.parametrize("rule", [{"mode": "append"}, {"mode": "batch"}, {"on_conflict": "suffix"}])
def test_what_has_to_be_proved_is_refused_without_proof(rule):
    assert "needs server.verify = size" in problem_of(upload=rule, server={**HOST["server"], "verify": "none"})


@pytest.mark.parametrize(
    "rule",
    [
        {"after": "move", "move_to": "/usr/sent", "move_files": 9},
        {"after": "move", "from": "/usr/sentinel", "move_to": "/usr/sent"},
        {"from": ""},
        {"mode": "append", "max_bytes": 9, "whole_lines": False},
        {"mode": "batch", "to": "{device}/{imei}", "settle_s": 5, "after": "delete"},
    ],
)
def test_rule_whose_settings_go_together_is_taken(rule):
    taken = read(upload=rule)["upload"]
    assert [{key: found[key] for key in rule} for found in taken] == [rule]


# --- the status


@pytest.mark.parametrize("to", ["status/{date}.json", "{device}/{seq}", "{imei}{boot}.json", "{device}/{name}"])
def test_the_name_of_a_status_stays_the_same(to):
    assert "status.to" in (problem := problem_of(status={"to": to}))
    assert "{device} and {imei} only" in problem


@pytest.mark.parametrize("to", ["status.json", "status/{device}/"])
def test_a_status_is_a_file_of_its_own_for_each_module(to):
    assert "another one for each module" in problem_of(status={"to": to})


def test_a_status_is_proved_like_any_file():
    assert "status.to: needs server.verify = size" in problem_of(status={"to": "{device}"}, server={"verify": "none"})


@pytest.mark.parametrize("to", ["", "{device}.json", "a/{device}/{imei}/status.json"])
def test_good_names_of_a_status_are_taken(to):
    assert read(status={"to": to})["status.to"] == to
