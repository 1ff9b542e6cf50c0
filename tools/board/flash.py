# Flashing, step by step. Until the journal is on flash the old version is all there and runs at the next boot; from then on the
# new one does. A module whose cable is unplugged in between restarts by itself, because its watchdog hears nothing any more.
import contextlib
import json
import re

from tools.board import images, plan
from tools.board.device import GUARD_S
from tools.board.errors import BoardError, Gone
from tools.publish.contents import from_bytes

STOP_S = 20  # for the end of the cycle that is under way
START_S = 40  # until Ferry tells that it is there; from source it compiles itself first
QUIET_S = 3  # behind its first line; where it runs in the main thread no prompt comes
_CUTS = 3
_HASTE_S = 0.3  # between two Ctrl-C for a main.py that starts
_UNTOUCHED = "Nothing was changed on the module."
_HELD = (
    f"The old version is whole: within {GUARD_S // 60} minutes the module restarts with it by itself. "
    "Run this again when the cable is in; what was copied is not copied again."
)
_ERASED = "The old code was erased: the module waits at its REPL. Run this again when the cable is in."
_SWITCHING = (
    f"All was copied: within {GUARD_S // 60} minutes the module restarts by itself, with the new version, or the old one if "
    "the switch had not begun. Run this again to see which."
)
_UP = re.compile(r"Ferry \d+\.\d+")


class Flash:
    """One run. `show` is a view.Text or view.Json; `repl` a Repl on an open port."""

    def __init__(self, repl, device, show):
        self._repl = repl
        self._device = device
        self._show = show
        self._was_interrupted = False
        self._has_template = False  # of the settings, to be filled in
        self._then = _UNTOUCHED  # what becomes of the module if the cable is gone now

    def run(self, wants_mpy, config, erase, is_dry, confirm):
        """`config`: Content or None; `erase`: None, "code" or "all"; `confirm(question)` raises when the answer is no.

        Returns whether the module has what it should have, and Ferry is up where it can be."""
        try:
            return self._run(wants_mpy, config, erase, is_dry, confirm)
        except Gone as error:
            raise Gone(f"{error}\n{self._then}") from error
        except BaseException:
            with contextlib.suppress(BoardError):
                self._repl.recover()
                self._let_go()
            raise

    def _run(self, wants_mpy, config, erase, is_dry, confirm):
        self._enter()
        found = self._device.look()
        self._show.module(self._device.about, found)
        compile_to = images.compiler_for(self._device.about["mpy"]) if wants_mpy else None
        contents = images.code(compile_to)
        contents = self._settings(config, found) + contents
        if erase:
            found = self._erase(erase, found, is_dry, confirm)
        elif found.has_journal and not is_dry:
            found = self._finish(found)
        planned = plan.make(contents, found)
        self._show.plan(planned, is_dry)
        if not planned.has_room:
            raise BoardError(_no_room(planned, wants_mpy, erase))
        if is_dry or (planned.is_empty and not erase):
            self._let_go()
            return True
        self._hold()
        self._copy(planned, found)
        self._device.restart()
        return self._watch()

    def _enter(self):
        if not self._repl.is_free():
            self._show.step("stopping main.py, which holds the REPL")
            self._repl.interrupt()
            self._was_interrupted = True
            self._guard()

    def _settings(self, config, found):
        if config:
            return [config]
        self._has_template = images.CONFIG not in found.files
        return [images.template()] if self._has_template else []

    def _finish(self, found):
        """A set that was cut: Ferry's own boot would have finished it. Of a boot that would not, the journal is nobody's."""
        self._hold()
        if found.is_ferry_boot:
            self._device.finish()
        else:
            self._device.remove([f"{plan.STATE}/apply"])
        return self._device.look()

    def _erase(self, erase, found, is_dry, confirm):
        gone = plan.own_code(found)
        keep = [*plan.FIRMWARE_FILES, images.CONFIG]
        if erase == "all":
            counted = self._device.count(keep)
            question = (
                f"Remove all {counted['files']} files from /usr ({counted['bytes']:,} bytes), data that was not sent included?"
            )
        else:
            question = f"Remove Ferry's code ({len(gone)} files) first? A cut leaves the module without it."
        if is_dry:
            self._show.step(f"would ask: {question}")
            return found.without(gone)
        confirm(question)
        self._hold()
        self._then = _ERASED
        self._show.step("erasing")
        if erase == "all":
            self._device.wipe(keep)
        else:
            self._device.remove([*gone, f"{plan.STATE}/trial", f"{plan.STATE}/apply", *found.backups])
        return self._device.look()

    def _hold(self):
        """A module that is left alone restarts, from now on; and nobody else writes."""
        self._was_interrupted = True
        self._then = _HELD
        self._guard()
        if not self._device.about["is_running"]:
            return
        self._show.step("stopping Ferry; a cycle under way may end first")
        if not self._device.stop(STOP_S):
            self._show.step("its cycle takes long: cut, as by the power; it goes on with it later")
            self._cut()
        self._device.about["is_running"] = False

    def _cut(self):
        """End a cycle by a soft reset: main.py is stopped while it starts, or Ferry in its first rest."""
        for _ in range(_CUTS):
            self._device.restart()
            self._repl.interrupt(_HASTE_S)
            self._guard()
            if self._device.stop(STOP_S):
                return
        raise BoardError("Ferry does not stop: python -m tools pause, wait for the end of its cycle, then try again")

    def _guard(self):
        if not self._device.guard():
            self._show.step("no watchdog here: if the cable is unplugged now, restart the module by hand")

    def _copy(self, planned, found):
        wanted = {move[0] for move in planned.moves}
        self._device.remove([path for path in found.staged if path not in wanted])
        with self._show.progress(planned.copy_bytes) as tell:
            for content in planned.copies:
                tell(content.path, 0)
                self._device.put(
                    plan.staged_path(content), content, lambda count, path=content.path: tell(path, count)
                )
            journal = from_bytes(plan.JOURNAL, json.dumps(planned.journal()).encode())
            self._device.put(plan.JOURNAL, journal)
        if planned.first:
            self._device.place(plan.staged_path(planned.first), planned.first.path)
        self._show.step("putting it in place")
        self._then = _SWITCHING
        self._device.apply(plan.JOURNAL)

    def _let_go(self):
        """Leave the module as it was found: with its app running."""
        self._device.drop()
        if self._was_interrupted:
            self._show.step("restarting the module's app")
            self._device.restart()
        else:
            self._repl.leave_raw()

    def _watch(self):
        """Show the first lines of the new version."""
        self._show.step("restarted; its first lines:")
        lines = []
        for line in first_lines(self._repl):
            lines.append(line)
            self._show.line(line)
        is_up = any(_UP.search(line) for line in lines)
        is_up = is_up and not any("Ferry does not start" in line for line in lines)
        self._show.done(is_up, self._has_template)
        return is_up or self._has_template


def first_lines(repl):
    """Yield what a module prints behind a restart, until Ferry tells that it is there and is quiet; or for START_S."""

    def is_enough(text, quiet_s):
        return _UP.search(text) and (text.endswith(">>> ") or quiet_s > QUIET_S)

    for line in repl.lines(is_enough, START_S):
        if line.strip():
            yield line


def _no_room(planned, wants_mpy, erase):
    text = (
        f"there is no room for the new version beside the old one: it takes {planned.need_blocks} blocks of flash, "
        f"{planned.free_blocks} are free. Nothing was changed.\n"
    )
    advice = [] if wants_mpy else ["--mpy: compiled code takes a fifth less"]
    if erase is None:
        advice.append("--erase code: Ferry's old code goes first (data, settings and what is known of them stay)")
    advice.append("let Ferry send what waits, and have it removed there: upload.after, storage.when_full")
    return text + "\n".join(f"  {line}" for line in advice)
