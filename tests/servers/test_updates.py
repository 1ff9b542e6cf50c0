"""Updates by manifest on each of the four servers: what they cost, as a proxy sees it, and how they get over a cut link."""

import random

import pytest
from click.testing import CliRunner

from tools.bench import budgets
from tools.ftpd.faults import DATA, DOWN, Fault
from tools.ftpd.proxy import Proxy
from tools.publish.cli import publish

HEAP = "320k"  # its code is compiled while all the rest is loaded
DELAY_MS = 10  # one way; see test_round_trips.py
IDLE_S = 5

FILE_TRIPS = 3  # of each file the folder way
FOLDER_TRIPS = 6
CHECKS = 2  # cycles in which nothing is new

_noise = random.Random(5).randbytes
SMALL = {f"{number:02}.bin": _noise(4096) for number in range(20)}
BIG_BYTES = 256 * 1024
SITE = {**SMALL, "big.bin": _noise(BIG_BYTES)}


@pytest.fixture
def proxy(ftpd):
    with Proxy(ftpd.host, ftpd.port, delay_ms=DELAY_MS) as proxy:
        yield proxy


@pytest.fixture
def module(ftpd, proxy, flashed):
    made = flashed(ftpd, port=proxy.port)
    made.heap = HEAP
    made.configure(upload={"from": ""}, download={"from": ""}, update={"from": "updates"})
    return made


@pytest.fixture
def published(ftpd, tmp_path):
    """SITE as an update on the server."""
    (tmp_path / "source").mkdir()
    for name, content in SITE.items():
        (tmp_path / "source" / name).write_bytes(content)
    target = ftpd.root / "updates"
    target.mkdir()
    done = CliRunner().invoke(publish, [str(tmp_path / "source"), str(target)])
    assert done.exit_code == 0, done.output


def counts(proxy):
    proxy.wait_idle(IDLE_S)
    return proxy.counts()


def of_files(module):
    """What changes when any file below /usr is written, made or gone."""
    facts = [(path, path.stat()) for path in sorted(module.usr.rglob("*")) if path.is_file()]
    return [(path, fact.st_ino, fact.st_size, fact.st_mtime_ns) for path, fact in facts]


def test_a_check_with_nothing_new(ftpd, proxy, module, published, tell):
    module.sync()
    counts(proxy)
    marks = []

    def on_event(event, process):
        if event["kind"] == "cycle":
            marks.append(of_files(module))

    proxy.reset_counts()
    boot = module.sync(CHECKS, on_event=on_event)
    seen = counts(proxy)
    wire_bytes = seen.wire_bytes // CHECKS
    tell(f"{ftpd.name:10} check for an update: {seen.round_trips / CHECKS:g} round trips, {wire_bytes:,} bytes")
    assert seen.round_trips == CHECKS * budgets.IDLE_TRIPS == sum(cycle["round_trips"] for cycle in boot.cycles)
    assert wire_bytes <= budgets.IDLE_BYTES
    assert seen.data_connections == 0
    assert marks[0] == marks[1]


def test_an_update_of_21_files(ftpd, proxy, module, published, tell):
    boot = module.sync()
    assert module.files() == SITE
    seen = counts(proxy)
    payload = sum(map(len, SITE.values()))
    tell(
        f"{ftpd.name:10} update of {len(SITE)} files, {payload:,} B: {seen.round_trips} of {budgets.UPDATE_TRIPS} round trips,"
        f" {seen.wire_bytes - payload:,} bytes more"
    )
    assert seen.round_trips <= budgets.UPDATE_TRIPS
    assert seen.round_trips == boot.cycles[0]["round_trips"]
    assert seen.wire_bytes - payload <= budgets.UPDATE_BYTES
    assert seen.data_connections == 3  # manifest, pack, the large file


def test_the_same_files_the_folder_way_from_a_server_that_was_never_seen(ftpd, proxy, module, tell):
    """A server without MLSD refuses it once: a flight and a data connection more, in the life of the module."""
    module.configure(update={"from": ""}, download={"from": "updates"})
    (ftpd.root / "updates").mkdir()
    for name, content in SITE.items():
        (ftpd.root / "updates" / name).write_bytes(content)
    boot = module.sync()
    assert module.files() == SITE
    seen = counts(proxy)
    budget = FILE_TRIPS * len(SITE) + FOLDER_TRIPS + 2 * (ftpd.name == "vsftpd")
    tell(f"{ftpd.name:10} the same at the first contact: {seen.round_trips} of {budget} round trips")
    assert seen.round_trips <= budget
    # The refusal of MLSD comes with the data connection or behind it: then Ferry has waited once more.
    assert boot.cycles[0]["round_trips"] - seen.round_trips in (0, 1)


def test_the_same_files_the_folder_way(ftpd, proxy, module, tell):
    module.configure(update={"from": ""}, download={"from": "updates"})
    updates = ftpd.root / "updates"
    updates.mkdir()
    # What the server lacks (vsftpd: MLSD) is learnt at the first contact, and is on flash with the next thing that is written.
    def put_first(event, process):
        if event["kind"] == "cycle" and event["data"][0]["number"] == 1:
            (updates / "first").write_bytes(b"1")

    module.sync(6, on_event=put_first)
    counts(proxy)
    proxy.reset_counts()
    for name, content in SITE.items():
        (updates / name).write_bytes(content)
    boot = module.sync()
    assert module.files() == {**SITE, "first": b"1"}
    seen = counts(proxy)
    assert (seen.commands["MLSD"] == 0) == (ftpd.name == "vsftpd")
    budget = FILE_TRIPS * len(SITE) + FOLDER_TRIPS
    tell(f"{ftpd.name:10} the same the folder way: {seen.round_trips} of {budget} round trips")
    assert seen.round_trips <= budget
    assert seen.round_trips == boot.cycles[0]["round_trips"]


PACK, LARGE = 2, 3  # data connections: the manifest is the first


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("transfer, after_bytes", [(1, 500), (PACK, 60_000), (LARGE, 200_000)])
def test_a_cut_fetch_leaves_nothing_half_done_and_is_gone_on_with(
    ftpd, proxy, module, published, how, transfer, after_bytes
):
    proxy.set_faults(Fault(DATA, how, DOWN, after_bytes=after_bytes, nth=transfer, is_link=True))
    assert module.boot().states[-1] == "BACKOFF"
    assert module.files() == {}
    proxy.clear_faults()
    counts(proxy)
    proxy.reset_counts()
    module.sync()
    assert module.files() == SITE
    assert module.state_files() == ["ledger"]
    missing = sum(map(len, SITE.values())) - (after_bytes if transfer == PACK else 0)
    missing = BIG_BYTES - after_bytes if transfer == LARGE else missing
    # Of a reset the module loses what its own socket had taken and it had not read yet.
    assert counts(proxy).data_down_bytes < missing + BIG_BYTES // 2
