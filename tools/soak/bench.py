# A simulated module with an application, its server, and all that is counted while they run for long: the one driver of
# `tools soak` and `tools week`.
import re
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tools.sim import child, module, server, settings

SILENCE_S = 120
SPEED = 8  # of virtual time where the host's sockets wait in vain: a time-out of 5 s costs less than one
MOST_IDLE_BOOTS = 20  # in a row without a cycle: it would go round for ever
RULES = [
    {"from": "/usr/out", "to": "{device}/out", "after": "delete"},
    {"from": "/usr/data", "to": "{device}/data"},
    {"from": "/usr/log", "to": "{device}/log", "mode": "append"},
]
_ON_MODULE = Path(__file__).with_name("on_module.py")
_TAIL_LINES = 40
_TRACEBACK = "Traceback (most recent call last)"  # a fault in Ferry, which it survived
_RESTART_LINE = re.compile(r"warning restart: (.*)")


class BenchError(Exception):
    """The run itself broke: what it shows counts for nothing."""


@dataclass
class Tally:
    """What happened, in numbers."""

    cycles: int = 0
    tracebacks: list = field(default_factory=list)  # (cycles before it, its lines)
    good: int = 0
    failed: Counter = field(default_factory=Counter)  # class of the error
    restarts: Counter = field(default_factory=Counter)  # reason
    rungs: Counter = field(default_factory=Counter)
    faults: Counter = field(default_factory=Counter)  # kind
    up_files: int = 0
    down_files: int = 0
    up_bytes: int = 0
    down_bytes: int = 0
    skipped: int = 0
    sent_bytes: int = 0  # with commands
    received_bytes: int = 0
    connections: int = 0
    round_trips: int = 0
    busy_ms: int = 0  # in cycles, virtual time
    most_sockets: int = 0  # open behind a cycle
    most_open_files: int = 0
    erases: int = 0  # of blocks, by Ferry


class Bench:
    """`settings_of_app`: see on_module.py; `config`: sections over the simulator's own; `image`: a flash.Flash or None."""

    def __init__(self, stack, heap, seed, site, life, config, settings_of_app, image=None):
        self._is_in_traceback = False
        self.interpreter = child.find_interpreter(None, heap)
        if not self.interpreter.heap:
            raise settings.SettingsError(f"needs a real MicroPython: {self.interpreter.name} has no limited heap")
        self.site = site
        self.life = life
        self.tally = Tally()
        self.made = {}  # name in /usr -> {version: bytes}
        self.downs = Counter()  # names that came, as the module tells
        self.wear = []  # erases of each block of the flash
        self.memory = []  # of each boot: [(cycle of the boot, bytes in use)]
        self.now_ms = 0
        self._seed = seed
        self._image = image
        self._tail = []
        self._idle_boots = 0
        self._error = self._reason = ""
        self.root = stack.enter_context(module.root_folder())
        self._world = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ferry-world-"))) / "world.json"
        access = stack.enter_context(server.serve(site.folder, site.handler()))
        self._flash(settings.use_server(dict(settings.own_config(), **config), access), settings_of_app)

    def _flash(self, config, settings_of_app):
        usr = self.root / "usr"
        module.flash(usr, config, is_small=True)
        (usr / "main.py").rename(usr / "ferry_main.py")
        main = f"SETTINGS = {settings_of_app!r}\n{_ON_MODULE.read_text(encoding='utf-8')}"
        (usr / "main.py").write_text(main, encoding="utf-8")
        if self._image:
            self._image.fill(usr)

    def boot(self, cycles, on_cycle=lambda: None):
        """One life of the module, of at most so many cycles (0: any number). -> True if it restarted, False if it came to its end."""
        before = self.tally.cycles
        flash = self._image and self._image.world(sum(self.tally.restarts.values()))
        life = dict(self.life.world(self.tally.cycles), speed=SPEED)
        module.write_world(self._world, self.root, cycles, self._seed, flash, life)
        self.memory.append([])
        with child.Child(self.interpreter.command(self._world)) as process:
            try:
                for item in process.items(SILENCE_S):
                    if isinstance(item, str):
                        self._hear(item)
                    else:
                        self._take(item)
                        if item.kind == "held":
                            on_cycle()
            except child.Silence as silence:
                raise BenchError("\n".join([*self._tail, str(silence)])) from silence
            status = process.wait()
        if status not in (0, child.RESTART_STATUS, child.POWER_CUT_STATUS):
            raise BenchError("\n".join([*self._tail, f"the module died (exit status {status})"]))
        self._idle_boots = 0 if self.tally.cycles > before else self._idle_boots + 1
        if self._idle_boots >= MOST_IDLE_BOOTS:
            raise BenchError("\n".join([*self._tail, f"{self._idle_boots} boots without a cycle"]))
        return status != 0

    def dump(self):
        """Bring the folder in line with the flash."""
        if self._image:
            self._image.dump(self.root / "usr")

    def _hear(self, line):
        self._tail = [*self._tail[1 - _TAIL_LINES :], line]
        if _TRACEBACK in line:
            self.tally.tracebacks.append((self.tally.cycles, []))
            self._is_in_traceback = True
        self._is_in_traceback = self._is_in_traceback and " error " in line
        if self._is_in_traceback:
            self.tally.tracebacks[-1][1].append(line)
        found = _RESTART_LINE.search(line)
        if found:
            self._reason = found[1]

    def _take(self, event):
        tally = self.tally
        self.now_ms = event.ms
        self.life.take(event)
        match event.kind, event.data:
            case "made", [name, version, size]:
                self.made.setdefault(name, {})[version] = size
            case "down", [remote, _, _]:
                self.downs[remote.rpartition("/")[2]] += 1
            case "skip", _:
                tally.skipped += 1
            case "error", [name, step, _, _, _]:
                self._error = self._error or f"{name} in {step}"
            case "rung", [name]:
                tally.rungs[name] += 1
            case "fault", [spec, "begins"]:
                tally.faults[spec.partition("@")[0]] += 1
            case "held", [sockets, open_files, used_bytes]:
                tally.most_sockets = max(tally.most_sockets, sockets)
                tally.most_open_files = max(tally.most_open_files, open_files)
                if used_bytes:
                    self.memory[-1].append((tally.cycles, used_bytes))
            case "flash", [counts]:
                tally.erases += counts["erases"]
            case "wear", counts:
                self.wear = [a + b for a, b in zip(self.wear or [0] * len(counts), counts, strict=True)]
            case (("restart" | "watchdog" | "power_cut"), _):
                tally.restarts[_reason_of(event.kind, self._reason)] += 1
                self._reason = ""
            case "cycle", [counts]:
                self._count(counts)

    def _count(self, counts):
        tally = self.tally
        tally.cycles += 1
        tally.good += counts["ok"]
        if not counts["ok"]:
            tally.failed[self._error] += 1
        self._error = ""
        tally.up_files += counts["up_count"]
        tally.up_bytes += counts["up_bytes"]
        tally.down_files += counts["down_count"]
        tally.down_bytes += counts["down_bytes"]
        tally.busy_ms += counts["duration_ms"]
        for name in ("sent_bytes", "received_bytes", "connections", "round_trips"):
            setattr(tally, name, getattr(tally, name) + counts[name])


def _reason_of(kind, told):
    """Reasons that differ only in numbers and texts of errors are one."""
    return re.sub(r" for [\d.]+ h: .*", "", told) if kind == "restart" and told else kind.replace("_", " ")
