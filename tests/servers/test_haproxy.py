"""Two proftpd behind HAProxy, over the same storage, as examples/servers/haproxy.cfg has them: a node may be killed at any
moment, and the modules go on."""

import os
import random
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.world import read_tree
from tests.ftpd.deployed import IMEI, cluster
from tests.ftpd.fixtures import require
from tools.ftpd.servers import HAPROXY, crash

BIG = random.Random(4).randbytes(3_000_000)
MODULES = 6


@pytest.fixture
def front():
    require("proftpd", tls=True)
    require(HAPROXY, tls=True)
    with cluster() as (haproxy, nodes):
        yield haproxy, nodes


@pytest.fixture
def module(front, flashed):
    haproxy, _ = front
    module = flashed(haproxy, tls="explicit", user=haproxy.user, password=haproxy.password)
    module.configure(device={"id": ""})
    return module


def logins(node):
    return node.log_text().count("Login successful")


def test_the_nodes_take_turns_and_the_module_sees_one_server(front, module):
    haproxy, nodes = front
    for number in range(MODULES):
        module.put(f"{number}.bin", BIG[number : number + 5000])
        module.sync()
    assert sorted(os.listdir(haproxy.root / IMEI)) == [f"{number}.bin" for number in range(MODULES)]
    for number in range(MODULES):
        assert (haproxy.root / IMEI / f"{number}.bin").read_bytes() == BIG[number : number + 5000]
    counts = [logins(node) for node in nodes]
    assert sum(counts) == MODULES and all(counts)


def test_a_node_that_dies_in_mid_upload_costs_a_cycle_and_no_file(front, module):
    haproxy, nodes = front
    module.put("big.bin", BIG)
    killed = []

    def kill_its_node(event, _process):
        if event["kind"] == "progress" and event["data"][0] > 2_000_000 and not killed:
            busy = next(node for node in nodes if logins(node))
            crash(busy)
            killed.append(busy)

    boot = module.boot(2, on_event=kill_its_node)
    assert [cycle["ok"] for cycle in boot.cycles] == [False, True], boot.text
    assert os.listdir(haproxy.root / IMEI) == ["big.bin"]
    assert (haproxy.root / IMEI / "big.bin").read_bytes() == BIG
    assert boot.cycles[1]["sent_bytes"] < len(BIG)  # it went on with what the dead node had written
    (left,) = (node for node in nodes if node not in killed)
    assert logins(left) == 1


def test_every_module_comes_through_while_a_node_is_dead(front, module):
    _, nodes = front
    crash(nodes[0])
    for number in range(MODULES):
        module.put(f"{number}.bin", BIG[:2000])
        module.sync()  # none of them fails, though every second one is sent to the dead node first
    assert Counter(logins(node) for node in nodes) == Counter([0, MODULES])


def test_several_modules_at_once_go_on_when_a_node_dies(front, flashed):
    haproxy, nodes = front
    files = {f"{number}.bin": BIG[number * 20_000 :][:20_000] for number in range(5)}
    modules = []
    for number in range(3):
        module = flashed(haproxy, tls="explicit", user=haproxy.user, password=haproxy.password)
        module.configure(device={"id": ""}, upload={"from": "/usr/data", "to": f"{IMEI}/{number}", "cycle_files": 1})
        for name, content in files.items():
            module.put(f"data/{name}", content)
        modules.append(module)
    is_first = threading.Lock()

    def kill_a_node(event, _process):
        if event["kind"] == "cycle" and is_first.acquire(blocking=False):
            crash(nodes[1])

    with ThreadPoolExecutor(len(modules)) as pool:
        boots = list(pool.map(lambda module: module.boot(len(files) + 1, on_event=kill_a_node), modules))
    for number, boot in enumerate(boots):
        assert [cycle["ok"] for cycle in boot.cycles].count(False) <= 1, boot.text
        assert read_tree(haproxy.root / IMEI / str(number)) == files


def test_a_node_that_hangs_is_left_out_when_the_check_has_noticed(front, module):
    haproxy, nodes = front
    os.kill(nodes[0].pid, signal.SIGSTOP)  # it takes connections still, and greets nobody
    for number in range(40):
        module.put("before.bin", BIG[number : number + 2000])
        boot = module.boot(3)
        is_down = "nodes/a is DOWN" in haproxy.log_text()
        # Who came to it waits for its own time-out, and comes again. Who waits while the check notices it is cut off from it.
        is_cut_off = is_down and (boot.cycles[-1]["error"] or "").startswith("ConnectionClosed in greeting")
        assert boot.cycles[-1]["ok"] or is_cut_off, boot.text
        if is_down:
            break
    else:
        pytest.fail(haproxy.log_text()[-2000:])
    for number in range(3):
        module.put(f"{number}.bin", BIG[:2000])
        module.sync()
