# The hops of app/check.py that lie in the module: SIM card, registration, data call, signal; flash, clock, watchdog. And what
# only they ask of the firmware.

import dataCall
import machine
import net
import sim
import usocket

from app.errors import LinkError, StorageError
from app.platform.quec import PROFILES, READY
from app.platform.states import explain
from app.sync.names import civil
from app.sync.rules import mount_of

LINK_WAIT_S = 10
WEAK_SIGNAL = 10  # below it transfers break off
ROAMING = 5


def look_up(host, port):
    """The first address of a name, "" if there is none. Blocks for the look-up. Vendor page: usocket."""
    try:
        found = usocket.getaddrinfo(host, port)
    except OSError:
        return ""  # newer firmware; that of 2021 finds nothing
    return found[0][4][0] if found else ""


class Module:
    """`told` hears how each hop went; `config` is None where the settings are bad."""

    def __init__(self, config, told, files, clock, link):
        self._config = config
        self._told = told
        self._files = files
        self._clock = clock
        self._link = link
        self._state = None

    def link(self):
        """Walk from the SIM card to the signal; True if there is a data call. Vendor page: checkNet."""
        told = self._told
        is_up = told.steps((("SIM", self._sim), ("registration", self._registration), ("data call", self._data_call)))
        told.step("signal", self._signal)
        return is_up

    def _at(self, stage):
        """Raise LinkError if the link stands at this stage."""
        if self._state[0] == stage and self._state != READY:
            what, advice = explain(stage, self._state[1])
            raise LinkError(what, advice=advice)

    def _sim(self):
        self._state = self._link.state(LINK_WAIT_S)
        self._at(1)
        found = sim.getIccid()
        return found if isinstance(found, str) else "ready"

    def _registration(self):
        self._at(2)
        name, state = net.operatorName(), net.getState()
        text = name[0] if isinstance(name, tuple) else "registered"
        return text + ", roaming" if isinstance(state, tuple) and state[1][0] == ROAMING else text

    def _data_call(self):
        self._at(3)
        address = self._link.address()
        for profile in range(1, PROFILES + 1):
            for kind in (0, 1):
                found = dataCall.getInfo(profile, kind)
                if found == -1 or found[2][2] != address:
                    continue
                servers = [server for server in found[2][3:5] if server not in ("0.0.0.0", "::", "")]
                if servers:
                    return address + ", DNS " + " ".join(servers)
        return address + ", no DNS server", "only an address as server.host works; ask the operator"

    def _signal(self):
        found = self._link.signal()
        if found is None:
            return "not known", LinkError.advice
        text = "%d of 31" % found
        return text if found >= WEAK_SIGNAL else (text, LinkError.advice)

    def rest(self, is_running):
        """Flash, clock, watchdog, which is left alone where a worker `is_running`."""
        told, config = self._told, self._config
        mounts = ["/usr"]
        for rule in config["upload"] if config else ():
            if rule["from"] and mount_of(rule["from"]) not in mounts:
                mounts.append(mount_of(rule["from"]))
        for mount in mounts:
            told.step("flash " + mount, self._room, mount)
        told.step("clock", self._time)
        if config and config["run.watchdog_s"]:
            told.step("watchdog", self._watchdog, is_running)
        else:
            told.skipped(("watchdog",), "off" if config else "not tried")

    def _room(self, mount):
        text = "%d blocks of 4 KiB are free"
        free = self._files.free_blocks(mount)
        if free <= (self._config["storage.reserve_blocks"] if self._config else 0):
            raise StorageError(text % free)
        return text % free

    def _time(self):
        seconds = self._clock.seconds()
        if seconds is None:
            return "not set", "the network has not told it; {date} in upload.to waits for it: set clock.source to ntp"
        date, time = civil(seconds)
        return "%s %s UTC" % (date, time.replace("-", ":"))

    def _watchdog(self, is_running):
        """To see whether there is one it is started, and stopped again unless the worker runs, who feeds it. Vendor page:
        machine.WDT."""
        period_s = self._config["run.watchdog_s"]
        watchdog = machine.WDT(period_s)
        if not watchdog:
            return "none on this module", "a Ferry that hangs stays so until the power goes"
        if not is_running:
            watchdog.stop()
        return "%d s" % period_s
