"""A module on a serial port: MicroPython's own REPL on a pseudo-terminal, with what the firmware does around it.

Resets start a new process; Ctrl-C in main.py resets and skips it once; while main.py runs, all other input is thrown away. The cable
can be unplugged behind a number of bytes."""

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tools.device_files import ROOT
from tools.sim.child import find_interpreter
from tools.sim.module import write_world

_INTERPRETER = find_interpreter("", "")
if sys.platform != "linux" or not _INTERPRETER.name.startswith("MicroPython"):
    pytest.skip("needs MicroPython, and Linux's pseudo-terminals", allow_module_level=True)

import pty  # noqa: E402
import tty  # noqa: E402

BOOT = Path(__file__).with_name("boot_repl.py")
_CTRL_C_STATUS = 130
_WAIT_S = 60


class PtyModule:
    def __init__(self, folder, files=None, has_paste=True, **world):
        """`files`: {path below /usr: content} that are on it; `world`: of the simulated firmware."""
        self.root = folder / "module"
        self.usr = self.root / "usr"
        for path in (self.usr, self.root / "bak"):
            path.mkdir(parents=True, exist_ok=True)
        for name, content in (files or {}).items():
            (self.usr / name).parent.mkdir(parents=True, exist_ok=True)
            (self.usr / name).write_bytes(content)
        self._world = folder / "world.json"
        write_world(self._world, self.root, 0, 1, life={"skip_sleep": False, "deferred": None, **world})
        self._has_paste = has_paste
        self._events = threading.Condition()
        self._output = b""  # of the module since its last reset
        self.boots = 0
        self.taken = 0  # bytes that came over the cable
        self.cut_at = None
        self._skip_main = False
        self._is_ending = False
        self._wake, self._waker = os.pipe()
        self._outer, self._client = pty.openpty()
        tty.setraw(self._client)
        self.port = os.ttyname(self._client)
        self._process = self._inner = None
        self._start()
        self._thread = threading.Thread(target=self._bridge, name="module", daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._is_ending = True
        os.write(self._waker, b"x")
        self._thread.join(_WAIT_S)
        self._kill()
        self.unplug()
        for number in (self._wake, self._waker):
            os.close(number)

    # --- for tests

    def wait_for(self, text, boots=0):
        """Until the module printed `text`, or one of several, since its last reset, the `boots`th at least."""
        texts = [text] if isinstance(text, str) else text

        def has_come():
            return self.boots >= boots and any(text.encode() in self._output for text in texts)

        with self._events:
            assert self._events.wait_for(has_come, _WAIT_S), f"{text!r} never came: {self._output[-2000:].decode()}"

    def wait_for_prompt(self, boots=0):
        self.wait_for(">>> ", boots)

    def output(self):
        return self._output.decode("utf-8", "replace")

    def unplug(self):
        """The cable is out: the port is gone for the PC, the module goes on."""
        if self._outer is not None:
            os.close(self._outer)
            os.close(self._client)
            self._outer = None

    def reset(self):
        """As the watchdog does, or the power."""
        self._skip_main = False
        self._process.send_signal(signal.SIGKILL)

    def watchdog(self):
        """What happened to the watchdog last."""
        path = self.root / "events"
        return path.read_text().splitlines()[-1] if path.exists() else ""

    def code(self):
        """{path below /usr: content} of what would be loaded, and the settings."""
        return {
            path.relative_to(self.usr).as_posix(): path.read_bytes()
            for path in sorted(self.usr.rglob("*"))
            if path.suffix in (".py", ".mpy") or path.name == "config.json"
        }

    # --- the module

    def _start(self):
        self._inner, tail = pty.openpty()
        attributes = tty.tcgetattr(tail)
        attributes[1] &= ~tty.OPOST
        tty.tcsetattr(tail, tty.TCSANOW, attributes)
        name = os.ttyname(tail)
        command = [_INTERPRETER.path, str(BOOT), str(self._world), str(ROOT / "tools" / "sim")]
        command.append("skip" if self._skip_main or not (self.usr / "main.py").exists() else "main")
        # The shell opens the terminal first, which makes it the one that Ctrl-C comes from.
        self._process = subprocess.Popen(
            ["sh", "-c", f"exec {shlex.join(command)} <>{name} >&0 2>&0"], start_new_session=True, stdin=subprocess.DEVNULL
        )
        self._tail = tail
        with self._events:
            self._output = b""
            self.boots += 1
            self._skip_main = False

    def _kill(self):
        if self._process.poll() is None:
            self._process.kill()
        status = self._process.wait(_WAIT_S)
        os.close(self._inner)
        os.close(self._tail)
        return status

    def _is_at_repl(self):
        return b">>> " in self._output

    def _bridge(self):
        while not self._is_ending:
            watched = [self._inner, self._wake] + ([self._outer] if self._outer is not None else [])
            ready, _, _ = select.select(watched, [], [], 0.05)
            if self._inner in ready:
                self._from_module(os.read(self._inner, 4096))
            elif self._process.poll() is not None:
                status = self._kill()
                self._skip_main = status == _CTRL_C_STATUS
                self._start()
            elif self._outer in ready:
                self._from_pc()

    def _from_module(self, raw):
        with self._events:
            self._output += raw
            self._events.notify_all()
        if self._outer is not None:
            os.write(self._outer, raw)

    def _from_pc(self):
        room = 4096 if self.cut_at is None else self.cut_at - self.taken
        raw = os.read(self._outer, min(64, room)) if room > 0 else b""
        self.taken += len(raw)
        if not self._is_at_repl():  # the firmware takes nothing but Ctrl-C while main.py runs
            raw = b"\x03" if b"\x03" in raw else b""
        if not self._has_paste:  # such a firmware takes Ctrl-E for a part of the line, and begins anew with Ctrl-A
            raw = raw.replace(b"\x05A", b"A")
        if raw:
            os.write(self._inner, raw)
        if room <= 0:
            self.unplug()


def config(**sections):
    """Settings of a module whose server is down and whose first cycle is hours away."""
    data = {
        "server": {"host": "127.0.0.1", "port": 9, "user": "pump", "password": "topsecret"},
        "schedule": {"first_s": 86_400},
        "device": {"id": "pump-7"},
    }
    for name, values in sections.items():
        data[name] = {**data.get(name, {}), **values}
    return json.dumps(data).encode()

