# One module at the other end of its REPL, for flashing: asks and commands the program in on_module.py.
import base64
import contextlib
import json
from pathlib import Path

from tools.board.errors import BoardError, Gone, ModuleFault
from tools.board.plan import Found
from tools.device_files import squeezed

_PROGRAM = Path(__file__).with_name("on_module.py")
_BLOCK_BYTES = 1536  # of a file; 2 KiB as text
_LONG_S = 120  # reading all of Ferry's code, renaming it all
GUARD_S = 180
_ENOSPC = 28
_TRIES = 3


class Device:
    def __init__(self, repl):
        self._repl = repl
        self._is_loaded = False
        self.about = {}

    def look(self):
        """-> Found; changes nothing."""
        self.about = self._ask("_board.about()")
        answers = self._answers("_board.look()", _LONG_S)
        rest = answers[-1][1]
        return Found(
            files={path: (size, digest) for kind, path, size, digest in answers[:-1] if kind == "file"},
            staged={path: (size, digest) for kind, path, size, digest in answers[:-1] if kind == "staged"},
            folders=tuple(rest["folders"]),
            names=tuple(rest["names"]),
            is_ferry_boot=rest["is_ferry_boot"],
            backups=tuple(rest["backups"]),
            has_journal=rest["has_journal"],
            free_blocks=self.about["free_blocks"],
            block_bytes=self.about["block_bytes"],
        )

    def stop(self, limit_s):
        """True if Ferry's worker, if there is one, has ended."""
        return not self._ask(f"_board.stop({limit_s})", limit_s + _LONG_S)

    def guard(self):
        """From now on a module that hears nothing for GUARD_S restarts by itself. False where it cannot."""
        return self._ask(f"_board.guard({GUARD_S})")

    def count(self, keep):
        return self._ask(f"_board.count({list(keep)!r})", _LONG_S)

    def wipe(self, keep):
        self._ask(f"_board.wipe({list(keep)!r})", _LONG_S)

    def remove(self, paths):
        self._ask(f"_board.remove({list(paths)!r})", _LONG_S)

    def put(self, path, content, tell=lambda count: None):
        """Copy a Content to `path`; it is there as a whole, or BoardError is raised."""
        for _ in range(_TRIES):
            with content.open() as stream:
                raw = stream.read()
            self._ask(f"_board.begin({path!r})")
            for at in range(0, len(raw), _BLOCK_BYTES):
                block = raw[at : at + _BLOCK_BYTES]
                self._ask(f"_board.write({base64.b64encode(block).decode()!r})")
                tell(len(block))
            there = self._ask("_board.end()", _LONG_S)
            if there == {"size": content.size, "sha256": content.sha256}:
                return
            tell(-content.size)
        self.remove([path])
        raise BoardError(
            f"{content.path} arrives damaged, {_TRIES} times in a row; take another cable or USB port, without a hub"
        )

    def place(self, source, target):
        self._ask(f"_board.place({source!r}, {target!r})")

    def finish(self):
        self._ask("_board.finish()", _LONG_S)

    def apply(self, path):
        self._ask(f"_board.apply({path!r})", _LONG_S)

    def drop(self):
        """Leave nothing half written; for a run that ends early with the cable in."""
        with contextlib.suppress(BoardError):
            self._repl.run("_board.drop()")

    def restart(self):
        """A soft reset: main.py runs. One program, so that no cable can be unplugged between its parts."""
        self._repl.reset("_board.release()" if self._is_loaded else "")
        self._is_loaded = False

    def _ask(self, call, silence_s=30):
        answers = self._answers(call, silence_s)
        if not answers:
            raise Gone(f"the module gave no answer to {call[:40]}; restart it and try again")
        answer = answers[-1]
        if isinstance(answer, dict) and "error" in answer:
            raise BoardError(_why(answer["error"]))
        return answer

    def _answers(self, call, silence_s):
        try:
            if not self._is_loaded:
                self._repl.run(squeezed(_PROGRAM.read_text(encoding="utf-8")))
                self._is_loaded = True
            printed = self._repl.run(call, silence_s=silence_s)
        except ModuleFault as error:
            raise BoardError(f"the module failed:\n{error}\nRestart it and try again") from error
        return [json.loads(part.partition("\x1f")[0]) for part in printed.split("\x1e")[1:]]


def _why(number):
    if number == _ENOSPC:
        return "the module's flash is full, though there was room before: does its own program write meanwhile? Try again"
    return f"the module's file system says error {number}; restart the module and try again"
