# One file on its way up, and one that may make room.

from app.sync.names import with_number
from app.sync.records import ALL_SENT, LOCKED, PUT_VERIFIED
from app.sync.rules import temp_name

RESUME_BYTES = 32768  # below this a file starts over: asking costs as much as sending
_ATTEMPTS = 100
_FLAGS = 15  # the bits of a record's flags that are not the number in the name


class Upload:
    """`digest`: 8 bytes, of the content that the scan saw. `serial`: its number among all uploads. `done` and `pending`: what
    the ledger has of it as sent and as under way. `named`: key of the entry with the values in its name, or nothing.
    `last`: the name of what is pending, where that has another content and another name."""

    def __init__(self, path, size, digest, key, remote, serial, rule, done=None, pending=None, named=b"", last=""):
        self.path = path
        self.size = size
        self.digest = digest
        self.key = key
        self.serial = serial
        self.rule = rule
        self.pending = pending
        self.named = named
        self.attempt = pending.attempt if pending else 0
        # What has the name there may go. What arrived and was put away here is nobody's to replace.
        is_kept = pending and pending.kind == PUT_VERIFIED and rule["after"] == "keep"
        is_same = pending and pending.is_of(size, digest) and pending.flags & _FLAGS != LOCKED
        self.is_ours = bool(done or is_kept or is_same) or rule["on_conflict"] == "overwrite"
        self.tries = 0
        self.offset = 0
        self.is_sent = False  # all bytes went; whether they arrived is not known
        self.is_refused = None  # the error of an RNTO; why, is not known yet
        self.is_taken = False  # RNTO was refused, perhaps because the name is taken: what has it steps aside first
        self._wanted = remote
        self._last = with_number(last, pending.flags // (_FLAGS + 1)) if last else ""
        self.take_number((pending or done).flags // (_FLAGS + 1) if pending or done else 0)

    def take_number(self, number):
        """Take the name with this number in it; 0 is the name itself."""
        self.number = number
        self.remote = with_number(self._wanted, number)

    def wanted(self, number):
        return with_number(self._wanted, number)

    def flags(self, found=0):
        """Of its records: `found`, and the number in the name."""
        return found | self.number * (_FLAGS + 1)

    def temp(self):
        """Name under which it travels now."""
        return temp_name(self.remote, self.digest, self.attempt)

    def stale_temp(self, attempt, digest):
        """Name under which it travelled in another attempt, perhaps with another content."""
        return temp_name(self._last or self.remote, digest, attempt)

    def aside(self):
        """Where an older file of this name waits while the new one takes its place."""
        return temp_name(self.remote, self.digest, "old")

    def next_attempt(self, last=None):
        """Take a fresh temp name: the old one may still be written to."""
        self.attempt = ((self.attempt if last is None else last) + 1) % _ATTEMPTS
        self.offset = 0

    def is_resumable(self):
        """True if it is worth asking the server how far it got."""
        pending = self.pending
        flags = pending.flags & _FLAGS
        if not pending.is_of(self.size, self.digest) or flags == LOCKED:
            return False
        return pending.kind == PUT_VERIFIED or flags == ALL_SENT or self.size >= RESUME_BYTES


class Candidate:
    """A file of an upload rule that may make room. `age` orders by arrival; None if it has not arrived."""

    def __init__(self, path, size, age, may_drop_unsent):
        self.path = path
        self.size = size
        self.age = age
        self.may_drop_unsent = may_drop_unsent
