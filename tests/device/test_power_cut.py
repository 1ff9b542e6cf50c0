# The power goes at moments that nobody chose; after each the module boots again. In the end both sides hold the same, and
# nothing that had arrived was sent once more.
import random
from collections import Counter

import pytest

from tests.device.ferry import DEVICE

CUTS = 30
SEED = 1
SMALL_BYTES = 32_768

UP = {
    "a.txt": b"a\r\n" * 10,
    "b.bin": random.Random(1).randbytes(150_000),
    "sub/c.txt": b"c",
    "sub/d.bin": random.Random(2).randbytes(50_000),
    "e.txt": b"",
    "f.bin": random.Random(3).randbytes(9_000),
}
DOWN = {
    "g.bin": random.Random(4).randbytes(120_000),
    "new/h.txt": b"h\n",
    "new/i.bin": random.Random(5).randbytes(40_000),
    "j.txt": b"",
    "k.txt": b"k" * 3000,
}


def cut_after(count, is_counted):
    """For boot(): the process is killed when so many events that count have been heard."""
    left = [count]

    def on_event(event, process):
        left[0] -= is_counted(event)
        if left[0] == 0:
            process.kill()

    return on_event


def any_event(event):
    return True


def no_progress(event):
    return event["kind"] != "progress"


def test_thirty_power_cuts_cost_nothing_but_time(ferry, ftpd):
    for name, content in UP.items():
        ferry.put(name, content)
    for name, content in DOWN.items():
        ftpd.put("updates/" + name, content)
    everything = dict(UP, **DOWN)
    wrong, fetched = set(), Counter()

    def look():
        for name, content in [*ftpd.files(DEVICE).items(), *ferry.files().items()]:
            if not name.endswith(".part") and content != everything.get(name):
                wrong.add(name)

    ftpd.on_step = look
    chance = random.Random(SEED)
    for _ in range(CUTS):
        on_event = cut_after(chance.randint(1, 45), no_progress if chance.random() < 0.5 else any_event)
        boot = ferry.boot(2, on_event=on_event)
        fetched.update(boot.down)
        look()
        if boot.status == 0 and chance.random() < 0.7:  # nothing left to cut: something new on both sides
            name = f"more {len(everything)}.bin"
            everything[name] = everything["down " + name] = chance.randbytes(chance.choice([10, 5_000, 60_000]))
            ferry.put(name, everything[name])
            ftpd.put("updates/down " + name, everything[name])
    boot = ferry.boot(4)
    assert boot.cycles[-1]["ok"], boot.text
    downs = {name for name in everything if name in DOWN or name.startswith("down ")}
    assert wrong == set()
    assert ferry.files() == everything
    assert ftpd.files(DEVICE) == {name: content for name, content in everything.items() if name not in downs}
    assert ferry.state_files() == ["ledger"]
    assert [name for name in fetched if fetched[name] > 1] == []
    needed = sum(len(content) for name, content in everything.items() if name not in downs)
    assert ftpd.moved["up"] <= needed + CUTS * SMALL_BYTES  # what a cut can cost: see upload.py, RESUME_BYTES


@pytest.mark.parametrize("count", range(2, 30, 2))
def test_a_cut_at_each_event_of_a_small_cycle(ferry, ftpd, count):
    ferry.put("a.txt", b"a" * 500)
    ferry.put("b.bin", b"b" * 40_000)
    ftpd.put("updates/c.txt", b"c" * 500)
    first = ferry.boot(1, on_event=cut_after(count, any_event))
    committed = [name for name, content in ftpd.files(DEVICE).items() if not name.endswith(".part")]
    ftpd.forget()
    ferry.sync(2)
    assert ftpd.files(DEVICE) == {"a.txt": b"a" * 500, "b.bin": b"b" * 40_000}
    assert ferry.files() == {"a.txt": b"a" * 500, "b.bin": b"b" * 40_000, "c.txt": b"c" * 500}
    assert ferry.state_files() == ["ledger"]
    again = [name for name in ftpd.arguments("STOR") if any(name.startswith(f"{DEVICE}/{done}.") for done in committed)]
    assert again == [], first.text
    if first.down:
        assert ftpd.arguments("RETR") == []
