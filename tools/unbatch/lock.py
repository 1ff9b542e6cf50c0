# One at a time: a lock that the system takes back when its holder dies, however it dies.
import contextlib
import os

NAME = ".unbatch.lock"

if os.name == "nt":
    import msvcrt

    def _take(file):
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def only_one(folder):
    """-> whether nobody else holds the lock of `folder`; ours until the block ends. The file stays: removing it is a race."""
    with open(folder / NAME, "ab") as file:
        try:
            _take(file)
        except (BlockingIOError, PermissionError):
            yield False
        else:
            yield True
