# python.quectel.com API reference: net. Registration and flight mode: leaving full function drops the PDP context and
# every open socket; coming back takes a while of the virtual clock. Event: "radio" ["modem_fun", value].
from qpycom_stubs import _world

_NO_CSQ = 99
_FULL = 1


def csqQueryPoll() -> int:  # noqa: N802 - the firmware's names, here and below
    fault = _world.fault("signal")
    if not _world.is_registered():
        return _NO_CSQ
    return fault["amount"] if fault else _world.csq


def getState() -> object:  # noqa: N802
    """([voice state, lac, cid, rat, reject cause, psc], [the same for data]) or -1"""
    if _world.net_state < 0:
        return -1
    state = _world.get_net_state()
    return ([state, 4321, 87654321, 7, 0, 0], [state, 4321, 87654321, 7, 0, 0])


def getModemFun() -> int:  # noqa: N802
    return _world.modem_fun


def setModemFun(function: int, reset: int = 0) -> int:  # noqa: N802
    """0 minimal, 1 full, 4 flight mode"""
    if function not in (0, _FULL, 4):
        return -1
    _world.tell("radio", ["modem_fun", function])
    was_off = _world.modem_fun != _FULL
    _world.modem_fun = function
    if function == _FULL:
        if was_off:
            _world.cure("flight")
        if _world.is_registered() and not _world.is_link_held:
            _world.raise_link(_world.LINK_UP_MS)
    else:
        _world.drop_link()
    return 0


def operatorName() -> object:  # noqa: N802
    return ("Simulated Mobile", "SIM", "001", "01") if _world.is_registered() else -1


def getSignal() -> object:  # noqa: N802
    if not _world.is_registered():
        return -1
    return ([99, 99, 255, 255, 255], [-63, -95, -10, 15, 24])


def getNetMode() -> object:  # noqa: N802
    return (0, "001", "01", 7) if _world.is_registered() else -1


def getConfig() -> tuple:  # noqa: N802
    return (8, False)


def setConfig(mode: int, roaming: int = 0) -> int:  # noqa: N802
    return 0


def setCallback(function: object) -> int:  # noqa: N802
    return 0
