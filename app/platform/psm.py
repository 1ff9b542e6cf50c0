# Power saving mode of the network (3GPP T3412 and T3324). Loaded where the settings want it; else it is left as it is.

import pm

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
