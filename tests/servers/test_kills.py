"""SIGKILL at moments that nobody chose, against real servers, while files keep coming on both sides: whatever the module was
doing, it boots again, nothing is lost, nothing is half there, and nothing that had arrived goes once more."""

import hashlib
import random
import re
import signal
import threading
import time
from collections import Counter, defaultdict

import pytest

from tests.device.ferry import DEVICE
from tests.faults.world import read_tree
from tests.ftpd.fixtures import require
from tools.ftpd.servers import running

SAMPLE, ALL = 20, 200  # kills
SEED = 1
SIZES = (0, 5_000, 40_000, 150_000)  # each version gets some bytes more: of one size and one second it would be no news
NAMES = 8  # of files in each folder; they come again with new contents
NEWS = 3  # of them in each folder before a boot
CYCLES = 3  # until all is in step: vsftpd keeps a file locked for a module that was killed before its data connection
RESUME_BYTES = 32768  # as in app/sync/upload.py
LONGEST_S = 1  # from the start of a cycle to a kill
EARLY = 0.1  # of the kills count their time from the first line of a boot, the others from the first change of state
LEAST_AT_WORK = 0.25  # of the kills have to hit a transfer; about every second does

_BEGUN = '"kind": "state"'

# Commands, and the reply to a rename, in the logs of both servers.
_SESSION = r"(\[pid \d+\]|127\.0\.0\.1:\d+)"
_COMMAND = re.compile(_SESSION + r'.*(?:<- |FTP command: .*, ")(STOR|APPE|RETR|RNFR|RNTO) ([^"]*)')
_RENAMED = re.compile(_SESSION + r'.*(?:-> |FTP response: .*, ")250 Renam')
_TEMP = re.compile(r"((?:.*/)?)([0-9a-f]{8})(?:-\d+)?\.(.*)\.part")


class World:
    """A module and a server on both of which files change."""

    def __init__(self, module, server):
        module.configure(
            upload=[
                {"from": "/usr/data", "to": "{device}/data"},
                {"from": "/usr/spool", "to": "{device}/spool", "after": "delete"},
            ],
            download={"from": "updates", "to": "/usr/got"},
        )
        (server.root / "updates").mkdir()
        self.hits = Counter()  # state -> kills in it
        self.orphans = set()  # temp names on the server that nobody will ever remove
        self._module = module
        self._server = server
        self._chance = random.Random(SEED)
        self._versions = defaultdict(list)  # name -> digests of all that was ever there; the last one is due
        self._count = 0
        self._fetched = []  # (name, digest) of what the module said to have
        self._span_s = 0

    # --- what goes on

    def change(self):
        """New files and new versions on both sides. What waits in the spool stays as it is: all of it has to arrive."""
        for folder in ("data", "spool", "got"):
            for number in self._chance.sample(range(NAMES), NEWS):
                name = f"{folder}/{number}.bin"
                if folder == "spool" and (self._module.usr / name).exists():
                    continue
                self._count += 1
                content = self._chance.randbytes(self._chance.choice(SIZES) + self._count)
                self._versions[name].append(_digest(content))
                if folder == "got":
                    (self._server.root / "updates" / f"{number}.bin").write_bytes(content)
                else:
                    self._module.put(name, content)

    def kill(self):
        """Boot, and kill it within the time that a cycle took before. -> False if it had ended by then."""
        start = "" if self._chance.random() < EARLY else _BEGUN
        delay_s = self._chance.random() * self._span_s
        timers = []

        def start_timer(line, process):
            if not timers and start in line:
                timers.append(threading.Timer(delay_s, process.kill))
                timers[0].start()

        boot = self._module.boot(1, on_line=start_timer)
        for timer in timers:
            timer.cancel()
            timer.join()
        self._note(boot)
        if boot.status == -signal.SIGKILL:
            self.hits[boot.states[-1] if boot.states else "boot"] += 1
        else:
            assert boot.status == 0, boot.text
        self._check_parts(boot)
        return boot.status != 0

    def recover(self):
        """Boot, and let everything come in step."""
        times = []
        is_told = (_BEGUN, '"kind": "cycle"')

        def note_time(line, _):
            if any(told in line for told in is_told):
                times.append(time.monotonic())

        boot = self._module.boot(CYCLES, on_line=note_time)
        self._span_s = min(times[-1] - times[0], LONGEST_S)
        self._note(boot)
        assert boot.status == 0, boot.text
        assert boot.cycles[-1]["ok"], boot.text
        self._check_parts(boot)
        self._check_whole(boot)

    # --- what has to be true

    def _note(self, boot):
        self._fetched += [remote.removeprefix("updates/") for remote, _, _ in boot.data("down")]

    def _check_parts(self, boot):
        """After a kill: whole files under final names, and all that ever came is on one side at least."""
        here, there = self._trees()
        for side, files in (("module", here), ("server", there)):
            for name, digest in files.items():
                assert digest in self._versions[name], f"{name} is half there, on the {side}\n{boot.text}"
        for name, versions in self._versions.items():
            if not name.startswith("got/"):
                assert versions[-1] in (here.get(name), there.get(name)), f"{name} is lost\n{boot.text}"

    def _check_whole(self, boot):
        """All is in step, and nothing else is there but what a small file left behind that was changed after its cut: of
        those no intent is kept, so nobody knows the temp name any more."""
        due = {name: versions[-1] for name, versions in self._versions.items()}
        here, there = self._trees()
        assert here == {name: due[name] for name in due if not name.startswith("spool/")}, boot.text
        assert there == {name: due[name] for name in due if not name.startswith("got/")}, boot.text
        assert self._module.state_files() == ["ledger"], boot.text
        for path in (self._server.root / DEVICE).rglob("*.part"):
            folder, hex_digits, name = _TEMP.fullmatch(str(path.relative_to(self._server.root / DEVICE))).groups()
            older = [digest[:8] for digest in self._versions[folder + name][:-1]]
            assert hex_digits in older, f"{path.name} was left behind\n{boot.text}"
            assert path.stat().st_size < RESUME_BYTES, f"{path.name} was left behind\n{boot.text}"
            self.orphans.add(path.name)

    def _trees(self):
        """{name: digest} of whole files of the module and of the server, both with the module's names."""
        trees = []
        for files in (self._module.files(), read_tree(self._server.root / DEVICE)):
            trees.append({name: _digest(files[name]) for name in files if not name.endswith(".part")})
        return trees

    def check_once(self):
        """Nothing that the server had under its final name was sent again, and nothing was fetched twice."""
        arrived, sources, targets = set(), {}, {}
        for line in self._server.log_text().splitlines():
            if found := _COMMAND.search(line):
                session, verb, path = found.groups()
                path = path.strip()
                temp = _TEMP.fullmatch(path)
                if verb == "RNFR":
                    sources[session] = temp and (temp[1] + temp[3], temp[2])
                elif verb == "RNTO":
                    targets[session] = path
                elif verb in ("STOR", "APPE"):
                    assert temp, f"{line}: under a final name"
                    assert (temp[1] + temp[3], temp[2]) not in arrived, f"{line}: it had arrived"
            elif (found := _RENAMED.search(line)) and (source := sources[found[1]]):
                assert source[0] == targets[found[1]]
                arrived.add(source)
        sent = [digest[:8] for name, versions in self._versions.items() for digest in versions if name[:3] != "got"]
        assert {hex_digits for _, hex_digits in arrived} <= set(sent)
        assert len(arrived) > len(sent) // 2, "the log does not tell what arrived"
        for name, count in Counter(self._fetched).items():
            assert count <= len(self._versions["got/" + name]), f"{name} was fetched more often than it changed"


def _digest(content):
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", ["vsftpd", "pyftpdlib"])
@pytest.mark.parametrize(
    "kills", [SAMPLE, pytest.param(ALL, marks=[pytest.mark.sweep, pytest.mark.timeout(1800)])], ids="{} kills".format
)
def test_kills_at_any_moment_cost_nothing_but_time(name, kills, flashed, tmp_path, tell):
    require(name)
    root = tmp_path / "server"
    root.mkdir()
    with running(name, root) as server:
        world = World(flashed(server), server)
        world.change()
        world.recover()
        while world.hits.total() < kills:
            world.change()
            while world.kill() and world.hits.total() % 2 and world.hits.total() < kills:
                world.change()
            world.recover()
        world.check_once()
    at_work = world.hits["UPLOAD"] + world.hits["UPDATE"]
    states = ", ".join(f"{count} in {state}" for state, count in world.hits.most_common())
    tell(f"{kills} kills against {name}: {states}; {len(world.orphans)} temp files of replaced small files stay")
    assert at_work >= kills * LEAST_AT_WORK, states
