# python.quectel.com API reference: uselect. poll() over shim sockets, in real time divided by world.speed, and the radio in
# virtual time.
import select as _host

from qpycom_stubs import _world

POLLIN = _host.POLLIN
POLLOUT = _host.POLLOUT
POLLERR = _host.POLLERR
POLLHUP = _host.POLLHUP

_LOOK_MS = 1000  # a socket is silent: look again after so long


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
        _world.check_reset()
        timeout_ms = self._wait_for_radio(timeout_ms)
        wait_ms = timeout_ms if timeout_ms < 0 else int(timeout_ms / _world.speed)
        ready = []
        for number, event in self._poll.poll(wait_ms):
            sock = self._registered[number]
            if sock._wait_us() != 0:
                event &= POLLOUT
            if event:
                ready.append((sock, event))
        _world.check_reset()
        return ready

    def _wait_for_radio(self, timeout_ms: int) -> int:
        """Lets virtual time pass until the link can have brought something; returns what is left of the time-out."""
        while timeout_ms:
            waits = [sock._wait_us() for sock in self._registered.values()]
            if 0 in waits or not waits:
                break
            wait_ms = min([_LOOK_MS if wait is None else (wait + 999) // 1000 for wait in waits])
            if timeout_ms > 0:
                wait_ms = min(wait_ms, timeout_ms)
                timeout_ms -= wait_ms
            _world.pass_ms(wait_ms)
        return timeout_ms

    def ipoll(self, timeout_ms: int = -1) -> object:
        return iter(self.poll(timeout_ms))

    def _number(self, sock: object) -> int:
        for number, registered in self._registered.items():
            if registered is sock:
                return number
        raise OSError(2)
