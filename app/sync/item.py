# What is to be done with a file; one on its way up; one that may make room. Pure.

from app.sync.names import with_number
from app.sync.records import ALL_SENT, LOCKED, PUT_VERIFIED
from app.sync.rules import temp_name

SKIP = "skip"  # in step
SEND = "send"
RESUME = "resume"  # was under way when something was cut: ask the server how far it got
REMOVE = "remove"  # has arrived, the rule wants it gone
FETCH = "fetch"
CONFLICT = "conflict"  # would overwrite what exists nowhere else

RESUME_BYTES = 32768  # below this a file starts over: asking costs as much as sending
_ATTEMPTS = 100
_FLAGS = 15  # the bits of a record's flags that are not the number in the name


# Total: every combination has an answer. No clock is asked.


def plan_upload(done, pending, got, size, digest, after):
    """For a local file with `size` and `digest`: SKIP, SEND, RESUME or REMOVE.

    `done`, `pending`, `got`: what the ledger has of it as sent, as being sent, as downloaded (entries or None)."""
    if pending and pending.is_of(size, digest):
        return RESUME
    # B was being renamed over A when something was cut, and the file here is A again: the server may hold B
    is_doubtful = pending and pending.may_be_renamed()
    if done and done.is_of(size, digest) and not is_doubtful:
        return SKIP if after == "keep" else REMOVE
    if got and got.is_of(size, digest):
        return SKIP
    return SEND


def plan_download(got, remote_size, stamp, local_size, is_local_safe):
    """For a remote file: SKIP, FETCH or CONFLICT.

    `got`: the ledger's entry of the last download; `local_size`: None if there is no such file here; `is_local_safe()`: True
    if what lies here is known to be on the server too (asked only when it matters: it reads the whole file)."""
    if got and got.stamp == stamp and got.size == remote_size and local_size is not None:
        return SKIP
    if local_size is None or is_local_safe():
        return FETCH
    return CONFLICT


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
        is_kept = pending and pending.may_be_renamed() and rule["after"] == "keep"
        is_same = pending and pending.is_of(size, digest) and pending.flags & _FLAGS != LOCKED
        self.may_replace = bool(done or is_kept or is_same) or rule["on_conflict"] == "overwrite"
        self.is_ours = self.may_replace  # or nobody has the name
        self.tries = 0
        self.offset = 0
        self.is_sent = False  # all bytes went; whether they arrived is not known
        self.is_unlike = False  # the ledger's intent says UNLIKE: after a cut the size under the final name tells enough
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
