"""One proxied connection: two sockets, a queue each way, the ways to end it. proxy.py decides the rest."""

import errno
import socket
import struct
import time
from collections import deque

from tools.ftpd.faults import DOWN, UP, Fault

# Of a socket's buffers, and of what a queue holds back. Small, so that a cut finds most of a file not sent yet.
BUFFER_BYTES = 64 * 1024
_CHUNK_BYTES = 16 * 1024
_DRIP_S = 0.0002


def prepare(sock):
    """Small buffers and no waiting. On a listener, for the connections that it accepts."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Pipe:
    """One direction. `queue` holds (when to pass it on, item): bytes, a Fault that strikes, None for the end."""

    def __init__(self, direction):
        self.direction = direction
        self.queue = deque()
        self.queued_bytes = 0
        self.passed_bytes = 0
        self.not_before_s = 0.0
        self.is_blocked = False
        self.is_read_out = False
        self.is_done = False

    def put(self, when_s, item):
        self.queue.append((when_s, item))
        self.queued_bytes += len(item) if isinstance(item, bytes) else 0

    def take(self, size):
        """`size` bytes of the first item are passed."""
        when_s, item = self.queue.popleft()
        self.queued_bytes -= size
        self.passed_bytes += size
        if size < len(item):
            self.queue.appendleft((when_s, item[size:]))

    def end(self):
        self.queue.clear()
        self.queued_bytes = 0
        self.is_read_out = self.is_done = True


class Connection:
    """A client's connection and the one to the server, which is opened at `open_at_s` (on the monotonic clock).

    `owner` is asked and told: read(connection, direction, data) queues with put(); allowance(connection, direction,
    passed_bytes) says (bytes that may pass or None, the fault that strikes then, True when byte by byte);
    strike(connection, fault); passed(connection, direction, size) hears what was delivered, size 0 for the end;
    closed(connection); log(connection, direction, what).
    """

    def __init__(self, owner, kind, serial, number, client, upstream, open_at_s):
        self.kind = kind
        self.name = f"{kind} {serial}"
        self.number = number
        self.client = client
        self.server = None
        self.is_silent = False
        self.is_closed = False
        self._owner = owner
        self._upstream = upstream
        self._open_at_s = open_at_s
        self._pipes = {UP: _Pipe(UP), DOWN: _Pipe(DOWN)}

    @property
    def is_live(self):
        """True while something may still move on it."""
        return not (self.is_silent or self.is_closed)

    def put(self, direction, when_s, item):
        self._pipes[direction].put(when_s, item)

    def forget_passed(self):
        """Count passed bytes from here."""
        for pipe in self._pipes.values():
            pipe.passed_bytes = 0

    def due_s(self):
        """When there is something to do without an event on a socket, or None."""
        due = []
        for pipe in self._pipes.values():
            if pipe.queue and not pipe.is_blocked:
                due.append(max(pipe.queue[0][0], pipe.not_before_s, 0 if self.server else self._open_at_s))
        if self.server is None:
            due.append(self._open_at_s)
        return min(due) if due and self.is_live else None

    def wants(self):
        """(socket, wants to read, wants to write) for each open socket."""
        for sock, incoming, outgoing in ((self.client, UP, DOWN), (self.server, DOWN, UP)):
            if sock is not None:
                source, sink = self._pipes[incoming], self._pipes[outgoing]
                can_read = self.is_live and not source.is_read_out and source.queued_bytes < BUFFER_BYTES
                yield sock, can_read, self.is_live and sink.is_blocked

    def on_event(self, sock, is_readable, is_writable):
        direction = UP if sock is self.client else DOWN
        if is_writable:
            self._pipes[DOWN if direction == UP else UP].is_blocked = False
        if is_readable and self.is_live:
            self._read(sock, self._pipes[direction])

    def _read(self, sock, pipe):
        try:
            data = sock.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            pipe.is_read_out = True
            self._owner.read(self, pipe.direction, None)
            return
        pipe.is_read_out = not data
        self._owner.read(self, pipe.direction, data)

    def pump(self):
        """Pass on all that is due."""
        if self.is_live and self.server is None and time.monotonic() >= self._open_at_s:
            self._open()
        for pipe in self._pipes.values():
            while self.is_live and not pipe.is_done and self._pass_one(pipe):
                pass
        if self.is_live and all(pipe.is_done for pipe in self._pipes.values()):
            self._close()

    def _open(self):
        try:
            self.server = socket.create_connection(self._upstream, 5)
        except OSError as error:
            self._owner.log(self, UP, f"server: {error}")
            self.cut("rst")
            return
        prepare(self.server)

    def _pass_one(self, pipe):
        """One step of a queue. False when there is nothing to do now."""
        allowed, fault, is_drip = self._owner.allowance(self, pipe.direction, pipe.passed_bytes)
        if allowed == 0:
            self._owner.strike(self, fault)
            return False
        sink = self.server if pipe.direction == UP else self.client
        if sink is None or not pipe.queue or pipe.is_blocked:
            return False
        when_s, item = pipe.queue[0]
        if time.monotonic() < max(when_s, pipe.not_before_s):
            return False
        if isinstance(item, Fault):
            self._owner.strike(self, item)
            return False
        try:
            if item is None:
                sink.shutdown(socket.SHUT_WR)
                pipe.end()
                self._owner.passed(self, pipe.direction, 0)
                return False
            size = sink.send(item[:1] if is_drip else item[:allowed])
        except BlockingIOError:
            pipe.is_blocked = True
            return False
        except OSError:
            self._lost(pipe)
            return False
        pipe.take(size)
        pipe.not_before_s = time.monotonic() + _DRIP_S if is_drip else 0.0
        self._owner.passed(self, pipe.direction, size)
        return True

    def _lost(self, pipe):
        """The receiver is gone. What a server said before it went still has to reach the client."""
        if pipe.direction == UP:
            pipe.end()
        else:
            self.cut("rst")

    def cut(self, how):
        """End it: "fin", "rst" or "silence"."""
        self._owner.log(self, "", how)
        if how == "silence":
            self.is_silent = True
            return
        for sock in (self.client, self.server):
            if sock is None:
                continue
            if how == "rst":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self._send_fin(sock)
        self._close()

    @staticmethod
    def _send_fin(sock):
        """A close alone would send a reset in place of the FIN if there are bytes that nobody read."""
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            # The other side has gone; nobody is left to be told.
            if error.errno != errno.ENOTCONN:
                raise

    def _close(self):
        self.is_silent = False
        self.is_closed = True
        self._owner.closed(self)
        for sock in (self.client, self.server):
            if sock is not None:
                sock.close()
