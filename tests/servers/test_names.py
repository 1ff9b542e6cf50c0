"""Names from templates and names that are taken, on each of the four servers: what SIZE and RNTO say there differs."""

import random

import pytest

from tests.device.ferry import DEVICE
from tests.faults.world import read_tree
from tools.ftpd.faults import DATA, UP, Fault
from tools.ftpd.proxy import Proxy
from tools.ftpd.servers import descendants, wait_for_sessions

SET_S = 1_790_000_000  # 2026-09-21 14:13:20 UTC
THEIRS = b"of somebody else"
BIG = random.Random(1).randbytes(200_000)


@pytest.fixture
def module(ftpd, flashed):
    made = flashed(ftpd)
    made.configure(upload={"from": "/usr/data"}, download={"from": ""})
    return made


def put_theirs(server, *names):
    for name in names:
        path = server.root / DEVICE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(THEIRS)
        path.chmod(0o666)


def uploaded(server):
    return read_tree(server.root / DEVICE)


def test_a_template_makes_folders_and_names(ftpd, module):
    module.configure(upload={"to": "{device}/{date}/{dir}/{boot}-{seq}-{stem}{ext}"})
    module.put("data/sub/grüße 1.txt", b"a")
    module.sync(2, epoch_s=SET_S)
    assert uploaded(ftpd) == {"2026-09-21/sub/00001-00000001-grüße 1.txt": b"a"}


def test_overwrite_replaces_what_is_there(ftpd, module):
    put_theirs(ftpd, "a.txt")
    module.put("data/a.txt", b"mine")
    module.sync(2)
    assert uploaded(ftpd) == {"a.txt": b"mine"}


def test_suffix_takes_the_next_free_name_and_keeps_it(ftpd, module):
    module.configure(upload={"on_conflict": "suffix"})
    put_theirs(ftpd, "a.txt", "a-1.txt")
    for content in (b"one", b"two", b"three"):
        module.put("data/a.txt", content)
        module.sync(2)
        assert uploaded(ftpd) == {"a.txt": THEIRS, "a-1.txt": THEIRS, "a-2.txt": content}


def test_suffix_is_not_needed_where_the_name_is_free(ftpd, module):
    module.configure(upload={"on_conflict": "suffix"})
    module.put("data/new/a.txt", b"mine")
    module.sync(2)
    assert uploaded(ftpd) == {"new/a.txt": b"mine"}


@pytest.mark.parametrize("theirs", ["a.txt", "empty"])
def test_skip_leaves_both_where_they_are(ftpd, module, theirs):
    module.configure(upload={"on_conflict": "skip", "after": "delete"})
    put_theirs(ftpd, theirs)
    if theirs == "empty":
        (ftpd.root / DEVICE / theirs).write_bytes(b"")
    there = uploaded(ftpd)
    module.put("data/" + theirs, b"mine")
    module.put("data/b.txt", b"b")
    boot = module.sync(2)
    assert uploaded(ftpd) == {**there, "b.txt": b"b"}
    assert list(boot.skipped) == ["/usr/data/" + theirs]
    assert list(module.files()) == ["data/" + theirs]


def test_two_files_of_the_module_that_want_one_name_both_arrive(ftpd, module):
    module.configure(upload={"to": "{device}/{name}", "on_conflict": "suffix"})
    module.put("data/x/a.txt", b"one")
    module.put("data/y/a.txt", b"two")
    module.sync(2)
    assert uploaded(ftpd) == {"a.txt": b"one", "a-1.txt": b"two"}


@pytest.mark.parametrize("on_conflict", ["overwrite", "suffix", "skip"])
def test_a_folder_of_that_name_stays_where_it_is(ftpd, module, on_conflict):
    module.configure(upload={"on_conflict": on_conflict})
    put_theirs(ftpd, "a.txt/inside")
    module.put("data/a.txt", b"mine")
    module.boot(2)
    assert uploaded(ftpd)["a.txt/inside"] == THEIRS


def test_name_and_number_are_the_same_after_a_cut_in_the_data_and_a_restart(ftpd, flashed):
    with Proxy(ftpd.host, ftpd.port) as proxy:
        module = flashed(ftpd, port=proxy.port)
        module.configure(
            upload={"from": "/usr/data", "to": "{device}/{date}-{seq}-{name}", "on_conflict": "suffix"},
            download={"from": ""},
        )
        put_theirs(ftpd, "2026-09-21-00000001-a.bin")
        module.put("data/a.bin", BIG)
        before = descendants(ftpd.pid)
        proxy.set_faults(Fault(DATA, "rst", UP, after_bytes=100_000, nth=1, is_link=True))
        module.boot(epoch_s=SET_S)
        proxy.clear_faults()
        proxy.wait_idle(5)
        wait_for_sessions(ftpd, before)
        module.sync(2, epoch_s=SET_S + 86_400)
    assert uploaded(ftpd) == {"2026-09-21-00000001-a.bin": THEIRS, "2026-09-21-00000001-a-1.bin": BIG}
