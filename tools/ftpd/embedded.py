"""pyftpdlib in a process of its own: ``python -m tools.ftpd.embedded SETTINGS.json``. Started by servers.py."""

import json
import logging
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import DTPHandler, FTPHandler
from pyftpdlib.servers import FTPServer


def _handlers(settings):
    """The control and data handler classes. TLS is imported only when asked for: it needs pyOpenSSL."""
    if not settings["certificate"]:
        return type("Handler", (FTPHandler,), {}), type("Data", (DTPHandler,), {})
    from pyftpdlib.handlers import TLS_DTPHandler, TLS_FTPHandler

    handler = type("Handler", (TLS_FTPHandler,), {"certfile": settings["certificate"]})
    return handler, type("Data", (TLS_DTPHandler,), {})


def main(path):
    with open(path, encoding="utf-8") as source:
        settings = json.load(source)
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG, format="%(asctime)s %(message)s")
    handler, data = _handlers(settings)
    authorizer = DummyAuthorizer()
    authorizer.add_user(settings["user"], settings["password"], settings["root"], perm="elradfmwMT")
    handler.authorizer = authorizer
    handler.auth_failed_timeout = 1
    handler.passive_ports = range(settings["passive"][0], settings["passive"][1] + 1)
    handler.proto_cmds = {verb: row for verb, row in handler.proto_cmds.items() if verb not in settings["disabled"]}
    if settings["data_timeout_s"] is not None:
        data.timeout = settings["data_timeout_s"]
    handler.dtp_handler = data
    server = FTPServer(("127.0.0.1", settings["port"]), handler)
    if settings["max_clients"] is not None:
        # It counts its listening socket too.
        server.max_cons = settings["max_clients"] + 1
    server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    main(sys.argv[1])
