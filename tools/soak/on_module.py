# The module's /usr/main.py in a soak or a week: Ferry as it is, beside an application that makes files. SETTINGS stands above
# this text when it is on the module. What happened is told to the PC as events, the application's files as "made".
#
# The application writes as one that can be cut: beside, then renamed; and never into the last blocks of the flash.
import gc

import _world
import uos
import usys

gc.threshold(8192)
usys.path.append("/usr")

import app.platform.states  # noqa: E402, F401 - like the next one: loaded when first needed, which is no growth
import app.sync.append  # noqa: E402, F401
from app.pace import Ladder  # noqa: E402
from app.platform.clock import Clock  # noqa: E402
from ftp_manager import FtpManager  # noqa: E402

ROOM_BLOCKS = 12
SAMPLE_CYCLES = 10


class Application:
    """Makes files: `per_cycle` behind each cycle, and one in every `every_s`; rewrites some; adds lines to a log."""

    def __init__(self, settings):
        self._settings = settings
        self._random = settings["seed"] * 7919 + _world.boot * 104729 + 1
        self._count = 0
        self._next_ms = _world.run_ms()
        for folder in ("out", "data", "log"):
            try:
                uos.mkdir("/usr/" + folder)
            except OSError:
                pass  # since the first boot

    def is_quiet(self):
        """The end: nothing new any more, so that both sides can get in step."""
        return _world.cycle >= self._settings["quiet_cycle"] or _world.run_ms() >= self._settings["quiet_ms"]

    def _draw(self, low, high):
        self._random = (self._random * 1103515245 + 12345) & 0x7FFFFFFF
        return low + (self._random >> 8) % (high - low + 1)

    def after_cycle(self):
        for _ in range(self._draw(0, self._settings["per_cycle"])):
            self._act()

    def tick(self):
        """The clock has moved on."""
        while self._settings["every_s"] and _world.run_ms() >= self._next_ms:
            self._next_ms += 1000 * self._settings["every_s"]
            self._act()

    def _act(self):
        if self.is_quiet() or uos.statvfs("/usr")[3] < ROOM_BLOCKS:
            return
        self._count += 1
        version = _world.boot * 1000000 + self._count
        kind = self._draw(0, 9)
        if kind < 6:
            self._write("out/%d.bin" % version, version)  # goes when it has arrived
        elif kind < 8:
            self._write("data/%d.bin" % self._draw(0, self._settings["slots"] - 1), version)  # rewritten, mostly
        else:
            with open("/usr/log/events.txt", "ab") as target:
                target.write(b"line %d\n" % version)

    def _write(self, name, version):
        size = self._draw(0, self._settings["most_bytes"]) if self._draw(0, 9) else 0
        line = b"%s %d\n" % (name.encode(), version)
        with open("/usr/new.part", "wb") as target:
            target.write((line * (size // len(line) + 1))[:size])
        uos.rename("/usr/new.part", "/usr/" + name)
        _world.tell("made", [name, version, size])


def watch(application):
    """Hears what Ferry does, and gives the application its turns."""
    tell_event, climb, sleep_ms = FtpManager.on_event, Ladder.failed, Clock.sleep_ms
    cycles, quiet_cycles = [0], [0]

    def on_event(self, kind, data):
        tell_event(self, kind, data)
        if kind != "cycle":
            return
        cycles[0] += 1
        used_bytes = 0
        if cycles[0] % SAMPLE_CYCLES == 0:
            gc.collect()
            used_bytes = gc.mem_alloc()
        _world.tell("held", [len(_world.sockets), _world.open_files, used_bytes])
        application.after_cycle()
        quiet_cycles[0] += application.is_quiet()
        if quiet_cycles[0] > SETTINGS["rest_cycles"]:  # noqa: F821
            usys.modules["app"].running.is_stopped = True

    def failed(self, *leave):
        found = climb(self, *leave)
        _world.tell("rung", [found[0]])
        return found

    def sleep(self, ms):
        sleep_ms(self, ms)
        application.tick()

    FtpManager.on_event, Ladder.failed, Clock.sleep_ms = on_event, failed, sleep


watch(Application(SETTINGS))  # noqa: F821
import ferry_main  # noqa: E402

ferry_main.main()
