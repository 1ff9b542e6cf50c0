"""A proxy in front of an FTP server that measures a client, and harms it: ``with Proxy(host, port) as proxy``.

One thread; every connection, control and data (passive only), goes through it, because it puts its own TCP port into
the 227 and 229 replies. What it counts is defined in meter.py, what it can break in faults.py.

A link with `delay_ms` one way is modelled as a far client would see it: the connect, which the kernel answers at once,
is paid for by holding back what the client sends next in its session, and the server sees a connection when the third
packet of the connect would arrive. A refused connect is seen by nobody and counts for nothing.

From the 234 that answers AUTH on (or from the first byte with `transparent`, for implicit TLS) replies cannot be read:
the control connection is only relayed then, and data connections go past the proxy.
"""

import selectors
import socket
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future
from copy import deepcopy
from dataclasses import dataclass

from tools.ftpd.dialogue import Dialogue
from tools.ftpd.faults import CONNECT_FAULTS, CONTROL, CUTS, DATA, UP, Fault
from tools.ftpd.meter import Counts, Meter, Turns
from tools.ftpd.relay import Connection, prepare

_EVENTS = 10_000
_CALL_TIMEOUT_S = 10
# What is limited in rate is passed on in pieces of this size.
_PIECE_BYTES = 512


@dataclass(frozen=True)
class Event:
    """One line of the log. `connection` is e.g. "control 1" or "data 3", numbered since the proxy started."""

    time_s: float
    connection: str
    direction: str
    what: str


class _Session:
    """A control connection, its meter, and the TCP port where its next data connection is expected."""

    def __init__(self, turns):
        self.meter = Meter(turns)
        self.dialogue = None
        self.control = None
        # A client that waits for a connect sends nothing meanwhile.
        self.ready_at_s = 0.0
        self.expecting = []

    def expect_nothing(self, unwatch):
        for sock in self.expecting:
            unwatch(sock)
            sock.close()
        self.expecting = []


class Proxy:
    """See the head of this file. Its methods may be called from any thread, those that report also when it has stopped.

    `rate_bytes_s` (0: no limit) is shared by all connections of one direction.
    """

    def __init__(self, upstream_host, upstream_port, faults=(), delay_ms=0, rate_bytes_s=0, transparent=False):
        self._upstream = (upstream_host, upstream_port)
        self._faults = tuple(faults)
        self._delay_s = delay_ms / 1000
        self._rate_bytes_s = rate_bytes_s
        self._is_transparent = transparent
        self._serials = Counter()
        self._numbers = Counter()
        self._free_at_s = Counter()
        self._turns = Turns()
        self._sessions = []
        self._session_of = {}
        self._events = deque(maxlen=_EVENTS)
        self._calls = deque()
        self._idle = threading.Condition()
        self._live_count = 0
        self._failure = None
        self._is_stopping = False

    def __enter__(self):
        self._selector = selectors.DefaultSelector()
        self._waker, self._wakee = socket.socketpair()
        self._wakee.setblocking(False)
        self._selector.register(self._wakee, selectors.EVENT_READ, lambda _mask: self._wakee.recv(4096))
        self._listener = self._listen(self._accept_control)
        self.host, self.port = self._listener.getsockname()
        self._thread = threading.Thread(target=self._run, name="ftp-proxy", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._is_stopping = True
        self._wake()
        self._thread.join(_CALL_TIMEOUT_S)
        if self._thread.is_alive():
            raise TimeoutError("the proxy's thread does not end")
        for sock in (self._waker, self._wakee):  # here, so that nobody wakes a thread that has closed its ear already
            sock.close()
        if self._failure:
            raise self._failure

    # What its users ask for.

    def counts(self):
        """Counts of all sessions since the start or the last reset_counts."""
        total = Counts()
        for counts in self.session_counts():
            total.add(counts)
        return total

    def session_counts(self):
        """A list of Counts, one for each session, in the order in which they began."""
        return self._call(lambda: [deepcopy(session.meter.counts) for session in self._sessions])

    def turns(self):
        """Round trips of all sessions since the start or the last reset_counts; those that overlap in time are one."""
        return self._call(lambda: self._turns.count)

    def set_link(self, delay_ms, rate_bytes_s=0):
        """Delay, one way, and rate of what is read from here on."""
        self._call(lambda: self._replace_link(delay_ms, rate_bytes_s))

    def reset_counts(self):
        """Forget the sessions that are over; those that are not begin again at nothing."""
        self._call(self._forget_counts)

    def events(self):
        """The last things that happened, oldest first."""
        return self._call(lambda: list(self._events))

    def set_faults(self, *faults):
        """Replace the faults, and count connections, bytes and occurrences for them from here.

        Connections that exist have no number from now on: faults with `nth` are not about them.
        """
        self._call(lambda: self._replace_faults(faults))

    def clear_faults(self):
        """No more faults. What was cut stays cut, what was made silent stays silent."""
        self.set_faults()

    def cut_all(self, how):
        """Cut every connection there is, silent ones too: "fin", "rst" or "silence"."""
        if how not in CUTS:
            raise ValueError(f"no such cut: {how}")
        self._call(lambda: [connection.cut(how) for connection in list(self._session_of)])

    def wait_idle(self, timeout_s):
        """Return when no connection is open any more, silent ones aside. TimeoutError when that takes too long."""
        # After this, what had connected before is known.
        self._call(self._report_idle)
        with self._idle:
            if not self._idle.wait_for(lambda: self._live_count == 0 or self._failure, timeout_s):
                raise TimeoutError(f"{self._live_count} connections open after {timeout_s} s")
        if self._failure:
            raise self._failure

    # What a Connection asks and tells.

    def read(self, connection, direction, data):
        """Queue what was read: bytes, b"" for the end, None for a reset."""
        session = self._session_of[connection]
        if direction == UP:
            self._measure_sent(session, connection, data)
        items = []
        if data is None:
            items.append(Fault(connection.kind, "rst"))
        elif connection.kind == CONTROL:
            items += session.dialogue.take(direction, data)
        elif data:
            items.append(data)
        if data == b"":
            items.append(None)
        start_s = time.monotonic()
        if direction == UP:
            start_s = max(start_s, session.ready_at_s)
        for item in items:
            self._schedule(connection, direction, start_s + self._delay_s, item)

    def passed(self, connection, direction, size):
        """Something was delivered: `size` bytes, or the end of the stream (0)."""
        self.log(connection, direction, f"{size} bytes" if size else "end")
        if direction == UP:
            return
        meter = self._session_of[connection].meter
        if connection.kind == DATA:
            meter.data_received(connection, size)
        elif size:
            meter.control_received(size)

    def allowance(self, connection, direction, passed_bytes):
        """(how many bytes may pass now, or None for all; what strikes at 0; True for byte by byte)."""
        allowed, next_fault, is_drip = None, None, False
        for fault in self._faults_about(connection):
            if not fault.counts_bytes or fault.direction != direction:
                continue
            left = max(0, fault.after_bytes - passed_bytes)
            if fault.how == "drip" and left == 0:
                is_drip = True
            elif allowed is None or left < allowed:
                allowed, next_fault = left, fault
        return allowed, next_fault, is_drip

    def strike(self, connection, fault):
        """Cut the connection, or with it all others."""
        for struck in list(self._session_of) if fault.is_link else [connection]:
            struck.cut(fault.how)
        if fault.stays:
            self._replace_faults([Fault(CONTROL, fault.how, after_bytes=0)])

    def log(self, connection, direction, what):
        self._events.append(Event(time.monotonic(), connection.name, direction, what))

    def closed(self, connection):
        """Both sockets are about to be closed."""
        self.log(connection, "", "closed")
        session = self._session_of.pop(connection)
        for sock, _, _ in connection.wants():
            self._watch(sock, 0, None)
        if connection is session.control:
            session.expect_nothing(self._unwatch)

    # The thread.

    def _run(self):
        try:
            while not self._is_stopping:
                for key, mask in self._selector.select(self._patience_s()):
                    # An earlier event of the same batch may have closed it.
                    if key.fileobj.fileno() >= 0:
                        key.data(mask)
                self._run_calls()
                for connection in list(self._session_of):
                    connection.pump()
                self._watch_all()
                self._report_idle()
        except BaseException as failure:  # noqa: BLE001 - goes to the user, by __exit__ and by every call
            self._failure = failure
        finally:
            self._close_all()
            self._report_idle()

    def _patience_s(self):
        """Seconds until something has to be done; None when only an event can bring work."""
        due = [due_s for connection in self._session_of if (due_s := connection.due_s()) is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _watch_all(self):
        for connection in self._session_of:
            for sock, can_read, can_write in connection.wants():
                mask = selectors.EVENT_READ * can_read | selectors.EVENT_WRITE * can_write
                self._watch(sock, mask, self._handler(connection, sock))

    @staticmethod
    def _handler(connection, sock):
        return lambda mask: connection.on_event(sock, mask & selectors.EVENT_READ, mask & selectors.EVENT_WRITE)

    def _watch(self, sock, mask, handler):
        key = self._selector.get_map().get(sock)
        if key is None and mask:
            self._selector.register(sock, mask, handler)
        elif key is not None and not mask:
            self._selector.unregister(sock)
        elif key is not None and key.events != mask:
            self._selector.modify(sock, mask, handler)

    def _unwatch(self, sock):
        self._watch(sock, 0, None)

    def _report_idle(self):
        with self._idle:
            self._live_count = sum(connection.is_live for connection in self._session_of)
            self._idle.notify_all()

    def _close_all(self):
        for connection in list(self._session_of):
            connection.cut("fin")
        for session in self._sessions:
            session.expect_nothing(self._unwatch)
        self._selector.close()
        self._listener.close()
        self._run_calls()

    def _wake(self):
        self._waker.send(b"!")

    def _call(self, function):
        """The result of `function`, run by the proxy's thread between two of its steps."""
        if not self._thread.is_alive():
            return function()
        future = Future()
        self._calls.append((function, future))
        self._wake()
        return future.result(_CALL_TIMEOUT_S)

    def _run_calls(self):
        while self._calls:
            function, future = self._calls.popleft()
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001 - raised again where it was called
                future.set_exception(error)

    # Connections.

    def _listen(self, accept):
        listener = socket.socket()
        prepare(listener)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        self._selector.register(listener, selectors.EVENT_READ, lambda _mask: accept(listener))
        return listener

    def _accept_control(self, listener):
        session = _Session(self._turns)
        session.control = self._accept(listener, session, CONTROL, self._next_number(CONTROL), self._upstream)
        session.dialogue = Dialogue(
            session.meter,
            lambda: self._faults_about(session.control),
            lambda port: self._announce(session, port),
            self._is_transparent,
        )
        session.meter.control_connected()
        self._sessions.append(session)

    def _accept(self, listener, session, kind, number, upstream):
        client, _ = listener.accept()
        prepare(client)
        self._serials[kind] += 1
        now_s = time.monotonic()
        session.ready_at_s = now_s + 2 * self._delay_s
        open_at_s = now_s + 3 * self._delay_s
        connection = Connection(self, kind, self._serials[kind], number, client, upstream, open_at_s)
        self._session_of[connection] = session
        self.log(connection, UP, "connect")
        return connection

    def _announce(self, session, port):
        """(host, TCP port) where the client reaches the server's data port `port` through us, or does not."""
        number = self._next_number(DATA)
        how = next((f.how for f in self._faults if f.how in CONNECT_FAULTS and f.is_about(DATA, number)), None)
        session.expect_nothing(self._unwatch)
        if how:
            session.expecting = _dead_end(how)
        else:
            session.expecting = [self._listen(lambda listener: self._accept_data(listener, session, number, port))]
        return session.expecting[0].getsockname()

    def _accept_data(self, listener, session, number, port):
        self._accept(listener, session, DATA, number, (self._upstream[0], port))
        session.meter.data_connected()
        session.expect_nothing(self._unwatch)

    def _next_number(self, kind):
        self._numbers[kind] += 1
        return self._numbers[kind]

    # Streams.

    @staticmethod
    def _measure_sent(session, connection, data):
        if connection.kind == DATA:
            session.meter.data_sent(connection, len(data or b""))
        elif data:
            session.meter.control_sent(len(data))
        else:
            session.meter.control_closed()

    def _schedule(self, connection, direction, when_s, item):
        if not self._rate_bytes_s or not isinstance(item, bytes):
            connection.put(direction, max(when_s, self._free_at_s[direction]), item)
            return
        for start in range(0, len(item), _PIECE_BYTES):
            piece = item[start : start + _PIECE_BYTES]
            ready_s = max(when_s, self._free_at_s[direction]) + len(piece) / self._rate_bytes_s
            self._free_at_s[direction] = ready_s
            connection.put(direction, ready_s, piece)

    # Faults and counts.

    def _faults_about(self, connection):
        return [fault for fault in self._faults if fault.is_about(connection.kind, connection.number)]

    def _replace_faults(self, faults):
        self._faults = tuple(faults)
        self._numbers.clear()
        for connection, session in self._session_of.items():
            connection.number = None
            connection.forget_passed()
            session.dialogue.forget_seen()

    def _replace_link(self, delay_ms, rate_bytes_s):
        self._delay_s = delay_ms / 1000
        self._rate_bytes_s = rate_bytes_s

    def _forget_counts(self):
        self._turns.count = 0
        live = set(self._session_of.values())
        self._sessions = [session for session in self._sessions if session in live]
        for session in self._sessions:
            session.meter.reset()


def _dead_end(how):
    """Sockets of which the first has a TCP port where a connect is refused, or gets no answer."""
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    if how == "refuse":
        return [closed]
    # Linux leaves a connect unanswered while the queue of the listener is full; one connection fills this one.
    closed.listen(0)
    return [closed, socket.create_connection(closed.getsockname(), 1)]
