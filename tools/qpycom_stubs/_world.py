# The state of the simulated module: its settings, its virtual clock, its link and its reset line.
# Private to the shims and to tools/sim/boot.py, which calls setup() once; tests may look at it and change it.
# Shims import the host's modules by their plain names and each other as `from qpycom_stubs import name`.
import sys
import time

try:
    import _thread
except ImportError:  # an interpreter without threads can still run an app that starts none
    _thread = None

IS_MICROPYTHON = sys.implementation.name == "micropython"

# Settings, in the words of WORLD.json (tools/sim/boot.py).
cycles = 0
speed = 1.0
skip_sleep = True
imei = "861234050012345"
model = "EC600U"
flash_blocks = 16384
flash = None  # {"image", "fs", "cut_at", "torn"} where /usr is a file system of its own on a simulated flash (tools/sim/nor.py)
seed = 1
epoch_s = 1767225600
variants = {"check_net": "new", "accept": 3, "getaddrinfo": "empty", "eof": "empty", "refused": "looks_connected"}
sim_status = 1
net_state = 1
pdp = 1
power_on_reason = 1

# What the app can change or an observer may want to see.
prefix = ""  # host path of the module's "/"; stays empty where that folder is mounted as "/"
cwd = "/"
path = sys.path
modules = sys.modules
sockets = []
open_files = 0
deferred = []  # threads that main.py starts: run in the main thread when it is over, because the host has no lock around them
time_zone = 8
modem_fun = 1
data_callback = None

MAX_SOCKETS = 8
LINK_UP_MS = 2000  # from leaving flight mode to an active PDP context
_TICK_REAL_MS = 2  # how often a timer thread looks at the virtual clock

_root = ""
_skipped_us = 0
_clock_offset_s = 0
_link_up_at_ms = 0
_watchdog = None  # (period_ms, deadline_ms)
_restart = None

_FIRMWARE_ERRNO = {
    "EPERM": 1, "ENOENT": 2, "EIO": 5, "EBADF": 9, "EAGAIN": 11, "EWOULDBLOCK": 11, "EEXIST": 17, "ENOTDIR": 20,
    "EISDIR": 21, "EINVAL": 22, "EMFILE": 24, "ENOSPC": 28, "ENAMETOOLONG": 36, "ENOTEMPTY": 39, "ECONNABORTED": 103,
    "ECONNRESET": 104, "ENOTCONN": 107, "ETIMEDOUT": 110, "ECONNREFUSED": 111, "EHOSTUNREACH": 113, "EINPROGRESS": 115,
} if sys.platform != "linux" else {}  # fmt: skip


class Restart(BaseException):
    """The module restarts at once: not an Exception, so that no handler of the app can hold it up."""


def setup(config: dict, root_prefix: str) -> None:
    """Takes over WORLD.json. KeyError on a setting that does not exist."""
    global prefix, _root
    names = globals()
    prefix = root_prefix
    _root = config["root"]
    for key, value in config.items():
        if key in ("root", "stubs"):
            continue
        if key not in names:
            raise KeyError(key)
        if key == "variants":
            variants.update(value)
        else:
            names[key] = value


if IS_MICROPYTHON:
    import os

    import vfs

    def replace(source: str, target: str) -> None:
        """Renames, over what is there, from outside of the mounted folder.

        A VfsPosix with a root builds both paths in one buffer, so that its own rename does nothing, silently."""
        if flash:
            os.rename(source, target)
            return
        vfs.VfsPosix().rename(_root + source, _root + target)

else:
    from os import replace  # noqa: F401


def host_path(name: str) -> str:
    """Where the module's path `name` lies for the host's own calls."""
    if not name.startswith("/"):
        name = cwd.rstrip("/") + "/" + name
    return prefix + name


def firmware_error(error: OSError) -> OSError:
    """The error with the firmware's number as its only argument."""
    number = error.args[0] if error.args else 5
    if _FIRMWARE_ERRNO:
        import errno

        number = _FIRMWARE_ERRNO.get(errno.errorcode.get(number), number)
    return OSError(number)


# --- clock: real time times `speed`, plus whatever the app slept through


if IS_MICROPYTHON:
    real_us = time.ticks_us
    real_sleep_ms = time.sleep_ms
else:

    def real_us() -> int:
        return time.monotonic_ns() // 1000

    def real_sleep_ms(ms: int) -> None:
        time.sleep(ms / 1000)


_start_us = real_us()


def now_us() -> int:
    return int((real_us() - _start_us) * speed) + _skipped_us


def now_ms() -> int:
    return now_us() // 1000


def now_s() -> int:
    """The module's clock: seconds since 1970."""
    return epoch_s + _clock_offset_s + now_us() // 1000000


def set_time(seconds: int) -> None:
    global _clock_offset_s
    _clock_offset_s += seconds - now_s()


def sleep_ms(ms: int) -> None:
    """The app sleeps. A watchdog that runs out meanwhile restarts the module."""
    global _skipped_us
    if skip_sleep:
        _skipped_us += ms * 1000
        real_sleep_ms(1 if ms else 0)
    else:
        real_sleep_ms(int(ms / speed))
    check_reset()


def later(ms: int, action: object, is_wanted: object = None) -> None:
    """Calls `action` on another thread when the virtual clock has moved on by `ms`, unless is_wanted() is False."""
    due_ms = now_ms() + ms

    def wait() -> None:
        while now_ms() < due_ms:
            real_sleep_ms(_TICK_REAL_MS)
        try:
            if is_wanted is None or is_wanted():
                action()
        except Restart:
            pass  # stored by request_restart(): the app's own thread meets it where it next waits

    _thread.start_new_thread(wait, ())


# --- reset line


def request_restart(kind: str) -> None:
    """Restarts the module; on another thread than the app's, as soon as the app's thread sleeps or waits."""
    global _restart
    _restart = kind
    check_reset()


def arm_watchdog(period_ms: int) -> None:
    """Arms or feeds the watchdog; 0 stops it."""
    global _watchdog
    check_reset()
    _watchdog = (period_ms, now_ms() + period_ms) if period_ms else None


def feed_watchdog() -> None:
    if _watchdog:
        arm_watchdog(_watchdog[0])


def check_reset() -> None:
    """Raises Restart if the watchdog has run out or a restart was asked for: called wherever the app waits."""
    if _restart:
        raise Restart(_restart)
    if _watchdog and now_ms() > _watchdog[1]:
        raise Restart("watchdog")


# --- link


def is_link_up() -> bool:
    """Is the PDP context active?"""
    return bool(pdp) and now_ms() >= _link_up_at_ms


def drop_link() -> None:
    """The PDP context goes: every open socket is dead and the app's callback hears of it."""
    global pdp
    was_up = is_link_up()
    pdp = 0
    for sock in sockets[:]:
        sock._kill()
    if was_up:
        _announce(0, 0)


def raise_link(delay_ms: int) -> None:
    """The PDP context comes up after `delay_ms` of the virtual clock."""
    global pdp, _link_up_at_ms
    if is_link_up():
        return
    pdp = 1
    _link_up_at_ms = now_ms() + delay_ms
    _announce(1, delay_ms)


def _announce(state: int, delay_ms: int) -> None:
    callback = data_callback
    if callback:
        later(delay_ms, lambda: callback((1, state, 0)))
