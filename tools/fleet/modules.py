# Real modules: MicroPython processes with Ferry's code, some at a time. One of them also plays for the recorder.
import contextlib
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tools.fleet import script
from tools.ftpd.proxy import Proxy
from tools.sim import child, module, settings
from tools.sim.life import Life
from tools.sim.links import LINKS

HEAP = "512k"
SILENCE_S = 120
_DELAY_MS = 10  # one way, while a cycle is recorded: enough to tell what the module waits for
_RECORDED = 2  # which cycle: in the first one it gets to know the server


class ModuleError(Exception):
    """A module that did not do what it was there for; the text ends with its last lines."""


def configured(config, server, upload_bytes):
    """The settings of a module of the fleet: those of `config`, with the server, and no wait before its first cycle."""
    config = settings.use_server(config, server)
    config["schedule"] = dict(
        config.get("schedule", {}), first_s=0, jitter_s=0, every_s=settings.ROWS["schedule.every_s"][3][0]
    )
    config["link"] = dict(config.get("link", {}), hold_s=0)
    if upload_bytes:  # one file in each cycle, of those that are there from the beginning
        rules = config.get("upload", {})
        limited = [dict(rule, cycle_files=1) for rule in (rules if isinstance(rules, list) else [rules])]
        config["upload"] = limited if isinstance(rules, list) else limited[0]
    return config


def source_folder(config, imei):
    """Where on the module a file lies that is to be sent, relative to its root. Raises SettingsError."""
    for rule in settings.uploads(config, imei):
        if rule.wants("0-" + imei):
            return rule.source.strip("/")
    raise settings.SettingsError("--upload needs a rule that sends a file of any name; the settings have none")


class Module:
    """One device: a folder that plays its flash. `files`: how many wait to be sent, of `upload_bytes` each."""

    def __init__(self, stack, interpreter, imei, config, upload_bytes, files, link):
        self.imei = imei
        self._interpreter = interpreter
        self._root = stack.enter_context(module.root_folder())
        self._life = dict(Life(LINKS[link]).world(0), imei=imei)
        module.flash(self._root / "usr", config)
        for number in range(files if upload_bytes else 0):
            name = f"{number}-{imei}"
            folder = self._root / source_folder(config, imei)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((name.encode() * (upload_bytes // len(name) + 1))[:upload_bytes])

    def run(self, cycles):
        """-> (good cycles, Counter of the failed ones' reasons). Raises ModuleError."""
        good, failed, tail, reason = 0, Counter(), [], ""
        with tempfile.TemporaryDirectory(prefix="ferry-world-") as folder:
            world = Path(folder) / "world.json"
            module.write_world(world, self._root, cycles, int(self.imei[-6:]), life=self._life)
            with child.Child(self._interpreter.command(world)) as process:
                try:
                    for item in process.items(SILENCE_S):
                        if isinstance(item, str):
                            tail = [*tail[-9:], item]
                        elif item.kind == "error":
                            reason = reason or f"{item.data[0]} in {item.data[1]}: {item.data[3]}"
                        elif item.kind == "cycle":
                            good += item.data[0]["ok"]
                            failed[reason] += not item.data[0]["ok"]
                            reason = ""
                except child.Silence as silence:
                    raise ModuleError("\n".join([*tail, str(silence)])) from silence
                status = process.wait()
        if status or good + sum(failed.values()) < cycles:
            raise ModuleError("\n".join([*tail, f"the module ended early (exit status {status})"]))
        return good, +failed


def run_all(modules, cycles, at_once, on_done):
    """Run each of them, `at_once` at a time; on_done() hears of each. -> (good cycles, Counter of failures)"""
    good, failed = 0, Counter()
    with ThreadPoolExecutor(at_once) as pool:
        for one_good, one_failed in pool.map(lambda each: each.run(cycles), modules):
            good += one_good
            failed += one_failed
            on_done()
    return good, failed


class Recorder(Proxy):
    """Keeps what passes, with the moment at which the client knows it."""

    def __init__(self, host, port):
        Proxy.__init__(self, host, port, delay_ms=_DELAY_MS)
        self._taken = {}  # session -> [script.Seen], in the order in which they began

    def sessions(self):
        return list(self._taken.values())

    def read(self, connection, direction, data):
        self._take(connection, direction, data)
        super().read(connection, direction, data)

    def log(self, connection, direction, what):
        if what == "connect":
            self._take(connection, direction, script.OPENED)
        super().log(connection, direction, what)

    def _take(self, connection, direction, what):
        if what is not None:  # a reset
            later_s = _DELAY_MS / 1000 if direction == script.DOWN else 0
            seen = script.Seen(time.monotonic() + later_s, connection.kind, direction, what)
            self._taken.setdefault(self._session_of[connection], []).append(seen)


def record(interpreter, imei, config, server, upload_bytes):
    """Let one real module run against `server`, and -> the Script of a cycle of it. Raises ModuleError, script.ScriptError."""
    with contextlib.ExitStack() as stack, Recorder(server.host, server.port) as proxy:
        through = replace(server, host=proxy.host, port=proxy.port)
        player = Module(
            stack, interpreter, imei, configured(config, through, upload_bytes), upload_bytes, _RECORDED + 1, "lan"
        )
        good, failed = player.run(_RECORDED + 1)
        if failed:
            raise ModuleError("the cycle to be recorded failed: {}".format(", ".join(failed)))
        proxy.wait_idle(SILENCE_S)
        sessions = proxy.sessions()
    if len(sessions) != good:
        raise ModuleError(f"{good} cycles took {len(sessions)} sessions; a model takes one for each")
    return script.script_of(sessions[_RECORDED - 1])
