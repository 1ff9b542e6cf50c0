# python.quectel.com API reference: uselect. poll() over shim sockets, in real time divided by world.speed.
import select as _host

from qpycom_stubs import _world

POLLIN = _host.POLLIN
POLLOUT = _host.POLLOUT
POLLERR = _host.POLLERR
POLLHUP = _host.POLLHUP


class poll:  # noqa: N801 - the firmware's name
    def __init__(self) -> None:
        self._poll = _host.poll()
        self._registered = {}  # descriptor: what the app registered

    def register(self, sock: object, mask: int = POLLIN | POLLOUT) -> None:
        number = sock._sock.fileno()
        self._poll.register(number, mask)
        self._registered[number] = sock

    def modify(self, sock: object, mask: int) -> None:
        self._poll.modify(self._number(sock), mask)

    def unregister(self, sock: object) -> None:
        number = self._number(sock)
        self._poll.unregister(number)
        del self._registered[number]

    def poll(self, timeout_ms: int = -1) -> list:
        wait_ms = timeout_ms if timeout_ms < 0 else int(timeout_ms / _world.speed)
        ready = [(self._registered[number], event) for number, event in self._poll.poll(wait_ms)]
        _world.check_reset()
        return ready

    def ipoll(self, timeout_ms: int = -1) -> object:
        return iter(self.poll(timeout_ms))

    def _number(self, sock: object) -> int:
        for number, registered in self._registered.items():
            if registered is sock:
                return number
        raise OSError(2)
