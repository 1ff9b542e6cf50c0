"""pyftpdlib in a thread of the test: each user has a folder of its own, and what is stored and renamed there is noted."""

import collections
import hashlib
import logging
import threading
import warnings
from pathlib import Path

with (
    warnings.catch_warnings()
):  # up to Python 3.11 it takes asyncore from the standard library, which says that it goes
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.filesystems import AbstractedFS
    from pyftpdlib.handlers import DTPHandler, FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

_POLL_S = 0.01
_ROUNDS = 5  # empty turns of the loop until nothing that was sent can be on its way any more


class Server:
    """`root` holds a folder for each user; `heard[user]` is a list of ("STOR", path), ("RNTO", path, digest)."""

    def __init__(self, root):
        self.root = root
        self.heard = collections.defaultdict(list)
        self.port = 0
        self._jobs = collections.deque()
        self._is_over = threading.Event()
        self._server = FTPServer(("127.0.0.1", 0), _handler(self), ioloop=IOLoop())
        self.port = self._server.address[1]
        self._thread = threading.Thread(target=self._run, name="powercut ftpd", daemon=True)

    def __enter__(self):
        logger = logging.getLogger("pyftpdlib")
        logger.addHandler(logging.NullHandler())  # without a handler it makes its own, and talks
        logger.setLevel(logging.CRITICAL)  # connections that end are the point here
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()

    def settle(self):
        """Returns when everything that clients have sent was read and done."""
        done = threading.Event()
        self._jobs.append(done)
        done.wait()

    def _run(self):
        loop = self._server.ioloop
        while not self._is_over.is_set():
            if self._jobs:
                for _ in range(_ROUNDS):
                    loop.loop(timeout=0.0005, blocking=False)
                self._jobs.popleft().set()
            loop.loop(timeout=_POLL_S, blocking=False)
        self._server.close_all()


def digest_of(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _handler(server):
    class Authorizer(DummyAuthorizer):
        def validate_authentication(self, username, password, handler):
            pass

        def get_home_dir(self, username):
            return str(server.root / username)

        def has_user(self, username):
            return True

        def has_perm(self, username, perm, path=None):
            return True

        def get_perms(self, username):
            return "elradfmwMT"

        def get_msg_login(self, username):
            return "hello"

        def get_msg_quit(self, username):
            return "bye"

    class Files(AbstractedFS):
        def open(self, filename, mode):
            file = super().open(filename, mode)
            self.cmd_channel.opened.append(file)
            return file

    class Handler(FTPHandler):
        authorizer = Authorizer()
        abstracted_fs = Files
        dtp_handler = type("Data", (DTPHandler,), {"timeout": None})
        use_sendfile = False
        timeout = None

        def _note(self, *what):
            server.heard[self.username].append(what)

        def __init__(self, *args, **more):
            super().__init__(*args, **more)
            self.opened = []

        def close(self):
            super().close()
            for file in self.opened:  # pyftpdlib leaves some open when a session ends in the middle of a transfer
                file.close()

        def ftp_STOR(self, file, mode="w"):
            self._note("STOR", self.fs.fs2ftp(file).lstrip("/"))
            return super().ftp_STOR(file, mode)

        def ftp_RNTO(self, path):
            source = self._rnfr
            result = super().ftp_RNTO(path)
            if source and not Path(source).exists():
                self._note("RNTO", self.fs.fs2ftp(path).lstrip("/"), digest_of(path))
            return result

    return Handler
