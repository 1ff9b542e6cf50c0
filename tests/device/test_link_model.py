# What a link costs in virtual time: round trips, rates, time-outs. On every interpreter that can play the module.
import threading
import time

import pytest

from tools.sim.links import LINKS

FIXED = {"rtt_ms": [1000, 1000], "up_kbit_s": 80, "down_kbit_s": 40}  # 10 and 5 bytes in a ms

HELPERS = """
import usocket, utime
def ms(call, *args):
    start = utime.ticks_ms()
    try:
        found = call(*args)
    except OSError as e:
        found = e.args[0]
    return found, utime.ticks_diff(utime.ticks_ms(), start)
def near(found, wanted):
    return wanted <= found < wanted + 150  # the rest is real time
def fresh(timeout=15):
    s = usocket.socket()
    s.settimeout(timeout)
    return s
"""


def answer(connection):
    """One byte for each line, and for the line `n` n bytes."""

    def run():
        try:
            for line in connection.makefile("rb"):
                connection.sendall(b"x" * int(line.strip() or 1))
        except (OSError, ValueError):
            pass  # what is sent to measure the rate is no line

    threading.Thread(target=run, daemon=True).start()


@pytest.fixture
def measure(module, server):
    def run(script, link=FIXED, **world):
        with server(answer) as port:
            return module.run(HELPERS + script, {"port": port}, link=link, **world).values

    return run


def test_look_up_connect_and_each_question_cost_a_round_trip(measure):
    values = measure(
        """
show("name", near(ms(usocket.getaddrinfo, "localhost", port)[1], 1000))
show("number", near(ms(usocket.getaddrinfo, "127.0.0.1", port)[1], 0))
s = fresh()
show("connect", near(ms(s.connect, ("127.0.0.1", port))[1], 1000))
show("send", near(ms(s.send, b"10\\n")[1], 0))
show("first", near(ms(s.recv, 4)[1], 1000))
show("rest", near(ms(s.recv, 6)[1], 0))
s.send(b"1\\n")
utime.sleep_ms(400)
show("counts from the send", near(ms(s.recv, 1)[1], 550))
"""
    )
    assert set(values.values()) == {"True"}, values
    assert len(values) == 7


def test_bytes_cost_their_time_each_way_at_its_own_rate(measure):
    values = measure(
        """
s = fresh()
s.connect(("127.0.0.1", port))
s.send(b"50000\\n")
s.recv(1)
def take(size):
    while size:
        size -= len(s.recv(min(size, 4096)))
show("down", near(ms(take, 49999)[1], 10000))
show("up, into the buffer", near(ms(s.send, bytes(10000))[1], 0))
def give(size):
    while size:
        size -= s.send(bytes(min(size, 1000)))
show("up", near(ms(give, 50000)[1], 4850))
""",
    )
    assert set(values.values()) == {"True"}, values


def test_an_answer_that_comes_later_than_the_time_out_is_a_time_out_and_is_there_afterwards(measure):
    link = dict(FIXED, rtt_ms=[7000, 7000])
    start = time.monotonic()
    values = measure(
        """
s = fresh(5)
show("connect", ms(s.connect, ("127.0.0.1", port)))
s.close()
s = fresh(20)
s.connect(("127.0.0.1", port))
s.send(b"1\\n")
s.settimeout(5)
found, took = ms(s.recv, 1)
show("late", (found, near(took, 5000)))
found, took = ms(s.recv, 1)
show("there", (found, near(took, 1950)))
""",
        link,
    )
    connect = values.pop("connect")
    assert connect.startswith("(110, 50")
    assert values == {"late": "(110, True)", "there": "(b'x', True)"}
    assert time.monotonic() - start < 5


def test_the_final_reply_waits_for_the_last_byte_of_the_upload(measure):
    values = measure(
        """
control = fresh()
control.connect(("127.0.0.1", port))
control.send(b"2\\n")
control.recv(1)
data = fresh()
data.connect(("127.0.0.1", port))
data.send(bytes(10000))
data.close()
show("final", near(ms(control.recv, 1)[1], 1950))
"""
    )
    assert values == {"final": "True"}


def test_poll_waits_for_the_answer(measure):
    values = measure(
        """
import uselect
s = fresh()
s.connect(("127.0.0.1", port))
s.send(b"1\\n")
poll = uselect.poll()
poll.register(s, uselect.POLLIN)
utime.sleep_ms(100)
show("at once", poll.poll(0))
found, took = ms(poll.poll, 300)
show("too soon", (found, near(took, 300)))
found, took = ms(poll.poll, 5000)
show("there", (len(found), near(took, 550)))
"""
    )
    assert values == {"at once": "[]", "too soon": "([], True)", "there": "(1, True)"}


@pytest.mark.parametrize("name", [name for name, link in LINKS.items() if link])
def test_round_trips_stay_in_the_range_of_the_technology_and_follow_the_seed(module, name):
    script = """
import _link, _world
found = [_link._draw_us() // 1000 for _ in range(500)]
show("range", (min(found), max(found)))
show("first", found[:5])
"""
    runs = [module.run(script, link=LINKS[name], seed=seed).values for seed in (1, 1, 2)]
    least, most = LINKS[name]["rtt_ms"]
    for run in runs:
        low, high = eval(run["range"])
        assert least <= low < least + (most - least) / 10
        assert most - (most - least) / 10 < high <= most
    assert runs[0] == runs[1] != runs[2]
