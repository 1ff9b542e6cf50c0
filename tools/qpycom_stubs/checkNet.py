# python.quectel.com API reference: checkNet. The three stages of the network's coming up, polled every 100 ms of the
# virtual clock. The firmware of 2021 (variant check_net "old") has another name for the wait, and OSError for a bad
# time-out.
from qpycom_stubs import _world

_POLL_MS = 100
_IS_OLD = _world.variants["check_net"] == "old"


def _wait(timeout_s: int = 60) -> tuple:
    if not 1 <= timeout_s <= 3600:
        raise OSError(22) if _IS_OLD else ValueError("timeout value error, should be 1..3600 s")
    left_ms = timeout_s * 1000
    while True:
        answer = _stage()
        if answer == (3, 1) or answer[0] == 1 and answer[1] not in (18, 20, 21) or left_ms <= 0:
            return answer
        _world.sleep_ms(_POLL_MS)
        left_ms -= _POLL_MS


def _stage() -> tuple:
    """(stage, state): where the bring-up stands now."""
    sim, state = _world.get_sim_status(), _world.get_net_state()
    if sim != 1:
        return 1, sim
    if state not in (1, 5):
        return 2, state
    return 3, int(_world.is_link_up())


class CheckNetwork:
    def __init__(self, name: str, version: str) -> None:
        self._name = name
        self._version = version

    def poweron_print_once(self) -> None:
        print("==================================================")
        print("PROJECT_NAME     : %s" % self._name)
        print("PROJECT_VERSION  : %s" % self._version)
        print("==================================================")

    def wait_network_connected(self, timeout_s: int = 60) -> tuple:
        return _wait(timeout_s)

    if not _IS_OLD:

        def waitNetworkReady(self, timeout_s: int = 60) -> tuple:  # noqa: N802 - the firmware's name
            return _wait(timeout_s)


if _IS_OLD:
    wait_network_connected = _wait
else:
    waitNetworkReady = _wait  # noqa: N816
