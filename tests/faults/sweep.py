"""One small cycle against one real server, cut at any byte: which cut points it has, and what may never come of a cut.

The cycle: a file in a new folder and a changed file of 3 kB go up, the server's folder is listed, a changed file comes
down. Every cut begins with the same old files on both sides. To see one cut again, with its dialogue:

    python -m tests.faults SERVER "CUT" KIND        as in: vsftpd "control 1 up 123 rst reboot" files

The kind "modes" is in modes.py.
"""

import re
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle

from tests.faults.world import World, read_tree, write_tree
from tests.world import DEVICE, FAST
from tools.ftpd.faults import CONTROL, DATA, DOWN, UP, Fault
from tools.ftpd.proxy import Proxy
from tools.ftpd.servers import _kill_and_wait, descendants, running

DATA_STEP_BYTES = 97
SPEED = 20  # a time-out of 15 s takes 0.75 s
GREETS_LATE = "proftpd"  # a second session, by 0.4 s: at FAST that is more than a time-out
LOCKS = "vsftpd"  # what is uploaded, for as long as it believes in the session: it must let go within CYCLES
DEADLINE_S = 240  # of the module's time, for the cycle that is cut: on a busy machine its few time-outs come with seconds of work
CYCLES = 4  # without faults, until both sides are in step: a time-out may pass before a locked file is given up
LISTING = 3  # its number among the data connections of the cycle; without MLSD the server's refusal costs one more

# Takes what it got of a command when the connection ends, and runs that: "RNTO a.txt" as "RNTO a.t".
RUNS_HALF_COMMANDS = "proftpd"


def _body(seed, size):
    return bytes((seed + i * 7) % 251 for i in range(size))


OLD_MODULE = {"b.bin": _body(1, 2000)}
OLD_SERVER = {"updates/c.bin": _body(2, 1500)}
NEW_MODULE = {"b.bin": _body(3, 3000), "sub/new.txt": b"hello, server"}
NEW_SERVER = {"updates/c.bin": _body(4, 2000)}
MODULE_AFTER = {**NEW_MODULE, "c.bin": NEW_SERVER["updates/c.bin"]}
SERVER_AFTER = {**NEW_SERVER, **{f"{DEVICE}/{name}": content for name, content in NEW_MODULE.items()}}
# What a name may hold on the way from the one to the other; a name that is missing yet holds nothing.
MODULE_VERSIONS = {name: (content, OLD_MODULE.get(name)) for name, content in MODULE_AFTER.items()}
MODULE_VERSIONS["c.bin"] += (OLD_SERVER["updates/c.bin"],)
SERVER_VERSIONS = {name: (content,) for name, content in SERVER_AFTER.items()}
SERVER_VERSIONS[f"{DEVICE}/b.bin"] += (OLD_MODULE["b.bin"],)


@dataclass(frozen=True)
class Cut:
    """Connection `nth` of its kind ends like `how` after so many bytes of a direction; then the module reboots, or not."""

    on: str
    nth: int
    direction: str
    after_bytes: int
    how: str
    has_reboot: bool

    def __str__(self):
        after = "reboot" if self.has_reboot else "stay"
        return f"{self.on} {self.nth} {self.direction} {self.after_bytes} {self.how} {after}"

    @classmethod
    def parse(cls, text):
        on, nth, direction, after_bytes, how, after = text.split()
        return cls(on, int(nth), direction, int(after_bytes), how, after == "reboot")

    def fault(self):
        return Fault(self.on, self.how, self.direction, after_bytes=self.after_bytes, nth=self.nth)


class Sweep:
    """`server` with `proxy` in front of it, and a module in `folder`."""

    kind = "files"
    settings = {}  # noqa: RUF012 - nobody changes them
    access = {}  # noqa: RUF012 - more settings of the server
    old = OLD_MODULE, OLD_SERVER
    new = NEW_MODULE, NEW_SERVER
    server_options = {}  # noqa: RUF012 - {server: options of running()}
    slow = (GREETS_LATE,)  # servers for which even a silence is waited for at SPEED

    def __init__(self, server, proxy, folder):
        self.server = server
        self._proxy = proxy
        self.world = World(folder, server.user, server.password, **self.access)
        write_tree(self.world.usr, self.old[0])
        write_tree(server.root, self.old[1])
        self._problems = []
        self.cycles_needed = Counter()  # cycles without faults until both sides were in step -> cuts
        self._is_half_allowed = False
        self._run_clean(self.world.boot(proxy.port, **self.settings))
        self._start = read_tree(self.world.usr), read_tree(server.root)

    def points(self):
        """(on, nth, direction, bytes) of every place where the cycle can be cut, from a run that is not."""
        manager = self._prepare(SPEED)
        self._proxy.set_faults()
        before = len(self._proxy.events())
        self._run_clean(manager)
        assert not self._problems, self._problems
        moved = self._moved(self._proxy.events()[before:])
        points = []
        for (kind, nth, direction), size in moved.items():
            step = 1 if kind == CONTROL else DATA_STEP_BYTES
            points += [(kind, nth, direction, after) for after in (*range(0, size, step), size)]
        return points

    @staticmethod
    def _moved(events):
        """(kind, number within the run, direction) -> bytes."""
        names = {CONTROL: [], DATA: []}
        moved = {}
        for event in events:
            kind = event.connection.split()[0]
            if event.what == "connect":
                names[kind].append(event.connection)
            elif event.what.endswith(" bytes"):
                key = kind, names[kind].index(event.connection) + 1, event.direction
                moved[key] = moved.get(key, 0) + int(event.what.split()[0])
        return moved

    def _prepare(self, speed):
        """The old files, with the new ones to be brought over; an FtpManager that knows of nothing yet."""
        module, server = self._start
        write_tree(self.world.usr, {**module, **self.new[0]})
        write_tree(self.server.root, {**server, **self.new[1]})
        self._problems = []
        self._is_half_allowed = False
        self.world.lines.clear()
        self._speed = speed
        return self._boot()

    def _boot(self):
        return self.world.boot(self._proxy.port, self._speed, self._hear, **self.settings)

    def run(self, cut):
        """What went wrong, as a list of sentences."""
        manager = self._prepare(FAST if cut.how == "silence" and self.server.name not in self.slow else SPEED)
        self._is_half_allowed = self._is_half_possible(cut)
        self._proxy.set_faults(cut.fault())
        result = manager.run_cycle()
        self._look("after the cut")
        if result.duration_ms > DEADLINE_S * 1000:
            self._problems.append(f"the cycle took {result.duration_ms / 1000:.0f} s")
        if result.ok and not self._is_listing(cut):
            self._compare("the cycle said ok, but")
        self._proxy.clear_faults()
        cycles = self._run_clean(self._boot() if cut.has_reboot else manager)
        self.cycles_needed[cycles] += 1
        if cycles:
            self._compare("a cycle without faults said ok, but")
        self._end_sessions()
        self._look("at the end")
        return self._problems

    def _is_half_possible(self, cut):
        return self.server.name == RUNS_HALF_COMMANDS and cut.on == CONTROL and cut.direction == UP

    @staticmethod
    def _is_listing(cut):
        """A listing has no length: one that is cut short and called complete is only seen by the next cycle."""
        return cut.on == DATA and cut.direction == DOWN and cut.nth >= LISTING

    def _run_clean(self, manager):
        """Cycles until one is good: their number; 0, and a problem, if none is."""
        count = 0
        while count < CYCLES:
            count += 1
            result = manager.run_cycle()
            if result.ok:
                break
        if not result.ok:
            self._problems.append(f"not in step after {CYCLES} cycles: {result.error}")
        if self.world.net.open_count():
            self._problems.append(f"{self.world.net.open_count()} sockets were left open")
        return count if result.ok else 0

    def _end_sessions(self):
        """What the server still does for this cut must not come into the next one."""
        self._proxy.cut_all("rst")
        for pid in descendants(self.server.pid):
            _kill_and_wait(pid)

    # --- what may never be

    def _hear(self, kind, data):
        self._look(kind)
        if kind == "up":
            path, remote, _ = data
            if read_tree(self.server.root).get(remote) != NEW_MODULE[path[len("/usr/") :]]:
                self._problems.append(f"up was told of {path}, which is not whole on the server")
        elif kind == "down":
            _, path, _ = data
            if self.world.files().get(path[len("/usr/") :]) != MODULE_AFTER[path[len("/usr/") :]]:
                self._problems.append(f"down was told of {path}, which is not whole on the module")

    def _look(self, when):
        """Under a final name there is nothing but one of its versions, whole."""
        for where, tree, versions in (
            ("server", read_tree(self.server.root), SERVER_VERSIONS),
            ("module", self.world.files(), MODULE_VERSIONS),
        ):
            for name, content in tree.items():
                if not name.endswith(".part") and content not in versions.get(name, ()) and not self._is_half(name):
                    self._problems.append(f"{when}: {where} holds {len(content)} wrong bytes as {name}")

    def _is_half(self, name):
        """True if this may come of a command on the server that was cut short: no final name, but the beginning of one, or
        of a temp name."""
        if not self._is_half_allowed or name in SERVER_AFTER:
            return False
        is_temp = re.fullmatch(rf"{DEVICE}/(sub/)?[0-9a-f]{{1,8}}(\..*)?", name)
        return bool(is_temp) or any(remote.startswith(name) for remote in SERVER_AFTER)

    def _compare(self, what):
        for where, tree, wanted in (
            ("server", read_tree(self.server.root), SERVER_AFTER),
            ("module", self.world.files(), MODULE_AFTER),
        ):
            for name in sorted(set(tree) | set(wanted)):
                if tree.get(name) != wanted.get(name) and not self._is_half(name):
                    is_there = f"{len(tree[name])} bytes" if name in tree else "missing"
                    self._problems.append(f"{what} {name} on the {where} is wrong ({is_there})")


def cuts_of(points, hows):
    """A Cut for each point and each way to end; every second one is followed by a reboot."""
    reboots = cycle((False, True))
    return [Cut(*point, how, next(reboots)) for how in hows for point in points]


@contextmanager
def sweeping(name, folder, make=Sweep):
    """A Sweep of server `name`, below `folder`."""
    root, module = folder / "server", folder / "module"
    root.mkdir()
    module.mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(running(name, root, **make.server_options.get(name, {})))
        proxy = stack.enter_context(Proxy(server.host, server.port))
        sweep = make(server, proxy, module)
        stack.callback(sweep.world.power_off)
        yield sweep


def run_all(sweep, cuts, at_most=10):
    """Run the cuts; lines that tell what went wrong and how to see it again, of the first few that fail."""
    failures = []
    for cut in cuts:
        problems = sweep.run(cut)
        if problems:
            failures.append(f'python -m tests.faults {sweep.server.name} "{cut}" {sweep.kind}')
            failures += [f"    {problem}" for problem in dict.fromkeys(problems)]
            at_most -= 1
            if not at_most:
                break
    return failures
