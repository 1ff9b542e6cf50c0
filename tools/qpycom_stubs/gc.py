# The core's gc for the fallback interpreter CPython, which has no heap of fixed size: the numbers only look plausible.
# MicroPython uses its own.
import gc as _host

_HEAP_BYTES = 524288

enable = _host.enable
disable = _host.disable
isenabled = _host.isenabled


def collect() -> None:
    """Nothing: CPython frees at once what is no longer used."""


def mem_alloc() -> int:
    return _HEAP_BYTES // 4


def mem_free() -> int:
    return _HEAP_BYTES - mem_alloc()


def threshold(size: int = -1) -> int:
    return -1
