# The embedded FTP server: pyftpdlib on loopback, in a thread of the simulator.
import contextlib
import logging
import threading

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

from tools.sim.settings import Server

USER, PASSWORD = "module", "sim-only"
_POLL_S = 0.05  # how long closing may take


def _be_quiet():
    """pyftpdlib tells every command unless its logger has a handler already; only its errors are news here."""
    logger = logging.getLogger("pyftpdlib")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.ERROR)


@contextlib.contextmanager
def serve(folder, base=FTPHandler):
    """Serve `folder` with full rights on a free TCP port of 127.0.0.1 for the length of the block. -> Server.

    It is known by a name, so that the module has something to look up."""
    _be_quiet()
    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, str(folder), perm="elradfmwMT")
    handler = type("Handler", (base,), {"authorizer": authorizer, "banner": "Ferry's simulated server"})
    loop = IOLoop()
    server = FTPServer(("127.0.0.1", 0), handler, ioloop=loop)
    stop = threading.Event()

    def run():
        while not stop.is_set():
            loop.loop(timeout=_POLL_S, blocking=False)
        server.close_all()

    thread = threading.Thread(target=run, name="ftp server", daemon=True)
    thread.start()
    try:
        yield Server("localhost", server.address[1], USER, PASSWORD, tls="off")
    finally:
        stop.set()
        thread.join()
