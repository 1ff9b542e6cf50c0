# python.quectel.com API reference: sim. A card whose state is world.sim_status (1 ready, 0 none).
from qpycom_stubs import _world


def getStatus() -> int:  # noqa: N802 - the firmware's names, here and below
    return _world.get_sim_status()


def getImsi() -> object:  # noqa: N802
    return "001010123456789" if _world.get_sim_status() == 1 else -1


def getIccid() -> object:  # noqa: N802
    return "89860000000000000001" if _world.get_sim_status() == 1 else -1


def setSimDet(enable: int, level: int) -> int:  # noqa: N802
    return 0


def setCallback(function: object) -> int:  # noqa: N802
    return 0
