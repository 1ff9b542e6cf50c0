# Runs on MicroPython: a module whose power is cut again and again, each time for real: the app's objects go, the file system
# is mounted anew from what was left in the image. One JSON line per order on stdin, one per answer on stdout; started and
# told what to do by sweep.py. `micropython module.py PLAN.json`. flashed.py is this with the app on the flash as well.
import json
import sys

sys.path.append(sys.argv[2])  # tools/sim, behind the folder of this file: both have a module.py

import boot
import image
import nor
import vfs

APPENDED = 240  # records that are too many for the ledger, in place of a thousand: each boot reads them
MOST_CYCLES = 5  # from a cut to everything being in step
_FOLDER = 0x4000


def say(answer: dict) -> None:
    print(json.dumps(answer))


class Module:
    def __init__(self, plan: dict) -> None:
        self._plan = plan
        self._half_open = []  # sockets that a cut left behind: the server does not know that their module is gone
        self.manager = self.device = None

    # --- power

    def power_on(self, cut_at: int = 0, torn: bool = False, seed: int = 0) -> None:
        self.device = nor.Nor("/.work/image", self._plan["fs"], cut_at, torn, seed)
        vfs.mount(nor.file_system(self.device, self._plan["fs"]), "/usr")

    def switch_on(self, user: str, cut_at: int = 0, torn: bool = False, seed: int = 0) -> None:
        self.power_on(cut_at, torn, seed)
        self.config["servers"][0]["user"] = user
        clock = Clock()
        self.log = Log(clock, "info", _lines.append)
        self.manager = build(self.config, Files(), clock, self.log).manager

    def switch_off(self, is_seen: bool = True) -> None:
        """`is_seen`: the server sees the connections end; else they stay open there and nothing comes any more."""
        self.device.is_forgotten = True
        _flash.close_all()
        self.manager = None
        self._half_open += _world.sockets
        del _world.sockets[:]
        if is_seen:
            self.hang_up()
        vfs.umount("/usr")
        self.device.close()

    def hang_up(self) -> None:
        for sock in self._half_open:
            sock._sock.close()
        self._half_open = []

    def run(self, cycles: int) -> bool:
        """True if the power went."""
        try:
            for _ in range(cycles):
                self.manager.run_cycle()
        except nor.PowerCut:
            return True
        return False

    # --- orders

    def prepare(self, order: dict) -> dict:
        """A new image with the files of "before" in step, those of "then" on top, and the flash in the state to start from."""
        self.flash()
        self.switch_on("base")
        results = [self.manager.run_cycle() for _ in range(2)]
        self.switch_off()
        self.switch_on("base")
        overlay("/.work/then", "/usr")
        if order["stale_records"]:
            self.stale(order["stale_records"])
        if order["free_blocks"]:
            self.fill(order["free_blocks"])
        free = Files().free_blocks("/usr")
        self.switch_off()
        return {"ok": all(result.ok for result in results), "free_blocks": free, "log": _lines[-30:]}

    def flash(self) -> None:
        """A new image with the files of "before"."""
        nor.make_image("/.work/image", self._plan["fs"], self._plan["size_bytes"])
        self.power_on()
        overlay("/.work/before", "/usr")
        self.switch_off()

    def stale(self, count: int) -> None:
        """Records in the ledger that a compaction takes out."""
        ledger = Ledger(Files(), LEDGER)
        ledger.load()
        for kind in (PUT_DONE, FORGET):
            ledger.write(Entry(kind, digest8(f"stale {number}"), 1, b"12345678") for number in range(count // 2))

    def fill(self, free_blocks: int) -> None:
        """A file that Ferry leaves alone, so big that no more blocks than these are free."""
        files = Files()
        files.make_folders("/usr/app")
        size = 0
        with _flash.open_file("/usr/app/ballast", "wb") as ballast:
            while files.free_blocks("/usr") > free_blocks:
                size += ballast.write(b"\xa5" * 4000)
                ballast.flush()

    def cut(self, order: dict) -> dict:
        """One point: run until the power goes, once or twice, then recover and tell what is there."""
        del _lines[:]
        copy_image("/.work/base", "/.work/image")
        self.switch_on(order["user"], order["at"], order["torn"], order["seed"])
        was_cut = self.run(2)
        changes = self.device.programs + self.device.erases
        records = 0 if was_cut else Files().size(LEDGER) // RECORD_BYTES
        self.switch_off(order["seed"] % 2 == 0)
        found = {"cut": was_cut, "changes": changes, "records": records}
        if was_cut:
            wait_for_server()
            _lines.append("--- cut")
            if order["again"]:
                self.switch_on(order["user"], order["again"], order["torn"], order["seed"] + 1)
                found["again"] = self.run(MOST_CYCLES)
                self.switch_off(order["seed"] % 2 == 0)
                wait_for_server()
                _lines.append("--- cut again")
        self.switch_on(order["user"])
        found["after_cut"] = contents("/usr")
        good = 0
        for _ in range(MOST_CYCLES):
            result = self.manager.run_cycle()
            good = good + 1 if result.ok else 0
            if good == 2:
                break
        found["ok"] = good == 2
        found["idle_changes"] = self.idle_changes()
        found["lost"] = self.manager.status()["ledger"]
        found["files"] = contents("/usr")
        found["state"] = sorted([entry[0] for entry in vfs_entries("/usr/.ferry")])
        ledger = Ledger(Files(), LEDGER)
        ledger.load()
        found["lost"] = found["lost"] or ledger.lost
        found["log"] = _lines[:]
        self.switch_off()
        self.hang_up()
        return found

    def idle_changes(self) -> int:
        before = self.device.programs + self.device.erases
        self.manager.run_cycle()
        return self.device.programs + self.device.erases - before


def wait_for_server() -> None:
    """Until the server has done what it was told before the cut."""
    say({"wait": True})
    sys.stdin.readline()


def vfs_entries(folder: str) -> list:
    import uos

    return list(uos.ilistdir(folder))


def contents(folder: str, skipped: tuple = (".ferry", "app")) -> dict:
    """{path: [size, start of the sha256]} of every file below `folder` that is in none of the skipped folders."""
    found = {}
    for entry in vfs_entries(folder):
        path = folder + "/" + entry[0]
        if entry[1] == _FOLDER:
            if entry[0] not in skipped:
                found.update(contents(path, skipped))
            continue
        digest = uhashlib.sha256()
        size = Files().size(path)
        try:
            Files().digest(path, size, digest, _buffer)
            found[path] = [size, str(ubinascii.hexlify(digest.digest()[:8]), "ascii")]
        except StorageError as error:
            found[path] = [size, str(error)]
    return found


def overlay(source: str, target: str) -> None:
    for name, is_folder in image.entries(source).items():
        if is_folder:
            Files().make_folders(target + "/" + name)
            overlay(source + "/" + name, target + "/" + name)
        else:
            image.copy(source + "/" + name, target + "/" + name)


def copy_image(source: str, target: str) -> None:
    with nor.host_open(source, "rb") as old, nor.host_open(target, "r+b") as new:
        while True:
            block = old.read(65536)
            if not block:
                return
            new.write(block)


def start(plan: dict) -> boot.Firmware:
    """The firmware's modules and the app's, once: only what lies on flash and in objects is lost in a cut."""
    global build, Clock, Files, Log, Ledger, LEDGER, Entry, FORGET, PUT_DONE, RECORD_BYTES
    global digest8, StorageError, uhashlib, ubinascii, _world, _flash
    import builtins

    boot.watch = lambda manager, cycles: None  # nobody listens to events here
    firmware = boot.start_on_micropython(plan["world"])
    vfs.mount(vfs.VfsPosix(plan["work"]), "/.work")
    vfs.mount(vfs.VfsPosix(plan["code"]), "/.code")
    _world = firmware.import_module("_world")
    _world.setup(dict(plan["world"], flash={"fs": plan["fs"]}), "")
    _flash = firmware.import_module("_flash")
    builtins.__import__ = firmware.import_module
    sys.path.append("/.code")
    import ubinascii
    import uhashlib

    from app.config import check_all
    from app.errors import StorageError
    from app.log import Log
    from app.platform import files
    from app.platform.clock import Clock
    from app.platform.files import Files
    from app.start import build
    from app.sync import ledger
    from app.sync.ledger import Ledger
    from app.sync.records import FORGET, PUT_DONE, RECORD_BYTES, Entry, digest8
    from ftp_manager import LEDGER

    files.open = _flash.open_file
    ledger._APPENDED = APPENDED
    Module.config = check_all(plan["config"])
    return firmware


def read_plan() -> dict:
    with open(sys.argv[1]) as source:
        return json.load(source)


def obey(made: Module) -> None:
    """Order after order, until there are no more."""
    while True:
        line = sys.stdin.readline()
        if not line:
            break
        order = json.loads(line)
        say(made.prepare(order) if order["what"] == "prepare" else made.cut(order))


_lines = []
_buffer = bytearray(4096)

if __name__ == "__main__":
    _plan = read_plan()
    start(_plan)
    obey(Module(_plan))
