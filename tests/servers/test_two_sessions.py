"""`server.sessions` = 2: small files go over two sessions side by side, and everything else as ever. What a cut does to them:
kind "two" of tests/faults."""

import random

import pytest

from tests.faults.world import World
from tests.ftpd.fixtures import require
from tools.bench import budgets
from tools.ftpd.faults import DATA, Fault
from tools.ftpd.proxy import Proxy
from tools.ftpd.servers import running

DELAY_MS = 20  # one way: more than the module takes for itself, see tools/ftpd/meter.py
IDLE_S = 5
COUNT = 20
SMALL = {f"{number:02}.bin": random.Random(number).randbytes(1000) for number in range(COUNT)}
LARGE = {"zz large.bin": random.Random(99).randbytes(200_000)}
NO_DOWNLOADS = {"from": ""}
# Half of what one session takes, the second login, and what a busy host makes late.
TRIPS = 0.75 * (budgets.FIRST_TRIPS + budgets.NEXT_TRIPS * (COUNT - 1))


@pytest.fixture
def proxy(ftpd):
    with Proxy(ftpd.host, ftpd.port, delay_ms=DELAY_MS) as proxy:
        yield proxy


@pytest.fixture
def module(ftpd, tmp_path):
    world = World(tmp_path / "module", ftpd.user, ftpd.password, sessions=2)
    yield world
    world.power_off()


def fill(module, files):
    for name, content in files.items():
        (module.usr / name).write_bytes(content)


def stored(ftpd):
    return {path.name: path.read_bytes() for path in (ftpd.root / "m1").iterdir()}


def test_small_files_take_half_the_turns(ftpd, proxy, module, tell):
    fill(module, SMALL)
    result = module.boot(proxy.port, download=NO_DOWNLOADS).run_cycle()
    assert result.ok, result.error
    assert stored(ftpd) == SMALL
    proxy.wait_idle(IDLE_S)
    counts, turns = proxy.counts(), proxy.turns()
    tell(f"{ftpd.name:10} {COUNT} files over two sessions: {turns} turns, {TRIPS:.0f} allowed; {counts.round_trips} round trips")
    assert counts.control_connections == 2
    assert counts.commands["STOR"] == counts.commands["RNTO"] == COUNT
    if ftpd.name != "proftpd":  # it greets a second session 0.4 s late
        assert turns <= TRIPS
    proxy.reset_counts()
    assert module.boot(proxy.port, download=NO_DOWNLOADS).run_cycle().ok
    assert proxy.counts().commands["STOR"] == 0


def test_a_large_file_is_alone_on_the_link(ftpd, proxy, module):
    fill(module, {**SMALL, **LARGE})
    result = module.boot(proxy.port, download=NO_DOWNLOADS).run_cycle()
    assert result.ok, result.error
    assert stored(ftpd) == {**SMALL, **LARGE}
    proxy.wait_idle(IDLE_S)
    events = proxy.events()
    (second,) = (number for number, event in enumerate(events) if event.connection == "control 2" and event.what == "closed")
    large = [n for n, event in enumerate(events) if event.what.endswith("16384 bytes") and event.direction == "up"]
    assert second < large[-1]


def test_one_file_takes_one_session(ftpd, proxy, module):
    fill(module, {"a.bin": b"a"})
    assert module.boot(proxy.port, download=NO_DOWNLOADS).run_cycle().ok
    proxy.wait_idle(IDLE_S)
    assert proxy.counts().control_connections == 1


def test_a_cut_link_ends_both_and_nothing_is_lost_or_sent_twice(ftpd, proxy, module):
    fill(module, SMALL)
    proxy.set_faults(Fault(DATA, "rst", after_bytes=500, nth=15, is_link=True))
    assert not module.boot(proxy.port, download=NO_DOWNLOADS).run_cycle().ok
    assert module.net.open_count() == 0
    proxy.clear_faults()
    proxy.wait_idle(IDLE_S)
    done = {name for name in stored(ftpd) if not name.endswith(".part")}
    manager = module.boot(proxy.port, download=NO_DOWNLOADS)
    result = manager.run_cycle()
    if not result.ok:  # vsftpd may hold a temp name locked for a session that it believes alive
        result = manager.run_cycle()
    assert result.ok, result.error
    assert stored(ftpd) == SMALL
    assert 0 < len(done) < COUNT
    assert module.net.open_count() == 0


def test_a_server_that_wants_one_session_gets_one(tmp_path):
    require("vsftpd")
    root = tmp_path / "server"
    root.mkdir()
    with running("vsftpd", root, max_clients=1) as server:
        world = World(tmp_path / "module", server.user, server.password, sessions=2)
        fill(world, SMALL)
        manager = world.boot(server.port, download=NO_DOWNLOADS)
        result = manager.run_cycle()
        if not result.ok and "421" in str(result.error):  # the probe that read the greeting still had the only place
            result = manager.run_cycle()
        world.power_off()
        assert result.ok, result.error
        assert {path.name: path.read_bytes() for path in (root / "m1").iterdir()} == SMALL
        assert sum("no second session" in line for line in world.lines) == 1
