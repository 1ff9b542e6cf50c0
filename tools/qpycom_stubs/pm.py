# python.quectel.com API reference: pm. Wake locks are numbered and counted; nothing sleeps. No PSM functions, as on
# most modules.
_locks = {}  # descriptor: is held
_last = 0


def autosleep(enable: int) -> int:
    return 0 if enable in (0, 1) else -1


def create_wakelock(name: str, length: int = 0) -> int:
    global _last
    _last += 1
    _locks[_last] = False
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
    return 0
