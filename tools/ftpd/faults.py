"""What the proxy can do to a connection, as values."""

from dataclasses import dataclass

CONTROL, DATA = "control", "data"
UP, DOWN = "up", "down"

CUTS = ("fin", "rst", "silence")
CONNECT_FAULTS = ("refuse", "unreachable")


@dataclass(frozen=True)
class Fault:
    """One harm: where (`on`, `nth`), when (one of `after_bytes`, `verb`, `reply`) and what (`how`).

    on            "control" or "data"
    how           "fin"          both sides are closed; who goes on sending gets a reset, as from a real host
                  "rst"          both sides are reset
                  "silence"      both sides stay open, nothing is passed any more
                  "drip"         from there on one byte at a time
                  "refuse"       (data) the TCP port is closed
                  "unreachable"  (data) nobody answers the connect
    direction     "up" is client to server, "down" is server to client
    after_bytes   so many bytes of that direction are passed and not one more; 0 is as soon as the client connects
    verb          (control) just before the server would see this command
    reply         (control) just before the client would see a reply that begins so, e.g. "226" or "2"
    occurrence    the n-th such command or reply of the session
    nth           the n-th connection of its kind since the faults were set, where a data connection counts when its
                  TCP port is announced; None is each
    is_link       all connections through the proxy end the same way at that moment
    stays         and so does every later one, until the faults are set anew
    """

    on: str
    how: str
    direction: str = UP
    after_bytes: int = 0
    verb: str | None = None
    reply: str | None = None
    occurrence: int = 1
    nth: int | None = None
    is_link: bool = False
    stays: bool = False

    def __post_init__(self):
        if self.on not in (CONTROL, DATA) or self.direction not in (UP, DOWN):
            raise ValueError(f"no such place: {self.on} {self.direction}")
        if self.how not in (*CUTS, "drip", *CONNECT_FAULTS):
            raise ValueError(f"no such fault: {self.how}")
        if self.on == DATA and (self.verb or self.reply):
            raise ValueError("commands and replies are on the control connection")
        if self.on == CONTROL and self.how in CONNECT_FAULTS:
            raise ValueError(f"only data connections: {self.how}")
        if self.stays and not self.is_link:
            raise ValueError("only the link stays as it is")
        if self.how not in CUTS and (self.verb or self.reply or self.is_link):
            raise ValueError(f"not a cut: {self.how}")

    def is_about(self, kind, number):
        """True when it may strike connection `number` of this kind."""
        return self.on == kind and self.nth in (None, number)

    @property
    def counts_bytes(self):
        return self.how in (*CUTS, "drip") and self.verb is None and self.reply is None
