# python.quectel.com API reference: machine.WDT. One watchdog on the virtual clock; when it runs out the module
# restarts, noticed wherever the app sleeps, waits for a socket or feeds it.
# Events: "watchdog_armed" [period in s], "watchdog_stopped", with each cycle "fed" [count, longest gap in ms], "watchdog"
# at the restart.
from qpycom_stubs import _world


def WDT(period_s: int) -> object:  # noqa: N802 - the firmware's name
    """The watchdog, armed, or False."""
    if _world.fault("watchdog-fails"):
        return False
    _world.arm_watchdog(period_s * 1000)
    _world.tell("watchdog_armed", [period_s])
    return _Watchdog()


class _Watchdog:
    def feed(self) -> int:
        _world.feed_watchdog()
        return 0

    def stop(self) -> int:
        _world.arm_watchdog(0)
        _world.tell("watchdog_stopped", [])
        return 0
