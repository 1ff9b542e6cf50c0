"""The status and the log of a module on real servers: when they go, what they cost, and that nothing is harmed where they cannot."""

import json

import pytest

from app import VERSION
from tests.ftpd.faults import CONTROL, DATA, UP, Fault
from tests.ftpd.proxy import Proxy
from tests.ftpd.sane import Sane
from tests.world import DEVICE, FAST

SETTINGS = {"status.to": "status/{device}.json", "status.every": 5}
IDLE_TRIPS = 3
STATUS_TRIPS = 4  # where its first flight is that of the login
AFTER_OTHERS_TRIPS = 5
REFUSED = b"553 Not here.\r\n"


def settings_for(ftpd, **more):
    return {"server.user": ftpd.user, "server.password": ftpd.password, **SETTINGS, **more}


def status_on(ftpd):
    return json.loads((ftpd.root / "status" / "m1.json").read_bytes())


def names_on(ftpd):
    return sorted(path.name for path in (ftpd.root / "status").iterdir())


def test_a_boot_sends_a_status_and_an_idle_cycle_behind_it_costs_what_it_did(world, ftpd):
    manager = world.manager(ftpd, settings_for(ftpd))
    first = manager.run_cycle(61_000)
    assert first.ok
    told = status_on(ftpd)
    assert (told["device"], told["version"], told["cycle"], told["uptime_s"]) == (DEVICE, VERSION, 1, 61)
    assert (told["error"], told["boots"], told["signal"], told["power_on"]) == (None, 1, 21, "power key")
    assert told["server"] == f"{ftpd.host}:{ftpd.port}"
    assert names_on(ftpd) == ["m1.json"]
    assert first.counts.round_trips == IDLE_TRIPS + STATUS_TRIPS
    for cycle in (2, 3, 4, 5):
        result = manager.run_cycle(61_000 * cycle)
        assert result.ok
        assert result.counts.round_trips == IDLE_TRIPS
    assert status_on(ftpd) == told
    manager.run_cycle()
    assert status_on(ftpd)["cycle"] == 6


def test_only_a_status_goes_over_the_old_one(world, ftpd):
    """What a reader sees is one status or the other; the servers rename over what is there."""
    for boot in (1, 2):
        assert world.cycle(ftpd, settings_for(ftpd)).ok
        assert status_on(ftpd)["boots"] == boot
        assert names_on(ftpd) == ["m1.json"]
