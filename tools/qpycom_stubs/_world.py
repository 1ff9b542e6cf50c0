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
flash_is_full = False
flash = None  # {"image", "fs", "cut_at", "torn"} where /usr is a file system of its own on a simulated flash (tools/sim/nor.py)
seed = 1
epoch_s = 1767225600
variants = {
    "check_net": "new",
    "accept": 3,
    "getaddrinfo": "empty",
    "eof": "empty",
    "refused": "looks_connected",
    "data_call": "activate",
    "data_callback": 3,
    "ntp": "zone",
}  # the values are explained in tools/sim/firmware.py
sim_status = 1
net_state = 1
pdp = 1
power_on_reason = 1
battery_mv = 3908
csq = 24
link = None  # a row of tools/sim/links.py
faults = []  # of tools/sim/faults.py
used = []  # places in it of those that will not happen again
boot = 0  # restarts of this run so far
life_ms = 0  # virtual time from its first boot to this one
cycle = 1  # number, in this run, of the cycle that begins next

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
address_changes = 0
file_bytes = 0  # size of the file that the app says is under way

fault_player = None  # the module _faults, where WORLD.json names any
is_link_held = False  # a fault took the link down, and its end brings it back
next_fault_ms = None  # when a fault begins or ends, since the first boot
tell = None  # (kind, data): an event for whoever watches the run

MAX_SOCKETS = 8
LINK_UP_MS = 2000  # from leaving flight mode to an active PDP context
_CALL_REAL_MS = 100  # how long a callback may take before virtual time goes on
_TICK_REAL_MS = 1  # how often a timer thread looks at the virtual clock

_root = ""
_skipped_us = 0
clock_offset_s = 0
_link_up_at_ms = 0
_watchdog = None  # (period_ms, deadline_ms)
_feeds = [0, 0]  # of the watchdog since it was last told: count, longest gap in ms
off_until_ms = 0  # since the first boot: when the power comes back
_calls = []  # when callbacks on other threads are due, in ms since the boot
_restart = None
_clock_fault = None  # "unset" or the seconds that it is off

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
    """Where the module's path `name` lies for the host's own calls. Raises Restart when the module is off."""
    check_power()
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


def run_ms() -> int:
    """Virtual time since the first boot of the run."""
    return life_ms + now_ms()


def now_s() -> int:
    """The module's clock: seconds since 1970."""
    if _clock_fault == "unset":
        return now_us() // 1000000
    return epoch_s + clock_offset_s + run_ms() // 1000 + (_clock_fault or 0)


def set_time(seconds: int) -> None:
    global clock_offset_s
    clock_offset_s += seconds - now_s()


def spoil_clock(fault: object) -> None:
    global _clock_fault
    _clock_fault = fault


def sleep_ms(ms: int) -> None:
    """The app sleeps. A watchdog that runs out meanwhile restarts the module."""
    if skip_sleep:
        pass_ms(ms)
        real_sleep_ms(1 if ms and (sockets or _calls) else 0)  # a pause of the host only where somebody works meanwhile
    else:
        real_sleep_ms(int(ms / speed))
    check_reset()


def pass_ms(ms: int) -> None:
    """Virtual time goes by and no real one; what falls due meanwhile happens at its moment."""
    global _skipped_us
    end_us = now_us() + ms * 1000
    stop_us = -1
    while stop_us < end_us:
        stop_us = end_us
        if _watchdog:
            stop_us = min(stop_us, (_watchdog[1] + 1) * 1000)
        if next_fault_ms is not None:
            stop_us = min(stop_us, (next_fault_ms - life_ms) * 1000)
        calls = _calls[:]  # another thread may take the last one away meanwhile
        call_ms = min(calls) if calls else None
        if call_ms is not None:
            stop_us = min(stop_us, call_ms * 1000)
        _skipped_us += max(0, stop_us - now_us())
        check_reset()
        if call_ms is not None and now_ms() >= call_ms:
            _let_happen(call_ms)


def _let_happen(call_ms: int) -> None:
    """Gives the other thread the real time that it needs; one that blocks is not waited for."""
    for _ in range(_CALL_REAL_MS):
        if call_ms not in _calls:
            return
        real_sleep_ms(1)
    if call_ms in _calls:
        _calls.remove(call_ms)


def later(ms: int, action: object, is_wanted: object = None) -> None:
    """Calls `action` on another thread when the virtual clock has moved on by `ms`, unless is_wanted() is False."""
    due_ms = now_ms() + ms
    _calls.append(due_ms)

    def wait() -> None:
        while now_ms() < due_ms:
            real_sleep_ms(_TICK_REAL_MS)
        try:
            if is_wanted is None or is_wanted():
                action()
        except Restart:
            pass  # stored by request_restart(): the app's own thread meets it where it next waits
        finally:
            if due_ms in _calls:
                _calls.remove(due_ms)

    _thread.start_new_thread(wait, ())


# --- reset line


def request_restart(kind: str) -> None:
    """Restarts the module; on another thread than the app's, as soon as the app's thread sleeps or waits."""
    global _restart
    _restart = _restart or kind
    check_reset()


def cut_power(until_ms: int) -> None:
    """The power goes; it comes back at that time of the run, or at once."""
    global off_until_ms
    off_until_ms = until_ms
    request_restart("power_cut")


def arm_watchdog(period_ms: int) -> None:
    """Arms the watchdog anew; 0 stops it."""
    global _watchdog
    check_reset()
    _watchdog = (period_ms, now_ms() + period_ms) if period_ms else None


def feed_watchdog() -> None:
    if _watchdog:
        _feeds[0] += 1
        _feeds[1] = max(_feeds[1], now_ms() - (_watchdog[1] - _watchdog[0]))
        arm_watchdog(_watchdog[0])


def take_feeds() -> list:
    """[count, longest gap in ms] of the feeds since the last call."""
    found = _feeds[:]
    _feeds[:] = [0, 0]
    return found


def is_off() -> bool:
    """The power went or the module restarts: what is not on flash is lost."""
    return _restart is not None


def power_on() -> None:
    global _restart
    _restart = None


def check_power() -> None:
    """The unwinding of a restart changes nothing on flash any more."""
    if is_off():
        raise Restart(_restart)


def check_reset() -> None:
    """Raises Restart if the watchdog has run out or a restart was asked for: called wherever the app waits."""
    global _restart
    if fault_player and not _restart:
        fault_player.poll()
    if not _restart and _watchdog and now_ms() > _watchdog[1]:
        _restart = "watchdog"
    if _restart:
        raise Restart(_restart)


# --- faults


def fault(kind: str) -> object:
    """The fault of this kind that is there now, or None."""
    return fault_player.active(kind) if fault_player else None


def cure(what: str) -> None:
    """The app makes the data call again ("redial"), leaves flight mode ("flight"), or has set the clock ("ntp")."""
    if fault_player:
        fault_player.cure(what)


def carry() -> dict:
    """What the next boot of this run has to know."""
    gone = used + (fault_player.ended_by_restart() if fault_player else [])
    return {"life_ms": max(run_ms(), off_until_ms), "used": gone, "clock_offset_s": clock_offset_s}


# --- link


def get_sim_status() -> int:
    return 0 if fault("sim-missing") else 2 if fault("sim-pin") else sim_status


def get_net_state() -> int:
    """The registration."""
    if modem_fun != 1 or get_sim_status() != sim_status:
        return 0
    return 3 if fault("attach-denied") else 2 if fault("searching") else net_state


def is_registered() -> bool:
    return get_sim_status() == 1 and get_net_state() in (1, 5)


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
    if pdp:
        return  # it is up, or on its way
    pdp = 1
    _link_up_at_ms = now_ms() + delay_ms
    _announce(1, delay_ms)


def _announce(state: int, delay_ms: int) -> None:
    callback = data_callback
    if callback:
        later(delay_ms, lambda: callback((1, state, 0)[: variants["data_callback"]]))
