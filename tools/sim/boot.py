# Plays the firmware for one boot of the simulated module: `micropython boot.py WORLD.json`, or CPython as the fallback.
# Makes the module's folder the only file system, the shims in tools/qpycom_stubs the only modules, then runs
# /usr/main.py. stdout carries the app's own lines and one line per event: "\x1e" + JSON. Started by tools/sim; never by
# the app. Exit status: 0 main.py ended, 1 it raised, 75 the module restarts, 76 the power went, 130 Ctrl-C.
# `boot.py WORLD.json weigh` prints how many bytes of heap all this takes, and boots nothing.
# With "flash" in WORLD.json /usr is a real littlefs or FAT on a simulated flash (nor.py).
import builtins
import gc
import json
import sys

IS_MICROPYTHON = sys.implementation.name == "micropython"
STATUS_RESTART = 75
STATUS_POWER_CUT = 76
STATUS_CTRL_C = 130
_usr = None  # boot_flash.Usr, where there is a simulated flash
_PowerCut = ()
# The shims that Ferry loads in every boot (tests/sim/test_parts.py compares); on a module none of them is on the heap.
WEIGHED = (
    "_thread", "checkNet", "dataCall", "machine", "misc", "modem", "net", "pm", "ubinascii", "uhashlib", "uio", "ujson", "uos",
    "urandom", "uselect", "usocket", "ustruct", "usys", "utime",
)  # fmt: skip
_CORE_MODULES = ("gc", "math", "micropython", "uctypes", "ucryptolib") if IS_MICROPYTHON else ("math",)


class Firmware:
    """What the app's `import` statement gets: shims, loaded when first asked for, the core's modules, its own files."""

    def __init__(self, shim_names: list, load_shim: object, load_file: object, cycles: int) -> None:
        self._shim_names = shim_names
        self._load_shim = load_shim
        self._load_file = load_file
        self._cycles = cycles
        self._host_import = builtins.__import__
        self._is_loading_shim = False
        self._is_watching = False

    def import_module(
        self, name: str, names: object = None, scope: object = None, wanted: object = (), level: int = 0
    ) -> object:
        """Stands for __import__."""
        if self._is_loading_shim:
            return self._host_import(name, names, scope, wanted, level)
        if level:
            raise ImportError("relative imports are not simulated")
        if name in _CORE_MODULES:
            return self._host_import(name, names, scope, wanted, level)
        if name in self._shim_names:
            return self._shim(name)
        module = self._load_file(name, wanted)
        if name == "ftp_manager" and not self._is_watching:
            self._is_watching = True
            watch(module.FtpManager, self._cycles)
        return module

    def _shim(self, name: str) -> object:
        self._is_loading_shim = True
        try:
            return self._load_shim(name)
        finally:
            self._is_loading_shim = False


def emit(kind: str, data: object = ()) -> None:
    line = {"kind": kind, "data": data, "ms": _world.run_ms()}
    if kind == "cycle" and IS_MICROPYTHON:  # Ferry has just collected: what is in use is live
        line["heap"] = [gc.mem_alloc(), gc.mem_free()]
    sys.stdout.write("\x1e" + json.dumps(line) + "\n")
    if not IS_MICROPYTHON:
        sys.stdout.flush()


def watch(manager: type, cycles: int) -> None:
    """Turns FtpManager's events into lines, and stops it after `cycles` of them (0: never)."""
    seen = [0]
    is_resting = [False]

    def on_event(self: object, kind: str, data: object) -> None:
        if kind == "file":
            _world.file_bytes = data[2]
        elif kind == "cycle":
            is_resting[0] = True
            feeds = _world.take_feeds()
            if feeds[0]:
                emit("fed", feeds)
        elif kind == "state" and is_resting[0]:
            is_resting[0] = False
            _world.cycle += 1
        if _usr and kind == "cycle":
            emit("flash", [_usr.counts()])
        elif _usr and seen[0] and kind == "state" and data[1] == "due":
            _usr.counts()  # what others wrote between two cycles is not Ferry's
        emit(kind, data)
        if kind == "cycle":
            seen[0] += 1
            if seen[0] == cycles:
                worker = _world.modules["app"].running
                if worker:  # a program that runs cycles by itself has none
                    worker.is_stopped = True

    manager.on_event = on_event


def start_on_micropython(config: dict) -> Firmware:
    import os
    import vfs

    tools, package = config["stubs"].rstrip("/").rsplit("/", 1)
    real_import = builtins.__import__
    vfs.umount("/")
    vfs.mount(vfs.VfsPosix(config["root"]), "/")
    if _usr:
        _usr.mount()
    vfs.mount(vfs.VfsPosix(tools), "/.firmware")
    os.chdir("/")
    shim_names = [name[:-3] for name in os.listdir("/.firmware/" + package) if name.endswith(".py")]
    sys.path[:] = ["/.firmware"]
    real_import(package)  # from here on its modules are found through the package
    sys.path[:] = [""]
    known = {}

    def load_shim(name: str) -> object:
        if name not in known:
            known[name] = getattr(real_import(package + "." + name), name)
        return known[name]

    def load_file(name: str, wanted: object) -> object:
        top = name.split(".", 1)[0]
        for folder in sys.path:
            path = folder + "/" + top if folder else top
            for ending in ("", ".py", ".mpy"):
                try:
                    os.stat(path + ending)
                except OSError:
                    continue
                return real_import(name, None, None, wanted, 0)
        raise ImportError("no module named '" + name + "'")

    return Firmware(shim_names, load_shim, load_file, config.get("cycles", 0))


def run_main(scope: dict) -> int:
    """The firmware's own first step, then /usr/main.py; the exit status of this boot."""
    scope["__name__"] = "__main__"
    try:
        make_system_config()
        _world.check_reset()  # a fault may be there from the first moment on
        with _flash.open_file("/usr/main.py") as source:
            code = compile(source.read(), "/usr/main.py", "exec")
        exec(code, scope)
        while _world.deferred:
            _world.deferred.pop(0)()
        _world.check_power()  # a thread that restarted the module ended quietly
    except SystemExit:
        pass  # on the module: quietly to the REPL
    except _PowerCut:
        emit("power_cut", [_world.carry()])
        return STATUS_POWER_CUT
    except KeyboardInterrupt:
        return STATUS_CTRL_C
    except _world.Restart as restart:
        return switched_off(restart.args[0])
    except Exception as error:
        print_exception(error)
        emit("died")
        return 1
    return 0


def switched_off(reason: str) -> int:
    """Restart, watchdog or power: the exit status, and what the next boot has to know."""
    emit(reason, [_world.carry()])
    if _usr:
        _usr.cut()
    return {"power_down": 0, "power_cut": STATUS_POWER_CUT}.get(reason, STATUS_RESTART)


def make_system_config() -> None:
    """The firmware keeps this file in /usr, and makes it at the first boot."""
    try:
        _flash.stat(_world.host_path("/usr/system_config.json"))
    except OSError:
        with _flash.open_file("/usr/system_config.json", "w") as target:
            target.write('{"replFlag": 0}')


def weigh(firmware: Firmware) -> int:
    """Print the bytes of heap that the firmware's part takes with everything loaded; the exit status."""
    import gc

    for name in WEIGHED:
        firmware.import_module(name)
    gc.collect()
    print(gc.mem_alloc())
    return 0


def main() -> int:
    global _world, _flash, _usr, _PowerCut, print_exception
    with open(sys.argv[1]) as source:
        config = json.load(source)
    if config.get("flash"):
        import boot_flash

        _usr, _PowerCut = boot_flash.Usr(config["flash"], config.get("seed", 1)), boot_flash.PowerCut
    if IS_MICROPYTHON:
        firmware = start_on_micropython(config)
        prefix, print_exception = "", sys.print_exception
    else:
        import boot_cpython

        firmware = boot_cpython.start(config, Firmware)
        prefix, print_exception = config["root"], boot_cpython.print_exception
    _world = firmware.import_module("_world")
    _world.setup(config, prefix)
    _world.tell = emit
    _flash = firmware.import_module("_flash")
    if _world.faults:
        _world.fault_player = firmware.import_module("_faults")
    _flash.clear_hidden()
    try:
        if IS_MICROPYTHON:
            builtins.open = _flash.open_file
            builtins.__import__ = firmware.import_module
            return weigh(firmware) if sys.argv[2:] == ["weigh"] else run_main({})
        return run_main(boot_cpython.app_scope(firmware, _flash))
    finally:
        _world.power_on()
        _flash.clear_hidden()
        if _usr:
            _usr.switch_off(_flash.close_all)
            if sys.argv[2:] != ["weigh"]:
                emit("wear", _usr.wear())


if __name__ == "__main__":
    sys.exit(main())
