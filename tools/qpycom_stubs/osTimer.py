# python.quectel.com API reference: osTimer. Timers on the virtual clock; callbacks come on another thread.
from qpycom_stubs import _world


class osTimer:  # noqa: N801 - the firmware's name
    def __init__(self) -> None:
        self._run = 0  # counts starts and stops: a callback of an earlier run is not wanted any more

    def start(self, period_ms: int, is_cyclic: int, callback: object) -> int:
        if period_ms <= 0:
            return -1
        self._run += 1
        self._schedule(self._run, period_ms, is_cyclic, callback)
        return 0

    def _schedule(self, run: int, period_ms: int, is_cyclic: int, callback: object) -> None:
        def fire() -> None:
            if is_cyclic:
                self._schedule(run, period_ms, is_cyclic, callback)
            callback(None)

        _world.later(period_ms, fire, lambda: self._run == run)

    def stop(self) -> int:
        self._run += 1
        return 0

    def delete_timer(self) -> int:
        return self.stop()
