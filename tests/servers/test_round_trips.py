"""What each job costs, seen by a proxy in front of the four servers: round trips and bytes, against the budgets of
docs/DESIGN.md. The proxy's counts are the truth; those that the app reports have to be the same. Bytes are what TCP carries
for all connections of a cycle, login and goodbye too, both ways; headers of TCP and IP are not counted."""

import random
import tarfile

import pytest

from app.proto.control import Counts
from app.proto.session import Session
from tests.faults.world import World
from tests.world import FastClock, FastNet
from tools.bench import budgets
from tools.ftpd.faults import DATA, Fault
from tools.ftpd.proxy import Proxy

# One way. Enough for the order of events that a far client sees, see tools/ftpd/meter.py.
DELAY_MS = 10
HICCUPS = 20  # at most one late upload in so many round trips
IDLE_S = 5
BODY = random.Random(1).randbytes(1000)
BIG = random.Random(2).randbytes(300_000)
KIB = 1024
LINES = b"".join(b"%07d;%d\n" % (i, i * i) for i in range(15_000))

LOGIN_TRIPS = budgets.IDLE_TRIPS  # connect, greeting, the flight with the login
UPLOAD_TRIPS = budgets.FIRST_TRIPS  # and: data connect, data until 226, SIZE, rename
NEXT_UPLOAD_TRIPS = budgets.NEXT_TRIPS  # flight, data connect, data until 226
DOWNLOAD_TRIPS = 5  # and: data connect, data until its end
DOWNLOAD_BYTES = 1000
LOG_TRIPS = budgets.LOG_TRIPS  # after the login: data connect, data until 226, SIZE
GOODBYE_BYTES = 150


@pytest.fixture
def proxy(ftpd):
    with Proxy(ftpd.host, ftpd.port, delay_ms=DELAY_MS) as proxy:
        yield proxy


@pytest.fixture
def module(ftpd, tmp_path):
    world = World(tmp_path / "module", ftpd.user, ftpd.password)
    yield world
    world.power_off()


@pytest.fixture
def check(ftpd, proxy, tell):
    """Holds what went through the proxy against the budget and against what the app counted; a row for the table."""

    def compare(job, trips, budget_bytes, counts):
        proxy.wait_idle(IDLE_S)
        seen = proxy.counts()
        tell(
            f"{ftpd.name:10} {job:28} {seen.round_trips:3} of {trips:3} round trips"
            f" {seen.wire_bytes:7,} of {budget_bytes:7,} bytes"
        )
        assert counts.round_trips <= trips
        assert seen.wire_bytes <= budget_bytes
        # A machine that stops between connect and send for longer than the delay makes an upload late, see meter.py.
        assert seen.round_trips - seen.late_uploads == counts.round_trips
        assert seen.late_uploads <= trips // HICCUPS
        assert counts.connections == seen.control_connections + seen.data_connections
        assert counts.commands == sum(seen.commands.values())
        assert counts.sent_bytes == seen.control_up_bytes + seen.data_up_bytes
        # The answer to QUIT is not waited for.
        assert 0 <= seen.control_down_bytes + seen.data_down_bytes - counts.received_bytes <= GOODBYE_BYTES
        return seen

    return compare


@pytest.fixture
def session(ftpd, proxy):
    """An open session whose login rides in the next flight."""
    counts = Counts()
    session = Session(FastNet(), FastClock(), counts=counts)
    session.open(proxy.host, proxy.port)
    session.start_login(ftpd.user, ftpd.password)
    yield session
    session.close()


def test_idle_check(ftpd, session, check):
    (ftpd.root / "manifest").write_bytes(BODY)
    session.post(["MDTM manifest", "SIZE manifest"])
    assert session.reply()[0] == session.reply()[0] == 213
    session.say_goodbye()
    check("idle check", LOGIN_TRIPS, budgets.IDLE_BYTES, session.counts)


def test_download_of_a_name(ftpd, session, check):
    (ftpd.root / "a.bin").write_bytes(BIG[:20_000])
    got = []
    session.post_transfer(["SIZE a.bin"], "RETR a.bin")
    assert session.reply()[1].split()[1] == "20000"
    session.open_data()
    session.receive_blocks(got.append)
    session.finish()
    session.say_goodbye()
    assert b"".join(got) == BIG[:20_000]
    check("download", DOWNLOAD_TRIPS, 20_000 + DOWNLOAD_BYTES, session.counts)


def cycle(module, proxy, **upload):
    result = module.boot(proxy.port, download={"from": ""}, upload=upload).run_cycle()
    assert result.ok, result.error
    return result


@pytest.mark.parametrize("count", [1, 2, 20])
def test_uploads(ftpd, proxy, module, check, count):
    for number in range(count):
        (module.usr / f"{number:02}.bin").write_bytes(BODY)
    result = cycle(module, proxy)
    assert sorted(path.name for path in (ftpd.root / "m1").iterdir()) == [f"{n:02}.bin" for n in range(count)]
    further = count - 1
    check(
        f"{count} checked uploads",
        UPLOAD_TRIPS + NEXT_UPLOAD_TRIPS * further,
        len(BODY) * count + budgets.FIRST_BYTES + budgets.NEXT_BYTES * further,
        result.counts,
    )


def test_idle_cycle_without_downloads(ftpd, proxy, module, check):
    (module.usr / "a.bin").write_bytes(BODY)
    cycle(module, proxy)
    proxy.wait_idle(IDLE_S)
    proxy.reset_counts()
    result = cycle(module, proxy)
    check("idle cycle", LOGIN_TRIPS, budgets.IDLE_BYTES, result.counts)


def test_resume_of_an_upload(ftpd, proxy, module, check):
    (module.usr / "big.bin").write_bytes(BIG)
    proxy.set_faults(Fault(DATA, "rst", after_bytes=len(BIG) // 2, nth=1, is_link=True))
    assert not module.boot(proxy.port, download={"from": ""}).run_cycle().ok
    proxy.clear_faults()
    proxy.wait_idle(IDLE_S)
    proxy.reset_counts()
    held = next((ftpd.root / "m1").iterdir()).stat().st_size
    result = cycle(module, proxy)
    assert (ftpd.root / "m1" / "big.bin").read_bytes() == BIG
    missing = len(BIG) - held
    seen = check("resume at half of 300,000 B", budgets.RESUME_TRIPS, missing + budgets.FIRST_BYTES, result.counts)
    assert seen.data_up_bytes <= missing + budgets.SENT_AGAIN * len(BIG)


def test_a_log_that_grew(ftpd, proxy, module, check):
    log, grown = LINES[: 200 * KIB], LINES[: 202 * KIB]
    rule = {"from": "/usr/logs", "mode": "append", "whole_lines": False}
    path = module.usr / "logs" / "data.csv"
    path.parent.mkdir()
    path.write_bytes(log)
    cycle(module, proxy, **rule)
    path.write_bytes(grown)
    proxy.wait_idle(IDLE_S)
    proxy.reset_counts()
    result = cycle(module, proxy, **rule)  # of a new boot: MKD is asked for once more
    assert (ftpd.root / "m1" / "data.csv").read_bytes() == grown
    seen = check("2 KiB more of a 200 KiB log", LOG_TRIPS, 2 * KIB + budgets.LOG_BYTES, result.counts)
    assert seen.data_up_bytes == 2 * KIB


def test_fifty_files_as_a_batch(ftpd, proxy, module, check, tell):
    (module.usr / "out").mkdir()
    for number in range(50):
        (module.usr / "out" / f"{number:02}.bin").write_bytes(BIG[2 * KIB * number : 2 * KIB * (number + 1)])
    payload = 50 * 2 * KIB
    result = cycle(module, proxy, **{"from": "/usr/out", "mode": "batch"})
    (batch,) = (ftpd.root / "m1").iterdir()
    with tarfile.open(batch) as tar:
        assert sum(member.size for member in tar) == payload
    seen = check("50 files of 2 KiB as a batch", budgets.BATCH_TRIPS, int(payload * budgets.TAR), result.counts)
    assert seen.data_up_bytes == batch.stat().st_size
    tell(f"{ftpd.name:10} the tar is {batch.stat().st_size / payload:.3f}, the wire {seen.wire_bytes / payload:.3f} times the files")
