"""Growing logs (mode = append) and batches (mode = batch), as they are flashed, against each of the four servers."""

import random

import pytest

from tests.device.ferry import DEVICE
from tests.faults.world import World, read_tree
from tests.ftpd.fixtures import require
from tests.tars import members
from tools.ftpd.faults import CONTROL, DATA, UP, Fault
from tools.ftpd.proxy import Proxy
from tools.ftpd.servers import descendants, running, wait_for_sessions

SLOW_BYTES_S = 500_000  # so that a server has read most of what was sent when the link is cut
CUT_BYTES = 120_000
SPEED = 20  # a time-out of 15 s takes 0.75 s
LOCKED_CYCLES = 10  # of one time-out each

LINES = b"".join(b"%07d;%d\n" % (i, i * i) for i in range(20_000))
CHANCE = random.Random(1)
FILES = {f"{'sub/' if i % 3 else ''}f{i:03}.bin": CHANCE.randbytes(CHANCE.choice((0, 1, 512, 3000))) for i in range(40)}
LARGE = {f"{i:02}.bin": CHANCE.randbytes(10_000) for i in range(20)}

APPEND = {"from": "/usr/logs", "to": "{device}", "mode": "append"}
NONE = {"from": ""}
BATCH = {"from": "/usr/out", "to": "{device}/in", "mode": "batch"}


def lines(size):
    """The whole lines among the first `size` bytes."""
    return LINES[: LINES[:size].rfind(b"\n") + 1]


def there(server):
    return read_tree(server.root / DEVICE)


def put_out(module, files):
    for name, content in files.items():
        module.put("out/" + name, content)


def unpacked(server):
    """[{name: content}] of the tars that arrived, in their order."""
    found = []
    for name, raw in sorted(there(server).items()):
        if not name.endswith(".part"):
            assert name.startswith("in/batch-") and name.endswith(".tar"), name
            found.append(dict(members(raw)))
    return found


def test_a_log_grows_there_as_it_grows_here(ftpd, flashed):
    module = flashed(ftpd)
    module.configure(upload=APPEND, download=NONE)
    for size in (5_000, 7_001, 200_000, 200_001):
        module.put("logs/a/data.csv", LINES[:size])
        module.sync()
        assert there(ftpd) == {"a/data.csv": lines(size)}
    boot = module.sync(2)
    assert [cycle["up_count"] for cycle in boot.cycles] == [0, 0]


def test_a_log_that_was_rotated_goes_to_a_file_beside_the_old_one(ftpd, flashed):
    module = flashed(ftpd)
    module.configure(upload=APPEND, download=NONE)
    module.put("logs/data.csv", LINES[:5_000])
    module.sync()
    module.put("logs/data.csv", b"after the rotation\n")
    module.sync()
    module.put("logs/data.csv", b"after the rotation\nand on\n")
    module.sync()
    assert there(ftpd) == {"data.csv": lines(5_000), "data-1.csv": b"after the rotation\nand on\n"}


@pytest.fixture
def cut(ftpd, flashed):
    """cut(rule, put, how): in a cycle the link goes when CUT_BYTES have passed, then a cycle is good; -> what the server held
    in between, and the counts of the second one."""

    def cut(rule, put, how):
        with Proxy(ftpd.host, ftpd.port, rate_bytes_s=SLOW_BYTES_S) as proxy:
            module = flashed(ftpd, port=proxy.port)
            module.configure(upload=rule, download=NONE)
            put(module)
            before = descendants(ftpd.pid)
            proxy.set_faults(Fault(DATA, how, UP, after_bytes=CUT_BYTES, nth=1, is_link=True))
            assert not module.boot().cycles[0]["ok"]
            proxy.clear_faults()
            proxy.wait_idle(5)
            wait_for_sessions(ftpd, before)
            held = there(ftpd)
            proxy.reset_counts()
            module.sync()
            return held, proxy.counts()

    return cut


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_cut_log_is_gone_on_with_at_the_byte_where_it_stopped(ftpd, cut, how):
    held, counts = cut(APPEND, lambda module: module.put("logs/data.csv", LINES[:200_000]), how)
    assert list(held) == ["data.csv"]
    assert lines(200_000).startswith(held["data.csv"])
    assert there(ftpd) == {"data.csv": lines(200_000)}
    assert counts.data_up_bytes == len(lines(200_000)) - len(held["data.csv"])


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_log_whose_data_connection_alone_was_cut_goes_on_in_the_same_file(ftpd, flashed, how):
    with Proxy(ftpd.host, ftpd.port) as proxy:
        module = flashed(ftpd, port=proxy.port)
        module.configure(upload=APPEND, download=NONE)
        module.put("logs/data.csv", LINES[:5_000])
        module.sync()
        module.put("logs/data.csv", LINES[:10_000])
        proxy.set_faults(Fault(DATA, how, UP, after_bytes=2_000, nth=1))
        module.boot(2)
        proxy.clear_faults()
        module.sync()
        assert there(ftpd) == {"data.csv": lines(10_000)}


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_bytes_sent_into_the_lock_of_a_dead_session_are_not_written_twice(tmp_path, how):
    """vsftpd keeps a file locked for a session that waits for its data connection, and hears of nothing meanwhile. Who
    comes later waits for the lock with the bytes already in the socket, and each writes them when the lock is free."""
    require("vsftpd")
    (tmp_path / "server").mkdir()
    with (
        running("vsftpd", tmp_path / "server", accept_timeout_s=3) as server,
        Proxy(server.host, server.port) as proxy,
    ):
        world = World(tmp_path / "module", server.user, server.password)
        log = world.usr / "logs" / "data.csv"
        log.parent.mkdir()
        log.write_bytes(LINES[:3_000])
        manager = world.boot(proxy.port, SPEED, upload={**APPEND, "whole_lines": False}, download=NONE)
        assert manager.run_cycle().ok
        log.write_bytes(LINES[:6_000])
        proxy.set_faults(Fault(CONTROL, how, reply="229", is_link=True))
        assert not manager.run_cycle().ok
        proxy.clear_faults()
        assert any(manager.run_cycle().ok for _ in range(LOCKED_CYCLES))
        world.power_off()
        assert there(server) == {"data.csv": LINES[:6_000]}


def test_files_arrive_as_one_tar_and_only_news_follow(ftpd, flashed):
    module = flashed(ftpd)
    module.configure(upload=BATCH, download=NONE)
    put_out(module, FILES)
    module.sync(2)
    assert unpacked(ftpd) == [FILES]
    put_out(module, {"f000.bin": b"changed", "new": b"new"})
    module.sync(2)
    assert unpacked(ftpd) == [FILES, {"f000.bin": b"changed", "new": b"new"}]


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_cut_batch_goes_again_whole(ftpd, cut, how):
    held, _ = cut(BATCH, lambda module: put_out(module, LARGE), how)
    assert all(name.endswith(".part") for name in held)
    assert unpacked(ftpd) == [LARGE]
