# Files that grow (mode = append): only the new bytes go, to the same file on the server.
import random

import pytest

from tests.device.ferry import DEVICE
from tests.device.ftpd import KILL

LINES = b"".join(b"%06d;%d\n" % (i, i * i) for i in range(20_000))


@pytest.fixture
def log(ferry, ftpd):
    """grow(bytes): /usr/logs/data.csv holds so many bytes of LINES, and a cycle runs; -> Boot."""
    ferry.configure(upload={"from": "/usr/logs", "to": "{device}", "mode": "append"})

    def grow(count, content=LINES, sync=ferry.sync):
        ferry.put("logs/data.csv", content[:count])
        return sync()

    return grow


def there(ftpd):
    return ftpd.files(DEVICE)


def whole_lines(count):
    return LINES[: LINES[:count].rfind(b"\n") + 1]


def test_only_the_new_bytes_go_and_only_whole_lines(log, ftpd):
    for count in (5, 1000, 1003, 50_000, 200_000):
        log(count)
        assert there(ftpd) == ({"data.csv": whole_lines(count)} if whole_lines(count) else {})
    assert ftpd.moved["up"] == len(whole_lines(200_000))


def test_a_log_that_did_not_grow_costs_no_command(log, ferry, ftpd):
    log(1000, sync=lambda: ferry.sync(4))
    assert len(ftpd.arguments("APPE")) == 1
    assert len(ftpd.arguments("SIZE")) == 2  # before and after


def test_a_line_without_its_end_goes_where_it_is_asked_for(log, ferry, ftpd):
    ferry.configure(upload={"from": "/usr/logs", "to": "{device}", "mode": "append", "whole_lines": False})
    log(1003)
    log(2001)
    assert there(ftpd) == {"data.csv": LINES[:2001]}


@pytest.mark.parametrize(
    "new",
    [LINES[7:3000], b"other;1\n", LINES[:900] + b"changed\n" + LINES[908:], LINES[:2000].replace(b";", b","), LINES[:1500]],
    ids=["begun anew", "shorter", "rewritten and longer", "rewritten in its size", "cut short"],
)
def test_a_log_that_was_rotated_or_rewritten_begins_a_new_file(log, ftpd, new):
    log(2000)
    log(len(new), new)
    assert there(ftpd) == {"data.csv": whole_lines(2000), "data-1.csv": new[: new.rfind(b"\n") + 1]}
    more = new[: new.rfind(b"\n") + 1] + b"more\n"
    log(len(more), more)
    assert there(ftpd) == {"data.csv": whole_lines(2000), "data-1.csv": more}


@pytest.mark.parametrize("at_bytes", [1, 30_000, 90_000])
def test_a_log_goes_on_where_it_was_cut(log, ferry, ftpd, at_bytes):
    log(10_000)
    base = len(whole_lines(10_000))

    def on_data(moved, total):
        if moved == "up" and total >= base + at_bytes:
            ftpd.on_data = None
            return KILL
        return None

    ftpd.on_data = on_data
    log(150_000, sync=ferry.boot)
    ftpd.restart()
    log(160_000)
    assert there(ftpd) == {"data.csv": whole_lines(160_000)}
    assert ftpd.moved["up"] < len(LINES[:160_000]) * 1.1


def test_a_file_that_somebody_took_away_comes_again_whole(log, ftpd):
    log(2000)
    (ftpd.root / DEVICE / "data.csv").unlink()
    log(3000)
    assert there(ftpd) == {"data.csv": whole_lines(3000)}


def test_a_file_that_somebody_changed_is_left_alone(log, ftpd):
    log(2000)
    path = ftpd.root / DEVICE / "data.csv"
    path.write_bytes(path.read_bytes() + b"tail of somebody else")
    theirs = path.read_bytes()
    log(3000)
    assert there(ftpd) == {"data.csv": theirs, "data-1.csv": whole_lines(3000)}


def test_a_file_that_lost_its_end_is_not_gone_on_with(log, ferry, ftpd):
    log(2000)
    log(3000)  # the ledger now knows for sure that 2000 had arrived
    path = ftpd.root / DEVICE / "data.csv"
    path.write_bytes(path.read_bytes()[:100])
    log(4000)
    assert there(ftpd) == {"data.csv": LINES[:100], "data-1.csv": whole_lines(4000)}


def test_a_server_without_appe_gets_it_by_rest_and_stor(log, ftpd):
    ftpd.on_command = lambda verb, argument, place: "502 no" if verb == "APPE" else None
    for count in (1000, 20_000, 30_000):
        log(count)
    assert there(ftpd) == {"data.csv": whole_lines(30_000)}
    assert len(ftpd.arguments("REST")) == 4  # asked for, and then used


def test_a_server_with_neither_appe_nor_rest_loses_nothing_of_what_it_had(log, ferry, ftpd):
    ftpd.on_command = lambda verb, argument, place: "502 no" if verb in ("APPE", "REST") else None
    log(1000)
    log(2000, sync=ferry.boot)
    assert there(ftpd)["data.csv"] == whole_lines(1000)


def test_a_log_that_was_emptied_begins_a_new_file_when_there_is_something_in_it(log, ftpd):
    log(2000)
    log(0)
    assert there(ftpd) == {"data.csv": whole_lines(2000)}
    log(8, b"new;one\n")
    assert there(ftpd) == {"data.csv": whole_lines(2000), "data-1.csv": b"new;one\n"}


def test_without_its_ledger_the_log_goes_to_a_file_that_is_not_there_yet(log, ferry, ftpd):
    log(2000)
    log(9, b"rotated;\n")
    ferry.remove(".ferry/ledger")
    more = b"rotated;\nmore;\n"
    log(len(more), more, sync=lambda: ferry.sync(3))
    assert there(ftpd) == {"data.csv": whole_lines(2000), "data-1.csv": b"rotated;\n", "data-2.csv": more}


def test_a_log_is_named_once_and_for_all(log, ferry, ftpd):
    """Its date is that of the first bytes; a rotated one gets the date of its own."""
    ferry.configure(upload={"from": "/usr/logs", "to": "{device}/{date}/{name}", "mode": "append"})
    log(1000, sync=lambda: ferry.sync(epoch_s=0))
    assert there(ftpd) == {}
    log(1000, sync=lambda: ferry.sync(epoch_s=1_790_000_000))
    log(2000, sync=lambda: ferry.sync(epoch_s=1_790_000_000 + 86_400))
    assert there(ftpd) == {"2026-09-21/data.csv": whole_lines(2000)}
    log(8, b"new;one\n", sync=lambda: ferry.sync(epoch_s=1_790_000_000 + 86_400))
    assert there(ftpd) == {"2026-09-21/data.csv": whole_lines(2000), "2026-09-22/data-1.csv": b"new;one\n"}


def test_several_logs_share_the_flights(log, ferry, ftpd):
    for name in "abc":
        ferry.put(f"logs/{name}/x.log", LINES[:500])
    ferry.sync()
    wanted = {f"{name}/x.log": whole_lines(500) for name in "abc"}
    assert there(ftpd) == wanted
    rng = random.Random(1)
    for name in "abc":
        count = rng.randrange(600, 900)
        ferry.put(f"logs/{name}/x.log", LINES[:count])
        wanted[f"{name}/x.log"] = whole_lines(count)
    boot = ferry.sync()
    assert there(ftpd) == wanted
    assert [cycle["up_count"] for cycle in boot.cycles] == [3]
