"""The status and the log of a module on real servers: when they go, what they cost, and that nothing is harmed where they cannot."""

import json

import pytest

from app import VERSION
from app.errors import AuthError
from app.worker import note_restart
from tests.ftpd.sane import Sane
from tests.servers.test_failover import Servers, down
from tests.world import DEVICE, FAST, Mains
from tools.ftpd.faults import CONTROL, DATA, DOWN, UP, Fault
from tools.ftpd.proxy import Proxy

EVERY = 5
SETTINGS = {"status.to": "status/{device}.json", "status.every": EVERY}
NAME = "status/m1.json"
IDLE_TRIPS = 3
STATUS_TRIPS = 4  # where its first flight is that of the login
AFTER_OTHERS_TRIPS = 5
QUESTION_BYTES = 120  # command and reply
DELAY_MS = 10  # one way, as in test_round_trips.py
IDLE_S = 5
SECRET = "hunter2"
SPEED = 5  # real servers need up to a second for a greeting on a busy machine


def settings_for(ftpd, **more):
    return {"server.user": ftpd.user, "server.password": ftpd.password, **SETTINGS, **more}


def status_on(ftpd):
    return json.loads((ftpd.root / NAME).read_bytes())


def names_on(ftpd):
    return sorted(path.name for path in (ftpd.root / "status").iterdir())


def told_by(server):
    """The status on a server with files in memory."""
    return json.loads(server.files[NAME])


def warnings_of(world):
    return [line for line in world.log if " warning " in line or " error " in line]


class Refusal:
    """An override of STOR that answers with `reply` to all but the status and the log, or stores where it is empty."""

    def __init__(self, reply):
        self.reply = reply

    def __call__(self, session, name):
        if name.startswith("status/") or not self.reply:
            session.normal("STOR", name)
        else:
            session.send(self.reply)


# --- when it goes, and what it costs


def test_a_boot_sends_a_status_and_an_idle_cycle_behind_it_costs_what_it_did(world, ftpd):
    manager = world.manager(ftpd, settings_for(ftpd))
    first = manager.run_cycle(61_000)
    assert first.ok
    told = status_on(ftpd)
    assert (told["device"], told["version"], told["cycle"], told["uptime_s"]) == (DEVICE, VERSION, 1, 61)
    assert (told["error"], told["boots"], told["signal"], told["power_on"]) == (None, 1, 21, "power key")
    assert told["server"] == f"{ftpd.host}:{ftpd.port}"
    assert names_on(ftpd) == ["m1.json"]
    assert first.counts.round_trips == IDLE_TRIPS + STATUS_TRIPS
    for cycle in range(2, 1 + EVERY):
        result = manager.run_cycle(61_000 * cycle)
        assert result.ok
        assert result.counts.round_trips == IDLE_TRIPS
    assert status_on(ftpd) == told
    flash = {path: path.read_bytes() for path in world.usr.rglob("*") if path.is_file()}
    manager.run_cycle()
    assert status_on(ftpd)["cycle"] == 1 + EVERY
    assert {path: path.read_bytes() for path in world.usr.rglob("*") if path.is_file()} == flash


def test_on_the_wire_the_question_for_the_log_is_all_that_an_idle_cycle_has_more(world, ftpd, tell):
    counts = []
    with Proxy(ftpd.host, ftpd.port, delay_ms=DELAY_MS) as proxy:
        for settings in ({"status.to": ""}, {}):
            manager = world.manager(proxy, settings_for(ftpd, **settings))
            manager.run_cycle()
            proxy.wait_idle(IDLE_S)
            proxy.reset_counts()
            assert manager.run_cycle().ok
            proxy.wait_idle(IDLE_S)
            counts.append(proxy.counts())
    without, with_status = counts
    more_bytes = with_status.wire_bytes - without.wire_bytes
    tell(f"{ftpd.name:10} an idle cycle with a status: {with_status.round_trips} round trips, {more_bytes} bytes more")
    assert without.round_trips == with_status.round_trips == IDLE_TRIPS
    assert 0 < more_bytes <= QUESTION_BYTES


def test_the_question_rides_where_an_update_is_looked_for(world, ftpd):
    manager = world.manager(ftpd, settings_for(ftpd, **{"update.from": "updates", "download.from": ""}))
    assert manager.run_cycle().counts.round_trips == IDLE_TRIPS + AFTER_OTHERS_TRIPS
    result = manager.run_cycle()
    assert result.ok
    assert result.counts.round_trips == IDLE_TRIPS


def test_a_new_boot_tells_itself_over_the_old_status(world, ftpd):
    for boot in (1, 2):
        assert world.cycle(ftpd, settings_for(ftpd)).ok
        assert status_on(ftpd)["boots"] == boot
        assert names_on(ftpd) == ["m1.json"]


def test_uploads_alone_are_no_news(world, ftpd):
    manager = world.manager(ftpd, settings_for(ftpd))
    manager.run_cycle()
    told = status_on(ftpd)
    world.put("a", b"1")
    assert manager.run_cycle().up_count == 1
    assert status_on(ftpd) == told


def test_the_first_good_cycle_after_failed_ones_tells_what_was_wrong(world):
    busy = b"421 Too busy.\r\n"
    with Sane(override={"USER": [None, busy, busy]}) as server:
        manager = world.manager(server, SETTINGS)
        manager.run_cycle()
        assert not manager.run_cycle().ok
        assert not manager.run_cycle().ok
        assert told_by(server)["cycle"] == 1
        assert manager.run_cycle().ok
        told = told_by(server)
        assert told["cycle"] == 4
        assert told["last_good"] == 1
        error = told["error"]
        assert (error["cycle"], error["count"], error["class"], error["code"]) == (3, 2, "TempReply", 421)
        assert "Too busy" in error["text"]
        assert "busy or shutting down" in error["advice"]
        manager.run_cycle()
        assert told_by(server)["cycle"] == 4


def test_a_failure_that_stays_is_told_when_it_comes_and_when_it_is_over(world):
    refusal = Refusal(b"450 In use.\r\n")
    with Sane(override={"STOR": refusal}) as server:
        manager = world.manager(server, {**SETTINGS, "status.every": 100})
        manager.run_cycle()
        world.put("a", b"1")
        cycles = [told_by(server)["cycle"] for _ in range(4) if not manager.run_cycle().ok]
        assert cycles == [2, 2, 2, 2]
        queue = told_by(server)["queue"]
        assert queue == {"count": 1, "files": [["/usr/data/a", "450 In use."]]}
        refusal.reply = b""
        assert manager.run_cycle().ok
        told = told_by(server)
        assert (told["cycle"], told["error"]["cycle"], told["error"]["count"]) == (6, 5, 4)
        assert told["queue"] == {"count": 0, "files": []}


def test_a_parked_file_is_told_with_its_reason_and_once_it_went_that_it_did(world):
    refusal = Refusal(b"553 Not that name.\r\n")
    with Sane(override={"STOR": refusal}) as server:
        manager = world.manager(server, {**SETTINGS, "status.every": 100})
        manager.run_cycle()
        world.put("a", b"1")
        assert manager.run_cycle().ok
        told = told_by(server)
        assert told["cycle"] == 2
        assert told["parked"] == {"count": 1, "files": [["/usr/data/a", "553 Not that name."]]}
        manager.run_cycle()
        assert told_by(server)["cycle"] == 2
        refusal.reply = b""
        world.put("a", b"22")
        assert manager.run_cycle().up_count == 1
        assert told_by(server)["cycle"] == 4
        assert told_by(server)["parked"] == {"count": 0, "files": []}


def test_a_restart_is_told_with_its_reason(world):
    with Sane() as server:
        note_restart(world._files, "boot 7: no link for 3.0 h", [])
        world.cycle(server, SETTINGS)
        assert told_by(server)["restarts"] == ["boot 7: no link for 3.0 h"]


def test_a_cycle_that_had_to_wait_is_told_once(world, monkeypatch):
    battery_mv = [3300, 3300]
    monkeypatch.setattr(Mains, "battery_mv", lambda self: battery_mv.pop() if battery_mv else 4100)
    with Sane() as server:
        worker = world.worker(server, {**SETTINGS, "status.every": 1, "schedule.min_battery_mv": 3500})
        worker._rest(0)
        worker.turn()
        assert told_by(server)["waited_for"] == "the battery has 3300 mV"
        worker.turn()
        assert (told_by(server)["cycle"], told_by(server)["waited_for"]) == (2, "")


def test_another_server_gets_its_own_status_whatever_the_first_one_refused(world):
    with Sane(override={"STOR": [b"553 No.\r\n"]}) as first, Sane() as second:
        manager = Servers(world, [first, second], **SETTINGS).manager
        assert manager.run_cycle().ok
        assert NAME not in first.files
        down(first)
        while not manager.run_cycle().ok:
            assert NAME not in second.files
        assert told_by(second)["server"] == f"{second.host}:{second.port}"
        assert told_by(second)["error"]["class"] in ("TransportError", "ConnectionClosed")


# --- where it does not go


CUTS = {
    "before its bytes": Fault(DATA, "rst", after_bytes=0, nth=1, is_link=True),
    "in its bytes": Fault(DATA, "fin", UP, after_bytes=300, nth=1, is_link=True),
    "before its size": Fault(CONTROL, "rst", UP, verb="SIZE", occurrence=2, is_link=True),
    "before the rename": Fault(CONTROL, "rst", UP, verb="RNTO", is_link=True),
    "behind the rename": Fault(CONTROL, "rst", DOWN, reply="250", is_link=True),
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_leaves_the_old_status_or_the_new_one_and_a_good_cycle(world, ftpd, cut):
    assert world.cycle(ftpd, settings_for(ftpd)).ok
    with Proxy(ftpd.host, ftpd.port, [CUTS[cut]]) as proxy:
        manager = world.manager(proxy, settings_for(ftpd), speed=SPEED)
        assert manager.run_cycle().ok
        assert status_on(ftpd)["boots"] in ((1, 2) if cut == "behind the rename" else (1,))
        proxy.clear_faults()
        assert manager.run_cycle().ok
        proxy.wait_idle(IDLE_S)
    assert (status_on(ftpd)["boots"], status_on(ftpd)["cycle"]) == (2, 2)
    assert names_on(ftpd) == ["m1.json"]


def test_a_folder_that_the_server_refuses_fails_nothing_and_is_told_once(world, ftpd):
    (ftpd.root / "status").write_bytes(b"a file, not a folder")
    world.put("a", b"1")
    manager = world.manager(ftpd, settings_for(ftpd))
    results = [manager.run_cycle() for _ in range(EVERY)]
    assert [result.ok for result in results] == [True] * EVERY
    assert [result.counts.round_trips for result in results[2:]] == [IDLE_TRIPS] * (EVERY - 2)
    assert len([line for line in warnings_of(world) if NAME in line]) == 1
    (ftpd.root / "status").unlink()
    while not (ftpd.root / "status").exists():
        assert manager.run_cycle().number <= 2 * EVERY + 2
    assert names_on(ftpd) == ["m1.json"]


def test_a_status_that_always_fails_in_passing_is_tried_thrice_and_then_waits_its_turn(world):
    with Sane(override={"STOR": b"452 Disk full.\r\n"}) as server:
        manager = world.manager(server, SETTINGS)
        tries = [manager.run_cycle().counts.round_trips > IDLE_TRIPS for _ in range(3 + EVERY)]
    assert tries == [True] * 3 + [False] * (EVERY - 1) + [True]
    assert len(warnings_of(world)) == 1


def test_a_folder_that_was_removed_is_made_again(world, ftpd):
    manager = world.manager(ftpd, settings_for(ftpd))
    manager.run_cycle()
    (ftpd.root / NAME).unlink()
    (ftpd.root / "status").rmdir()
    for _ in range(EVERY + 1):
        assert manager.run_cycle().ok
    assert names_on(ftpd) == ["m1.json"]


def test_a_server_without_size_gets_neither_status_nor_log(world):
    with Sane({"status/m1.logreq": b""}, {"SIZE": b"502 No.\r\n"}) as server:
        assert world.cycle(server, SETTINGS).ok
        assert [name for name in server.files if not name.endswith(".part")] == ["status/m1.logreq"]


def test_a_short_status_never_gets_its_name(world):
    def short(session, name):
        session.send(b"150 Go ahead.\r\n")
        session.files[name] = session.receive_data()[:100]
        session.send(b"226 Stored.\r\n")

    with Sane(override={"STOR": [short]}) as server:
        manager = world.manager(server, SETTINGS)
        assert manager.run_cycle().ok
        assert NAME not in server.files
        assert manager.run_cycle().ok
        assert told_by(server)["cycle"] == 2
        assert list(server.files) == [NAME]


def test_a_temp_name_that_the_server_keeps_locked_is_left_for_the_other_one_and_removed(world):
    locked = []

    def lock(session, name):
        locked.append(name)
        if name == locked[0]:
            session.silence()
        session.normal("STOR", name)

    with Sane(override={"STOR": lock}) as server:
        manager = world.manager(server, SETTINGS, speed=FAST)
        assert manager.run_cycle().ok
        server.files[locked[0]] = b"of the session that is gone"
        assert manager.run_cycle().ok
        assert told_by(server)["cycle"] == 2
        assert list(server.files) == [NAME]


def test_a_server_that_does_not_rename_over_a_file_gets_the_new_status_all_the_same(world):
    def rename(session, name):
        if name in session.files:
            session.send(b"553 It exists.\r\n")
        else:
            session.normal("RNTO", name)

    with Sane(override={"RNTO": rename}) as server:
        for boot in (1, 2):
            assert world.cycle(server, SETTINGS).ok
            assert told_by(server)["boots"] == boot


def test_a_login_that_is_refused_is_no_matter_of_the_status(world):
    with Sane(override={"PASS": b"530 Login incorrect.\r\n"}) as server:
        manager = world.manager(server, SETTINGS)
        result = manager.run_cycle()
    assert isinstance(result.error, AuthError)
    assert manager.state == "HALT"


def test_one_command_at_a_time_carries_it_too(world):
    with Sane() as server:
        manager = world.manager(server, SETTINGS)
        manager._facts.flights = False
        assert manager.run_cycle().ok
        assert manager.run_cycle().ok
        assert told_by(server)["cycle"] == 1


# --- the log


def test_the_log_is_sent_once_for_a_request_and_the_request_is_removed(world, ftpd):
    note_restart(world._files, "boot 1: it died", ["the line before the restart"])
    manager = world.manager(ftpd, settings_for(ftpd))
    manager.run_cycle()
    (ftpd.root / "status" / "m1.logreq").touch()
    assert manager.run_cycle().ok
    assert names_on(ftpd) == ["m1.json", "m1.log"]
    lines = (ftpd.root / "status" / "m1.log").read_text().split("\n")
    assert lines[0].startswith(f"Ferry {VERSION}, m1, boot 1, cycle 2, 20")
    assert lines[1:3] == ["the line before the restart", "--- since the last restart"]
    assert any("IDLE -> ROOM" in line for line in lines[3:])
    (ftpd.root / "status" / "m1.log").unlink()
    result = manager.run_cycle()
    assert result.ok
    assert result.counts.round_trips == IDLE_TRIPS
    assert names_on(ftpd) == ["m1.json"]


def test_a_request_is_answered_in_the_cycle_of_a_status_too(world, ftpd):
    (ftpd.root / "status").mkdir()
    (ftpd.root / "status").chmod(0o777)
    (ftpd.root / "status" / "m1.logreq").touch()
    assert world.cycle(ftpd, settings_for(ftpd)).ok
    assert names_on(ftpd) == ["m1.json", "m1.log"]


def test_a_request_that_cannot_be_removed_is_not_answered_in_every_cycle(world):
    with Sane({"status/m1.logreq": b""}, {"DELE": b"550 No.\r\n"}) as server:
        manager = world.manager(server, SETTINGS)
        for _ in range(EVERY):
            assert manager.run_cycle().ok
        logs = [line for line in server.commands if line.startswith("STOR ") and line.endswith(".m1.log.part")]
        assert len(logs) == 1
    assert len([line for line in warnings_of(world) if ".log does not go" in line]) == 1


def test_the_names_of_a_status_without_json(world):
    with Sane({"m1/status.logreq": b""}) as server:
        assert world.cycle(server, {"status.to": "{imei}/{device}/status"}).ok
        assert not [name for name in server.files if name.endswith(".log")]
        server.files["860000000000000/m1/status.logreq"] = b""
        assert world.cycle(server, {"status.to": "{imei}/{device}/status"}).ok
        assert "860000000000000/m1/status.log" in server.files


def test_secrets_that_a_server_repeats_are_in_neither(world):
    world.put("a", b"1")
    world.put("b-" + SECRET, b"1")
    note_restart(world._files, "boot 1: " + SECRET, ["line with " + SECRET])
    refusal = f"553 {SECRET} may not.\r\n".encode()
    with Sane({"status/m1.logreq": b""}, {"STOR": Refusal(refusal), "USER": [b"421 " + refusal[4:]]}) as server:
        manager = world.manager(server, SETTINGS)
        manager._log.set_secrets([SECRET])
        manager.run_cycle()
        assert manager.run_cycle().ok
        told = told_by(server)
        assert told["parked"]["files"][0] == ["/usr/data/a", "553 *** may not."]
        assert "***" in told["error"]["text"]
        sent = {name: raw for name, raw in server.files.items() if name.startswith("status/")}
        assert sorted(sent) == [NAME, "status/m1.log"]
        assert SECRET.encode() not in b"".join(sent.values())
