"""pyftpdlib in a thread of the test, with hooks: it notes every command and byte, misbehaves on demand, can be killed in
the middle of anything and come back on the same TCP port. Hooks run in its thread, while the module waits for it."""

import collections
import contextlib
import logging
import random
import socket
import struct
import threading
import warnings

with warnings.catch_warnings():  # up to Python 3.11 it takes the standard library's asyncore, which says that it goes
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyftpdlib.authorizers import AuthenticationFailed, DummyAuthorizer
    from pyftpdlib.filesystems import AbstractedFS
    from pyftpdlib.handlers import DTPHandler, FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

USER = "ferry"
_PORTS = range(10000, 20000)
_POLL_S = 0.01
_LATE_S = 0.02

_TRANSFERS = ("STOR", "APPE", "RETR", "MLSD", "NLST", "LIST")

DROP = object()  # a hook's answer: the command is not answered at all
KILL = object()  # a hook's answer: every connection is reset and nobody listens any more


class Ftpd:
    """`on_command(verb, argument, place)` may return a reply to send instead, DROP or KILL; `place` counts the commands
    that came in one read, from 0. A reply of 421 closes the session. `on_data(direction, total)` may return KILL; `total`
    counts the bytes of that direction since the start. `on_step()` is called after each command and block of data."""

    def __init__(self, root):
        self.root = root
        self.password = "pass-4711-word"
        self.port = 0
        self.commands = []
        self.moved = {"up": 0, "down": 0}
        self.extra_names = []  # listed beside what is there
        self.is_late = False  # 150 comes when data already flows, not in one piece with 229
        self.is_patient = False  # a transfer without a data connection waits for one; else it is refused, as usual
        self.on_command = self.on_data = self.on_step = None
        self._server = None
        self._is_killed = False
        self._jobs = collections.deque()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ftpd", daemon=True)

    def __enter__(self):
        logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)  # killed sessions are the point here
        self.up()
        self._thread.start()
        self._wait_for_jobs()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()

    # --- for the test

    def up(self):
        """Listen, from the thread's next turn on; again on the same TCP port after kill()."""
        self._jobs.append(self._open)

    def restart(self):
        """As up(), and it listens when this returns."""
        self.up()
        self._wait_for_jobs()

    def kill(self):
        """Reset every connection and stop listening, at the thread's next turn; no further command is heard."""
        self._is_killed = True
        self._jobs.append(self._close)

    def down(self):
        """As kill(), and nobody listens when this returns."""
        self.kill()
        self._wait_for_jobs()

    def put(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def files(self, folder=""):
        """{name below `folder`: content}"""
        top = self.root / folder
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}

    def arguments(self, verb):
        """What each command of this verb was about, since the start or forget()."""
        return [line[len(verb) + 1 :] for line in self.commands if line.split(" ")[0] == verb]

    def forget(self):
        self.commands.clear()
        self.moved.update(up=0, down=0)

    # --- the thread

    def _run(self):
        while not self._is_over.is_set():
            while self._jobs:
                self._jobs.popleft()()
            if self._server:
                self._server.ioloop.loop(timeout=_POLL_S, blocking=False)
            else:
                self._is_over.wait(_POLL_S)
        self._close()

    def _wait_for_jobs(self):
        done = threading.Event()
        self._jobs.append(done.set)
        if not done.wait(5):
            raise TimeoutError("the server's thread does not answer")

    def _open(self):
        if not self._server:
            self._server = self._listen()
            self.port = self._server.address[1]
            self._is_killed = False

    def _listen(self):
        """On the port it had; at first on a free one below those that the system gives to others while it is down."""
        for port in [self.port] if self.port else random.sample(_PORTS, len(_PORTS)):
            try:
                return FTPServer(("127.0.0.1", port), _handler(self), ioloop=IOLoop())
            except OSError as e:
                taken = e
        raise taken

    def _close(self):
        server, self._server = self._server, None
        if server:
            for channel in list(server.ioloop.socket_map.values()):
                with contextlib.suppress(OSError):
                    channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.close_all()

    def _heard(self, line, verb, argument, place):
        if self._is_killed:  # the rest of what came in the same read
            return DROP
        self.commands.append(line)
        answer = self.on_command(verb, argument, place) if self.on_command else None
        if answer is KILL:
            self.kill()
            return DROP
        return answer

    def _has_moved(self, direction, count):
        self.moved[direction] += count
        if self.on_data and self.on_data(direction, self.moved[direction]) is KILL:
            self.kill()
        self._step()

    def _step(self):
        if self.on_step:
            self.on_step()


def _handler(ftpd):
    class Authorizer(DummyAuthorizer):
        def validate_authentication(self, username, password, handler):
            if (username, password) != (USER, ftpd.password):
                raise AuthenticationFailed("Login incorrect.")

    class Data(DTPHandler):
        def recv(self, buffer_size):
            block = super().recv(buffer_size)
            if block:
                ftpd._has_moved("up", len(block))
            return block

        def send(self, data):
            count = super().send(data)
            ftpd._has_moved("down", count)
            return count

    class Files(AbstractedFS):
        def open(self, filename, mode):
            file = super().open(filename, mode)
            self.cmd_channel._opened.append(file)
            return file

        def listdir(self, path):
            return super().listdir(path) + (ftpd.extra_names if path.endswith("updates") else [])

        def format_mlsx(self, basedir, listing, *rest):
            yield from super().format_mlsx(basedir, [n for n in listing if n not in ftpd.extra_names], *rest)
            for name in ftpd.extra_names if basedir.endswith("updates") else ():
                yield f"modify=20260101000000;size=3;type=file; {name}\r\n".encode("utf-8", "surrogateescape")

    class Handler(FTPHandler):
        authorizer = Authorizer()
        dtp_handler = Data
        abstracted_fs = Files
        use_sendfile = False
        auth_failed_timeout = 0
        max_login_attempts = 99
        _place = 0

        def __init__(self, *args, **more):
            self._opened = []
            super().__init__(*args, **more)

        def handle_read(self):
            self._place = 0
            super().handle_read()

        def pre_process_command(self, line, cmd, arg):
            answer = ftpd._heard(line, cmd, arg, self._place)
            self._place += 1
            if answer is None and cmd in _TRANSFERS and not (ftpd.is_patient or self._has_data_connection()):
                answer = "425 Use PORT or PASV first."
            if answer is None:
                super().pre_process_command(line, cmd, arg)
            elif answer is not DROP:
                self.respond(answer)
                if answer.startswith("421"):
                    self.close_when_done()
            ftpd._step()

        def respond(self, resp, **more):
            if ftpd.is_late and resp.startswith("150"):
                self.call_later(_LATE_S, super().respond, resp, **more)
            else:
                super().respond(resp, **more)

        def close(self):
            super().close()
            for file in self._opened:  # pyftpdlib forgets those that still waited for a data connection
                file.close()

        def _has_data_connection(self):
            return self.data_channel or self._dtp_acceptor or self._dtp_connector

    Handler.authorizer.add_user(USER, "", str(ftpd.root), perm="elradfmwMT")
    return Handler
