# Connections that die and servers that refuse: the next cycles complete, nothing is lost, nothing is ever half there.
import itertools
import random

import pytest

from tests.device.ferry import DEVICE, interrupt, on_event_hook
from tests.device.ftpd import DROP, KILL

BIG = random.Random(2).randbytes(600_000)
HOUR_MS = 3_600_000

# An hour of rest in few steps: each of them costs a millisecond.
LONG_SLICES = on_event_hook("pass") + "import ftp_manager\nftp_manager.SLICE_MS = 100000\n"


class Witness:
    """Notes every content that was ever seen under a final name: on the server, and on the module."""

    def __init__(self, ferry, ftpd, versions):
        self._ferry, self._ftpd, self._versions = ferry, ftpd, versions
        self.wrong = set()
        ftpd.on_step = self.look

    def look(self):
        seen = {f"server: {name}": (name, content) for name, content in self._ftpd.files(DEVICE).items()}
        seen.update((f"module: {name}", (name, content)) for name, content in self._ferry.files().items())
        for where, (name, content) in seen.items():
            if not name.endswith(".part") and content not in self._versions.get(name, ()):
                self.wrong.add(where)


def kill_once(ftpd, direction, at_bytes):
    """Kill the server as soon as so many bytes have moved."""

    def on_data(moved, total):
        if moved == direction and total >= at_bytes:
            ftpd.on_data = None
            return KILL
        return None

    ftpd.on_data = on_data


@pytest.mark.parametrize("at_bytes", [1, 100_000, 300_000, 500_000])
def test_an_upload_goes_on_where_it_was_cut(ferry, ftpd, at_bytes):
    ferry.put("a.txt", b"small")
    ferry.put("big.bin", BIG)
    witness = Witness(ferry, ftpd, {"a.txt": [b"small"], "big.bin": [BIG]})
    kill_once(ftpd, "up", at_bytes)
    ferry.boot(2)
    assert "big.bin" not in ftpd.files(DEVICE)
    ftpd.restart()
    ferry.sync()
    assert ftpd.files(DEVICE) == {"a.txt": b"small", "big.bin": BIG}
    assert witness.wrong == set()
    assert ftpd.moved["up"] < 1.1 * (len(BIG) + 5)
    if at_bytes >= 100_000:
        assert len(ftpd.arguments("APPE")) == 1


@pytest.mark.parametrize("at_bytes", [1, 100_000, 300_000, 500_000])
def test_a_download_goes_on_where_it_was_cut(ferry, ftpd, at_bytes):
    ftpd.put("updates/big.bin", b"old")
    ferry.sync()
    ftpd.put("updates/big.bin", BIG)
    ftpd.forget()
    witness = Witness(ferry, ftpd, {"big.bin": [b"old", BIG]})
    kill_once(ftpd, "down", at_bytes)
    ferry.boot(2, on_event=lambda event, process: witness.look())
    assert ferry.files() == {"big.bin": b"old"}
    sent = ftpd.moved["down"]
    ftpd.restart()
    ferry.sync()
    assert ferry.files() == {"big.bin": BIG}
    assert witness.wrong == set()
    assert ferry.state_files() == ["ledger"]
    if sent >= 400_000:  # what the server's socket took before the cut is not what the module got
        assert ftpd.arguments("REST") != []


def test_an_upload_goes_on_in_the_same_boot_after_some_cycles_without_a_server(ferry, ftpd):
    ferry.put("big.bin", BIG)
    witness = Witness(ferry, ftpd, {"big.bin": [BIG]})
    kill_once(ftpd, "up", 300_000)
    failures = []

    def on_event(event, process):
        if event["kind"] == "cycle":
            failures.append(event["data"][0]["error"])
            if len(failures) == 5:
                ftpd.up()
            if failures[-1] is None:
                interrupt(process)

    boot = ferry.boot(0, on_event=on_event)
    assert boot.status == 130
    assert len(failures) > 5
    assert ftpd.files(DEVICE) == {"big.bin": BIG}
    assert witness.wrong == set()
    assert ftpd.moved["up"] < 1.1 * len(BIG)


# The link goes under the module once, in the middle of a transfer: no reply can be read any more. Then it is back.
LOSE_LINK = "lost = []\n" + on_event_hook(
    """
if kind == "progress" and data[0] > 300000 and not lost:
    lost.append(1)
    _world.drop_link()
if kind == "cycle":
    _world.raise_link(0)
"""
)


def test_an_upload_goes_on_where_the_link_was_lost(ferry, ftpd):
    ftpd.is_late = True
    ferry.put("big.bin", BIG)
    boot = ferry.boot(3, before=LOSE_LINK)
    assert boot.cycles[-1]["ok"], boot.text
    assert ftpd.files(DEVICE)["big.bin"] == BIG
    assert ftpd.moved["up"] < 1.1 * len(BIG)


def test_an_upload_that_lost_its_link_leaves_no_temp_name(ferry, ftpd):
    ftpd.is_late = True
    ferry.put("big.bin", BIG)
    boot = ferry.boot(3, before=LOSE_LINK)
    assert boot.cycles[-1]["ok"], boot.text
    assert ftpd.files(DEVICE) == {"big.bin": BIG}


def test_a_download_goes_on_where_the_link_was_lost(ferry, ftpd):
    ftpd.put("updates/big.bin", BIG)
    boot = ferry.boot(3, before=LOSE_LINK)
    assert boot.cycles[-1]["ok"], boot.text
    assert ferry.files() == {"big.bin": BIG}
    assert len(ftpd.arguments("REST")) == 1


def test_a_link_that_is_cut_again_and_again_still_gets_everything_through(ferry, ftpd):
    ferry.put("big.bin", BIG)
    ftpd.put("updates/other.bin", BIG[::-1])
    witness = Witness(ferry, ftpd, {"big.bin": [BIG], "other.bin": [BIG[::-1]]})
    limits = iter(range(90_000, 600_000, 90_000))
    cut_at = [next(limits)]

    def on_data(direction, total):
        if direction == "up" and cut_at[0] and total >= cut_at[0]:
            cut_at[0] = next(limits, None)
            ftpd.kill()
            ftpd.up()

    ftpd.on_data = on_data
    boot = ferry.boot(10)
    assert boot.cycles[-1]["ok"]
    assert ftpd.files(DEVICE) == {"big.bin": BIG}
    assert ferry.files() == {"big.bin": BIG, "other.bin": BIG[::-1]}
    assert witness.wrong == set()


VERBS = ["USER", "PASS", "TYPE", "MKD", "EPSV", "STOR", "SIZE", "RNFR", "RNTO", "MLSD", "RETR", "QUIT"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_killed_at_any_command_costs_nothing_but_time(ferry, ftpd, verb):
    ferry.put("a.txt", b"a" * 5000)
    ferry.put("b.txt", b"b")
    ftpd.put("updates/c.txt", b"c")
    witness = Witness(ferry, ftpd, {"a.txt": [b"a" * 5000], "b.txt": [b"b"], "c.txt": [b"c"]})
    ftpd.on_command = lambda heard, argument, place: KILL if heard == verb else None
    ferry.boot()
    ftpd.on_command = None
    ftpd.restart()
    boot = ferry.boot(3)
    assert boot.cycles[-1]["ok"]
    assert ftpd.files(DEVICE) == {"a.txt": b"a" * 5000, "b.txt": b"b"}
    assert ferry.files() == {"a.txt": b"a" * 5000, "b.txt": b"b", "c.txt": b"c"}
    assert witness.wrong == set()


@pytest.mark.parametrize("verb", ["RNTO", "DELE"])
def test_a_rename_whose_reply_was_lost_is_not_sent_again(ferry, ftpd, verb):
    ferry.put("a.txt", b"a" * 50_000)
    done = []

    def after(*_):
        if done:
            ftpd.kill()
            done.clear()
            ftpd.on_step = None

    def on_command(heard, argument, place):
        if heard == verb:
            done.append(heard)
            ftpd.on_step = after  # the command takes effect first

    ftpd.on_command = on_command
    ferry.boot()
    ftpd.on_command = None
    ftpd.restart()
    ferry.sync(2)
    assert ftpd.files(DEVICE) == {"a.txt": b"a" * 50_000}
    assert ftpd.moved["up"] == 50_000


def test_a_wrong_password_is_tried_once_an_hour_and_works_as_soon_as_it_is_right(ferry, ftpd):
    ferry.put("a.txt", b"a")
    right, ftpd.password = ftpd.password, "another one"

    def on_command(verb, argument, place):
        if verb == "PASS" and len(ftpd.arguments("PASS")) == 4:
            ftpd.password = right

    ftpd.on_command = on_command
    boot = ferry.boot(4, before=LONG_SLICES)
    resting = [state for state in boot.states if state in ("HALT", "IDLE", "BACKOFF")]
    assert resting == ["IDLE", "HALT", "HALT", "HALT", "IDLE"]
    logins = [event["ms"] for event in boot.events if event["kind"] == "state" and event["data"][2] == "SESSION"]
    assert len(ftpd.arguments("PASS")) == 4
    assert all(later - earlier >= HOUR_MS for earlier, later in itertools.pairwise(logins))
    assert ftpd.files(DEVICE) == {"a.txt": b"a"}
    assert boot.errors[0][0] == "AuthError"


def test_a_wrong_password_halts_also_where_there_is_nothing_to_send(ferry, ftpd):
    ftpd.password = "another one"
    boot = ferry.boot()
    assert boot.states[-1] == "HALT"
    assert boot.errors[0][0] == "AuthError"
    assert len(ftpd.arguments("PASS")) == 1


def test_a_server_that_is_busy_at_login_is_tried_again_soon(ferry, ftpd):
    ferry.put("a.txt", b"a")
    ftpd.on_command = lambda verb, argument, place: (
        "421 too many connections" if verb == "USER" and len(ftpd.arguments("USER")) < 3 else None
    )
    boot = ferry.boot(3)
    assert [s for s in boot.states if s in ("HALT", "IDLE", "BACKOFF")] == ["IDLE", "BACKOFF", "BACKOFF", "IDLE"]
    assert boot.cycles[-1]["ok"]
    assert ftpd.files(DEVICE) == {"a.txt": b"a"}


def test_too_many_users_is_no_wrong_password(ferry, ftpd):
    ftpd.on_command = lambda verb, argument, place: "530 Sorry, too many users." if verb == "PASS" else None
    boot = ferry.boot()
    assert boot.states[-1] == "BACKOFF"


@pytest.mark.parametrize("code", [550, 553])
def test_a_file_that_is_refused_for_good_is_parked_until_it_changes_and_the_others_go(ferry, ftpd, code):
    for name in ("a.txt", "bad.txt", "c.txt"):
        ferry.put(name, name.encode())
    ftpd.on_command = lambda verb, argument, place: f"{code} no" if verb == "STOR" and "bad" in argument else None

    def stores():
        return len([name for name in ftpd.arguments("STOR") if "bad" in name])

    tries = []

    def on_event(event, process):
        if event["kind"] == "cycle":
            tries.append(stores())
            if len(tries) == 3:
                ftpd.on_command = None
                ferry.put("bad.txt", b"better")
            if len(tries) > 3 and stores() > tries[0]:
                interrupt(process)

    boot = ferry.boot(300, on_event=on_event)
    assert ftpd.files(DEVICE) == {"a.txt": b"a.txt", "bad.txt": b"better", "c.txt": b"c.txt"} or stores() > tries[0]
    assert tries[0] == tries[1] == tries[2]
    assert tries[0] in (1, 2)
    assert "parked" in boot.skipped["/usr/bad.txt"]
    assert boot.cycles[0]["ok"]
    ferry.sync()
    assert ftpd.files(DEVICE) == {"a.txt": b"a.txt", "bad.txt": b"better", "c.txt": b"c.txt"}


def test_a_server_without_epsv_is_asked_for_it_once(ferry, ftpd):
    ftpd.on_command = lambda verb, argument, place: "500 what?" if verb == "EPSV" else None
    for name in "abc":
        ferry.put(name, name.encode() * 1000)
    ftpd.put("updates/d.txt", b"d")
    ferry.sync()
    assert ftpd.arguments("EPSV") == [""]
    assert ftpd.files(DEVICE) == {name: name.encode() * 1000 for name in "abc"}
    assert ferry.files()["d.txt"] == b"d"


def test_a_server_without_epsv_that_holds_the_transfer_is_left_and_asked_otherwise(ferry, ftpd):
    ftpd.is_patient = True
    ftpd.on_command = lambda verb, argument, place: "500 what?" if verb == "EPSV" else None
    ferry.put("a.txt", b"a")
    boot = ferry.boot(3, speed=20)
    assert boot.cycles[-1]["ok"], boot.text
    assert ftpd.files(DEVICE) == {"a.txt": b"a"}


def send_something_in_the_next_cycle(ferry, heard):
    """What is learnt of a server goes to flash with the next thing that has to be written."""
    if heard == "MLSD":
        ferry.put("later.bin", b"l" * 50_000)


def test_that_a_server_has_no_epsv_is_remembered_after_a_restart(ferry, ftpd):
    def on_command(verb, argument, place):
        send_something_in_the_next_cycle(ferry, verb)
        return "500 what?" if verb == "EPSV" else None

    ftpd.on_command = on_command
    ferry.sync(2)
    ftpd.forget()
    ferry.sync()
    assert ftpd.arguments("EPSV") == []


def swallow(nth):
    """A server that loses the n-th command of what comes in one read."""
    return lambda verb, argument, place: DROP if place == nth else None


def flush_behind_the_first(verb, argument, place):
    """A server that throws away what it has read behind a command."""
    return DROP if place else None


FLIGHT_FAULTS = {"2nd": swallow(1), "3rd": swallow(2), "4th": swallow(3), "all behind the 1st": flush_behind_the_first}


@pytest.mark.parametrize("fault", FLIGHT_FAULTS)
def test_a_server_that_loses_commands_of_a_flight_gets_them_one_by_one(ferry, ftpd, fault):
    ftpd.on_command = FLIGHT_FAULTS[fault]
    for name in "abc":
        ferry.put(name, name.encode() * 1000)
    ftpd.put("updates/d.txt", b"d")
    boot = ferry.boot(4, before=LONG_SLICES, speed=20)
    assert "HALT" not in boot.states
    assert boot.cycles[-1]["ok"], boot.text
    assert ftpd.files(DEVICE) == {name: name.encode() * 1000 for name in "abc"}
    assert ferry.files()["d.txt"] == b"d"


def test_that_a_server_takes_no_flights_is_remembered_after_a_restart(ferry, ftpd):
    def on_command(verb, argument, place):
        if not place:
            send_something_in_the_next_cycle(ferry, verb)
        return flush_behind_the_first(verb, argument, place)

    ftpd.on_command = on_command
    boot = ferry.boot(3, speed=20)
    assert [cycle["ok"] for cycle in boot.cycles] == [False, True, True]
    ferry.put("b.txt", b"b")
    ferry.sync()
    assert sorted(ftpd.files(DEVICE)) == ["b.txt", "later.bin"]


def test_a_server_that_falls_silent_is_left_after_its_time(ferry, ftpd):
    ferry.put("a.txt", b"a")
    ftpd.on_command = lambda verb, argument, place: DROP if verb == "STOR" else None
    boot = ferry.boot(speed=20)
    assert boot.states[-1] == "BACKOFF"
    ftpd.on_command = None
    boot = ferry.boot(2)
    assert boot.cycles[-1]["ok"]
    assert ftpd.files(DEVICE) == {"a.txt": b"a"}


def test_a_server_that_has_lost_the_temp_name_gets_the_file_again(ferry, ftpd):
    ferry.put("a.txt", b"a" * 1000)

    def lose(verb, argument, place):
        if verb == "RNFR" and len(ftpd.arguments("RNFR")) == 1:
            (ftpd.root / argument).unlink()

    ftpd.on_command = lose
    boot = ferry.boot(2)
    assert boot.cycles[-1]["ok"]
    assert ftpd.files(DEVICE) == {"a.txt": b"a" * 1000}


def test_a_server_that_keeps_less_than_was_sent_never_gets_the_final_name(ferry, ftpd):
    ferry.put("a.txt", b"a" * 1000)
    ftpd.on_command = lambda verb, argument, place: "213 999" if verb == "SIZE" else None
    boot = ferry.boot(2)
    assert ftpd.arguments("RNTO") == []
    assert "parked" in boot.skipped["/usr/a.txt"]
    assert ftpd.files(DEVICE) == {}


def test_a_folder_that_somebody_removes_is_made_again(ferry, ftpd):
    ferry.put("sub/a.txt", b"a")
    ferry.put("sub/b.txt", b"b")

    def on_command(verb, argument, place):
        if verb == "MLSD" and not done:
            done.append(verb)
            for path in (ftpd.root / DEVICE / "sub").iterdir():
                path.unlink()
            (ftpd.root / DEVICE / "sub").rmdir()
            ferry.put("sub/c.txt", b"c")

    done = []
    ftpd.on_command = on_command
    boot = ferry.boot(2)
    assert boot.cycles[-1]["ok"]
    assert ftpd.files(DEVICE) == {"sub/c.txt": b"c"}


def test_no_temp_name_is_left_on_the_server_after_a_good_cycle(ferry, ftpd):
    ferry.put("big.bin", BIG)
    kill_once(ftpd, "up", 300_000)
    ferry.boot()
    ftpd.restart()
    ferry.put("big.bin", BIG[::-1])  # the partial is of no use now
    ferry.sync()
    assert ftpd.files(DEVICE) == {"big.bin": BIG[::-1]}
