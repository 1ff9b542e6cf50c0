# What a module tells, made by MicroPython: its dicts have no order, its texts are bytes, its modem says who it is.
import json

from tests.device.ferry import DEVICE

NAME = f"status/{DEVICE}.json"


def test_a_module_tells_itself_and_its_log(ferry, ftpd):
    ferry.configure(status={"to": "status/{device}.json"}, upload={"exclude": ["*.tmp"]})
    ferry.put("grün.txt", b"1")
    ftpd.put(f"status/{DEVICE}.logreq", b"")
    boot = ferry.sync(2)
    assert not boot.failed
    raw = ftpd.files("status")
    assert sorted(raw) == [f"{DEVICE}.json", f"{DEVICE}.log"]
    told = json.loads(raw[f"{DEVICE}.json"])
    print(raw[f"{DEVICE}.json"].decode())
    assert list(told)[:3] == ["format", "device", "model"]
