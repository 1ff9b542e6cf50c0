# The page over HTTP, on loopback unless told otherwise: one page, one module's details, nothing that changes anything. Requests, each
# in a thread of its own, only ever see the last look.
import contextlib
import hashlib
import http.server
import socket
import threading
from urllib.parse import parse_qs, urlsplit

from tools.dashboard import view

_IDLE_S = 30  # a connection that says nothing for so long is closed
_POLL_S = 0.1  # how long closing may take
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Site:
    """What is served: the page of the last look. Threads only exchange whole values."""

    def __init__(self, watch, page, host):
        self.watch = watch
        self.policy = page.policy
        self._page = page
        self._is_local = host in _LOOPBACK
        self.body, self.etag = b"", ""

    def look(self, tell=lambda done, count: None):
        look = self.watch.look(tell)
        body = self._page.render(look).encode()
        self.body, self.etag = body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        return look

    def module(self, key):
        """Details as JSON, or None if there is no such module."""
        for row in self.watch.last.fleet.rows:
            if row.key == key:
                return view.to_json(view.detail(row, self.watch.past(key))).encode()
        return None

    def is_asked(self, host):
        """Whether a request is for this site. On loopback no other name than loopback's: a page of somebody else's that points its
        own name here (DNS rebinding) gets nothing."""
        return not self._is_local or (urlsplit(f"//{host}").hostname or "") in _LOOPBACK


class _Handler(http.server.BaseHTTPRequestHandler):
    site = None
    server_version = "Ferry"
    sys_version = ""
    timeout = _IDLE_S

    def do_GET(self):
        address = urlsplit(self.path)
        if not self._is_for_us():
            self._answer(421, b"this dashboard is at localhost\n", "text/plain; charset=utf-8")
        elif address.path == "/":
            self._page()
        elif address.path == "/module":
            found = self.site.module(parse_qs(address.query).get("id", [""])[0])
            if found is None:
                self._answer(404, b"there is no such module any more\n", "text/plain; charset=utf-8")
            else:
                self._answer(200, found, "application/json; charset=utf-8")
        else:
            self._answer(404, b"there is one page: /\n", "text/plain; charset=utf-8")

    do_HEAD = do_GET

    def _is_for_us(self):
        try:
            return self.site.is_asked(self.headers.get("Host", ""))
        except ValueError:
            return False

    def _page(self):
        body, etag = self.site.body, self.site.etag
        if etag in self.headers.get("If-None-Match", ""):
            self._answer(304, b"", "text/html; charset=utf-8", etag)
        else:
            self._answer(200, body, "text/html; charset=utf-8", etag)

    def _answer(self, code, body, kind, etag=""):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        if code != 304:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache" if etag else "no-store")
        if etag:
            self.send_header("ETag", etag)
        self.send_header("Content-Security-Policy", self.site.policy + "; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        """Nothing: a page that asks every 15 s is no news."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, handler):
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def handle_error(self, request, client_address):
        """A browser that went away is no news either."""


@contextlib.contextmanager
def serving(site, host, port):
    """Serve for the length of the block. -> the TCP port. Raises OSError."""
    server = _Server((host, port), type("Handler", (_Handler,), {"site": site}))
    thread = threading.Thread(target=server.serve_forever, name="http", args=(_POLL_S,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
