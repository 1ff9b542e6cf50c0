# What a module tells, made by MicroPython: its dicts have no order, its texts are bytes, its modem says who it is.
import json

import pytest

from app import VERSION
from tests.device.ferry import DEVICE
from tests.unit.test_status import KEYS

WAITING = "grün 数.txt"


@pytest.mark.parametrize("form", ["from source", "compiled"])
def test_a_module_tells_itself_and_its_log(ferry, ftpd, form):
    if form == "compiled":
        ferry.compile()
    ferry.configure(
        status={"to": "status/{device}.json"},
        upload={"from": "/usr/data", "to": "{device}/{date}/{name}"},
    )
    ferry.put("data/" + WAITING, b"1")
    ftpd.put(f"status/{DEVICE}.logreq", b"")
    ferry.sync(2, epoch_s=0)  # the clock is not set: the file waits
    sent = ftpd.files("status")
    assert sorted(sent) == [f"{DEVICE}.json", f"{DEVICE}.log"]
    told = json.loads(sent[f"{DEVICE}.json"])
    assert list(told) == KEYS
    assert (told["device"], told["version"], told["cycle"], told["boots"]) == (DEVICE, VERSION, 1, 1)
    assert (told["model"], told["power_on"], told["error"]) == ("EC600U", "power key", None)
    assert told["free_blocks"] > 0
    lines = sent[f"{DEVICE}.log"].decode().splitlines()
    assert lines[0].startswith(f"Ferry {VERSION}, {DEVICE}, boot 1, cycle 1, ")
    assert [line for line in lines if "IDLE -> ROOM" in line]
    assert told["time"] is None
    assert told["queue"]["count"] == 1
    assert told["queue"]["files"][0][0] == "/usr/data/" + WAITING
