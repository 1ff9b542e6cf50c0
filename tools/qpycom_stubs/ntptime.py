# python.quectel.com API reference: ntptime. Sets the virtual clock to the host's, where the link is up; asks no server. Without an
# argument on the firmware of 2021 (variant ntp "plain").
import time as _time

from qpycom_stubs import _world

host = "ntp.aliyun.com"


def sethost(name: str) -> int:
    global host
    host = name
    return 0


def _ask() -> int:
    _world.check_reset()
    if not _world.is_link_up() or _world.fault("dns-fail") or _world.fault("silence"):
        return -1
    _world.cure("ntp")
    _world.set_time(int(_time.time()) + _world.run_ms() // 1000)
    return 0


if _world.variants["ntp"] == "plain":  # 2021

    def settime() -> int:
        return _ask()

else:

    def settime(timezone: int = 0) -> int:
        if _ask() != 0:
            return -1
        _world.time_zone = timezone
        return 0
