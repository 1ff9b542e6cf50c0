# python.quectel.com API reference: _thread. The host's threads under the firmware's names; stack sizes are only
# checked, as the host's threads need more. Stopping another thread is not simulated.
import _thread as _host

from qpycom_stubs import _world

get_ident = _host.get_ident

_DEFAULT_STACK_BYTES = 8448
_MIN_STACK_BYTES = 8192

_stack_bytes = _DEFAULT_STACK_BYTES


def start_new_thread(function: object, args: tuple) -> int:
    def run() -> None:
        try:
            function(*args)
        except _world.Restart:
            pass  # stored: every other thread meets it where it next waits

    if _world.deferred is not None:
        _world.deferred.append(lambda: function(*args))
        return 1
    return _host.start_new_thread(run, ())


def stack_size(size: int = 0) -> int:
    """Bytes for the threads to come. Too few are refused with -1, without raising."""
    global _stack_bytes
    if not size:
        return _stack_bytes
    if size < _MIN_STACK_BYTES:
        return -1
    _stack_bytes = size
    return 0


class _Lock:
    """Not recursive, and acquire() knows no time-out: a second argument is ignored."""

    def __init__(self) -> None:
        self._lock = _host.allocate_lock()

    def acquire(self, wait: int = 1, *ignored: int) -> bool:
        return self._lock.acquire(bool(wait))

    def release(self) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def __enter__(self) -> object:
        self._lock.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.release()


def allocate_lock() -> object:
    return _Lock()


def delete_lock(lock: object) -> None:
    pass


def stop_thread(number: int) -> None:
    """0 ends the calling thread."""
    if number not in (0, get_ident()):
        raise NotImplementedError("only the calling thread can be stopped here")
    raise SystemExit


def get_heap_size() -> int:
    """Free bytes of the operating system's heap, which is not the one of the garbage collector."""
    return 1048576
