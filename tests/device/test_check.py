# check() at the module's prompt, under MicroPython: what is wrong with the module itself, its settings and its worker.

import pytest

from tests.device.ferry import on_event_hook
from tests.servers.test_check import BOOT, HOPS, OPENING, STORING, Found, at_the_prompt
from tools.readme import README
from tools.sim import faults

SERVER = [*OPENING, *STORING, "updates"]


def test_a_module_without_sim_card_is_told_so_and_the_rest_is_looked_at(ferry, ftpd):
    found = at_the_prompt(ferry, sim_status=0)
    assert found.having("WRONG") == ["SIM"], found.text
    assert found.said["SIM"] == "no SIM card"
    assert "insert the SIM card" in found.advice["SIM"]
    assert found.having("-") == ["registration", "data call", *SERVER]
    assert found.marks["flash /usr"] == found.marks["clock"] == found.marks["watchdog"] == "ok"
    assert found.order == HOPS
    assert ftpd.commands == []


@pytest.mark.parametrize(
    ("world", "hop", "words"),
    [
        ({"sim_status": 2}, "SIM", "switch the PIN off"),
        ({"sim_status": 18}, "SIM", "wait"),
        ({"net_state": 3}, "registration", "is it activated"),
        ({"net_state": 2}, "registration", "check the antenna"),
        ({"pdp": 0}, "data call", "check the APN"),
    ],
)
def test_the_states_of_the_link_are_told_apart(ferry, world, hop, words):
    found = at_the_prompt(ferry, **world)
    assert found.having("WRONG") == [hop], found.text
    assert words in found.advice[hop]


@pytest.mark.parametrize(
    ("spec", "mark", "hop", "words"),
    [
        ("sim-missing", "WRONG", "SIM", "insert the SIM card"),
        ("attach-denied", "WRONG", "registration", "is it activated"),
        ("no-data-call", "WRONG", "data call", "check the APN"),
        ("dns-fail", "WRONG", "look-up", "DNS servers"),
        ("port-blocked", "WRONG", "connect", "firewall on the way drops server.port"),
        ("server-down", "WRONG", "connect", "is the FTP server running"),
        ("server-silent", "WRONG", "greeting", "no plain FTP server"),
        ("data-blocked", "WRONG", "data connection", "passive port range in its firewall"),
        ("flash-full", "WRONG", "flash /usr", "make room"),
        ("signal@3", "note", "signal", "antenna"),
        ("clock-unset", "note", "clock", "clock.source"),
        ("watchdog-fails", "note", "watchdog", "hangs"),
    ],
)
def test_each_fault_is_told_at_its_hop(ferry, spec, mark, hop, words):
    ferry.configure(upload={"to": "{device}"}, server={"host": "localhost"})
    found = at_the_prompt(ferry, faults=faults.parse(spec), speed=20)
    assert found.order == HOPS
    assert found.having("WRONG", "note")[:1] == [hop], found.text
    assert found.marks[hop] == mark
    assert words in found.advice[hop]
    assert len(found.having("WRONG")) == (mark == "WRONG"), found.text


def test_the_readme_shows_what_is_printed(ferry):
    shown = README.read_text(encoding="utf-8").split(">>> f.check()\n")[1].split("\n```")[0].split("\n")
    told = Found(False, shown)
    ferry.configure(upload={"to": "{device}"})
    found = at_the_prompt(ferry, faults=faults.parse("data-blocked"), speed=20)
    assert (told.order, told.marks, told.advice, told.end) == (found.order, found.marks, found.advice, found.end)
    assert told.said["data connection"] == found.said["data connection"]


def test_every_fault_of_the_settings_is_told_and_the_module_is_looked_at(ferry):
    ferry.configure(server={"port": 0, "timeout_s": 7})
    found = at_the_prompt(ferry)
    assert found.having("WRONG") == ["settings"], found.text
    assert "server.port: 0 is not allowed" in found.text
    assert "server.timeout_s: 7 is not allowed" in found.text
    assert "correct config.json" in found.advice["settings"]
    assert found.having("-") == [*SERVER, "watchdog"]
    assert found.marks["SIM"] == found.marks["data call"] == "ok"


def test_settings_that_are_missing_are_told(ferry):
    ferry.remove("config.json")
    found = at_the_prompt(ferry)
    assert "config.json is missing" in found.said["settings"]


def test_a_password_that_the_server_repeats_is_not_shown(ferry, ftpd):
    ftpd.on_command = lambda verb, argument, place: f"530 {argument} is wrong." if verb == "PASS" else None
    found = at_the_prompt(ferry)
    assert found.having("WRONG") == ["login"], found.text
    assert "*** is wrong" in found.said["login"]
    assert ftpd.password not in found.text


def test_a_short_password_shows_in_none_of_our_own_words(ferry):
    ferry.configure(server={"password": "no"})
    found = at_the_prompt(ferry)
    assert found.said["upload"] == "not tried"
    assert "***" not in found.text


@pytest.mark.parametrize(
    "variants",
    [
        {"check_net": "old", "eof": "107", "refused": "error", "getaddrinfo": "error", "accept": 2},
        {"check_net": "new", "eof": "empty", "refused": "looks_connected", "getaddrinfo": "empty", "accept": 3},
    ],
)
def test_firmware_variants_make_no_difference(ferry, ftpd, variants):
    assert at_the_prompt(ferry, variants=variants).is_well
    ferry.configure(server={"host": "not..a.name"})  # no resolver asks the network for this
    found = at_the_prompt(ferry, variants=variants)
    assert found.having("WRONG") == ["look-up"], found.text
    ferry.configure(server={"host": "127.0.0.1"})
    ftpd.down()
    found = at_the_prompt(ferry, variants=variants)
    assert found.having("WRONG") == ["connect"], found.text
    assert "is the FTP server running" in found.advice["connect"]


def test_a_server_that_opens_the_data_connection_passes(ferry, ftpd):
    ferry.configure(server={"mode": "active", "active_host": "127.0.0.1"})
    found = at_the_prompt(ferry)
    assert found.is_well, found.text
    assert found.said["data connection"].startswith("active")


def test_a_full_flash_is_wrong(ferry):
    ferry.put("big.bin", bytes(200_000))
    ferry.configure(upload={"from": ""})
    found = at_the_prompt(ferry, flash_blocks=ferry.blocks() + 4)
    assert found.said["upload"] == "upload.from is empty"
    assert found.having("WRONG") == ["flash /usr"], found.text
    assert "make room" in found.advice["flash /usr"]


def test_a_clock_that_was_never_set_is_worth_a_note(ferry):
    found = at_the_prompt(ferry, epoch_s=3600)
    assert found.having("note") == ["clock"], found.text
    assert found.is_well


@pytest.mark.parametrize(
    ("to", "folders"),
    [
        ("{device}", ["m1/"]),
        ("/fleet/{imei}", ["/fleet/861234050012345/"]),
        ("{device}/{date}/{stem}-{seq}{ext}", ["m1/"]),
        ("{device}-{name}", [""]),
        ("", [""]),
    ],
)
def test_the_file_goes_where_uploads_go(ferry, ftpd, to, folders):
    ferry.configure(upload={"to": to})
    found = at_the_prompt(ferry)
    assert found.is_well, found.text
    assert [name[: name.rfind("/") + 1] for name in ftpd.arguments("STOR")] == folders
    assert ftpd.files() == {}


def test_each_folder_of_several_rules_gets_its_file(ferry, ftpd):
    ferry.configure(upload=[{"from": "/usr/a", "to": "a"}, {"from": "/usr/b", "to": "b/c"}, {"from": ""}])
    found = at_the_prompt(ferry)
    assert found.is_well, found.text
    assert [name[: name.rfind("/")] for name in ftpd.arguments("STOR")] == ["a", "b/c"]
    assert sorted(path.name for path in ftpd.root.iterdir()) == ["updates"]


def test_a_manifest_is_looked_for(ferry, ftpd):
    ferry.configure(update={"from": "updates"}, download={"from": ""})
    found = at_the_prompt(ferry)
    assert found.having("note") == ["updates"], found.text
    assert "no manifest in updates" in found.advice["updates"]
    ftpd.put("updates/manifest", b"{}")
    assert "unsigned ones are taken" in at_the_prompt(ferry).said["updates"]
    ferry.configure(update={"key": "0123456789abcdef"})
    assert "signatures are checked" in at_the_prompt(ferry).said["updates"]


BESIDE = """
if kind == "cycle" and data[0]["number"] == 1:
    from app.check import check
    from app import running
    own = self._session
    print("check says", check(running))
    print("watchdog", _world._watchdog[0], "session", self._session is own)
"""


def test_beside_the_worker_its_watchdog_stays_and_its_cycles_go_on(ferry, ftpd):
    ferry.put("a.txt", b"a")
    boot = ferry.boot(2, before=on_event_hook(BESIDE))
    assert "check says True" in boot.lines, boot.text
    assert "watchdog 300000 session True" in boot.lines
    assert [cycle["ok"] for cycle in boot.cycles] == [True, True]
    assert ftpd.files("m1") == {"a.txt": b"a"}


UNASKED = BESIDE.replace("check(running)", "check()")


def test_a_worker_that_runs_is_found_by_itself(ferry):
    boot = ferry.boot(1, before=on_event_hook(UNASKED))
    assert "check says True" in boot.lines, boot.text
    assert "watchdog 300000 session True" in boot.lines


def test_a_watchdog_that_was_only_tried_does_not_stay(ferry):
    boot = ferry.boot(main=BOOT + "import _world\nprint('watchdog', _world._watchdog)\n")
    assert boot.lines[-1] == "watchdog None"


HELD = """
import gc, usys
usys.path.append("/usr")
import _world
def rest(when):
    gc.collect()
    print(when, gc.mem_alloc(), len(_world.sockets), [n for n in usys.modules if n in LOADED])
from app.check import LOADED, check
import app.start, app.proto.session, app.platform.sockets, app.platform.quec
rest("before")
for _ in range(8):
    assert check(None, print)
    rest("after")
"""


def test_nothing_is_held_when_it_is_over(ferry):
    ferry.compile()
    boot = ferry.boot(main=HELD)
    rests = [line.split(" ", 3) for line in boot.lines if line.split(" ")[0] in ("before", "after")]
    assert len(rests) == 9, boot.text
    assert {(sockets, modules) for _, _, sockets, modules in rests} == {("0", "[]")}
    allocated = [int(count) for _, count, _, _ in rests]
    assert allocated[-1] - allocated[1] < 256, allocated
