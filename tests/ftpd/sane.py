"""A small FTP server with files in memory that behaves, except where a test overrides a verb.

    with Sane(files={"a": b"1"}, override={"SIZE": b"213 7 bytes\r\n", "STOR": [b"452 full\r\n"]}) as server:
        ...                                     # a client talks to server.port, user and password are "u" and "p"
    assert server.files == {"a": b"1"}

An override is bytes (sent as they are), a function of (session, argument), or a list of such: one for each time the verb
comes, then the normal behaviour again; None in a list is the normal behaviour once. The verb "" is the greeting. A
function may call ``session.normal(verb, argument)``, and everything else a Session offers.

Every command is executed when it is read; a flight is answered in order. One thread for each connection.
"""

import contextlib
import re
import socket
import threading

from tests.ftpd.fake import TIMEOUT_S, fill_in_port, listen, reset_socket


class Hangup(Exception):
    """Raised by an override, or by Session.hang_up, to end the session."""


class Session:
    """One control connection. What a client can do is a method do_VERB(argument)."""

    def __init__(self, server, control):
        self.server = server
        self.files = server.files
        self.control = control
        # Replies go out at once; else a client that acknowledges late waits 40 ms for the second of two.
        control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.listener = None
        self.offset = 0
        self.rename_from = None
        self.user = None
        self.is_logged_in = False
        self._data = None
        self._unread = b""

    # For overrides.

    def send(self, reply):
        """Bytes on the control connection; %PORT% and %P1,P2% stand for the open data port."""
        port = self.listener.getsockname()[1] if self.listener else 0
        self.control.sendall(fill_in_port(reply, port))

    def hang_up(self, reply=b"", how=socket.socket.close):
        """Send `reply`, then end the control connection; `how` may be reset_socket."""
        self.send(reply)
        how(self.control)
        raise Hangup

    def wait(self, seconds):
        """Pass the time, but not beyond the end of the test."""
        self.server.closing.wait(seconds)

    def silence(self):
        """Answer nothing any more, until the client closes."""
        while self.line() is not None:
            pass
        raise Hangup

    def normal(self, verb, argument):
        """What this server does for the verb when nothing overrides it."""
        method = getattr(self, f"do_{verb}", None)
        if method is None or (verb not in ("USER", "PASS", "QUIT", "FEAT", "") and not self.is_logged_in):
            self.send(b"530 Log in first.\r\n" if method else b"500 Unknown command.\r\n")
        else:
            method(argument)

    def open_data(self):
        """Listen for a data connection; the TCP port."""
        self.close_data_port()
        self.listener = listen()
        return self.listener.getsockname()[1]

    def close_data_port(self):
        if self.listener is not None:
            self.listener.close()
            self.listener = None

    def accept_data(self):
        """The client's data connection; the port is closed then, and the next one needs EPSV again."""
        self._data, _ = self.listener.accept()
        self._data.settimeout(TIMEOUT_S)
        self.close_data_port()
        return self._data

    def receive_data(self, size=None):
        """The bytes of an upload, to its end or, with a reset then, `size` of them."""
        got = bytearray()
        with self.accept_data() as connection:
            while size is None or len(got) < size:
                more = connection.recv(65536 if size is None else size - len(got))
                if not more:
                    break
                got += more
            if size is not None:
                reset_socket(connection)
        return bytes(got)

    def send_data(self, data, how=socket.socket.close):
        """A download, then the end of the data connection; `how` may be reset_socket."""
        connection = self.accept_data()
        try:
            connection.sendall(data)
        finally:
            how(connection)

    def take_offset(self):
        """The restart offset for the transfer that begins."""
        offset, self.offset = self.offset, 0
        return offset

    def stop(self):
        """Wake the thread of this session, whatever it waits for. For the server."""
        for sock in (self.control, self.listener, self._data):
            # What is closed already is what this is for.
            with contextlib.suppress(OSError):
                if sock is not None:
                    sock.shutdown(socket.SHUT_RDWR)

    # The loop.

    def line(self):
        """The client's next line without its end, or None when the client closed."""
        while b"\n" not in self._unread:
            more = self.control.recv(4096)
            if not more:
                return None
            self._unread += more
        line, self._unread = self._unread.split(b"\n", 1)
        return line.rstrip(b"\r").decode("latin-1")

    def run(self):
        try:
            self._answer("", "")
            while (line := self.line()) is not None:
                verb, _, argument = line.partition(" ")
                self.server.commands.append(line)
                self._answer(verb.upper(), argument)
        except Hangup:
            pass
        finally:
            self.close_data_port()
            self.control.close()

    def _answer(self, verb, argument):
        override = self.server.next_override(verb)
        if override is None:
            self.normal(verb, argument)
        elif isinstance(override, bytes):
            self.send(override)
        else:
            override(self, argument)

    # The verbs.

    def do_(self, _argument):
        self.send(b"220 Ready.\r\n")

    def do_USER(self, argument):
        self.user = argument
        self.is_logged_in = False
        self.send(b"331 Password, please.\r\n")

    def do_PASS(self, argument):
        self.is_logged_in = (self.user, argument) == ("u", "p")
        self.send(b"230 Logged in.\r\n" if self.is_logged_in else b"530 Login incorrect.\r\n")

    def do_QUIT(self, _argument):
        self.hang_up(b"221 Bye.\r\n")

    def do_FEAT(self, _argument):
        self.send(b"211-Features:\r\n EPSV\r\n MDTM\r\n MLST size*;modify*;\r\n REST STREAM\r\n SIZE\r\n211 End\r\n")

    def do_SYST(self, _argument):
        self.send(b"215 UNIX Type: L8\r\n")

    def do_NOOP(self, _argument):
        self.send(b"200 OK.\r\n")

    do_TYPE = do_OPTS = do_MODE = do_STRU = do_NOOP

    def do_PWD(self, _argument):
        self.send(b'257 "/"\r\n')

    def do_CWD(self, _argument):
        self.send(b"250 OK.\r\n")

    def do_EPSV(self, _argument):
        self.open_data()
        self.send(b"229 Entering Extended Passive Mode (|||%PORT%|)\r\n")

    def do_PASV(self, _argument):
        self.open_data()
        self.send(b"227 Entering Passive Mode (127,0,0,1,%P1,P2%).\r\n")

    def do_REST(self, argument):
        self.offset = int(argument)
        self.send(b"350 Restarting.\r\n")

    def do_STOR(self, argument):
        self._store(argument, self.files.get(argument, b""), self.take_offset())

    def do_APPE(self, argument):
        old = self.files.get(argument, b"")
        self._store(argument, old, len(old))

    def _store(self, name, old, offset):
        if self._has_no_port():
            return
        self.send(b"150 Go ahead.\r\n")
        self.files[name] = old[:offset] + self.receive_data()
        self.send(b"226 Stored.\r\n")

    def do_RETR(self, argument):
        if not self._has(argument) or self._has_no_port():
            return
        self.send(b"150 Here it comes.\r\n")
        self.send_data(self.files[argument][self.take_offset() :])
        self.send(b"226 Sent.\r\n")

    def do_SIZE(self, argument):
        if self._has(argument):
            self.send(b"213 %d\r\n" % len(self.files[argument]))

    def do_MDTM(self, argument):
        if self._has(argument):
            self.send(b"213 20240229120000\r\n")

    def do_DELE(self, argument):
        if self._has(argument):
            del self.files[argument]
            self.send(b"250 Deleted.\r\n")

    def do_RNFR(self, argument):
        if self._has(argument):
            self.rename_from = argument
            self.send(b"350 And to?\r\n")

    def do_RNTO(self, argument):
        if self.rename_from is None:
            self.send(b"503 RNFR first.\r\n")
            return
        self.files[argument] = self.files.pop(self.rename_from)
        self.rename_from = None
        self.send(b"250 Renamed.\r\n")

    def do_MKD(self, argument):
        if argument in self.server.folders:
            self.send(b"550 It is there.\r\n")
            return
        self.server.folders.add(argument)
        self.send(b'257 "%s" made.\r\n' % argument.encode("latin-1"))

    def do_RMD(self, argument):
        self.server.folders.discard(argument)
        self.send(b"250 Removed.\r\n")

    def do_NLST(self, argument):
        self._list(argument, lambda name, _data: name)

    def do_LIST(self, argument):
        # Options are ignored, as most servers do.
        folder = re.sub(r"^-\S+ ?", "", argument)
        self._list(folder, lambda name, data: f"-rw-r--r-- 1 u u {len(data)} Feb 29 12:00 {name}")

    def do_MLSD(self, argument):
        self._list(argument, lambda name, data: f"type=file;size={len(data)};modify=20240229120000; {name}")

    def _list(self, folder, line):
        if self._has_no_port():
            return
        prefix = folder.strip("/") + "/" if folder.strip("/.") else ""
        names = [name for name in sorted(self.files) if name.startswith(prefix) and "/" not in name[len(prefix) :]]
        text = "".join(line(name[len(prefix) :], self.files[name]) + "\r\n" for name in names)
        self.send(b"150 Here it comes.\r\n")
        self.send_data(text.encode("latin-1"))
        self.send(b"226 Sent.\r\n")

    def _has(self, name):
        if name not in self.files:
            self.send(b"550 No such file.\r\n")
        return name in self.files

    def _has_no_port(self):
        if self.listener is None:
            self.send(b"425 EPSV first.\r\n")
        return self.listener is None


class Sane:
    """See the head of this file. `commands` holds every line that any client sent, in order; `files` name -> bytes."""

    def __init__(self, files=(), override=()):
        self.files = dict(files)
        self.folders = set()
        self.commands = []
        self.session_count = 0
        self.closing = threading.Event()
        self._overrides = {verb: list(o) if isinstance(o, list) else o for verb, o in dict(override).items()}
        self._lock = threading.Lock()
        self._sessions = []
        self._threads = []
        self._failures = []

    def verbs(self):
        """The verbs of `commands`."""
        return [command.partition(" ")[0].upper() for command in self.commands]

    def next_override(self, verb):
        """What replaces the verb this time, or None."""
        with self._lock:
            override = self._overrides.get(verb)
            if isinstance(override, list):
                return override.pop(0) if override else None
            return override

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self._thread = threading.Thread(target=self._accept, name="ftp-sane", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind, _error, _traceback):
        self.closing.set()
        # Closing alone would not wake the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT_S)
        self._listener.close()
        for session in self._sessions:
            session.stop()
        for thread in self._threads:
            thread.join(TIMEOUT_S + 1)
        if kind is None and self._failures:
            raise self._failures[0]

    def _accept(self):
        while True:
            try:
                control, _ = self._listener.accept()
            except OSError:
                # __exit__ has shut the listener down.
                return
            self.session_count += 1
            session = Session(self, control)
            self._sessions.append(session)
            thread = threading.Thread(target=self._serve, args=(session,), name="ftp-session", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, session):
        try:
            session.run()
        except OSError:
            # A client that goes away in the middle is what many tests are about.
            pass
        except Exception as failure:  # noqa: BLE001 - raised by __exit__, where the test can see it
            self._failures.append(failure)
