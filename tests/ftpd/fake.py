"""A scripted FTP server for hostile dialogues: the script says what the client must send and what it gets, byte for byte.

    script = [send(b"220 hi\r\n"), expect("USER"), send(b"331 \r\n"), expect("PASS"), reset()]
    with Fake(script) as server:
        ...                                     # the client talks to server.port
    assert server.commands == [b"USER u", b"PASS p"]

One script for each connection, in order. A step is a function that is given the Dialogue. Leaving the ``with`` raises
Deviation if the client did anything but what the script expects, or if the script is not at its end.
"""

import socket
import struct
import threading

TIMEOUT_S = 10


class Deviation(AssertionError):
    """The client left the script; the message says at which step and what it did."""


def reset_socket(sock):
    """Close with a reset in place of a FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def listen():
    """A listening socket on a free TCP port of loopback, which does not wait for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(TIMEOUT_S)
    return listener


def fill_in_port(reply, port):
    """`reply` with %PORT% (as in 229) and %P1,P2% (as in 227) replaced."""
    return reply.replace(b"%PORT%", b"%d" % port).replace(b"%P1,P2%", b"%d,%d" % divmod(port, 256))


class Dialogue:
    """One control connection of the fake, and its data connection."""

    def __init__(self, control, commands, received):
        self.control = control
        self.commands = commands
        self.received = received
        self.listener = None
        self.data = None
        self._unread = b""

    def line(self):
        """The client's next line without its end, or None when the client closed."""
        while b"\n" not in self._unread:
            more = self.control.recv(4096)
            if not more:
                return None
            self._unread += more
        line, self._unread = self._unread.split(b"\n", 1)
        return line.rstrip(b"\r")

    def open_data(self):
        if self.listener is not None:
            self.listener.close()
        self.listener = listen()
        return self.listener.getsockname()[1]

    def data_connection(self):
        """The client's data connection; waits for it once."""
        if self.data is None:
            if self.listener is None:
                raise Deviation("data without an open data port: the script lacks open_data()")
            self.data, _ = self.listener.accept()
            self.data.settimeout(TIMEOUT_S)
        return self.data

    def close_data(self, how=socket.socket.close):
        how(self.data_connection())
        self.data = None

    def close(self):
        for sock in (self.control, self.listener, self.data):
            if sock is not None:
                sock.close()


# Steps. Each returns a function of a Dialogue, whose __qualname__ begins with the step's name.


def expect(verb, argument=None):
    """The client sends this command next; `argument` None is any."""

    def step(dialogue):
        line = dialogue.line()
        if line is None:
            raise Deviation(f"expected {verb}, but the client closed")
        dialogue.commands.append(line)
        got_verb, _, got = line.decode("latin-1").partition(" ")
        if got_verb.upper() != verb or argument not in (None, got):
            raise Deviation(f"expected {verb} {argument or ''}, got {line!r}")

    return step


def expect_close():
    """The client closes, and sends nothing before."""

    def step(dialogue):
        try:
            line = dialogue.line()
        except ConnectionResetError:
            return
        if line is not None:
            raise Deviation(f"expected the client to close, got {line!r}")

    return step


def send(reply):
    """Bytes on the control connection; %PORT% and %P1,P2% stand for the open data port."""

    def step(dialogue):
        port = dialogue.listener.getsockname()[1] if dialogue.listener else 0
        dialogue.control.sendall(fill_in_port(reply, port))

    return step


def send_in_pieces(reply, size=1):
    """Like send, in TCP segments of `size` bytes."""

    def step(dialogue):
        dialogue.control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(reply), size):
            dialogue.control.sendall(reply[start : start + size])

    return step


def open_data():
    """Listen for a data connection."""
    return lambda dialogue: dialogue.open_data()


def send_data(data, close=True):
    """Bytes of a download, then the end of the data connection."""

    def step(dialogue):
        dialogue.data_connection().sendall(data)
        if close:
            dialogue.close_data()

    return step


def receive_data(size=None):
    """Take an upload to its end, or `size` bytes of it, into `received`; the data connection stays open after `size`."""

    def step(dialogue):
        connection = dialogue.data_connection()
        got = bytearray()
        while size is None or len(got) < size:
            more = connection.recv(65536 if size is None else size - len(got))
            if not more:
                if size is not None:
                    raise Deviation(f"the client ended its data after {len(got)} of {size} bytes")
                break
            got += more
        dialogue.received.append(bytes(got))
        if size is None:
            dialogue.close_data()

    return step


def accept_data():
    """Wait for the client's data connection, and do nothing with it."""
    return lambda dialogue: dialogue.data_connection()


def close_data():
    return lambda dialogue: dialogue.close_data()


def reset_data():
    return lambda dialogue: dialogue.close_data(reset_socket)


def refuse_data():
    """Close the data port again."""
    return lambda dialogue: dialogue.listener.close()


def close():
    return lambda dialogue: dialogue.control.close()


def reset():
    return lambda dialogue: reset_socket(dialogue.control)


def silence():
    """Say nothing and read nothing away, until the client closes; what it sends meanwhile is recorded in `commands`."""

    def step(dialogue):
        try:
            while (line := dialogue.line()) is not None:
                dialogue.commands.append(line)
        except ConnectionResetError:
            pass

    return step


class Fake:
    """Plays one script for each connection. `commands` holds the lines the client sent, `received` each upload."""

    def __init__(self, *scripts):
        self._scripts = scripts
        self._failure = None
        self._at = "nothing"
        self.commands = []
        self.received = []

    def __enter__(self):
        self._listener = listen()
        self.host, self.port = self._listener.getsockname()
        self._thread = threading.Thread(target=self._run, name="ftp-fake", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind, _error, _traceback):
        self._thread.join(TIMEOUT_S + 1)
        is_stuck = self._thread.is_alive()
        self._listener.close()
        # A test that failed by itself says more than what follows from it.
        if kind is None and self._failure:
            raise self._failure
        if kind is None and is_stuck:
            raise Deviation(f"still waiting at {self._at}")

    def _run(self):
        try:
            for number, script in enumerate(self._scripts, 1):
                self._at = f"connection {number}"
                control, _ = self._listener.accept()
                control.settimeout(TIMEOUT_S)
                self._play(number, script, Dialogue(control, self.commands, self.received))
        except Deviation as failure:
            self._failure = failure
        except OSError as error:
            self._failure = Deviation(f"{self._at}: {error!r}")
            self._failure.__cause__ = error

    def _play(self, number, script, dialogue):
        try:
            for position, step in enumerate(script, 1):
                self._at = f"connection {number}, step {position} ({step.__qualname__.split('.')[0]})"
                try:
                    step(dialogue)
                except Deviation as deviation:
                    raise Deviation(f"{self._at}: {deviation}") from None
        finally:
            dialogue.close()
