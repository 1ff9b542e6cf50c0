# Memory and sockets: a module with a limited heap (see FIELD_HEAP in ferry.py) gets through anything, cycle after cycle.
import os
import re

import pytest

from tests.device.ferry import DEVICE, on_event_hook

MEASURE = on_event_hook(
    """
if kind == "cycle":
    gc.collect()
    print("rest: %d bytes, %d sockets, %d files" % (gc.mem_alloc(), len(_world.sockets), _world.open_files))
"""
)


@pytest.fixture(autouse=True)
def as_in_the_field(ferry):
    ferry.compile()


def rests(boot):
    """(allocated bytes, open sockets, files open for writing) at the end of each cycle."""
    found = re.findall(r"rest: (\d+) bytes, (\d+) sockets, (\d+) files", boot.text)
    return [tuple(map(int, numbers)) for numbers in found]


def test_a_thousand_small_files_of_one_folder_and_a_large_one_go_up(ferry, ftpd):
    files = {f"file {i:04d}.txt": b"%d" % i for i in range(1000)}
    files["big.bin"] = os.urandom(10_000_000)
    for name, content in files.items():
        ferry.put(name, content)
    ferry.sync(2)
    assert ftpd.files(DEVICE) == files


def test_three_hundred_files_of_one_folder_come_down(ferry, ftpd):
    files = {f"file {i:04d}.txt": b"%d" % i for i in range(300)}
    for name, content in files.items():
        ftpd.put("updates/" + name, content)
    ferry.sync(2)
    assert ferry.files() == files


def test_two_hundred_cycles_leave_memory_flat_and_nothing_open(ferry, ftpd):
    for i in range(8):
        ferry.put(f"file {i}.txt", b"%d" % i)
        ftpd.put(f"updates/down {i}.txt", b"%d" % i)
    changes = iter(range(10_000))

    def change(verb, argument, place):
        if verb == "QUIT":
            number = next(changes)
            ferry.put("changing.txt", b"%d" % number)
            ftpd.put("updates/changing too.txt", b"%d" % (number // 10) * 3)

    ftpd.on_command = change
    boot = ferry.boot(200, before=MEASURE)
    assert boot.status == 0
    assert all(cycle["ok"] for cycle in boot.cycles)
    assert sum(cycle["up_count"] for cycle in boot.cycles) > 100
    measured = rests(boot)
    assert {(sockets, files) for _, sockets, files in measured} == {(0, 0)}
    early, late = (max(bytes_ for bytes_, _, _ in part) for part in (measured[20:60], measured[160:]))
    assert late < early + 2048, (early, late)


def test_a_hundred_failed_cycles_leave_memory_flat_and_nothing_open(ferry, ftpd):
    ferry.put("a.txt", b"a" * 1000)
    ftpd.on_command = lambda verb, argument, place: "421 busy" if verb == "SIZE" else None
    boot = ferry.boot(100, before=MEASURE)
    assert not any(cycle["ok"] for cycle in boot.cycles)
    measured = rests(boot)
    assert {(sockets, files) for _, sockets, files in measured} == {(0, 0)}
    early, late = (max(bytes_ for bytes_, _, _ in part) for part in (measured[20:40], measured[80:]))
    assert late < early + 2048, (early, late)


def test_an_idle_cycle_writes_nothing_to_flash(ferry, ftpd):
    ferry.put("a.txt", b"a" * 50_000)
    ftpd.put("updates/b.txt", b"b")
    ferry.sync()
    ledger = ferry.usr / ".ferry" / "ledger"
    written = []

    def on_event(event, process):
        if event["kind"] == "cycle":
            written.append(ledger.stat().st_mtime_ns)

    ferry.sync(6, on_event=on_event)
    written.append(ledger.stat().st_mtime_ns)
    assert len(set(written[2:])) == 1  # behind what each boot notes
