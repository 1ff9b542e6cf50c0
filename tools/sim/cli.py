# `python -m tools sim`: options in, exit status out. What it does is in the modules beside it.
import contextlib
import dataclasses
import json
import os
import re
import signal
import tempfile
from pathlib import Path

import click
from rich.console import Console

from tools.sim import check, child, faults, flash, module, samples, server, settings
from tools.sim.firmware import FIRMWARE
from tools.sim.life import Life
from tools.sim.links import LINKS
from tools.sim.record import Record
from tools.sim.timeline import Timeline
from tools.sim.view import LiveView, PlainView, show_result

SILENCE_S = 60  # virtual time passes at once, so even a long wait prints something well before this
SOURCE_HEAP_BYTES = 320 * 1024  # with less, a module cannot compile the code itself
_MAX_RESTARTS = 20  # without a whole cycle between them: the module would go round for ever

_EXAMPLES = (
    """
\b
Examples:
  python -m tools sim
      sample files, an embedded FTP server, two cycles; leaves nothing behind
  python -m tools sim --usr ../module
      the same module again and again: the second run has nothing to do
  python -m tools sim --usr ../module --server ftp://me:secret@192.0.2.7/fleet
      against your own server
  python -m tools sim --config my.json --cycles 0
      with your own settings, until Ctrl-C
  python -m tools sim --heap 400k --json run.json
      with less memory, and a record of what happened
  python -m tools sim --flash 384k --power-cut 40:torn
      on a real littlefs over a simulated flash; the power goes in the middle of its 40th change
  python -m tools sim --link nbiot --fault "sim-missing@0-60s,cut-data@40%@cycle1" --cycles 12
      on a slow link, without a SIM card for a minute, and with a transfer that breaks
  python -m tools sim --link cat1 --flash 512k --fault "cut-data@40%@cycle1" --cycles 4 --report run.html
      the same as a page to look at, opened from the disk in any browser

\b
Faults: NAME[@AMOUNT][@WHEN], several separated by commas
  WHEN is a time since the first boot in virtual time (30s, 0-60s, 1h-2d) or cycles (cycle3, cycle3-5);
  60s-redial lasts until the data call is made again, -flight until flight mode, -restart until a restart.
  Without WHEN a fault is always there, or happens once as soon as it can. Those that never came are told at the end.
"""
    + "".join(f"  {line}\n" for line in faults.help_lines())
    + """
Exit status: 0 all that was to be in step is in step and byte-identical, 1 something is not, 2 wrong usage.
"""
)


class _Heap(click.ParamType):
    name = "size"

    def convert(self, value, param, ctx):
        if not re.fullmatch(r"[1-9]\d*[kKmM]?", value):
            self.fail(f"{value!r} is no size; write bytes, k or M, such as 512k", param, ctx)
        return value.lower()


class _FlashSize(_Heap):
    def convert(self, value, param, ctx):
        value = super().convert(value, param, ctx)
        size = child.size_bytes(value)
        if size < flash.SMALLEST_BYTES or size % flash.BLOCK_BYTES:
            self.fail(f"{value} is no size of a flash; take a multiple of 4k, 128k or more", param, ctx)
        return size


class _Faults(click.ParamType):
    name = "spec"

    def convert(self, value, param, ctx):
        try:
            return faults.parse(value)
        except faults.FaultError as error:
            self.fail(str(error), param, ctx)


class _PowerCut(click.ParamType):
    name = "cut"

    def convert(self, value, param, ctx):
        found = re.fullmatch(r"([1-9]\d*)(:torn)?", value)
        if not found:
            self.fail(f"{value!r} is no cut; write the number of the change, such as 40 or 40:torn", param, ctx)
        return flash.Cut(int(found[1]), bool(found[2]))


@click.command(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--usr",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder that plays the module's /usr; kept. Gets sample files when it is empty, and on each run "
    "Ferry's code and its config.json. Default: a temporary one.",
)
@click.option(
    "--server",
    "url",
    metavar="URL",
    help="ftp://user:password@host:port/path of your server. Default: the one that --config names, else an "
    "embedded one (its folder is DIR.server beside --usr DIR).",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings for the module. Default: config.json of the checkout with the shortest waits.",
)
@click.option(
    "--cycles",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    metavar="N",
    help="Stop after so many cycles; 0 runs until Ctrl-C.",
)
@click.option(
    "--heap",
    type=_Heap(),
    default="512k",
    show_default=True,
    metavar="SIZE",
    help="Memory of the module's MicroPython; what the stand-ins for its firmware take comes on top. Under 320k the module "
    "gets compiled code.",
)
@click.option(
    "--micropython", metavar="PATH", help="Interpreter. Default: the one in .venv, else on the PATH, else CPython."
)
@click.option(
    "--flash",
    "flash_bytes",
    type=_FlashSize(),
    metavar="SIZE",
    help="Put /usr on a simulated flash of this size with a real file system, such as 384k; needs MicroPython. "
    "Its image is kept as DIR.lfs1 beside --usr DIR. Default: /usr is the folder itself, 64M.",
)
@click.option(
    "--flash-fs",
    type=click.Choice(flash.FILE_SYSTEMS),
    default="lfs1",
    show_default=True,
    help="File system of --flash.",
)
@click.option(
    "--power-cut",
    "cuts",
    type=_PowerCut(),
    multiple=True,
    metavar="N[:torn]",
    help="With --flash: the power goes at the N-th program or erase; torn leaves half of it done. Given again, it is for "
    "the boot after that.",
)
@click.option(
    "--link",
    type=click.Choice(LINKS),
    default="lan",
    show_default=True,
    help="Round trip and rate of the module's link, in virtual time.",
)
@click.option(
    "--fault",
    "fault_lists",
    type=_Faults(),
    multiple=True,
    metavar="SPEC",
    help="What goes wrong, such as sim-missing@0-60s; all kinds are below. May be given several times.",
)
@click.option(
    "--firmware",
    type=click.Choice(FIRMWARE),
    default="2026",
    show_default=True,
    help="Whose firmware's oddities the module has.",
)
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="For everything random.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write what happened, cycle by cycle.",
)
@click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="Draw what happened as one page: states, transfers, faults, errors, bytes, heap, flash erases.",
)
def sim(
    usr,
    url,
    config_file,
    cycles,
    heap,
    micropython,
    flash_bytes,
    flash_fs,
    cuts,
    link,
    fault_lists,
    firmware,
    seed,
    json_file,
    report_file,
):
    """Run Ferry on a simulated module against an FTP server, then check both sides byte for byte.

    The module is a folder and a real MicroPython with a small heap and stand-ins
    for the firmware's own modules; what runs is the very code that a module gets.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` ends it as cleanly as Ctrl-C does
    try:
        for path in filter(None, (json_file, report_file)):
            _check_place(path)
        with contextlib.ExitStack() as stack:
            interpreter = child.find_interpreter(micropython, heap)
            image = _image(stack, interpreter, usr, flash_bytes, flash_fs, cuts)
            life = _life(link, [fault for found in fault_lists for fault in found], firmware, image)
            run = _prepare(stack, usr, url, config_file, interpreter, image, cycles, seed, link, life)
            status = _perform(run, json_file, report_file)
    except settings.SettingsError as error:
        raise click.UsageError(str(error)) from error
    raise SystemExit(status)


def _check_place(path):
    """Before the run, not behind hours of it."""
    folder = path.resolve().parent
    if not os.access(path if path.exists() else folder, os.W_OK):
        what = "is not to be written to" if folder.is_dir() else "does not exist"
        raise settings.SettingsError(f"{path}: {path if path.exists() else folder} {what}; name another place")


@dataclasses.dataclass
class _Run:
    console: Console
    interpreter: child.Interpreter
    root: Path
    config: dict
    flash: flash.Flash | None
    cycles: int
    seed: int
    link: str
    life: Life
    is_compiled: bool


def _life(link, wanted, firmware, image):
    if image and any(fault["kind"] == "flash-full" for fault in wanted):
        raise settings.SettingsError("flash-full goes without --flash; a small --flash is full by itself")
    return Life(LINKS[link], wanted, FIRMWARE[firmware])


def _image(stack, interpreter, usr, size_bytes, fs, cuts):
    """The simulated flash, or None."""
    if size_bytes is None:
        if cuts:
            raise settings.SettingsError("--power-cut needs --flash")
        return None
    if not interpreter.heap:
        raise settings.SettingsError(f"--flash needs a real MicroPython: {interpreter.name} has no littlefs")
    if usr:
        path = usr.resolve().with_name(f"{usr.resolve().name}.{fs}")
    else:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ferry-flash-"))) / fs
    return flash.Flash(interpreter.path, path, fs, size_bytes, cuts)


def _prepare(stack, usr, url, config_file, interpreter, image, cycles, seed, link, life):
    """Everything that stands before the module is switched on."""
    is_small = image is not None and image.size_bytes < flash.ROOMY_BYTES
    config = settings.load_config(config_file) if config_file else settings.own_config()
    named = settings.parse_server(url) if url else None
    if named is None and config_file:
        named = settings.server_of(config)
    if usr:
        usr = usr.resolve()
        module.check_usr(usr)
        usr.mkdir(parents=True, exist_ok=True)
    root = stack.enter_context(module.root_folder(usr))
    if not any((root / "usr").iterdir()):
        samples.fill_module(root / "usr", seed, is_small)
    samples.add_firmware_file(root / "usr")
    console = Console(highlight=False)
    if url or named is None:
        config = settings.use_server(config, named or _embedded(stack, usr, config, seed, is_small))
    is_compiled = is_small or (bool(interpreter.heap) and child.size_bytes(interpreter.heap) < SOURCE_HEAP_BYTES)
    module.flash(root / "usr", config, is_compiled)
    if image:
        image.fill(root / "usr")
    run = _Run(console, interpreter, root, config, image, cycles, seed, link, life, is_compiled)
    _announce(run, usr, named)
    return run


def _embedded(stack, usr, config, seed, is_small):
    """Start the embedded server over a folder that stays when `usr` does."""
    if usr:
        folder = usr.with_name(usr.name + ".server")
        folder.mkdir(exist_ok=True)
    else:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ferry-server-")))
    rule = settings.download(config)
    if rule and not any(folder.iterdir()):
        samples.fill_server(folder / rule[0], seed, is_small)
    return stack.enter_context(server.serve(folder))


def _announce(run, usr, named):
    heap = f", heap {run.interpreter.heap}" if run.interpreter.heap else ""
    heap += ", compiled code" if run.is_compiled else ""
    lines = [
        f"interpreter  {run.interpreter.name}{heap}",
        f"/usr         {usr or 'temporary, with sample files'}",
        f"server       {named or settings.server_of(run.config)}",
    ]
    if named is None:
        lines[-1] += f"  embedded, {usr.with_name(usr.name + '.server') if usr else 'temporary'}"
    if run.flash:
        lines.append(f"flash        {run.flash.size_bytes // 1024}k, {run.flash.fs}")
    for line in lines:
        run.console.print(line, markup=False, soft_wrap=True)


def _perform(run, json_file, report_file):
    """Run the module, check, report. -> exit status."""
    before = check.local_files(run.root)
    record, timeline = Record(), Timeline() if report_file else None
    title = f"Ferry on {run.interpreter.name}"
    with LiveView(run.console, title) if run.console.is_terminal else PlainView(run.console) as view:
        ended, restarts = _drive(run, record, timeline, view)
    record.close()
    if run.flash:
        run.flash.dump(run.root / "usr")
    rows, trouble = check.compare(run.config, before, check.local_files(run.root), record)
    in_step = not trouble and all(row.state in check.GOOD for row in rows)
    show_result(run.console, rows, trouble)
    if trouble:
        verdict = "NOT checked"
    elif in_step:
        verdict = f"in step: {len(rows)} files"
    else:
        verdict = f"NOT in step: {sum(row.state not in check.GOOD for row in rows)} of {len(rows)} files"
    missed = run.life.missed()
    if missed:
        run.console.print(f"these faults never came: {', '.join(missed)}", markup=False, soft_wrap=True)
    up, down = len(record.all("up")), len(record.all("down"))
    run.console.print(
        f"{verdict}; {len(record.cycles)} cycles, {up} up, {down} down; {ended}", markup=False, soft_wrap=True
    )
    if json_file:
        result = {
            "interpreter": run.interpreter.name,
            "heap": run.interpreter.heap,
            "seed": run.seed,
            "ended": ended,
            "restarts": restarts,
            "restart_reasons": run.life.restarts,
            "faults_missed": missed,
            "cycles": record.cycles,
            "in_step": in_step,
            "trouble": trouble,
            "files": [dataclasses.asdict(row) for row in rows],
        }
        if run.flash:
            result["flash"] = _wear(run.flash, record)
        json_file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if timeline:
        timeline.close()
        _report(run, timeline, report_file, rows, {"verdict": f"{verdict}; {ended}", "trouble": trouble, "in_step": in_step})
    return 0 if in_step and ended in ("finished", "interrupted") else 1


def _report(run, timeline, path, rows, found):
    from tools.sim import report  # pygal and Jinja2 take time that no other run needs

    faults = ", ".join(fault["spec"] for fault in run.life.faults()) or "none"
    facts = [
        ("interpreter", run.interpreter.name + (f", heap {run.interpreter.heap}" if run.interpreter.heap else "")),
        ("link", run.link),
        ("faults", faults),
        ("flash", f"{run.flash.size_bytes // 1024}k, {run.flash.fs}" if run.flash else "the folder itself"),
        ("seed", str(run.seed)),
    ]
    shown = [{**dataclasses.asdict(row), "is_good": row.state in check.GOOD} for row in rows]
    title = f"Ferry, simulated: {len(timeline.cycles)} cycles"
    text = report.draw(timeline, {**found, "title": title, "facts": facts, "files": shown})
    path.write_text(text, encoding="utf-8")


def _wear(image, record):
    """Erases of each block over all boots, and their spread."""
    wear = record.wear
    spread = {"min": min(wear), "mean": sum(wear) / len(wear), "max": max(wear)} if wear else {}
    return {"fs": image.fs, "size_bytes": image.size_bytes, "erases": wear, **spread}


def _drive(run, record, timeline, view):
    """Switch the module on, and again after each restart. -> (how it ended, count of restarts)."""
    restarts = idle_restarts = 0
    while True:
        done = len(record.cycles)
        ended = _boot(run, record, timeline, view, max(run.cycles - done, 0), restarts)
        if ended != "restart":
            return ended, restarts
        restarts += 1
        idle_restarts = 0 if len(record.cycles) > done else idle_restarts + 1
        if run.cycles and len(record.cycles) >= run.cycles:
            return "finished", restarts
        if idle_restarts >= _MAX_RESTARTS:
            view.say(f"the module restarted {idle_restarts} times without a whole cycle; given up")
            return "restarts without end", restarts
        view.say("the module restarts")


def _boot(run, record, timeline, view, cycles, number):
    """One life of the module. -> how it ended."""
    tail, done = [], len(record.cycles)
    with tempfile.TemporaryDirectory(prefix="ferry-world-") as folder:
        world = Path(folder) / "world.json"
        life = run.life.world(done)
        module.write_world(world, run.root, cycles, run.seed, run.flash and run.flash.world(number), life)
        with child.Child(run.interpreter.command(world)) as process:
            try:
                for item in process.items(SILENCE_S):
                    if isinstance(item, str):
                        tail = [*tail[-29:], item]
                        view.log(item)
                    else:
                        record.feed(item)
                        if timeline:
                            timeline.take(item)
                        run.life.take(item)
                        view.event(item, record)
                status = process.wait()
            except child.Silence as silence:
                view.say(f"{silence}; it was ended")
                return "silent"
            except KeyboardInterrupt:
                return "interrupted"
    if status == child.POWER_CUT_STATUS:
        view.say("the power went and came again")
        return "restart"
    if status == child.RESTART_STATUS:
        return "restart"
    if status == 0:
        return "finished" if cycles and len(record.cycles) - done >= cycles else "ended early"
    if status in (130, -signal.SIGINT):
        return "interrupted"
    if isinstance(view, LiveView):
        for line in tail:
            view.say(line)
    view.say(f"the module died (exit status {status}); its last lines are above")
    return "died"
