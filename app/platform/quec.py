# The module itself: network, identity, randomness. One of the files that may name the firmware's modules.

import checkNet
import dataCall
import misc
import modem
import uhashlib
import urandom
import ustruct
import utime

from app.errors import LinkError

READY = (3, 1)

# (stage, state) of checkNet.waitNetworkReady -> what a person can do. The last row of a stage is for any other state.
_ADVICE = {
    (1, 0): ("no SIM card", "insert the SIM card, check its tray"),
    (1, 2): ("the SIM card wants a PIN", "switch the PIN off in a phone"),
    (1, 3): ("the SIM card wants a PUK", "unlock it in a phone"),
    (1, 18): ("the SIM card is busy", "wait; it starts up"),
    (1, 19): ("the SIM card is blocked", "ask the operator"),
    (1, 20): ("the SIM card is invalid", "ask the operator"),
    (2, 0): ("not searching for a network", "check the antenna; is the module in flight mode?"),
    (2, 2): ("searching for a network", "check the antenna and the coverage"),
    (2, 3): ("the network refuses the SIM card", "is it activated, is roaming allowed?"),
    (3, 0): ("registered, but no data call", "check the APN and the data plan"),
    1: ("the SIM card is not ready", "look at it in a phone"),
    2: ("not registered", "check the antenna and the coverage"),
    3: ("no data call", "check the APN and the data plan"),
}


class Link:
    """The way to the internet."""

    def wait_ready(self, timeout_s):
        """Block until there is a data call, at most `timeout_s` (1 to 3600) seconds. Raises LinkError with the reason.

        Returns at once when there is no usable SIM card: the caller pauses. Vendor page: checkNet."""
        if hasattr(checkNet, "waitNetworkReady"):
            stage, state = checkNet.waitNetworkReady(timeout_s)
        else:  # firmware of 2021
            stage, state = checkNet.wait_network_connected(timeout_s)
        if (stage, state) != READY:
            what, advice = _ADVICE.get((stage, state)) or _ADVICE.get(stage) or ("no network", "restart the module")
            raise LinkError("%s (stage %d, state %d)" % (what, stage, state), step="link", advice=advice)

    def address(self):
        """The module's own IPv4 address in the data call. Raises LinkError. Vendor page: dataCall.getInfo."""
        found = dataCall.getInfo(1, 0)
        if found == -1 or found[2][2] == "0.0.0.0":
            raise LinkError(
                "the data call has no address", step="link", advice="set server.active_host or server.mode to passive"
            )
        return found[2][2]


def imei():
    """The module's IMEI, or "" while the modem does not tell it. Vendor page: modem.getDevImei."""
    found = modem.getDevImei()
    return found if isinstance(found, str) else ""


def seed():
    """Start the random numbers differently on every module and at every boot: a fleet must not wait in step."""
    own = uhashlib.sha256(("%s %d" % (imei(), utime.ticks_us())).encode()).digest()
    urandom.seed(ustruct.unpack(">I", own[:4])[0])


def randint(low, high):
    """A random whole number from low to high, both included."""
    return urandom.randint(low, high)


def restart():
    """Restart the module. Vendor page: misc.Power.powerRestart."""
    misc.Power.powerRestart()
