# MicroPython's raw REPL over a serial port: run a program on the module, hear what it prints. Raw-paste where the module has it
# (flow control), plain raw REPL otherwise. Other threads of the module print whenever they like, into anything.
import codecs
import time

from tools.board.errors import BoardError, Gone, ModuleFault

PROMPT = b">>> "
RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
_ENTER, _CTRL_A, _CTRL_B, _CTRL_C, _CTRL_D = b"\r", b"\x01", b"\x02", b"\x03", b"\x04"
_PASTE = b"\x05A\x01"

FREE_S = 3  # a free REPL answers at once, but while Ferry walks the flash
ANSWER_S = 5  # what is a REPL gets more time
INTERRUPT_S = 4  # behind Ctrl-C the module starts anew
INTERRUPTS = 5  # in the first second of main.py they do not count
RESET_S = 0.5
SILENCE_S = 30  # of a program that should tell something
# The plain raw REPL has no flow control: pieces that fit into any firmware's input buffer, and time to take them out.
_PIECE_BYTES = 255
_PIECE_S = 0.01
_LOOK_S = 0.2


class Repl:
    """One module's REPL. `port` is an open serial port. Not for two threads."""

    def __init__(self, port):
        self._port = port
        self._held = b""  # came, and not looked at yet
        self._may_paste = True
        self.is_raw = False

    # --- who has the REPL

    def is_free(self):
        """True if the REPL answers. Nothing is interrupted: where main.py runs, what is sent here is thrown away."""
        self.drain()
        self._write(_ENTER + _CTRL_B)
        self.is_raw = False
        return self._wait_for(PROMPT, FREE_S) is not None

    def interrupt(self, pause_s=None):
        """Stop a main.py that holds the REPL, by Ctrl-C every `pause_s`. Raises BoardError where it does not stop.

        Behind Ctrl-C the module starts anew: waiting for that is kinder. Hasty is for a main.py that will soon let go by itself."""
        deadline = time.monotonic() + INTERRUPT_S * INTERRUPTS
        heard = b""
        while time.monotonic() < deadline:
            self._write(_ENTER + _CTRL_C)
            if self._wait_for(PROMPT, pause_s or INTERRUPT_S) is not None:
                self.drain(0.2)
                return
            heard += self._held
        raise BoardError(_why_silent(heard))

    def enter_raw(self):
        """Raises BoardError where what answers is no MicroPython."""
        if self.is_raw:
            return
        self._write(_ENTER + _CTRL_A)
        if self._wait_for(RAW_PROMPT, ANSWER_S) is None:
            raise BoardError(_why_silent(self._held))
        self.is_raw = True

    def leave_raw(self):
        """Leave a prompt behind, for people."""
        if self.is_raw:
            self._write(_CTRL_B)
            self._wait_for(PROMPT, ANSWER_S)
            self.is_raw = False

    def attach(self):
        """Connect the REPL to this terminal until a person types Ctrl-]."""
        from serial.tools import miniterm

        terminal = miniterm.Miniterm(self._port, eol="cr", filters=["direct"])
        terminal.exit_character, terminal.menu_character = "\x1d", "\x14"
        terminal.set_rx_encoding("utf-8", "replace")
        terminal.set_tx_encoding("utf-8")
        self._port.timeout = 1
        self._write(_ENTER)
        terminal.start()
        try:
            terminal.join()
        finally:
            terminal.console.cleanup()

    # --- programs

    def run(self, source, hear=None, silence_s=SILENCE_S):
        """Run a program; returns all it printed, and `hear(text)` gets it as it comes.

        Raises ModuleFault with the traceback, Gone after `silence_s` without a byte."""
        self.enter_raw()
        self._send(source)
        printed = self._collect(_CTRL_D, silence_s, hear)
        fault = self._collect(_CTRL_D, silence_s)
        self._collect(b">", silence_s)
        if fault.strip():
            raise ModuleFault(fault.decode("utf-8", "replace").replace("\r\n", "\n").strip())
        return printed.decode("utf-8", "replace").replace("\r\n", "\n")

    def reset(self, source):
        """Run a program, then a soft reset: main.py starts. What the module prints from there on waits for lines()."""
        self.enter_raw()
        self._send(source + "\nraise SystemExit")
        if self._wait_for(_CTRL_D + b">", RESET_S) is not None:  # a firmware that only ended the program
            self._write(_CTRL_D)
        self.is_raw = False

    def _send(self, source):
        raw = source.encode()
        if not (self._may_paste and self._paste(raw)):
            self._send_plain(raw)

    def _paste(self, raw):
        """False where the module has no raw-paste."""
        self._write(_PASTE)
        found = self._wait_for((b"R\x01", b"R\x00", RAW_PROMPT), ANSWER_S)
        if found != b"R\x01":
            self._may_paste = False
            if found is None:
                raise Gone("the module no longer answers; is the cable in?")
            return False
        window = int.from_bytes(self._take(2), "little")
        room, done = window, 0
        while done < len(raw):
            while not room or self._is_waiting():
                room += self._allowance(window)
            piece = raw[done : done + room]
            self._write(piece)
            done += len(piece)
            room -= len(piece)
        self._write(_CTRL_D)
        self._collect(_CTRL_D, SILENCE_S)
        return True

    def _allowance(self, window):
        """What one byte of the module allows to be sent more; bytes of other threads allow nothing."""
        byte = self._take(1)
        if byte == _CTRL_D:
            self._write(_CTRL_D)
            raise BoardError("the module refused the program: its memory is full; restart it and try again")
        return window if byte == b"\x01" else 0

    def _send_plain(self, raw):
        for at in range(0, len(raw), _PIECE_BYTES):
            self._write(raw[at : at + _PIECE_BYTES])
            time.sleep(_PIECE_S)
        self._write(_CTRL_D)
        self._collect(b"OK", SILENCE_S)

    # --- bytes

    def drain(self, quiet_s=0.0):
        """What came until it was quiet for so long."""
        found, self._held = self._held, b""
        while more := self._read(quiet_s):
            found += more
        return found

    def lines(self, is_enough, limit_s):
        """Yield the lines that come until `is_enough(text so far, seconds since the last of it)`, or for `limit_s` at most."""
        heard_at = time.monotonic()
        deadline, seen, partial = heard_at + limit_s, "", ""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while (now := time.monotonic()) < deadline and not is_enough(seen, now - heard_at):
            raw, self._held = self._held or self._read(_LOOK_S), b""
            text = decoder.decode(raw)
            heard_at = time.monotonic() if raw else heard_at
            seen += text
            *whole, partial = (partial + text).split("\n")
            yield from (line.strip("\r\x04") for line in whole)

    def recover(self):
        """Behind an error or Ctrl-C in the middle of anything: back to the prompt, with what ran interrupted."""
        self._write(_CTRL_C + _CTRL_C)
        self.drain(0.5)
        self.is_free()

    def _wait_for(self, marks, limit_s):
        """Which of `marks` came first, or None; what came before is dropped, what came after is held."""
        marks = (marks,) if isinstance(marks, bytes) else marks
        deadline = time.monotonic() + limit_s
        while True:
            found = [(self._held.find(mark), mark) for mark in marks if mark in self._held]
            if found:
                at, mark = min(found)
                self._held = self._held[at + len(mark) :]
                return mark
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            self._held += self._read(left_s)

    def _collect(self, mark, silence_s, hear=None):
        """What comes before `mark`."""
        found = b""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            before, seen, after = self._held.partition(mark)
            if not seen:  # half of the mark may have come
                cut = max(0, len(before) - len(mark) + 1)
                before, after = before[:cut], before[cut:]
            self._held = after
            found += before
            if hear and before:
                hear(decoder.decode(before).replace("\r", ""))
            if seen:
                return found
            more = self._read(silence_s)
            if not more:
                raise Gone(f"the module has said nothing for {silence_s:g} s; is the cable in?")
            self._held += more

    def _take(self, count):
        while len(self._held) < count:
            more = self._read(ANSWER_S)
            if not more:
                raise Gone("the module no longer answers; is the cable in?")
            self._held += more
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _is_waiting(self):
        with _port_errors():
            return bool(self._held or self._port.in_waiting)

    def _read(self, limit_s):
        with _port_errors():
            self._port.timeout = limit_s
            return self._port.read(max(1, self._port.in_waiting))

    def _write(self, raw):
        with _port_errors():
            self._port.write(raw)


class _port_errors:
    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, OSError):  # SerialException is one
            raise Gone(f"the port is gone: {error}") from error


def _why_silent(heard):
    if b"OK" in heard or b"ERROR" in heard:
        return "this is a port for AT commands, not the REPL; the REPL answers Enter with >>>"
    if heard.strip():
        text = heard.decode("utf-8", "replace").strip()[-60:]
        return f"what answers there is no REPL, or main.py does not let go of Ctrl-C; the last that came: {text!r}"
    return (
        "nothing answers there: either it is not the REPL port, or a main.py that catches Ctrl-C holds it. Restart the "
        "module and try again at once; try the module's other ports"
    )
