"""A server that cannot open a data connection just now: that is no file's fault."""

import pytest

from tests.faults.world import World
from tests.ftpd.sane import Sane

OOPS = b"500 OOPS: vsf_sysutil_bind\r\n"


@pytest.fixture
def module(tmp_path):
    world = World(tmp_path / "module", "u", "p")
    yield world
    world.power_off()


@pytest.mark.parametrize("refusal", [OOPS, b"425 No ports left.\r\n", b"421 Busy.\r\n"])
def test_a_file_is_not_parked_when_the_server_has_no_port_for_it(module, refusal):
    (module.usr / "a.txt").write_bytes(b"hello")
    with Sane(override={"EPSV": [refusal], "PASV": [refusal]}) as sane:
        manager = module.boot(sane.port, download={"from": ""})
        assert not manager.run_cycle().ok
        assert manager.status()["parked"] == 0
        assert manager.run_cycle().ok
    assert sane.files == {"m1/a.txt": b"hello"}
