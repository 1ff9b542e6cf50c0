# Every job for Ferry: the module's code, compiled, on MicroPython with the heap of a module in the field, against the same server.
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tools.bench import jobs, pc
from tools.bench.stage import FLEET, INBOX
from tools.device_files import ROOT
from tools.ftpd.servers import descendants, wait_for_sessions
from tools.sim import child, flash, module, settings
from tools.sim.record import Record
from tools.sim.settings import Server

NAME = "Ferry"
TWO = "Ferry x2"  # with server.sessions = 2, where there are several files
HEAP = "256k"
_FLASH_HEAP = "1M"  # the flash is simulated in it too
FLASH_BYTES = 1024 * 1024  # room for the update beside Ferry
_SILENCE_S = 120
_GOT = "got"  # in /usr

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

# The module's main.py on the simulated flash: behind each cycle it waits until the work for the next one is in place.
_HELD = """
import usys
usys.path.append("/usr")
import uos
from ftp_manager import FtpManager
told = FtpManager.on_event
cycle = 0
def on_event(self, kind, data):
    global cycle
    told(self, kind, data)
    if kind == "cycle":
        cycle += 1
        while "go%d" % cycle not in uos.listdir("/sd"):
            pass
FtpManager.on_event = on_event
import ferry_main
ferry_main.main()
"""


class FerryError(Exception):
    """The module did not do its job; the text is what it said last."""


class Boot:
    """What a boot told: `cycles` as in tools/sim/record.py; if it was sampled, the bytes of heap."""

    def __init__(self):
        self._record = Record()
        self.lines = []
        self.live_bytes = self.import_bytes = 0

    @property
    def cycles(self):
        return self._record.cycles

    def hear(self, item):
        if not isinstance(item, str):
            self._record.feed(item)
            return
        self.lines = [*self.lines[-19:], item]
        what, _, number = item.partition(" ")
        if number.isdigit() and what in ("live", "imported"):
            setattr(self, {"live": "live_bytes", "imported": "import_bytes"}[what], int(number))


class Module:
    """A new module; its files lie on an SD card. On a simulated flash (`is_on_flash`) the cycles tell their erases."""

    def __init__(self, folder, server, port, is_on_flash):
        self._folder = folder
        self._access = Server("127.0.0.1", port, server.user, server.password, tls="off")
        self._interpreter = child.find_interpreter(None, _FLASH_HEAP if is_on_flash else HEAP)
        self._root = folder / "root"
        self._usr, self._card = self._root / "usr", self._root / "sd"
        self.out = self._card / "out"
        for path in (self._usr, self._root / "bak", self.out):
            path.mkdir(parents=True)
        self._flash = None
        if is_on_flash:
            self._flash = flash.Flash(self._interpreter.path, folder / "image", "lfs1", FLASH_BYTES)

    def configure(self, upload=None, update="", sessions=1):
        """`upload`: a rule for what is in `out`; None: nothing is sent."""
        rule = {"from": "/sd/out", "to": INBOX, **upload} if upload is not None else {"from": ""}
        config = settings.use_server(settings.own_config(), self._access)
        config.update(upload=rule, download={"from": ""}, update={"from": update}, link={"hold_s": 0})
        config["server"]["sessions"] = sessions
        config["log"] = {"level": "warning"}
        module.flash(self._usr, config, is_small=True)
        shutil.copyfile(self._usr / "main.py", self._usr / "ferry_main.py")
        if self._flash:
            (self._usr / "main.py").write_text(_HELD, encoding="utf-8")
            self._flash.fill(self._usr)

    def boot(self, between=(), is_sampled=False, must_be_good=True):
        """A boot of one cycle; on the flash of one more behind each of `between`, which are called in turn. -> Boot"""
        if not self._flash:
            main = _LIVE if is_sampled else (self._usr / "ferry_main.py").read_text(encoding="utf-8")
            (self._usr / "main.py").write_text(main, encoding="utf-8")
        steps = [*between, lambda: None]
        for old in self._card.glob("go*"):
            old.unlink()
        world = self._folder / "world.json"
        module.write_world(world, self._root, len(steps), 1, self._flash and self._flash.world(0))
        told = Boot()
        with child.Child(self._interpreter.command(world)) as process:
            try:
                for item in process.items(_SILENCE_S):
                    told.hear(item)
                    if not isinstance(item, str) and item.kind == "cycle":
                        steps.pop(0)()
                        (self._card / f"go{len(told.cycles)}").touch()
                status = process.wait()
            except child.Silence as silence:
                status = str(silence)
        if status or steps or (must_be_good and not told.cycles[-1]["ok"]):
            raise FerryError(f"Ferry ended with exit status {status}, {told.cycles}\n" + "\n".join(told.lines))
        return told

    def read(self, folder):
        """{name: bytes} of a folder in /usr."""
        return pc.read(self._usr / folder)


class Work:
    """One job on one module: setup() brings it to the day before, place() makes the work, wrong() judges what came of it."""

    def __init__(self, stage, job, made, sessions):
        self._stage, self._job, self._module, self._sessions = stage, job, made, sessions
        self._before = []  # processes of the server

    @property
    def is_idle(self):
        return self._job.kind in ("check", "sync")

    @property
    def is_cut(self):
        """Whether a cycle that dies comes between place() and what is measured."""
        return self._job.kind == "resume"

    def setup(self):
        kind, files = self._job.kind, self._job.files
        if kind == "check":
            self._publish()
        if kind in ("check", "fetch"):
            self._module.configure(update=FLEET)
        else:
            self._module.configure({"mode": {"batch": "batch", "grow": "append"}.get(kind, "whole")}, sessions=self._sessions)
        if kind == "grow":
            pc.put(self._module.out, {name: content[: jobs.LOG_BEFORE] for name, content in files.items()})
        if kind == "sync":
            pc.put(self._module.out, files)
        self._module.boot()

    def place(self):
        if self._job.kind == "fetch":
            self._publish()
        elif not self.is_idle:
            pc.put(self._module.out, self._job.files)

    def break_link(self):
        self._before = descendants(self._stage.server.pid)
        self._stage.proxy.set_faults(pc.cut_of(self._job))

    def mend_link(self):
        self._stage.proxy.clear_faults()
        wait_for_sessions(self._stage.server, self._before)

    def _publish(self):
        """As people do."""
        with tempfile.TemporaryDirectory(prefix="ferry-bench-") as name:
            pc.put(Path(name), self._job.files)
            command = [sys.executable, "-m", "tools", "publish", name, str(self._stage.fleet), "--to", f"/usr/{_GOT}"]
            subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)

    def wrong(self):
        """What differs on the two sides, or ""."""
        if self._job.kind in ("check", "fetch"):
            return pc.differ(self._job.files, self._module.read(_GOT))
        stored = self._stage.stored()
        if self._job.kind == "batch":
            stored = {name: content for tar in stored.values() for name, content in pc.unpacked(tar).items()}
        return pc.differ(self._job.files, stored)


class Ferry:
    """Runs jobs one after the other. A folder that was sent stays sent: larger ones build on it."""

    def __init__(self, stage):
        self._stage = stage
        self._stack = ExitStack()
        self._sent = None  # the module that has sent the last folder

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        return self._stack.__exit__(*failure)

    def run(self, job, link, sessions=1):
        """-> (Measured, "" or what is wrong). Raises FerryError."""
        work, made = self._work(job, sessions=sessions)
        _bring(work, made)
        with self._stage.measure(link) as found:
            told = made.boot()
        found.turns -= found.counts.late_uploads  # it does not wait for the 150; its own count must say the same
        counted = told.cycles[-1]["round_trips"]
        wrong = work.wrong()
        if not wrong and sessions == 1 and found.turns != counted:
            wrong = f"the module counts {counted} round trips, the proxy {found.turns}"
        return found, wrong

    def heap(self, job):
        """-> (bytes behind the imports, the most in use at any event of the job)."""
        is_done = job.kind == "sync" and self._sent  # nothing changed, so it is the same job again
        work, made = self._work(job)
        if not is_done:
            _bring(work, made)
        told = made.boot(is_sampled=True)
        return told.import_bytes, told.live_bytes

    def erases(self, job):
        """Block erases of the cycle that does the job."""
        work, made = self._work(job, is_on_flash=True)
        work.setup()
        steps = [work.place]
        if work.is_cut:
            steps = [lambda: (work.place(), work.break_link()), work.mend_link]
        return made.boot(steps).cycles[-1]["flash"]["erases"]

    def _work(self, job, is_on_flash=False, sessions=1):
        is_folder = job.kind == "sync" and not is_on_flash
        made = self._sent if is_folder else None
        if not made:
            self._stage.clear()
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="ferry-bench-")))
            made = Module(folder, self._stage.server, self._stage.proxy.port, is_on_flash)
        if is_folder:
            self._sent = made
        return Work(self._stage, job, made, sessions), made


def _bring(work, made):
    """To the moment before what is measured."""
    work.setup()
    work.place()
    if work.is_cut:
        work.break_link()
        made.boot(must_be_good=False)
        work.mend_link()
