# Where everybody plays: one server, a proxy in front of it that counts and delays, and what a client cost in between.
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from tools.ftpd.faults import UP
from tools.ftpd.meter import Counts

IDLE_S = 30  # until the last connection of a client is gone
INBOX, FLEET = "in", "fleet"  # folders on the server: what comes up, what goes down


@dataclass
class Measured:
    """What one job cost a client, seen at its side."""

    turns: int = 0  # round trips; those of parallel sessions that overlap are one
    counts: Counts = field(default_factory=Counts)
    elapsed_s: float = 0.0  # from the first connect to the end of the session


class Stage:
    def __init__(self, server, proxy):
        self.server = server
        self.proxy = proxy
        self.inbox = server.root / INBOX
        self.fleet = server.root / FLEET

    def clear(self):
        """An empty server."""
        for path in (self.inbox, self.fleet):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()

    def stored(self):
        """{name: bytes} that the inbox holds."""
        return {path.name: path.read_bytes() for path in self.inbox.iterdir()}

    @contextmanager
    def measure(self, link):
        """Count what goes through the proxy in the block; `link` is (delay in ms one way, bytes/s or 0) for its length."""
        self.proxy.wait_idle(IDLE_S)
        delay_ms, rate_bytes_s = link
        self.proxy.set_link(delay_ms, rate_bytes_s)
        self.proxy.reset_counts()
        began_s, found = time.monotonic(), Measured()
        yield found
        self.proxy.wait_idle(IDLE_S)
        events = [event for event in self.proxy.events() if event.time_s >= began_s]
        found.turns, found.counts = self.proxy.turns(), self.proxy.counts()
        # What goes up is logged where it arrives: the client closed one delay before.
        closed_s = [event.time_s for event in events if event.direction == UP and event.what == "end"]
        found.elapsed_s = closed_s[-1] - events[0].time_s - delay_ms / 1000 if closed_s else 0.0
        self.proxy.set_link(0)
