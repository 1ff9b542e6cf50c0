"""Ferry as flashed to a simulated module: its files, its settings, its boots under a real MicroPython."""

import json
import os
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.device.ftpd import USER
from tools.device_files import ROOT
from tools.sim.child import EVENT_MARK, Interpreter
from tools.sim.module import flash
from tools.sim.settings import is_own

HANG_S = 60  # on a machine that is busy with other tests; alone the longest takes 5 s
DEVICE = "m1"
HEAP = "320k"  # from source, which has to be compiled here
FIELD_HEAP = "256k"  # compiled, as a module in the field has it

# The firmware's own file, made at the first boot.
FIRMWARE_FILE = "system_config.json"

# Where the simulated flash keeps what is written and not yet committed.
UNCOMMITTED = ".open~"


@dataclass
class Boot:
    """What one boot said. `cycles`, `errors`, `skipped`, `up`, `down`, `states` are the data of its events."""

    status: int = None
    lines: list = field(default_factory=list)
    events: list = field(default_factory=list)

    def data(self, kind):
        return [event["data"] for event in self.events if event["kind"] == kind]

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def cycles(self):
        return [data[0] for data in self.data("cycle")]

    @property
    def errors(self):
        return self.data("error")

    @property
    def skipped(self):
        return {path: reason for _, path, reason in self.data("skip")}

    @property
    def states(self):
        return [new for _, _, new in self.data("state")]

    @property
    def up(self):
        return sorted(path for path, _, _ in self.data("up"))

    @property
    def down(self):
        return sorted(path for _, path, _ in self.data("down"))


class Ferry:
    """`boot()` runs it; `put()`, `files()` and `remove()` are for the module's /usr."""

    def __init__(self, interpreter, folder, ftpd):
        self._interpreter = interpreter
        self._folder = folder
        self.heap = HEAP
        self.root = folder / "root"
        self.usr = self.root / "usr"
        self.usr.mkdir(parents=True)
        (self.root / "bak").mkdir()
        self.config = {
            "device": {"id": DEVICE},
            "server": {
                "host": "127.0.0.1",
                "port": ftpd.port,
                "user": USER,
                "password": ftpd.password,
                "timeout_s": 5,
            },
            "schedule": {"every_s": 10, "jitter_s": 0, "first_s": 0},
            "link": {"hold_s": 0},
            "retry": {"base_s": 1, "cap_s": 4},
        }
        flash(self.usr, self.config)

    def compile(self):
        """Have the code as a module in the field has it, with the heap that has to do for it."""
        flash(self.usr, self.config, is_small=True)
        self.heap = FIELD_HEAP

    def configure(self, **sections):
        """Change settings: section = {key: value}; a list of rules for upload."""
        for name, values in sections.items():
            self.config[name] = values if isinstance(values, list) else dict(self.config.get(name, {}), **values)
        self.put("config.json", json.dumps(self.config).encode())

    # --- the module's flash

    def put(self, name, content):
        path = self.usr / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def remove(self, name):
        (self.usr / name).unlink()

    def files(self):
        """{name below /usr: content} of all that is neither Ferry's nor the firmware's."""
        return {name: path.read_bytes() for name, path in self._walk() if not is_own("/usr/" + name)}

    def state_files(self):
        """Names in Ferry's state folder."""
        return sorted(path.name for path in (self.usr / ".ferry").glob("*"))

    def _walk(self):
        """Like rglob(), but for folders that come and go meanwhile."""
        for folder, folders, names in os.walk(self.usr):
            if UNCOMMITTED in folders:
                folders.remove(UNCOMMITTED)
            for path in (Path(folder, name) for name in names):
                name = str(path.relative_to(self.usr))
                if name != FIRMWARE_FILE:
                    yield name, path

    def blocks(self):
        """Blocks of littlefs that /usr takes now, counted as the simulated flash counts them."""
        count = 4
        for path in self.usr.rglob("*"):
            size = path.stat().st_size
            count += 2 if path.is_dir() else 0 if size == 0 else 1 + (max(0, size - 4096) + 4087) // 4088
        return count

    # --- running

    def boot(self, cycles=1, on_event=None, on_line=None, before="", main=None, **world):
        """Boot the module until it ends; `cycles` 0 is for ever. `before` is run before main.py, in its place is `main`.

        `on_event(event, process)` and `on_line(line, process)`, where a line may be an event's, hear what the module says
        while it goes on; they may signal the process."""
        (self.usr / "main.py").write_text(before + "\n" + ((ROOT / "main.py").read_text() if main is None else main))
        path = self._folder / "world.json"
        world = dict(world, root=str(self.root), stubs=str(ROOT / "tools" / "qpycom_stubs"), cycles=cycles)
        path.write_text(json.dumps(world))
        command = Interpreter(self._interpreter, "", self.heap).command(path)
        found = Boot()
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            is_hung = threading.Event()
            watchdog = threading.Timer(HANG_S, lambda: (is_hung.set(), process.kill()))
            watchdog.start()
            try:
                self._read(process, found, on_event, on_line)
                found.status = process.wait()
            finally:
                watchdog.cancel()
                process.kill()
        assert not is_hung.is_set(), "hung; its last lines:\n" + "\n".join(found.lines[-20:])
        return found

    def _read(self, process, found, on_event, on_line):
        for raw in process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            text, mark, event = line.partition(EVENT_MARK)
            if text or not mark:
                found.lines.append(text)
            if mark and event.endswith("}"):  # a killed process may leave half of one
                found.events.append(json.loads(event))
                if on_event:
                    on_event(found.events[-1], process)
            if on_line:
                on_line(line, process)

    def sync(self, cycles=1, **more):
        """boot(), which must end by itself after good cycles."""
        boot = self.boot(cycles, **more)
        assert boot.status == 0, boot.text
        assert [cycle["error"] for cycle in boot.cycles] == [None] * cycles, boot.text
        return boot


def on_event_hook(body):
    """Source for `before`: run `body` at each event, with `self`, `kind` and `data`, behind what the simulator does."""
    indented = "\n".join("    " + line for line in body.strip("\n").split("\n"))
    return f"""
import gc, usys
gc.threshold(8192)  # as main.py does: what follows is compiled
usys.path.append("/usr")
import _world
from ftp_manager import FtpManager
_told = FtpManager.on_event
def _on_event(self, kind, data):
    _told(self, kind, data)
{indented}
FtpManager.on_event = _on_event
"""


def interrupt(process):
    """Ctrl-C, once: a second one that comes before the first is heard kills the interpreter."""
    if not getattr(process, "is_interrupted", False):
        process.is_interrupted = True
        process.send_signal(signal.SIGINT)
