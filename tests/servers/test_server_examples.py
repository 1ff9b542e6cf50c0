"""The configurations in examples/servers, run as they are there, with the folders and accounts that docs/SERVERS.md makes: a
simulated module syncs through each of them with TLS, and can do no more than it should."""

import contextlib
import ftplib
import os
import random
import ssl
import stat

import pytest

from tests.ftpd.deployed import ARGV, EXAMPLES, IMEI, NEIGHBOUR, PAGE, READERS, UID, deployed
from tests.ftpd.fixtures import require

BIG = random.Random(3).randbytes(200_000)
FILES = {"log.csv": b"1;20.5\n", "shots/a.jpg": BIG[:30_000]}


@pytest.fixture(params=ARGV)
def server(request):
    require(request.param, tls=True)
    with deployed(request.param) as server:
        yield server


@pytest.fixture
def module(server, flashed):
    """A module with its own account and IMEI, as the page says."""
    module = flashed(server, tls="explicit", user=server.user, password=server.password)
    module.configure(device={"id": ""}, status={"to": "status/{device}.json"})
    return module


@contextlib.contextmanager
def as_module(server):
    """What the module's account may do, asked with CPython's own client."""
    context = ssl.create_default_context(cafile=server.certificate)
    context.check_hostname = False
    with ftplib.FTP_TLS(timeout=10, context=context) as client:
        client.connect(server.host, server.port)
        client.login(server.user, server.password)
        client.prot_p()
        yield client


def test_every_configuration_is_run_here_and_is_linked():
    names = {path.name for path in EXAMPLES.iterdir()}
    assert names == {f"{name}.conf" for name in ARGV} | {"ferry.pam", "haproxy.cfg"}
    pages = PAGE.read_text(encoding="utf-8") + PAGE.with_name("SIZING.md").read_text(encoding="utf-8")
    for name in names:
        assert f"(../examples/servers/{name})" in pages


def test_a_module_syncs_both_ways_with_tls_and_an_account_of_its_own(server, module):
    for name, content in FILES.items():
        module.put(name, content)
    (server.root / "updates" / "new.bin").write_bytes(BIG[:5000])
    boot = module.sync(2)
    assert [(cycle["up_count"], cycle["down_count"]) for cycle in boot.cycles] == [(2, 1), (0, 0)]
    assert module.files()["new.bin"] == BIG[:5000]
    for name, content in FILES.items():
        arrived = server.root / IMEI / name
        assert arrived.read_bytes() == content
        found = arrived.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (UID, READERS, 0o640)
    assert os.listdir(server.root / "status") == [f"{IMEI}.json"]


def test_a_changed_file_replaces_the_old_one(server, module):
    module.put("a.bin", BIG[:3000])
    module.sync()
    module.put("a.bin", BIG[3000:5000])
    module.sync()
    assert os.listdir(server.root / IMEI) == ["a.bin"]
    assert (server.root / IMEI / "a.bin").read_bytes() == BIG[3000:5000]


def test_a_module_can_neither_read_its_neighbour_nor_touch_what_is_for_all(server):
    (server.root / "updates" / "new.bin").write_bytes(b"new")
    secret = server.root / NEIGHBOUR / "secret"
    secret.write_bytes(b"secret")
    theirs = server.root / "status" / f"{NEIGHBOUR}.json"
    theirs.write_bytes(b"{}")
    os.chown(theirs, UID + 1, READERS)
    with as_module(server) as client:
        for what in (
            lambda: client.retrbinary(f"RETR {NEIGHBOUR}/secret", lambda _: None),
            lambda: client.mkd("updates/mine"),
            lambda: client.delete("updates/new.bin"),
            lambda: client.delete(f"status/{NEIGHBOUR}.json"),
            lambda: client.mkd("mine"),
        ):
            with pytest.raises(ftplib.error_perm, match=r"^55"):
                what()
    assert secret.exists() and theirs.exists()


def test_nobody_gets_in_without_tls(server):
    with ftplib.FTP(timeout=10) as client:
        client.connect(server.host, server.port)
        with pytest.raises(ftplib.Error, match=r"^(530|550|421)"):
            client.login(server.user, server.password)
