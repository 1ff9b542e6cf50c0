"""Run a daemon as root of a user namespace: ``namespace.py RUN_FOLDER PROGRAM ARGUMENT...``. A program on its own; standard library only.

For pure-ftpd, which refuses uid 0 as its FTP user. In here USER_ID is another name of the real uid 0, so what the daemon stores belongs
to whoever runs the tests as root, and the daemon may overwrite what the tests put there. RUN_FOLDER hides /run, where it leaves files.
"""

import ctypes
import os
import sys

USER_ID = 1000

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000

# inside, outside, count. Only USER_ID is somebody outside; the others are numbers that nobody uses.
_MAP = "0 100000 1000\n%d 0 1\n1001 101001 64535\n" % USER_ID


def _enter():
    """Move this process into a new user and mount namespace, as its root. Only a process outside may write the map: a child does."""
    unshared, tell = os.pipe()
    me = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(tell)
        os.read(unshared, 1)
        try:
            for name in ("uid_map", "gid_map"):
                with open("/proc/%d/%s" % (me, name), "w", encoding="ascii") as table:
                    table.write(_MAP)
        except OSError as error:
            print(f"namespace: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS | _CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())}")
    os.close(tell)
    if os.waitpid(child, 0)[1]:
        raise OSError("the user map was refused")
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def main(run_folder, *argv):
    _enter()
    os.execvp("sh", ["sh", "-c", 'mount --bind "$0" /run && exec "$@"', run_folder, *argv])


if __name__ == "__main__":
    main(*sys.argv[1:])
