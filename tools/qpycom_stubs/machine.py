# python.quectel.com API reference: machine.WDT. One watchdog on the virtual clock; when it runs out the module
# restarts, noticed wherever the app sleeps, waits for a socket or feeds it.
from qpycom_stubs import _world


class WDT:
    def __init__(self, period_s: int) -> None:
        _world.arm_watchdog(period_s * 1000)

    def feed(self) -> int:
        _world.feed_watchdog()
        return 0

    def stop(self) -> int:
        _world.arm_watchdog(0)
        return 0
