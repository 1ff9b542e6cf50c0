# python.quectel.com API reference: misc.Power. A restart cuts at once: what is not flushed is lost. Power-down ends the
# same way.
from qpycom_stubs import _world


class Power:
    @staticmethod
    def powerRestart() -> None:  # noqa: N802 - the firmware's names, here and below
        _world.request_restart("restart")

    @staticmethod
    def powerDown() -> None:  # noqa: N802
        _world.request_restart("power_down")

    @staticmethod
    def powerOnReason() -> int:  # noqa: N802
        return _world.power_on_reason

    @staticmethod
    def powerDownReason() -> int:  # noqa: N802
        return 1

    @staticmethod
    def getVbatt() -> int:  # noqa: N802
        fault = _world.fault("battery")
        return fault["amount"] if fault else _world.battery_mv
