"""app/apply.py over a folder, where each call of uos and open() fails once, at every position, and boots go on from there."""

import importlib.util
import os
import sys
from unittest.mock import patch

import pytest

from tests.fakes import FULL, IO_ERROR, FakeClock
from tests.world import StrictLog, _FolderUos
from tools.device_files import ROOT

MOST_CALLS = 500
STATE = "/usr/.ferry/"
OLD = {
    "/usr/main.py": b"old main",
    "/usr/ftp_manager.py": b"old manager",
    "/usr/app/__init__.py": b"old init",
    "/usr/app/apply.py": b"old apply" * 300,  # more than one block of a copy
    "/usr/app/sync/x.py": b"old x",
    "/usr/data/kept": b"kept",
    "/usr/data/gone": b"goes",
}
STAGED = {name: b"new " + name.encode() for name in ("main", "init", "applier", "x", "added")}


def sourced(name, target):
    return [f"{STATE}{name}.part", target, ""]


SOURCE_SET = [
    sourced("main", "/usr/main.py"),
    sourced("init", "/usr/app/__init__.py"),
    sourced("applier", "/usr/app/apply.py"),
    sourced("x", "/usr/app/sync/x.py"),
    sourced("added", "/usr/new/folder/added"),
    ["", "/usr/data/gone", ""],
]
COMPILED_SET = [
    sourced("init", "/usr/app/__init__.mpy"),
    sourced("applier", "/usr/app/apply.mpy"),
    ["", "/usr/app/__init__.py", ""],
    ["", "/usr/app/apply.py", ""],
]
SETS = {"source": SOURCE_SET, "compiled": COMPILED_SET}


class FailingFile:
    def __init__(self, uos, file):
        self._uos = uos
        self._file = file

    def read(self, *count):
        self._uos.step()
        return self._file.read(*count)

    def write(self, raw):
        self._uos.step()
        return self._file.write(raw)

    def close(self):
        self._file.close()
        self._uos.step()


class FailingUos(_FolderUos):
    """Raises `error` in place of call number `fail_at` of all that may fail, the first is 1."""

    def __init__(self, root):
        super().__init__(root)
        self.calls = 0
        self.fail_at = 0
        self.error = None

    def step(self):
        self.calls += 1
        if self.calls == self.fail_at:
            raise self.error

    def open(self, path, mode):
        self.step()
        return FailingFile(self, super().open(path, mode))

    def stat(self, path):
        self.step()
        return super().stat(path)

    def mkdir(self, path):
        self.step()
        super().mkdir(path)

    def remove(self, path):
        self.step()
        super().remove(path)

    def rename(self, old, new):
        self.step()
        super().rename(old, new)


class PowerCut(BaseException):
    pass


class Flash:
    """A module's flash with OLD on it and STAGED ready to be put in place; `apply` is app.apply over it."""

    def __init__(self, folder, moves, with_trial):
        self._folder = folder
        for path, content in {**OLD, **{f"{STATE}{name}.part": raw for name, raw in STAGED.items()}}.items():
            real = folder / path[1:]
            real.parent.mkdir(parents=True, exist_ok=True)
            real.write_bytes(content)
        self.uos = FailingUos(folder)
        self.boot_anew()
        self.moves = [
            [source, target, f"{STATE}{n}.old" if with_trial else ""] for n, (source, target, _) in enumerate(moves)
        ]
        self.journal = {"version": 2, "moves": self.moves, "what": "update"}
        if with_trial:
            self.journal["trial_boots"] = 3

    def boot_anew(self):
        spec = importlib.util.spec_from_file_location("apply_over_a_folder", ROOT / "app" / "apply.py")
        self.apply = importlib.util.module_from_spec(spec)
        with patch.dict(sys.modules, uos=self.uos):
            spec.loader.exec_module(self.apply)
        self.apply.open = self.uos.open

    def files(self):
        found = {}
        for folder, _, names in os.walk(self._folder / "usr"):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as stream:
                    found["/" + os.path.relpath(path, self._folder)] = stream.read()
        return {path: content for path, content in found.items() if not path.startswith(STATE)}

    def state(self):
        return sorted(path.name for path in (self._folder / STATE[1:]).iterdir() if path.suffix != ".part")

    def new(self):
        files = dict(OLD)
        for source, target, _ in self.moves:
            files.pop(target, None)
            if source:
                files[target] = STAGED[source.removeprefix(STATE).removesuffix(".part")]
        return files

    def fail(self, number, error, work):
        """Run `work` until call `number` fails. False if it was over before."""
        self.uos.calls, self.uos.fail_at, self.uos.error = 0, number, error
        try:
            work()
        except (OSError, PowerCut):
            return True
        finally:
            self.uos.fail_at = 0
        assert self.uos.calls < number, f"call {number} failed, and nobody was told"
        return False

    def can_boot(self):
        files = self.files()
        return "/usr/main.py" in files and bool({"/usr/app/apply.py", "/usr/app/apply.mpy"} & files.keys())


ERRORS = {"io": OSError(IO_ERROR), "full": OSError(FULL), "cut": PowerCut()}
each = pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
each_set = pytest.mark.parametrize("name", SETS)


def at_every_call(tmp_path, moves, with_trial, prepare, work, error, judge):
    """`work(flash)` behind `prepare(flash)` fails at its first call, its second, ... ; judge(flash) each time, after a boot."""
    for number in range(1, MOST_CALLS):
        folder = tmp_path / str(number)
        flash = Flash(folder, moves, with_trial)
        prepare(flash)
        has_failed = flash.fail(number, error, lambda flash=flash: work(flash))
        assert flash.can_boot(), f"after call {number} nothing can boot"
        flash.boot_anew()
        flash.apply.boot()
        judge(flash)
        if not has_failed:
            return number
    raise AssertionError("it never ends")


def old_or_new(flash):
    assert flash.files() in (OLD, flash.new())
    assert "apply" not in flash.state()


@each
@each_set
@pytest.mark.parametrize("with_trial", [False, True])
def test_a_set_is_old_or_new_after_the_next_boot(tmp_path, name, with_trial, error):
    count = at_every_call(
        tmp_path,
        SETS[name],
        with_trial,
        lambda flash: None,
        lambda flash: flash.apply.begin(flash.journal),
        error,
        old_or_new,
    )
    assert count > 3 * len(SETS[name])


@each
@each_set
def test_the_next_boot_may_fail_at_any_call_as_well(tmp_path, name, error):
    def decide(flash):
        flash.apply.write(flash.apply.JOURNAL, flash.journal)

    def judge(flash):
        assert flash.files() == flash.new()

    at_every_call(tmp_path, SETS[name], True, decide, lambda flash: flash.apply.boot(), error, judge)


def take(flash):
    flash.apply.begin(flash.journal)


@each
@each_set
def test_going_back_ends_with_the_old_set_wherever_it_fails(tmp_path, name, error):
    def judge(flash):
        if "refused" in flash.state():
            assert flash.files() == OLD
            assert flash.state() == ["refused"]
        else:
            assert flash.files() == flash.new()  # it failed before it was decided
            assert "trial" in flash.state()

    at_every_call(
        tmp_path,
        SETS[name],
        True,
        take,
        lambda flash: flash.apply.go_back(flash.apply.read(flash.apply.TRIAL)),
        error,
        judge,
    )


@each
def test_a_confirmation_leaves_no_backup_wherever_it_fails(tmp_path, error):
    def judge(flash):
        assert flash.files() == flash.new()
        assert flash.state() == [] or "trial" in flash.state()
        if "trial" in flash.state():  # not confirmed yet: it still has to be possible to go back
            flash.apply.go_back(flash.apply.read(flash.apply.TRIAL))
            assert flash.files() == OLD

    at_every_call(tmp_path, SOURCE_SET, True, take, lambda flash: flash.apply.confirm(), error, judge)


@each_set
def test_a_way_back_that_failed_in_a_cycle_is_gone_on_with_in_the_next(tmp_path, name):
    for number in range(1, MOST_CALLS):
        flash = Flash(tmp_path / str(number), SETS[name], True)
        take(flash)
        trial = flash.apply.Trial(1, StrictLog(FakeClock(), out=lambda line: None))
        flash.uos.calls, flash.uos.fail_at, flash.uos.error = 0, number, OSError(IO_ERROR)
        if trial.failed():
            assert number > len(SETS[name])
            return
        assert trial.failed()
        assert flash.files() == OLD
    raise AssertionError("it never ends")


def test_a_set_that_is_not_confirmed_goes_back_after_its_boots(tmp_path):
    flash = Flash(tmp_path, SOURCE_SET, True)
    take(flash)
    told = [flash.apply.boot() for _ in range(4)]
    assert told[:3] == ["", "", ""]
    assert "the old one is back" in told[3]
    assert flash.files() == OLD
    assert flash.apply.boot() == ""


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b"null"])
def test_a_journal_that_nobody_can_read_is_left_alone(tmp_path, raw):
    flash = Flash(tmp_path, SOURCE_SET, True)
    for name in ("apply", "trial"):
        (tmp_path / (STATE + name)[1:]).write_bytes(raw)
    assert flash.apply.boot() == ""
    assert flash.files() == OLD
