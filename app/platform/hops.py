# The hops of app/check.py that lie in the module: SIM card, registration, data call, signal; flash, clock, watchdog.

from app.errors import LinkError, StorageError
from app.platform.states import explain
from app.sync.names import civil
from app.sync.rules import mount_of

LINK_WAIT_S = 10
WEAK_SIGNAL = 10  # below it transfers break off
READY = (3, 1)


class Module:
    """`told` hears how each hop went; `probe` is app.platform.probe; `config` is None where the settings are bad."""

    def __init__(self, config, told, files, clock, link, probe):
        self._config = config
        self._told = told
        self._files = files
        self._clock = clock
        self._link = link
        self._probe = probe
        self._state = None

    def link(self):
        """True if there is a data call."""
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
        return self._probe.card() or "ready"

    def _registration(self):
        self._at(2)
        return self._probe.network()

    def _data_call(self):
        self._at(3)
        address = self._link.address()
        servers = self._probe.dns_servers(address)
        if not servers:
            return address + ", no DNS server", "only an address as server.host works; ask the operator"
        return address + ", DNS " + " ".join(servers)

    def _signal(self):
        found = self._link.signal()
        if found is not None and found >= WEAK_SIGNAL:
            return "%d of 31" % found
        return "not known" if found is None else "%d of 31" % found, LinkError.advice

    def rest(self, is_running):
        for mount in self._mounts():
            self._told.step("flash " + mount, self._room, mount)
        self._told.step("clock", self._time)
        if self._config is None or not self._config["run.watchdog_s"]:
            self._told.skipped(("watchdog",), "off" if self._config else "not tried")
        else:
            self._told.step("watchdog", self._watchdog, is_running)

    def _mounts(self):
        mounts = ["/usr"]
        for rule in self._config["upload"] if self._config else ():
            if rule["from"] and mount_of(rule["from"]) not in mounts:
                mounts.append(mount_of(rule["from"]))
        return mounts

    def _room(self, mount):
        free = self._files.free_blocks(mount)
        reserve = self._config["storage.reserve_blocks"] if self._config else 0
        if free <= reserve:
            raise StorageError("%d blocks of 4 KiB are free" % free)
        return "%d blocks of 4 KiB are free" % free

    def _time(self):
        seconds = self._clock.seconds()
        if seconds is None:
            return "not set", "the network has not told it; {date} in upload.to waits for it: set clock.source to ntp"
        date, time = civil(seconds)
        return "%s %s UTC" % (date, time.replace("-", ":"))

    def _watchdog(self, is_running):
        period_s = self._config["run.watchdog_s"]
        if self._probe.has_watchdog(period_s, is_running):
            return "%d s" % period_s
        return "none on this module", "a Ferry that hangs stays so until the power goes"
