# python.quectel.com API reference: pm. Wake locks are numbered and counted; nothing sleeps. No PSM functions, as on
# most modules. Event: "wake" [name, "held" or "released"].
from qpycom_stubs import _world

_locks = {}  # descriptor: is held
_names = {}
_last = 0


def autosleep(enable: int) -> int:
    return 0 if enable in (0, 1) else -1


def create_wakelock(name: str, length: int = 0) -> int:
    global _last
    _last += 1
    _locks[_last] = False
    _names[_last] = name
    return _last


def delete_wakelock(number: int) -> int:
    return 0 if _locks.pop(number, None) is not None else -1


def wakelock_lock(number: int) -> int:
    return _set(number, True)


def wakelock_unlock(number: int) -> int:
    return _set(number, False)


def get_wakelock_num() -> int:
    return len(_locks)


def _set(number: int, is_held: bool) -> int:
    if number not in _locks:
        return -1
    _locks[number] = is_held
    _world.tell("wake", [_names[number], "held" if is_held else "released"])
    return 0
