"""A Sweep of updates: the module boots from its own flash (flashed.py), and every boot has to find the old set or the new one."""

import shutil

from tests.powercut.server import digest_of
from tests.powercut.sweep import Sweep, differences, fact
from tests.powercut.updates import UPDATES, USER

_FIRMWARE_FILE = "/usr/system_config.json"


class UpdateSweep(Sweep):
    SCENARIOS = UPDATES
    PROGRAM = "flashed.py"
    SIZE_BYTES = 2 * 1024 * 1024  # Ferry's own code is flashed as source, and comes again as an update

    def _plan(self):
        return {"by_hand": self._scenario.settings if self._scenario.is_by_hand else {}}

    def _write_module_files(self, work):
        self._write(work / "before", self._scenario.flashed(self._server.port))

    def _prepare(self):
        """What the module makes of the first update is where each cut begins, on the server as well."""
        base, used = self._folder / "server" / "base", self._folder / "server" / USER
        shutil.copytree(base, used)
        found = super()._prepare()
        self._server.settle()
        self._server.heard.clear()
        shutil.rmtree(base)
        used.rename(base)
        return found

    def _next_user(self):
        self._server.settle()  # the sessions of the cut before
        return USER

    # --- the verdict

    def _judge(self, found, user):
        port = self._server.port
        old, new = _facts(self._scenario.old(port)), _facts(self._scenario.new(port))
        wrong = [
            f"boot {number + 1} began with a mixture: {_told(old, files)} / {_told(new, files)}"
            for number, files in enumerate(found["started"])
            if self._without_temp(_of_ferry(files)) not in (old, new)
        ]
        if not found["ok"]:
            wrong.append("no boot with good cycles after the cut")
        elif found["idle_changes"]:
            wrong.append(f"an idle cycle changed the flash {found['idle_changes']} times")
        files = _of_ferry(found["files"])
        stays = self._scenario.is_bad or (self._scenario.is_by_hand and found["cut"] and files == old)
        wrong += differences("the module", old if stays else new, files)
        state = ["ledger", "refused"] if self._scenario.is_bad else ["ledger"]
        if [name for name in found["state"] if name != "restarts"] != state:  # why it restarted is kept
            wrong.append(f"left in the state folder: {found['state']}")
        return wrong + self._judge_server(user)

    def _without_temp(self, files):
        """What a change by hand was cut in is removed when Ferry starts, a moment later."""
        temp = "/usr/config.json.part" if self._scenario.is_by_hand else ""
        return {path: found for path, found in files.items() if path != temp}

    def _judge_server(self, user):
        root = self._folder / "server" / user
        there = {str(p.relative_to(root)): [p.stat().st_size, digest_of(p)] for p in root.rglob("*") if p.is_file()}
        wanted = {name: fact(content) for name, content in self._scenario.server_files().items()}
        stored = [what for what in self._server.heard.pop(user, []) if what[0] == "STOR"]
        shutil.rmtree(root)
        return differences("the server", wanted, there) + [f"{path} was sent" for _, path in stored]


def _facts(files):
    return {"/usr/" + name: fact(content) for name, content in files.items()}


def _of_ferry(files):
    return {path: found for path, found in files.items() if path != _FIRMWARE_FILE}


def _told(wanted, files):
    return ", ".join(differences("it", wanted, _of_ferry(files)))
