# Every job for Ferry: the module's code, compiled, on MicroPython with the heap of a module in the field, against the same server.
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from tools.bench import jobs, pc
from tools.bench.stage import FLEET, INBOX
from tools.device_files import ROOT
from tools.ftpd.servers import descendants, wait_for_sessions
from tools.sim import child, flash, module, settings
from tools.sim.record import Record
from tools.sim.settings import Server

NAME = "Ferry"
HEAP = "304k"
_FLASH_HEAP = "1M"  # the flash is simulated in it too
FLASH_BYTES = 1024 * 1024  # room for the update beside Ferry
_SILENCE_S = 120

# The module's main.py: the most that is in use at any event, behind a collection.
_LIVE = """
import gc, usys
gc.threshold(8192)
usys.path.append("/usr")
gc.collect()
bare = gc.mem_alloc()
from ftp_manager import FtpManager
import app.start
gc.collect()
print("imported", gc.mem_alloc() - bare)
told = FtpManager.on_event
live = 0
def on_event(self, kind, data):
    global live
    gc.collect()
    live = max(live, gc.mem_alloc() - bare)
    if kind == "cycle":
        print("live", live)
    told(self, kind, data)
FtpManager.on_event = on_event
import ferry_main
ferry_main.main()
"""


class FerryError(Exception):
    """The module did not do its job; the text is what it said last."""


class Boot:
    """What a boot told: `cycles` as in tools/sim/record.py, `live_bytes`, `import_bytes`."""

    def __init__(self):
        self.record = Record()
        self.lines = []
        self.live_bytes = self.import_bytes = 0

    @property
    def cycles(self):
        return self.record.cycles

    def hear(self, item):
        if not isinstance(item, str):
            self.record.feed(item)
            return
        self.lines = [*self.lines[-19:], item]
        what, _, number = item.partition(" ")
        if number.isdigit() and what in ("live", "imported"):
            setattr(self, {"live": "live_bytes", "imported": "import_bytes"}[what], int(number))


class Module:
    """A new module; its files lie on an SD card. On a simulated flash (`is_on_flash`) the cycles tell their erases."""

    def __init__(self, folder, server, port, is_on_flash=False):
        self._folder = folder
        self._access = Server("127.0.0.1", port, server.user, server.password, tls="off")
        self._heap = _FLASH_HEAP if is_on_flash else HEAP
        self._interpreter = child.find_interpreter(None, self._heap)
        self.root = folder / "root"
        self.usr, self.out, self.got = self.root / "usr", self.root / "sd" / "out", self.root / "usr" / "got"
        for path in (self.usr, self.root / "bak", self.out):
            path.mkdir(parents=True)
        self._flash = None
        if is_on_flash:
            self._flash = flash.Flash(self._interpreter.path, folder / "image", "lfs1", FLASH_BYTES)

    def configure(self, upload=None, update=""):
        """`upload`: a rule for what is in `out`; None: nothing is sent."""
        rule = {"from": "/sd/out", "to": INBOX, **upload} if upload is not None else {"from": ""}
        config = settings.use_server(settings.own_config(), self._access)
        config.update(upload=rule, download={"from": ""}, update={"from": update}, link={"hold_s": 0})
        config["log"] = {"level": "warning"}
        module.flash(self.usr, config, is_small=True)
        (self.usr / "main.py").rename(self.usr / "ferry_main.py")
        (self.usr / "main.py").write_text(_LIVE, encoding="utf-8")
        if self._flash:
            self._flash.fill(self.usr)

    def boot(self, must_be_good=True):
        """One boot of one cycle. -> Boot"""
        world = self._folder / "world.json"
        module.write_world(world, self.root, 1, 1, self._flash and self._flash.world(0))
        told = Boot()
        with child.Child(self._interpreter.command(world)) as process:
            for item in process.items(_SILENCE_S):
                told.hear(item)
            status = process.wait()
        if status or len(told.cycles) != 1 or (must_be_good and not told.cycles[0]["ok"]):
            raise FerryError(f"exit status {status}, {told.cycles}\n" + "\n".join(told.lines))
        return told

    def dump(self):
        if self._flash:
            self._flash.dump(self.usr)


@contextmanager
def new_module(stage, is_on_flash=False):
    with tempfile.TemporaryDirectory(prefix="ferry-bench-") as name:
        yield Module(Path(name), stage.server, stage.proxy.port, is_on_flash)


class Job:
    """One job on a new module. `prepare` is all that comes before it is measured; `do` is measured."""

    def __init__(self, stage, job, made):
        self._stage, self.job, self.module = stage, job, made

    def prepare(self):
        getattr(self, "_prepare_" + self.job.kind)()

    def do(self):
        return self.module.boot()

    def wrong(self):
        """What is wrong with the result, or ""."""
        self.module.dump()
        if self.job.kind == "check":
            return ""
        if self.job.kind == "fetch":
            return pc.differ(self.job.files, pc.read(self.module.got))
        stored = self._stage.stored()
        if self.job.kind == "batch":
            stored = {name: content for tar in stored.values() for name, content in pc.unpacked(tar).items()}
        return pc.differ(self.job.files, stored)

    def _prepare_send(self, **rule):
        self.module.configure(rule)
        self.module.boot()
        pc.put(self.module.out, self.job.files)

    def _prepare_batch(self):
        self._prepare_send(mode="batch")

    def _prepare_resume(self):
        self._prepare_send()
        before = descendants(self._stage.server.pid)
        self._stage.proxy.set_faults(pc.cut_of(self.job))
        self.module.boot(must_be_good=False)
        self._stage.proxy.clear_faults()
        wait_for_sessions(self._stage.server, before)

    def _prepare_grow(self):
        self.module.configure({"mode": "append"})
        pc.put(self.module.out, {name: content[: jobs.LOG_BEFORE] for name, content in self.job.files.items()})
        self.module.boot()
        pc.put(self.module.out, self.job.files)

    def _prepare_sync(self):
        self.module.configure({})
        pc.put(self.module.out, self.job.files)
        self.module.boot()

    def _prepare_fetch(self):
        self._publish()
        self.module.configure(update=FLEET)

    def _prepare_check(self):
        self._publish()
        self.module.configure(update=FLEET)
        self.module.boot()

    def _publish(self):
        """As people do."""
        with tempfile.TemporaryDirectory(prefix="ferry-bench-") as name:
            pc.put(Path(name), self.job.files)
            command = [sys.executable, "-m", "tools", "publish", name, str(self._stage.fleet), "--to", "/usr/got"]
            subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
