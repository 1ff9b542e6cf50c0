# The cable is unplugged at any byte of a flash. Then nobody tells the module anything more; its watchdog restarts it, and what boots
# is the old version, or the new one: never a mix.
import pytest
from click.testing import CliRunner

from tests.tools.pty_module import PtyModule, config
from tools.board import device, images
from tools.board.cli import flash
from tools.publish.contents import from_bytes

FOREIGN = b'import utime\nprint("hello")\nwhile True:\n    utime.sleep_ms(50)\n'
SETTINGS = config(device={"id": "pump-8"})
NEW = {content.path.removeprefix("/usr/"): content.source for content in images.code(None)}
OLD = {
    **NEW,
    "main.py": NEW["main.py"] + b"# old\n",
    "app/apply.py": NEW["app/apply.py"] + b"# old\n",
    "app/log.py": NEW["app/log.py"] + b"# old\n",
    "app/gone.py": b"old = 1\n",
    "config.json": config(),
}
OLD.pop("app/sync/tar.py")
# The smallest Ferry that flashes: another program's module gets little, so that a sweep takes minutes, not hours.
SMALL = {
    path: NEW[path] for path in ("main.py", "app/apply.py", "app/__init__.py")
} | {"app/start.py": b'def start(told):\n    print("Ferry 0.1", told)\n    return True\n'}


class Run:
    """One flash of `new` over `old`, its cable cut behind `cut_at` bytes."""

    def __init__(self, folder, old, new, hello, cut_at=None):
        self.old, self.new = old, new
        folder.mkdir()
        (folder / "settings.json").write_bytes(new.get("config.json", SETTINGS))
        self._folder = folder
        self.calls = []  # (bytes before it, what was asked)
        self._hello = hello
        self._cut_at = cut_at

    def play(self, monkeypatch):
        code = [from_bytes(f"/usr/{path}", content) for path, content in self.new.items() if path != "config.json"]
        monkeypatch.setattr(images, "code", lambda compile_to: sorted(code, key=lambda found: found.path == "/usr/main.py"))
        ask = device.Device._answers
        with PtyModule(self._folder, self.old) as module:
            module.wait_for(self._hello)
            module.cut_at = self._cut_at

            def note(device, call, silence_s):
                self.calls.append((module.taken, call.partition("(")[0].removeprefix("_board.")))
                return ask(device, call, silence_s)

            monkeypatch.setattr(device.Device, "_answers", note)
            done = CliRunner().invoke(flash, [module.port, "--config", str(self._folder / "settings.json")])
            monkeypatch.setattr(device.Device, "_answers", ask)
            self.taken = module.taken
            if self._cut_at is None:
                assert done.exit_code == 0, done.output
                assert module.code() == self.new
                return "new"
            if self._is_stopped():
                assert module.watchdog().startswith("watchdog_armed")  # or it would stay as it is
            module.reset()
            module.wait_for(("Ferry 0.1", self._hello), module.boots + 1)
            return self._judge(module)

    def _is_stopped(self):
        """The old program was stopped, and the new one was not started."""
        names = [name for _, name in self.calls]
        return "guard" in names[:-1] and self.calls[-1][1] != "apply"

    def _judge(self, module):
        found = module.code()
        is_new = "Ferry 0.1" in module.output() and found == self.new
        if is_new and found != self.old:
            return "new"
        if "app/apply.py" not in self.old:  # where there is none it comes before the rest, and nobody loads it
            found.pop("app/apply.py", None)
        if found == self.old and self._hello in module.output():
            return "old"
        differing = [path for path in {*found, *self.old, *self.new} if found.get(path) != self.old.get(path)]
        raise AssertionError(f"a mix behind a cut at byte {self._cut_at}: {differing}\n{self.calls[-3:]}")


NEW["config.json"] = SETTINGS


def points(run):
    """Byte counts around every kind of step, from a run that was not cut."""
    seen, found = set(), []
    for (before, name), (behind, _) in zip(run.calls, [*run.calls[1:], (run.taken, "")], strict=True):
        if name not in seen or name == "apply":
            seen.add(name)
            found.append((before + behind) // 2)
            if name in ("begin", "apply", "place"):
                found.append(behind - 1)
    return [*found, run.taken - 1]


@pytest.fixture
def play(tmp_path, monkeypatch):
    """play(old, new, hello, cut_at) -> ("old" or "new", Run)"""
    count = [0]

    def play(*args):
        count[0] += 1
        run = Run(tmp_path / str(count[0]), *args)
        return run.play(monkeypatch), run

    return play


UPDATE = (OLD, NEW, "Ferry 0.1")
FIRST = ({"main.py": FOREIGN, "config.json": config()}, {**SMALL, "config.json": SETTINGS}, "hello")


@pytest.mark.timeout(300)
def test_at_each_kind_of_step(play):
    _, whole = play(*UPDATE)
    found = [play(*UPDATE, cut_at)[0] for cut_at in points(whole)]
    assert found[0] == "old"
    assert found[-1] == "new"
    assert "old" not in found[found.index("new") :]  # there is one point of no return


@pytest.mark.timeout(300)
def test_another_programs_module_at_each_kind_of_step(play, monkeypatch):
    """Its main.py runs until Ferry's is there with all that belongs to it; and is kept."""
    monkeypatch.setattr("tools.board.repl.FREE_S", 0.3)  # its main.py holds the REPL
    _, whole = play(*FIRST)
    found = [play(*FIRST, cut_at)[0] for cut_at in points(whole)]
    assert found[0] == "old"
    assert found[-1] == "new"


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flashes", ["UPDATE", "FIRST"])
def test_all_along(play, flashes, monkeypatch, tell):
    if flashes == "FIRST":
        monkeypatch.setattr("tools.board.repl.FREE_S", 0.3)
    _, whole = play(*globals()[flashes])
    cuts = [*range(1, whole.taken - 150, 100), *range(whole.taken - 150, whole.taken, 5)]  # it switches near the end
    found = {cut_at: play(*globals()[flashes], cut_at)[0] for cut_at in cuts}
    kept = list(found.values()).count("old")
    tell(f"cable, {flashes.lower()}: unplugged at {len(cuts)} moments, {kept} times the old one runs on, {len(cuts) - kept} the new")
    assert sorted(set(found.values())) == ["new", "old"]
    assert sorted(found.values(), reverse=True) == [found[cut_at] for cut_at in sorted(found)]  # one point of no return
