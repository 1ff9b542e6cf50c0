# python.quectel.com API reference: dataCall. One PDP context, profile 1; the callback comes on another thread. The firmware of
# 2021 (variant data_call "start") has start() only. Event: "radio" ["activate" or "deactivate"].
from qpycom_stubs import _world

_ACTIVATION_MS = 500
_DIAL_MS = 60000  # start() gives up

_context = (0, "", "", "", 0)


def _check_profile(profile: int) -> None:
    if not 1 <= profile <= 7:
        raise ValueError("invalid value, pid should be 1..7")


def getInfo(profile: int, ip_type: int) -> object:  # noqa: N802 - the firmware's names, here and below
    _check_profile(profile)
    if not 0 <= ip_type <= 2:
        raise ValueError("invalid value, ipType should be 0..2")
    is_up = profile == 1 and _world.is_link_up()
    own = "10.0.%d.%d" % (_world.boot & 255, 2 + _world.address_changes)
    ipv4 = [1, 0, own, "10.0.0.1", "10.0.0.1"] if is_up else [0, 0, "0.0.0.0", "0.0.0.0", "0.0.0.0"]
    ipv6 = [0, 0, "::", "::", "::"]
    if ip_type == 2:
        return profile, ip_type, ipv4, ipv6
    return profile, ip_type, ipv6 if ip_type else ipv4


def setCallback(function: object) -> int:  # noqa: N802
    _world.data_callback = function
    return 0


def _dial() -> int:
    _world.tell("radio", ["activate"])
    _world.check_reset()
    if not _world.is_registered():
        return -1
    if not _world.is_link_up():
        _world.cure("redial")
    if _world.is_link_held:
        return -1
    _world.raise_link(_ACTIVATION_MS)
    return 0


def start(profile: int, ip_type: int, apn: str, user: str, password: str, auth: int) -> int:
    """The older API: sets the context up and blocks until it is active."""
    result = _set_context(profile, ip_type, apn, user, password, auth)
    if result == 0:
        result = _dial()
    left_ms = _DIAL_MS
    while result == 0 and not _world.is_link_up() and left_ms:
        _world.sleep_ms(100)
        left_ms -= 100
    return result if _world.is_link_up() else -1


def _set_context(profile: int, ip_type: int, apn: str, user: str, password: str, auth: int) -> int:
    global _context
    _check_profile(profile)
    if not 0 <= ip_type <= 2 or not 0 <= auth <= 2:
        raise ValueError("invalid value")
    if profile != 1:
        return -1
    _context = (ip_type, apn, user, password, auth)
    return 0


def setAutoConnect(profile: int, enable: int) -> int:  # noqa: N802
    _check_profile(profile)
    return 0


def setDNSServer(profile: int, sim_id: int, primary: str, secondary: str) -> int:  # noqa: N802
    _check_profile(profile)
    return 0


if _world.variants["data_call"] == "activate":
    setPDPContext = _set_context  # noqa: N816

    def activate(profile: int) -> int:
        _check_profile(profile)
        return _dial() if profile == 1 else -1

    def deactivate(profile: int) -> int:
        _check_profile(profile)
        if profile != 1:
            return -1
        _world.tell("radio", ["deactivate"])
        _world.drop_link()
        return 0

    def getPDPContext(profile: int) -> object:  # noqa: N802
        _check_profile(profile)
        return _context if profile == 1 else -1

    def setAutoActivate(profile: int, enable: int) -> int:  # noqa: N802
        _check_profile(profile)
        return 0
