"""The app as it is flashed, under MicroPython with the module's limits, against each of the four servers."""

import random

import pytest

from tests.device.ferry import DEVICE
from tests.faults.world import read_tree
from tests.ftpd.fixtures import require
from tools.ftpd.faults import DATA, DOWN, UP, Fault
from tools.ftpd.proxy import Proxy
from tools.ftpd.servers import descendants, running, wait_for_sessions

RESUME_BYTES = 32768  # as in app/sync/upload.py: less is not worth going on with
SLOW_BYTES_S = 500_000  # so that a server has read most of what was sent when the link is cut

BIG = random.Random(1).randbytes(300_000)
SMALL = {"a.txt": b"hello", "sub/empty.log": b"", "sub/b.bin": bytes(range(256)) * 20}


def put_all(module, files):
    for name, content in files.items():
        module.put(name, content)


def uploaded(server):
    """{name: content} of all that the module has on the server; temp names too."""
    return read_tree(server.root / DEVICE)


def put_update(server, name, content):
    path = server.root / "updates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def moved(boot):
    return [(cycle["up_count"], cycle["down_count"]) for cycle in boot.cycles]


def test_files_go_both_ways_and_a_second_cycle_moves_nothing(ftpd, flashed):
    module = flashed(ftpd)
    put_all(module, SMALL)
    put_update(ftpd, "new/c.bin", BIG[:5000])
    boot = module.sync(2)
    assert moved(boot) == [(len(SMALL), 1), (0, 0)]
    assert uploaded(ftpd) == SMALL
    assert module.files() == {**SMALL, "new/c.bin": BIG[:5000]}


def test_what_changes_is_brought_over_and_the_rest_is_left_alone(ftpd, flashed):
    module = flashed(ftpd)
    put_all(module, SMALL)
    put_update(ftpd, "c.bin", BIG[:5000])
    module.sync()
    module.put("a.txt", b"HELLO")
    put_update(ftpd, "c.bin", BIG[5000:12000])
    boot = module.sync(2)
    assert moved(boot) == [(1, 1), (0, 0)]
    assert uploaded(ftpd) == {**SMALL, "a.txt": b"HELLO"}
    assert module.files() == {**SMALL, "a.txt": b"HELLO", "c.bin": BIG[5000:12000]}


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_cut_upload_is_gone_on_with(ftpd, flashed, how):
    with Proxy(ftpd.host, ftpd.port, rate_bytes_s=SLOW_BYTES_S) as proxy:
        module = flashed(ftpd, port=proxy.port)
        module.put("big.bin", BIG)
        before = descendants(ftpd.pid)
        proxy.set_faults(Fault(DATA, how, UP, after_bytes=200_000, nth=1, is_link=True))
        module.boot()
        assert [name for name in uploaded(ftpd) if not name.endswith(".part")] == []
        proxy.clear_faults()
        proxy.wait_idle(5)
        wait_for_sessions(ftpd, before)
        held = sum(len(partial) for partial in uploaded(ftpd).values())
        proxy.reset_counts()
        module.sync()
        assert uploaded(ftpd) == {"big.bin": BIG}
        counts = proxy.counts()
        # proftpd drops what it has not read yet when the control connection ends: a busy machine may leave it with nothing.
        is_resumable = held >= RESUME_BYTES
        assert counts.commands["REST"] + counts.commands["APPE"] == is_resumable
        assert counts.data_up_bytes == len(BIG) - held * is_resumable


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_cut_download_is_gone_on_with(ftpd, flashed, how):
    put_update(ftpd, "big.bin", BIG)
    with Proxy(ftpd.host, ftpd.port) as proxy:
        module = flashed(ftpd, port=proxy.port)
        proxy.set_faults(Fault(DATA, how, DOWN, after_bytes=200_000, is_link=True))
        module.boot()
        assert module.files() == {}
        proxy.clear_faults()
        proxy.wait_idle(5)
        proxy.reset_counts()
        module.sync()
        assert module.files() == {"big.bin": BIG}
        # Of a reset the module loses what its own socket had taken and it had not read yet.
        assert proxy.counts().data_down_bytes < len(BIG) * 0.75


TLS = [
    ("vsftpd", "explicit"),
    ("vsftpd", "control-only"),
    ("vsftpd", "implicit"),
    ("proftpd", "explicit"),
    ("proftpd", "control-only"),
    ("proftpd", "implicit"),
    ("pure-ftpd", "explicit"),
    ("pure-ftpd", "control-only"),
    ("pyftpdlib", "explicit"),
    ("pyftpdlib", "control-only"),
]


@pytest.mark.parametrize("name, tls", TLS)
def test_tls_carries_files_both_ways(name, tls, tmp_path, flashed):
    require(name, tls=True)
    root = tmp_path / "server"
    root.mkdir()
    with running(name, root, tls=True, **({"implicit_tls": True} if tls == "implicit" else {})) as server:
        module = flashed(server, tls=tls)
        put_all(module, SMALL)
        put_update(server, "c.bin", BIG[:20_000])
        boot = module.sync(2)
        assert moved(boot) == [(len(SMALL), 1), (0, 0)]
        assert uploaded(server) == SMALL
        assert module.files()["c.bin"] == BIG[:20_000]


CURE = {"vsftpd": "require_ssl_reuse=NO", "proftpd": "NoSessionReuseRequired"}


@pytest.mark.parametrize("name", CURE)
def test_a_server_that_wants_session_reuse_is_named_with_the_cure(name, tmp_path, flashed):
    require(name, tls=True)
    root = tmp_path / "server"
    root.mkdir()
    with running(name, root, tls=True, require_ssl_reuse=True) as server:
        module = flashed(server, tls="explicit")
        put_all(module, SMALL)
        boot = module.boot()
        # vsftpd says 522, which is nothing else. proftpd says 425, which may pass.
        assert boot.states[-1] == {"vsftpd": "HALT", "proftpd": "BACKOFF"}[name], boot.text
        assert CURE[name] in boot.errors[0][4]
        assert [name for name in uploaded(server) if not name.endswith(".part")] == []
