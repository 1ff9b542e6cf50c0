# python.quectel.com API reference: modem. Who the module says it is; the int -1 where world.imei or world.model is
# empty.
from qpycom_stubs import _world


def getDevImei() -> object:  # noqa: N802 - the firmware's names, here and below
    return _world.imei or -1


def getDevModel() -> object:  # noqa: N802
    return _world.model or -1


def getDevSN() -> object:  # noqa: N802
    return "D1Q21" + _world.imei[-9:] if _world.imei else -1


def getDevFwVersion() -> object:  # noqa: N802
    return _world.model + "CNLBR03A01M08_OCPU_QPY" if _world.model else -1


def getDevProductId() -> str:  # noqa: N802
    return "QUECTEL"
