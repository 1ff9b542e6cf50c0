# The core's micropython module for the fallback interpreter CPython; MicroPython uses its own.


def const(value: object) -> object:
    return value


def mem_info(verbose: int = 0) -> None:
    print("no heap of fixed size on this interpreter")


def opt_level(level: int = 0) -> int:
    return 0


def alloc_emergency_exception_buf(size: int) -> None:
    pass
