# What to do with each file; pure, and total: every combination has an answer. No clock is asked.

from app.sync.records import PUT_VERIFIED

SKIP = "skip"  # in step
SEND = "send"
RESUME = "resume"  # was under way when something was cut: ask the server how far it got
REMOVE = "remove"  # has arrived, the rule wants it gone
FETCH = "fetch"
CONFLICT = "conflict"  # would overwrite what exists nowhere else


def plan_upload(done, pending, got, size, digest, after):
    """For a local file with `size` and `digest`: SKIP, SEND, RESUME or REMOVE.

    `done`, `pending`, `got`: what the ledger has of it as sent, as being sent, as downloaded (entries or None)."""
    if pending and pending.is_of(size, digest):
        return RESUME
    # B was being renamed over A when something was cut, and the file here is A again: the server may hold B
    is_doubtful = pending and pending.kind == PUT_VERIFIED
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
