# Runs on MicroPython: module.py with the app itself on the flash, booted by /usr/main.py each time as the firmware does, also
# after a restart that the app asks for. For updates, which change what a boot finds. `micropython flashed.py PLAN.json`.
import builtins
import sys

sys.path.append(sys.argv[2])  # tools/sim, behind the folder of this file: both have a module.py

import boot
import module
import nor

MOST_BOOTS = 12  # from a cut to three good cycles in one boot
CYCLES = 3  # of one boot: the update, what follows of it, an idle one
_KEPT = ("app", "main", "ftp_manager")  # the modules whose code lies on the flash


class Flashed(module.Module):
    def __init__(self, plan: dict, firmware: boot.Firmware) -> None:
        super().__init__(plan)
        self._firmware = firmware
        self._cycles = []  # of this boot: [is it good, changes of the flash by its end]
        self.started = []  # the files as each boot found them when the app began to load
        self._is_loading = False
        self._by_hand = {}  # settings that are changed at the REPL when the boot has had its first cycle
        boot.watch = self._watch
        builtins.__import__ = self._import

    def prepare(self, order: dict) -> dict:
        """A new image with the app and the files of "before", and the first update in place."""
        self.flash()
        self.power_on()
        is_settled = self._boot_until_settled()
        self.switch_off()
        return {"ok": is_settled, "log": []}

    def cut(self, order: dict) -> dict:
        module.copy_image("/.work/base", "/.work/image")
        self.started = []
        cuts = [order["at"]] + [order["again"]] * bool(order["again"])
        found = {"cut": False, "again": False, "changes": 0}
        for number, at in enumerate(cuts):
            self._by_hand = {} if number else self._plan["by_hand"]
            self.power_on(at, order["torn"], order["seed"] + number)
            is_settled = self._boot_until_settled()
            if is_settled is None:
                found["again" if number else "cut"] = True
            found["changes"] = found["changes"] or self.device.programs + self.device.erases
            self.switch_off(order["seed"] % 2 == 0)
            module.wait_for_server()
            print("--- power off")
        self._by_hand = {}
        self.power_on()
        found["ok"] = self._boot_until_settled()
        found["idle_changes"] = self._cycles[-1][1] - self._cycles[-2][1] if len(self._cycles) > 1 else 0
        found["files"] = module.contents("/usr", (".ferry",))
        found["state"] = sorted([entry[0] for entry in module.vfs_entries("/usr/.ferry")])
        found["started"] = self.started
        self.switch_off()
        self.hang_up()
        return found

    def _boot_until_settled(self) -> object:
        """True when a boot had only good cycles, None when the power went, False when neither comes to pass."""
        for _ in range(MOST_BOOTS):
            status = self._boot()
            if status == boot.STATUS_POWER_CUT:
                return None
            if status == 0 and [is_ok for is_ok, _ in self._cycles] == [True] * CYCLES:
                return True
        return False

    def _boot(self) -> int:
        for name in list(sys.modules):
            if name.split(".")[0] in _KEPT:
                del sys.modules[name]
        sys.path[:] = [""]
        world, flash = module._world, module._flash
        world._restart = None
        self._firmware._is_watching = False
        self._is_loading = True
        self._cycles = []
        try:
            return boot.run_main({})
        finally:
            if not self.device.is_off:  # a restart: what is open is gone
                flash.close_all()
            self._half_open += world.sockets
            del world.sockets[:]

    def _import(self, name: str, *more: object) -> object:
        if name == "app.log" and self._is_loading:  # the first thing that main.py loads once updates were seen to
            self._is_loading = False
            self.started.append(module.contents("/usr", (".ferry",)))
        return self._firmware.import_module(name, *more)

    def _watch(self, manager: type, cycles: int) -> None:
        def on_event(made: object, kind: str, data: object) -> None:
            if kind == "cycle":
                self._cycles.append([data[0]["ok"], self.device.programs + self.device.erases])
                worker = sys.modules["app"].running
                worker.is_wanted = True  # the next one at once
                worker.is_stopped = len(self._cycles) == CYCLES
                if self._by_hand and len(self._cycles) == 1:
                    from app import keys

                    for key, value in self._by_hand.items():
                        keys.change(key, value, worker)

        manager.on_event = on_event


_plan = module.read_plan()
_firmware = module.start(_plan)
boot._world, boot._flash, boot._PowerCut = module._world, module._flash, nor.PowerCut
module._world.tell = lambda *_: None  # nobody listens to events here
boot.print_exception = sys.print_exception
builtins.open = module._flash.open_file
module.obey(Flashed(_plan, _firmware))
