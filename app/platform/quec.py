# The module itself: network, power, identity, randomness. One of the files that may name the firmware's modules.

import _thread
import checkNet
import dataCall
import machine
import misc
import modem
import net
import pm
import uhashlib
import urandom
import ustruct
import utime

from app.errors import LinkError

READY = (3, 1)
PROFILES = 7  # of data calls
FLIGHT_MS = 5000
FLIGHT_TRIES = 3  # to get back on the air
MINIMAL, FULL, OFF_AIR = 0, 1, 4  # of net.setModemFun
NO_SIGNAL = 99
WAKE_LOCK = "ferry"
POWER_ON = "unknown,power key,reset,supply,alarm,watchdog,USB,charger,wake from PSM,dump"  # one text is the least heap
STACK_BYTES = 32768  # of the worker's thread; the firmware's 8 KiB are too few, and it does not notice


class Link:
    """The way to the internet."""

    def __init__(self):
        self._address = ""  # when arm() was called
        self._profile = 1  # of the data call that had an address last
        self._went = self._came = False  # since then

    def wait_ready(self, timeout_s):
        """Block until there is a data call, at most `timeout_s` (1 to 3600) seconds. Raises LinkError with the reason.

        Returns at once when there is no usable SIM card: the caller pauses. Vendor page: checkNet."""
        stage, state = self.state(timeout_s)
        if (stage, state) != READY:
            from app.platform.states import explain

            what, advice = explain(stage, state)
            raise LinkError("%s (stage %d, state %d)" % (what, stage, state), step="link", advice=advice)

    def state(self, timeout_s=1):
        """(stage, state): where the link stands after at most `timeout_s` seconds. Vendor page: checkNet."""
        if hasattr(checkNet, "waitNetworkReady"):
            return checkNet.waitNetworkReady(timeout_s)
        # Firmware of 2021; before its November it is a method only.
        old = checkNet if hasattr(checkNet, "wait_network_connected") else checkNet.CheckNetwork("Ferry", "")
        return old.wait_network_connected(timeout_s)

    def address(self):
        """The module's own address in its data call, IPv4 before IPv6. Raises LinkError. Vendor page: dataCall.getInfo."""
        for profile in range(1, PROFILES + 1):
            for kind in (0, 1):
                found = dataCall.getInfo(profile, kind)
                if found != -1 and found[2][0] == 1 and found[2][2] not in ("0.0.0.0", "::", ""):
                    self._profile = profile
                    return found[2][2]
        raise LinkError("the data call has no address", step="link")

    def arm(self):
        """From now on has_changed() tells of changes. Raises LinkError. Vendor page: dataCall.setCallback."""
        dataCall.setCallback(self._hear)
        self._address = self.address()
        self._went = self._came = False

    def _hear(self, event):
        """On another thread: must not block. The tuple has two or three items, by firmware."""
        if event[0] != self._profile:
            return  # another program's data call
        if event[1]:
            self._came = True
        else:
            self._went = True

    def has_changed(self):
        """True if the data call went, or came back with another address, since arm(): sockets of before are dead."""
        if self._came:
            self._came = False
            self._went = self._went or self.address() != self._address
        return self._went

    def redial(self):
        """Close the data call and open it again. Firmware of 2021 does that by itself after flight mode. Blocks for seconds.

        Vendor page: dataCall."""
        if hasattr(dataCall, "activate"):
            dataCall.deactivate(self._profile)
            dataCall.activate(self._profile)

    def fly(self):
        """Off the network and on again, with the SIM card read anew. Blocks for some seconds. Vendor page: net.setModemFun."""
        if net.setModemFun(OFF_AIR) != 0:
            net.setModemFun(MINIMAL)  # not every module knows flight mode
        for _ in range(FLIGHT_TRIES):
            utime.sleep_ms(FLIGHT_MS)
            if net.setModemFun(FULL) == 0:
                return

    def signal(self):
        """Strength of the signal, 0 to 31, or None while it is not known. Vendor page: net.csqQueryPoll."""
        found = net.csqQueryPoll()
        return found if 0 <= found < NO_SIGNAL else None


class Power:
    """What keeps the module going: restart, watchdog, battery, sleep."""

    def __init__(self):
        self._watchdog = None
        self._lock = -1

    def imei(self):
        """The module's IMEI, or "" while the modem does not tell it. Vendor page: modem.getDevImei."""
        found = modem.getDevImei()
        return found if isinstance(found, str) else ""

    def about(self):
        """(model, version of the firmware), each "" while the modem does not tell it. Vendor page: modem.getDevModel."""
        return tuple([x if isinstance(x, str) else "" for x in (modem.getDevModel(), modem.getDevFwVersion())])

    def restart(self):
        """Restart the module at once: flush and close first. Vendor page: misc.Power.powerRestart."""
        misc.Power.powerRestart()

    def on_reason(self):
        """Why the module was switched on, in a word. Vendor page: misc.Power.powerOnReason."""
        words = POWER_ON.split(",")
        reason = misc.Power.powerOnReason() if hasattr(misc.Power, "powerOnReason") else 0
        return words[reason if 0 <= reason < len(words) else 0]

    def battery_mv(self):
        """Voltage of the supply in millivolts, or None while it is not known. Vendor page: misc.Power.getVbatt."""
        found = misc.Power.getVbatt()
        return found if found > 0 else None

    def guard(self, period_s):
        """Start the watchdog: without feed() for `period_s` seconds the module restarts. False where there is none.

        Vendor page: machine.WDT."""
        try:
            self._watchdog = machine.WDT(period_s) or None
        except (OSError, ValueError, AttributeError):  # too long a period for this module, or no watchdog
            self._watchdog = None
        return self._watchdog is not None

    def feed(self):
        """All is well; the watchdog may wait another period."""
        if self._watchdog:
            self._watchdog.feed()

    def unguard(self):
        """Stop the watchdog: nobody feeds it any more. Vendor page: machine.WDT."""
        if self._watchdog:
            self._watchdog.stop()
            self._watchdog = None

    def set_sleep(self, is_allowed):
        """Let the module sleep between cycles, or not. False if it could not be kept awake in them: then it never sleeps.

        Vendor page: pm.autosleep."""
        if is_allowed and self._lock <= 0:
            self._lock = pm.create_wakelock(WAKE_LOCK, len(WAKE_LOCK))
        can_sleep = is_allowed and self._lock > 0
        pm.autosleep(1 if can_sleep else 0)
        return can_sleep or not is_allowed

    def save(self, tau_s, active_s):
        """Ask the network for power saving mode; False where the module cannot. Vendor page: pm.set_psm_time."""
        from app.platform.states import ask

        return ask(tau_s, active_s)

    def stay_awake(self):
        """No sleep from here on. Vendor page: pm.wakelock_lock."""
        if self._lock > 0:
            pm.wakelock_lock(self._lock)

    def may_sleep(self):
        """The opposite. Vendor page: pm.wakelock_unlock."""
        if self._lock > 0:
            pm.wakelock_unlock(self._lock)


def start_thread(function):
    """Run `function()` beside the REPL. Vendor page: _thread."""
    _thread.stack_size(STACK_BYTES)
    _thread.start_new_thread(function, ())


def new_lock():
    """A lock between threads: acquire() blocks, release(). Vendor page: _thread."""
    return _thread.allocate_lock()


def seed():
    """Start the random numbers differently on every module and at every boot: a fleet must not wait in step."""
    own = uhashlib.sha256(("%s %d" % (modem.getDevImei(), utime.ticks_us())).encode()).digest()
    urandom.seed(ustruct.unpack(">I", own[:4])[0])


def randint(low, high):
    """A random whole number from low to high, both included."""
    return urandom.randint(low, high)
