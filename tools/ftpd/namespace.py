"""Run a daemon as root of a user namespace: ``namespace.py RUN_FOLDER PROGRAM ARGUMENT...``. Standard library only.

For pure-ftpd, which refuses uid 0 as its FTP user. In here USER_ID is another name of the real uid 0, so what the
daemon stores belongs to whoever runs the tests as root, and the daemon may overwrite what the tests put there.
RUN_FOLDER hides /run, where the daemon leaves files.
"""

import ctypes
import os
import sys

USER_ID = 1000

_CLONE_NEWNS, _CLONE_NEWUSER, _MS_BIND = 0x00020000, 0x10000000, 4096

# inside, outside, count. Only USER_ID is somebody outside; the others are numbers that nobody uses.
_MAP = f"0 100000 1000\n{USER_ID} 0 1\n1001 101001 64535\n"

_libc = ctypes.CDLL(None, use_errno=True)


def _call(function, *arguments):
    if function(*arguments):
        raise OSError(ctypes.get_errno(), f"{function.__name__}: {os.strerror(ctypes.get_errno())}")


def _enter():
    """Move into a new user and mount namespace, as its root. A child stays outside, where the maps can be written."""
    unshared, tell = os.pipe()
    me = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(tell)
        os.read(unshared, 1)
        try:
            for name in ("uid_map", "gid_map"):
                with open(f"/proc/{me}/{name}", "w", encoding="ascii") as table:
                    table.write(_MAP)
        except OSError as error:
            print(f"namespace: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    _call(_libc.unshare, _CLONE_NEWNS | _CLONE_NEWUSER)
    os.close(tell)
    if os.waitpid(child, 0)[1]:
        raise OSError("the user map was refused")
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def main(run_folder, *argv):
    _enter()
    # Not by mount(8): it is set-uid to the real root, who is an ordinary user in here.
    _call(_libc.mount, run_folder.encode(), b"/run", None, _MS_BIND, None)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main(*sys.argv[1:])
