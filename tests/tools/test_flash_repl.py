# The raw REPL's protocol, byte by byte, where a real interpreter does not show it: foreign bytes, and other firmware.
import pytest

from tools.board import repl
from tools.board.errors import BoardError, Gone, ModuleFault
from tools.board.repl import Repl


class ScriptedPort:
    """Answers what is written by a list of (what it ends in, answer), in order."""

    timeout = None

    def __init__(self, *answers):
        self._answers = list(answers)
        self._waiting = b""
        self.written = b""

    @property
    def in_waiting(self):
        return len(self._waiting)

    def write(self, raw):
        self.written += raw
        if self._answers and self.written.endswith(self._answers[0][0]):
            self._waiting += self._answers.pop(0)[1]

    def read(self, count):
        found, self._waiting = self._waiting[:count], self._waiting[count:]
        return found


ENTER = (b"\r\x01", b"noise\r\nraw REPL; CTRL-B to exit\r\n>")
PLAIN = (b"\x05A\x01", b"R\x00")


def test_bytes_of_other_threads_are_no_part_of_the_flow_control():
    port = ScriptedPort(
        ENTER,
        (b"\x05A\x01", b"a log line\r\nR\x01\x04\x00"),
        (b"prin", b"another thread\r\n\x01"),
        (b"t(12", b"\x01and another"),
        (b"345)", b"\x01"),
        (b"\x04", b"still\x0412345\r\n\x04\x04>"),
    )
    assert Repl(port).run("print(12345)") == "12345\n"
    assert port.written == b"\r\x01\x05A\x01print(12345)\x04"


def test_what_is_heard_comes_as_it_is_printed():
    port, heard = ScriptedPort(ENTER, PLAIN, (b"x()\x04", b"OKone\r\ntwo\r\n\x04\x04>")), []
    assert Repl(port).run("x()", heard.append) == "one\ntwo\n"
    assert "".join(heard) == "one\ntwo\n"


def test_firmware_that_does_not_know_raw_paste_is_asked_once():
    again = (b"\x05A\x01", b"raw REPL; CTRL-B to exit\r\n>")
    port = ScriptedPort(ENTER, again, (b"a\x04", b"OK\x04\x04>"), (b"b\x04", b"OK1\x04\x04>"))
    module = Repl(port)
    module.run("a")
    assert module.run("b") == "1"
    assert port.written.count(b"\x05A\x01") == 1


def test_a_traceback_is_an_error_with_its_text():
    port = ScriptedPort(ENTER, PLAIN, (b"x\x04", b"OK\x04Traceback\r\nNameError: x\r\n\x04>"))
    with pytest.raises(ModuleFault, match="NameError: x"):
        Repl(port).run("x")


def test_a_full_memory_is_told():
    port = ScriptedPort(ENTER, (b"\x05A\x01", b"R\x01\x02\x00"), (b"pr", b"\x04"))
    with pytest.raises(BoardError, match="memory is full"):
        Repl(port).run("print()")


def test_silence_is_an_unplugged_cable():
    with pytest.raises(Gone, match="nothing for 0 s"):
        Repl(ScriptedPort(ENTER, PLAIN, (b"x\x04", b"OK"))).run("x", silence_s=0)


@pytest.mark.parametrize(
    ("answer", "written"), [(b"OK\x04\x04\r\nboots\r\n", b"x\nraise SystemExit\x04"), (b"OK\x04\x04>", b"SystemExit\x04\x04")]
)
def test_a_firmware_that_stays_at_its_prompt_is_reset_by_ctrl_d(monkeypatch, answer, written):
    monkeypatch.setattr(repl, "RESET_S", 0)
    port = ScriptedPort(ENTER, PLAIN, (b"SystemExit\x04", answer))
    Repl(port).reset("x")
    assert port.written.endswith(written)
