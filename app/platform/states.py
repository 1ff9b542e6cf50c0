# What is seldom needed of the module, and loaded then: the states of SIM card, registration and data call in words, with what a
# person can do; the power saving mode of the network.

import pm

# (stage, state) of checkNet.waitNetworkReady; the rows without a state are for any other.
_ADVICE = {
    (1, -1): ("the modem does not tell of its SIM card", "restart the module"),
    (1, 0): ("no SIM card", "insert the SIM card, check its tray"),
    (1, 2): ("the SIM card wants a PIN", "switch the PIN off in a phone"),
    (1, 3): ("the SIM card wants a PUK", "unlock it in a phone"),
    (1, 18): ("the SIM card is busy", "wait; it starts up"),
    (1, 19): ("the SIM card is blocked", "ask the operator"),
    (1, 20): ("the SIM card is invalid", "ask the operator"),
    (1, 21): ("the SIM card's state is unknown", "check its tray; restart the module"),
    (2, -1): ("the modem does not tell whether it is registered", "restart the module"),
    (2, 0): ("not searching for a network", "check the antenna; is the module in flight mode?"),
    (2, 2): ("searching for a network", "check the antenna and the coverage"),
    (2, 3): ("the network refuses the SIM card", "is it activated, is roaming allowed, is this IMEI allowed?"),
    (2, 4): ("the registration is unknown", "check the antenna and the coverage"),
    (2, 6): ("registered for short messages only", "ask the operator for a plan with data"),
    (2, 7): ("registered for short messages only", "ask the operator for a plan with data and roaming"),
    (2, 8): ("emergency calls only", "ask the operator; the SIM card has no service here"),
    (2, 11): ("emergency calls only", "ask the operator; the SIM card has no service here"),
    (3, 0): ("registered, but no data call", "check the APN and the data plan"),
    1: ("the SIM card is locked", "look at it in a phone"),
    2: ("not registered", "check the antenna and the coverage"),
    3: ("no data call", "check the APN and the data plan"),
}


def explain(stage, state):
    """(what it is, what a person can do). Vendor pages: checkNet, sim, net."""
    return _ADVICE.get((stage, state)) or _ADVICE.get(stage) or ("no network", "restart the module")


# --- power saving mode (3GPP T3412 and T3324)

# The timers' units: (number of the unit, seconds of one, as many fit).
_TAU = ((3, 2, 31), (4, 30, 31), (5, 60, 31), (0, 600, 31), (1, 3600, 31), (2, 36000, 31), (6, 1152000, 31))
_ACTIVE = ((0, 2, 31), (1, 60, 31), (2, 360, 31))


def coded(seconds, units):
    """(unit, count): the shortest time of the timer that is not shorter than `seconds`, or its longest."""
    for unit, size, most in units:
        count = (seconds + size - 1) // size
        if count <= most:
            return unit, count
    return unit, most


def ask(tau_s, active_s):
    """Ask the network for power saving mode: a sign of life every `tau_s` seconds, `active_s` seconds awake after each talk.

    False where the firmware has no such call or refuses. Vendor page: pm.set_psm_time."""
    if not hasattr(pm, "set_psm_time"):
        return False
    tau, active = coded(tau_s, _TAU), coded(active_s, _ACTIVE)
    return bool(pm.set_psm_time(tau[0], tau[1], active[0], active[1]))
