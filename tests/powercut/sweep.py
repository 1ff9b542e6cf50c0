"""Drives one module (module.py) through cut after cut and judges what is left, on the module and on the server."""

import hashlib
import json
import queue
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass

from tests.powercut.scenarios import DEVICE, SCENARIOS
from tests.powercut.server import Server
from tests.tars import members
from tools.device_files import ROOT
from tools.sim.child import find_interpreter

HEAP = "2M"  # the block device and the harness beside the app; what the app itself needs is measured elsewhere
HANG_S = 60
MOST_TARS = 2  # that hold a file: a cut of the record of what was in a batch lets the rest of it go again
_BATCH = re.compile(rf"{DEVICE}/batch-\d{{8}}\.tar")
_TEMP = re.compile(r"((?:.*/)?)([0-9a-f]{8})(?:-\w+)?\.(.*)\.part")


@dataclass(frozen=True)
class Cut:
    """The power goes at change `at` of the flash (a program or an erase), torn or clean; `again`: a second time while it
    recovers."""

    at: int
    torn: bool = False
    again: int = 0
    seed: int = 0

    def command(self, name, fs):
        words = [name, fs, str(self.at), "torn" if self.torn else "clean", str(self.again), str(self.seed)]
        return "python -m tests.powercut " + " ".join(words)


class Sweep:
    """One scenario on one file system; a context manager. `check(cut)` -> (list of what is wrong, was there a cut at all)."""

    SCENARIOS = SCENARIOS
    PROGRAM = "module.py"
    SIZE_BYTES = 384 * 1024

    def __init__(self, name, fs, folder):
        self._scenario = self.SCENARIOS[name]
        self.name, self.fs = name, fs
        self._folder = folder
        self._server = Server(folder / "server")
        self._number = 0

    def __enter__(self):
        for path in ("root/usr", "root/bak", "server/base/updates", "work"):
            (self._folder / path).mkdir(parents=True)
        self._write(self._folder / "server" / "base", self._scenario.before_server)
        self._server.__enter__()
        work = self._folder / "work"
        self._write_module_files(work)
        self._start()
        found = self._prepare()
        assert found["ok"], "\n".join(found["log"])
        shutil.copyfile(work / "image", work / "base")
        self._write(self._folder / "server" / "base", self._scenario.then_server)
        return self

    def _plan(self):
        """What else the module's process has to know."""
        return {}

    def _write_module_files(self, work):
        self._write(work / "before", self._scenario.before)
        self._write(work / "then", self._scenario.then)

    def _prepare(self):
        return self._order(
            what="prepare", stale_records=self._scenario.stale_records, free_blocks=self._scenario.free_blocks
        )

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._server.__exit__()

    def changes(self):
        """Programs and erases of the whole thing without a cut: there are as many cut points."""
        found, user = self._run(Cut(0))
        wrong = self._judge(found, user)
        if self._scenario.stale_records and found["records"] > self._scenario.stale_records:
            wrong.append(f"the ledger was not compacted: it has {found['records']} records")
        return found["changes"], wrong

    def check(self, cut):
        found, user = self._run(cut)
        wrong = self._judge(found, user)
        if not found["cut"]:
            wrong.append("the power did not go")
        return wrong, found

    # --- the process

    def _start(self):
        work, stubs = self._folder / "work", ROOT / "tools" / "qpycom_stubs"
        plan = {
            "fs": self.fs,
            "size_bytes": self.SIZE_BYTES,
            "work": str(work),
            "code": str(ROOT),
            "config": self._scenario.config(self._server.port),
            "world": {"root": str(self._folder / "root"), "stubs": str(stubs), "speed": 20},
            **self._plan(),
        }
        (work / "plan.json").write_text(json.dumps(plan))
        interpreter = find_interpreter(None, HEAP)
        command = [interpreter.path, "-X", f"heapsize={HEAP}", str(ROOT / "tests" / "powercut" / self.PROGRAM)]
        self._process = subprocess.Popen(
            [*command, str(work / "plan.json"), str(ROOT / "tools" / "sim")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self._lines = queue.Queue()
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    def _read(self, stream):
        for line in stream:
            self._lines.put(line)
        self._lines.put("")

    def _order(self, **order):
        self._process.stdin.write(json.dumps(order) + "\n")
        noise = []
        while True:
            line = self._lines.get(timeout=HANG_S)
            if not line.startswith("{"):
                assert line, "the module's process ended:\n" + "\n".join(noise)
                noise.append(line.rstrip("\n"))
                continue
            answer = json.loads(line)
            if "wait" not in answer:
                return {"log": noise, **answer}
            self._server.settle()
            self._process.stdin.write("\n")

    def _run(self, cut):
        user = self._next_user()
        shutil.copytree(self._folder / "server" / "base", self._folder / "server" / user)
        order = {"at": cut.at, "torn": cut.torn, "again": cut.again, "seed": cut.seed}
        return self._order(what="cut", user=user, **order), user

    def _next_user(self):
        self._number += 1
        return f"p{self._number}"

    @staticmethod
    def _write(folder, files):
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    # --- the verdict

    def _judge(self, found, user):
        wrong = self._judge_module(found) + self._judge_server(user)
        if not found["ok"]:
            wrong.append("no good cycle after the cut")
        elif found["idle_changes"] and not self._is_leaky:
            wrong.append(f"an idle cycle changed the flash {found['idle_changes']} times")
        if found["lost"]:
            wrong.append(f"the ledger: {found['lost']}")
        if found["state"] != ["ledger"]:
            wrong.append(f"left in the state folder: {found['state']}")
        shutil.rmtree(self._folder / "server" / user)
        return wrong

    def _judge_module(self, found):
        wrong = []
        for path, seen in found["after_cut"].items():
            versions = self._scenario.versions(path.removeprefix("/usr/"))
            if versions and seen not in [fact(content) for content in versions]:
                wrong.append(f"after the cut {path} is neither the old nor the new one")
        for name in self._scenario.then if self._scenario.after == "keep" and not self._is_leaky else ():
            if "/usr/" + name not in found["after_cut"]:
                wrong.append(f"after the cut /usr/{name} is gone")
        wanted = {"/usr/" + name: fact(content) for name, content in self._scenario.module_files().items()}
        if self._is_leaky:
            wanted = {path: told for path, told in wanted.items() if path in found["files"]}
        return wrong + differences("the module", wanted, found["files"])

    @property
    def _is_leaky(self):
        """FAT loses the clusters of a file whose removal was cut, so more goes of what has arrived: the server has to have it."""
        return self.fs == "fat" and self._scenario.low_blocks > 0

    def _judge_server(self, user):
        root = self._folder / "server" / user
        files = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        wrong = []
        if self._scenario.mode == "batch":
            files, wrong = self._unpacked(files)
        there = {name: fact(content) for name, content in files.items()}
        wanted = {name: fact(content) for name, content in self._scenario.server_files().items()}
        wrong += differences("the server", wanted, there)
        renamed = set()
        for what, path, *digest in self._server.heard.pop(user, []):
            temp = _TEMP.fullmatch(path)
            if what == "RNTO":
                renamed.add((path, digest[0][:8]))
                versions = self._scenario.versions(path.removeprefix(DEVICE + "/"))
                if not _BATCH.fullmatch(path) and digest[0] not in [fact(content)[1] for content in versions]:
                    wrong.append(f"{path} on the server was made of something else")
            elif temp and (temp[1] + temp[3], temp[2]) in renamed:
                wrong.append(f"{temp[1]}{temp[3]} had arrived and was sent again")
        return wrong

    def _unpacked(self, files):
        """(files with the batches unpacked in their order, what is wrong with batches)."""
        unpacked, wrong, sent = {}, [], []
        for path, content in sorted(files.items()):
            if not _BATCH.fullmatch(path):
                unpacked[path] = content
                continue
            found = members(content)
            if found is None:
                wrong.append(f"{path} is torn")
                continue
            unpacked.update({f"{DEVICE}/{name}": inner for name, inner in found})
            sent += found
        for name, content in set(sent):
            if content not in self._scenario.versions(name):
                wrong.append(f"{name} was sent with wrong bytes")
            if sent.count((name, content)) > MOST_TARS:
                wrong.append(f"{name} is in {sent.count((name, content))} tars")
        return unpacked, wrong


def fact(content):
    return [len(content), hashlib.sha256(content).hexdigest()[:16]]


def differences(side, wanted, found):
    wrong = [f"{side} lacks {name}" for name in wanted.keys() - found.keys()]
    wrong += [f"{side} has {name}, which should not be there" for name in found.keys() - wanted.keys()]
    return wrong + [f"{name} differs on {side}" for name in wanted.keys() & found.keys() if wanted[name] != found[name]]
