"""What one FTP session costs: connections, commands, bytes and round trips. The proxy tells it what it sees.

A **round trip** is one wait for the server. All events are those at the client's side, in the order in which they
happen there:

- a TCP connect is one round trip, and after it something is awaited (the greeting, the 150);
- what the client then sends (commands; the first bytes of a data connection, or its end if there were none) makes
  something awaited, if nothing was;
- the first thing that comes back while something is awaited (reply bytes, data, the end of data) is one round trip,
  and after it nothing is awaited. All that follows until the client sends again belongs to it: more replies, the 226 behind
  the 150, the end of the data.

So a flight is one however many replies it gets, and a greeting is one of its own unless commands were sent before it
came. The rest of the bytes of an upload awaits nothing: whether the 150 comes before, amid or after them, the upload is
one. But a client that waits for the 150 before it sends its first byte waits twice. Replies that arrive after the client
closed count for nothing.

A client that did not wait for the 150, but was stopped by its machine until it came, looks the same: each upload whose first
bytes come behind the 150 is counted in `late_uploads` as well, and is one round trip more than it would have been.

A client with several sessions at once waits in all of them at the same time. **Turns** count what its clock shows of that: every
send belongs to the last turn that has ended in any session, and its answer comes one turn later. With one session they are the
round trips. They too need a proxy that delays, by more than the client itself needs.

The order of events is that of a far client only if the proxy delays. Without a delay the 150 may overtake data that a
client sends without waiting for it, and the count is an upper bound.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Counts:
    """Totals of one session or of many. Bytes are TCP payload at the client's side; up is client to server."""

    control_connections: int = 0
    data_connections: int = 0
    round_trips: int = 0
    late_uploads: int = 0
    control_up_bytes: int = 0
    control_down_bytes: int = 0
    data_up_bytes: int = 0
    data_down_bytes: int = 0
    commands: Counter = field(default_factory=Counter)

    @property
    def up_bytes(self):
        return self.control_up_bytes + self.data_up_bytes

    @property
    def down_bytes(self):
        return self.control_down_bytes + self.data_down_bytes

    @property
    def wire_bytes(self):
        return self.up_bytes + self.down_bytes

    def add(self, other):
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class Turns:
    """What all sessions of a proxy have waited for so far, overlapping waits counted once."""

    count = 0


class Meter:
    """Counts one session: a control connection and its data connections, which are told apart by any key. `turns` is shared
    by all sessions of a client."""

    def __init__(self, turns=None):
        self.counts = Counts()
        self._turns = turns or Turns()
        self._ready_turn = self._sent_turn = 0  # when the last connect was there, when what is awaited was asked for
        self._awaited = False
        self._over = False
        self._opened = set()

    def reset(self):
        """Begin again at nothing, in the middle of the session."""
        self.counts = Counts()
        self._ready_turn = self._sent_turn = 0

    def control_connected(self):
        self.counts.control_connections += 1
        self._connected()

    def data_connected(self):
        self.counts.data_connections += 1
        self._connected()

    def command(self, verb):
        self.counts.commands[verb] += 1

    def control_sent(self, size):
        self.counts.control_up_bytes += size
        self._sent()

    def control_received(self, size):
        self.counts.control_down_bytes += size
        self._answered()

    def control_closed(self):
        """The client closed its control connection: it waits for nothing any more."""
        self._over = True

    def data_sent(self, connection, size):
        """Bytes of an upload, or its end (size 0)."""
        self.counts.data_up_bytes += size
        if connection not in self._opened:
            self._opened.add(connection)
            self.counts.late_uploads += not self._awaited
            self._sent()

    def data_received(self, connection, size):
        """Bytes of a download, or its end (size 0)."""
        self.counts.data_down_bytes += size
        # The client's own end of a download awaits nothing.
        self._opened.add(connection)
        self._answered()

    def _connected(self):
        self.counts.round_trips += 1
        self._ready_turn = self._sent_turn = max(self._turns.count, self._ready_turn) + 1
        self._awaited = True

    def _sent(self):
        if not self._awaited:
            self._sent_turn = max(self._turns.count, self._ready_turn)
        self._awaited = True

    def _answered(self):
        if self._awaited and not self._over:
            self.counts.round_trips += 1
            self._turns.count = max(self._turns.count, self._sent_turn + 1)
        self._awaited = False
