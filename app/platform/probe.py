# What only app/check.py asks of the module; loaded with it.

import dataCall
import machine
import net
import sim
import usocket

from app.platform.quec import PROFILES

_ROAMING = 5


def card():
    """The SIM card's number, or "" while it is not known. Vendor page: sim.getIccid."""
    found = sim.getIccid()
    return found if isinstance(found, str) else ""


def network():
    """Name of the network, and whether it is a foreign one. Vendor pages: net.operatorName, net.getState."""
    name, state = net.operatorName(), net.getState()
    text = name[0] if isinstance(name, tuple) else "registered"
    return text + ", roaming" if isinstance(state, tuple) and state[1][0] == _ROAMING else text


def dns_servers(address):
    """The DNS servers of the data call with this address. Vendor page: dataCall.getInfo."""
    for profile in range(1, PROFILES + 1):
        for kind in (0, 1):
            found = dataCall.getInfo(profile, kind)
            if found != -1 and found[2][2] == address:
                return [server for server in found[2][3:5] if server not in ("0.0.0.0", "::", "")]
    return []


def look_up(host, port):
    """The first address of a name, "" if there is none. Blocks for the look-up. Vendor page: usocket.getaddrinfo."""
    try:
        found = usocket.getaddrinfo(host, port)
    except OSError:
        return ""  # newer firmware; that of 2021 finds nothing
    return found[0][4][0] if found else ""


def has_watchdog(period_s, is_running):
    """True if this module has one. It is started for this, and stopped again unless the worker runs, who feeds it.

    Vendor page: machine.WDT."""
    watchdog = machine.WDT(period_s)
    if watchdog and not is_running:
        watchdog.stop()
    return bool(watchdog)
