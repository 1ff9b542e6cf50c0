# Why the module restarted, and the log before it, kept over the restart. Loaded where there is something to write or to read.

PATH = "/usr/.ferry/restarts"
REASONS = 4  # are kept, the last ones
_BYTES = 8192
_GAP = "\n\n"  # between the reasons and the log


def read(files):
    """(reasons, lines of the log before the last restart), oldest first. Raises StorageError."""
    halves = (files.read(PATH, _BYTES) or b"").decode().split(_GAP, 1)
    reasons, lines = halves[0], halves[1] if len(halves) > 1 else ""
    return reasons.split("\n") if reasons else [], lines.split("\n") if lines else []


def note(files, reason, lines):
    """Add a reason; `lines` are the log's, or none. Raises StorageError, and what was there stays."""
    reasons = read(files)[0] + [reason]
    text = "\n".join(reasons[-REASONS:]) + _GAP + "\n".join(lines)
    files.replace(PATH, text.encode()[:_BYTES])
