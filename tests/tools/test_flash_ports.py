# Which port it is, and what is said when that is not clear.
import os
import threading

import pytest
from serial.tools.list_ports_common import ListPortInfo

from tools.board import ports
from tools.board.errors import BoardError
from tools.board.repl import Repl


def port(device, description="", vid=None, pid=None, location=None):
    info = ListPortInfo(device)
    info.description, info.vid, info.pid, info.location = description or "n/a", vid, pid, location
    return info


REPL = port("COM7", "Quectel USB REPL Port (COM7)", 0x2C7C, 0x6002)
AT = port("COM5", "Quectel USB AT Port (COM5)", 0x2C7C, 0x6002)
LINUX_REPL = port("/dev/ttyUSB5", "Android", 0x2C7C, 0x6001, "1-2:1.5")
LINUX_AT = port("/dev/ttyUSB2", "Android", 0x2C7C, 0x6001, "1-2:1.2")
OTHER = port("/dev/ttyS0")


@pytest.fixture
def there(monkeypatch):
    return lambda *found: monkeypatch.setattr(ports.list_ports, "comports", lambda: list(found))


def test_the_one_repl_port_is_found_by_its_name(there):
    there(AT, REPL, OTHER)
    assert ports.find() == "COM7"


@pytest.mark.parametrize("name", ["Quectel USB MI05 COM Port (COM9)", "USB MI05 (COM9)", "Quectel USB REPL Port"])
def test_names_of_the_vendors_drivers(there, name):
    there(AT, port("COM9", name))
    assert ports.find() == "COM9"


@pytest.mark.parametrize(
    ("pid", "location"),
    [(0x6001, "1-2:1.5"), (0x6002, "1-2:x.20"), (0x0901, "3-1.4:1.8"), (0x0903, "1-1:1.5"), (0x0700, "1-1:1.1")],
)
def test_the_interface_of_known_modules(there, pid, location):
    there(LINUX_AT, port("/dev/ttyUSB9", "Android", 0x2C7C, pid, location))
    assert ports.find() == "/dev/ttyUSB9"


def test_a_named_port_is_not_doubted(there):
    there(REPL)
    assert ports.find("COM1") == "COM1"


def refusal():
    with pytest.raises(BoardError) as raised:
        ports.find()
    return str(raised.value)


def test_no_port(there):
    there()
    assert "no module is there" in refusal()
    assert "driver" in refusal()


def test_other_ports_are_listed(there):
    there(OTHER)
    assert "no module is there" in refusal()
    assert "/dev/ttyS0" in refusal()


def test_two_modules_are_listed(there):
    there(REPL, LINUX_REPL, AT)
    text = refusal()
    assert "2 modules" in text
    assert "COM7" in text
    assert "/dev/ttyUSB5" in text
    assert "COM5" not in text


def test_a_port_in_doubt_is_listed_not_taken(there):
    there(LINUX_AT, OTHER)
    text = refusal()
    assert "/dev/ttyUSB2" in text
    assert "2c7c:6001" in text
    assert ">>>" in text
    assert "/dev/ttyS0" not in text


def test_a_port_that_is_not_there(there):
    there(REPL)
    with pytest.raises(BoardError, match="no such port") as raised:
        ports.open_port("/dev/ttyUSB99")
    assert "COM7" in str(raised.value)


def test_a_file_is_no_port(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BoardError, match="cannot be opened as a serial port"):
        ports.open_port(str(tmp_path / "file"))


@pytest.fixture
def answering():
    """answering(reply) -> name of a port on which something answers every input with `reply`."""
    pty = pytest.importorskip("pty")
    ends, threads = [], []

    def answer(reply):
        outer, inner = pty.openpty()
        ends.extend((outer, inner))

        def play():
            try:
                while os.read(outer, 100):
                    os.write(outer, reply)
            except OSError:
                pass  # the test is over

        threads.append(threading.Thread(target=play, daemon=True))
        pty.tty.setraw(inner)
        threads[-1].start()
        return os.ttyname(inner)

    yield answer
    os.close(ends[1])
    threads[0].join(5)
    os.close(ends[0])


def test_a_port_that_another_program_has(answering):
    name = answering(b"")
    holder = ports.open_port(name)
    with pytest.raises(BoardError, match="another program has this port"):
        ports.open_port(name)
    holder.close()


@pytest.mark.parametrize(
    ("reply", "text"),
    [(b"\r\nERROR\r\n", "AT commands"), (b"", "nothing answers"), (b"login: ", "no REPL.*login:")],
)
def test_what_is_no_repl_is_told(answering, monkeypatch, reply, text):
    monkeypatch.setattr("tools.board.repl.FREE_S", 0.2)
    monkeypatch.setattr("tools.board.repl.INTERRUPT_S", 0.2)
    opened = ports.open_port(answering(reply))
    repl = Repl(opened)
    try:
        assert not repl.is_free()
        with pytest.raises(BoardError, match=text):
            repl.interrupt()
    finally:
        opened.close()
