# python.quectel.com API reference: ntptime. Sets the virtual clock to the host's, where the link is up; asks no server.
import time as _time

from qpycom_stubs import _world

host = "ntp.aliyun.com"


def sethost(name: str) -> int:
    global host
    host = name
    return 0


def settime(timezone: int = 0) -> int:
    if not _world.is_link_up():
        return -1
    _world.set_time(int(_time.time()))
    _world.time_zone = timezone
    return 0
