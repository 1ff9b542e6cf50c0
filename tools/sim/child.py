# The simulated module's process: which interpreter, its lines, its end. Never outlives the block that started it.
import functools
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from tools.device_files import ROOT
from tools.sim.settings import SettingsError

BOOT = ROOT / "tools" / "sim" / "boot.py"
EVENT_MARK = "\x1e"
RESTART_STATUS = 75
POWER_CUT_STATUS = 76
_SCALES_HEAP = "2M"  # for weighing; any that is large enough
_GRACE_S = 3  # from the polite signal to the other one

_PROBE = "import sys; print(sys.implementation[0], '.'.join([str(x) for x in sys.implementation[1][:3]]))"


class Silence(Exception):
    """The module has printed nothing for too long."""


@dataclass(frozen=True)
class Interpreter:
    path: str
    name: str
    heap: str  # of the module: what the stand-ins for its firmware take comes on top; "" where it cannot be limited

    def command(self, world):
        """The command that boots the module that the file `world` describes."""
        if not self.heap:
            return [self.path, str(BOOT), str(world)]
        limit = size_bytes(self.heap) + stand_ins_bytes(self.path, world)
        return [self.path, "-X", f"heapsize={limit}", str(BOOT), str(world)]


def size_bytes(text):
    """Bytes of a size such as 512k."""
    return int(text.rstrip("kKmM")) * {"k": 1024, "m": 1024**2}.get(text[-1].lower(), 1)


def stand_ins_bytes(path, world):
    """What boot.py and its shims take of the heap before Ferry is loaded: on a module the firmware's part is not in it."""
    config = json.loads(Path(world).read_text(encoding="utf-8"))
    flash = config.get("flash") or {"fs": "", "image": os.devnull}
    kind = (flash["fs"], os.path.getsize(flash["image"]), bool(config.get("link")), len(config.get("faults") or ()))
    return _weigh(path, str(world), kind)


@functools.lru_cache(maxsize=64)
def _weigh(path, world, kind):
    """`kind`: what makes a difference to it, so that modules of one kind are weighed once."""
    command = [path, "-X", f"heapsize={_SCALES_HEAP}", str(BOOT), world, "weigh"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode or not done.stdout.strip().isdigit():
        raise SettingsError(f"{path} does not run the simulated module:\n{done.stdout}{done.stderr}")
    return int(done.stdout)


@dataclass(frozen=True)
class Event:
    kind: str
    data: list
    ms: int  # virtual time since the first boot
    heap: list | None = None  # bytes used and free, with a cycle's end on MicroPython


def find_interpreter(named, heap):
    """`named`, else micropython beside this Python, else on the PATH, else CPython."""
    if named:
        name = _probe(named)
        if not name:
            raise SettingsError(f"{named} does not run as a MicroPython; give the path of a micropython executable")
        return Interpreter(named, name, heap)
    for path in (shutil.which("micropython", path=str(Path(sys.executable).parent)), shutil.which("micropython")):
        name = _probe(path) if path else ""
        if name:
            return Interpreter(path, name, heap)
    version = ".".join(map(str, sys.version_info[:3]))
    return Interpreter(sys.executable, f"CPython {version} (no micropython found: the heap has no limit)", "")


def _probe(path):
    """Name and version when `path` is a MicroPython that runs, else ""."""
    try:
        done = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    name, _, version = done.stdout.strip().partition(" ")
    return f"MicroPython {version}" if done.returncode == 0 and name == "micropython" else ""


class Child:
    """A process whose lines are read without blocking for ever."""

    def __init__(self, command):
        self._lines = queue.Queue()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        threading.Thread(target=self._read, name="module output", daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _read(self):
        with self._process.stdout as stream:
            for line in stream:
                self._lines.put(line.decode("utf-8", "replace").rstrip("\r\n"))
        self._lines.put(None)

    def items(self, silence_s):
        """Yield log lines (str) and Events until the process ends. Raises Silence after `silence_s` without either."""
        while True:
            try:
                line = self._lines.get(timeout=silence_s)
            except queue.Empty:
                raise Silence(f"the module has printed nothing for {silence_s:g} s") from None
            if line is None:
                return
            yield from _split(line)

    def wait(self):
        """Exit status; only after items() has ended."""
        return self._process.wait()

    def stop(self):
        """End the process: as Ctrl-C first, so that it may clean up, then by force."""
        if self._process.poll() is None and os.name != "nt":
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _split(line):
    """An event may follow text that did not end its line."""
    text, mark, event = line.partition(EVENT_MARK)
    if text or not mark:
        yield text
    if mark:
        try:
            data = json.loads(event)
            yield Event(data["kind"], data.get("data", []), data.get("ms", 0), data.get("heap"))
        except (ValueError, KeyError, TypeError):
            yield f"unreadable event: {event}"
