# What a module has little of, in counts and ratios that hold on any machine: memory after a thousand times the same, and
# the speed of a transfer against that of a bare loop on the same interpreter.
import re
import resource

import pytest

from tests.ftpd.fixtures import require
from tools.ftpd.servers import running

# What stays of a thousand: nothing that grows. A kilobyte is a few objects that are made at first use.
TOLERANCE_BYTES = 1024

START = """
import gc, usys
gc.threshold(8192)
usys.path.append("/usr")
import _world

def measure(what):
    gc.collect()
    print("%s: %d bytes, %d sockets" % (what, gc.mem_alloc(), len(_world.sockets)))
"""

UPLOADS = (
    START
    + """
from ftp_manager import FtpManager
manager = FtpManager()
manager.connect("127.0.0.1", PORT)
manager.login(USER, PASSWORD)

def upload(count):
    for _ in range(count):
        if not manager.upload_file("/usr/", "a.txt"):
            raise SystemExit

upload(100)
measure("early")
upload(1000)
measure("late")
"""
)

FAILED_CONNECTS = (
    START
    + """
from app.errors import TransportError
from ftp_manager import FtpManager
manager = FtpManager()

def fail(count):
    for _ in range(count):
        try:
            manager.connect("127.0.0.1", PORT)
        except TransportError as e:
            if e.args[0] != 111:
                raise

fail(100)
measure("early")
fail(1000)
measure("late")
"""
)

SPEED = (
    START
    + """
import usocket
from app.platform.sockets import Net
from app.proto.session import Session

SIZE = 2000000
buffer = bytearray(4096)

def bare(port):
    sock = usocket.socket()
    sock.settimeout(15)
    sock.connect(("127.0.0.1", port))
    return sock

def receive_bare(stream):
    sock = bare(SENDER)
    while True:
        block = sock.recv(4096)
        if not block:
            break
        stream.write(block)
    sock.close()

def send_bare(stream):
    sock = bare(RECEIVER)
    view = memoryview(buffer)
    while True:
        count = stream.readinto(buffer)
        if not count:
            break
        sent = sock.send(view[:count])
        while sent < count:
            sent += sock.send(view[sent:count])
    sock.recv(1)  # the receiver has all of it
    sock.close()

class Clock:
    # As app.platform.clock, over the interpreter's own ticks: those of the simulator take as long as a block.
    def ticks_ms(self):
        return _world.time.ticks_ms()

    def ticks_diff(self, later, earlier):
        return _world.time.ticks_diff(later, earlier)

class Quiet:
    def is_ready(self):
        return False

def session(port):
    # A session in the middle of a transfer.
    found = Session(Net(), Clock())
    found._control = Quiet()
    found._has_begun = True
    found._data = Net().connect("127.0.0.1", port, 15)
    return found

def receive(stream):
    found = session(SENDER)
    if found.receive_blocks(stream.write, at_most=SIZE) != SIZE:
        raise ValueError("short")
    found.close_data()

def send(stream):
    found = session(RECEIVER)
    if found.send_blocks(stream, SIZE, buffer) != SIZE:
        raise ValueError("short")
    found._data.recv(1)
    found.close_data()

TRANSFERS = {"receive": receive, "receive_bare": receive_bare, "send": send, "send_bare": send_bare}
for _ in range(RUNS):
    with open("/usr/a.bin", MODE) as stream:
        if TRANSFER:
            TRANSFERS[TRANSFER](stream)
"""
)
SIZE = 2_000_000
RUNS = {"receive": 10, "send": 100}
LEAST_SPEED = 0.9
TRIES, MOST_TRIES = 3, 24  # the best of them, and more where a busy machine has spoilt those


def check_flat(boot):
    assert boot.status == 0, boot.text
    found = re.findall(r"(early|late): (\d+) bytes, (\d+) sockets", boot.text)
    (_, early, early_sockets), (_, late, late_sockets) = found
    assert int(late) <= int(early) + TOLERANCE_BYTES
    assert late_sockets == early_sockets
    return int(late_sockets)


def settings(**values):
    return "".join(f"{name} = {value!r}\n" for name, value in values.items())


def test_a_thousand_uploads_leave_memory_where_it_was_and_no_data_connection(ferry, tmp_path):
    require("vsftpd")  # the quickest: thousands of round trips are waited for
    root = tmp_path / "vsftpd"
    root.mkdir()
    ferry.put("a.txt", b"hello")
    with running("vsftpd", root) as server:
        boot = ferry.boot(main=settings(PORT=server.port, USER=server.user, PASSWORD=server.password) + UPLOADS)
        assert server.log_text().count(": RNTO a.txt") + server.log_text().count('"RNTO a.txt"') == 1100
    assert [path.name for path in root.iterdir()] == ["a.txt"]
    assert check_flat(boot) == 1  # the control connection


def test_a_thousand_failed_connects_leave_memory_where_it_was_and_no_socket(ferry, refused_port):
    boot = ferry.boot(main=settings(PORT=refused_port) + FAILED_CONNECTS)
    assert check_flat(boot) == 0


def cpu_s(ferry, transfer, direction, ports):
    """Processor time of a module that makes RUNS transfers: other processes of a busy machine are not in it."""
    mode = "wb" if direction == "receive" else "rb"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    boot = ferry.boot(main=settings(**ports, RUNS=RUNS[direction], MODE=mode, TRANSFER=transfer) + SPEED)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert boot.status == 0, boot.text
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.alone
@pytest.mark.parametrize("direction", RUNS)
def test_a_transfer_takes_at_most_a_ninth_more_than_a_bare_loop(ferry, server, direction, tell):
    body = bytes(SIZE)

    def take_all(connection):
        left = SIZE
        while left:
            left -= len(connection.recv(65536))
        connection.close()

    def give_all(connection):
        connection.sendall(body)
        connection.close()

    ferry.put("a.bin", body)
    ferry.heap = "512k"  # the module's; with less, reads are smaller
    with server(give_all) as sender, server(take_all) as receiver:
        ports = {"SENDER": sender, "RECEIVER": receiver}
        kinds = ("", direction + "_bare", direction)
        best_s = dict.fromkeys(kinds, float("inf"))
        for number in range(MOST_TRIES):
            for kind in kinds:
                best_s[kind] = min(best_s[kind], cpu_s(ferry, kind, direction, ports))
            bare_s, ours_s = best_s[kinds[1]] - best_s[""], best_s[direction] - best_s[""]
            speed = bare_s / ours_s
            if speed >= LEAST_SPEED and number + 1 >= TRIES:
                break
    tell(f"{direction} blocks: {speed:.2f} of the speed of a bare loop")
    assert speed >= LEAST_SPEED
