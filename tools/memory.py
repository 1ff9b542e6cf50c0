# `python -m tools memory`: how much heap Ferry needs for many files, measured on the module's interpreter.
#
# Two different things are measured, each in a run of its own. "Live" is what is really in use: gc.mem_alloc() right after a
# gc.collect(), at every event of a cycle, the highest of it, less what the simulator's stand-ins for the firmware take: on a
# module they are not on the heap, and the heap here is that of the module, with room for them on top. A word takes 8 bytes
# where a module takes 4. It depends on the heap: Ferry uses more where there is more. Whether it fits is told by a run without
# any of these collections: garbage and a heap in pieces count there, as they do on a module.
import itertools
import json
import logging
import re
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tools.sim import child, module, server, settings
from tools.sim.record import Record

COUNTS = (100, 1000, 5000)
HEAP_K = 256
STEP_K = 8  # of the search for the smallest heap
_LEAST_K, _MOST_K = 64, 1024  # between these it is searched
_FILE_BYTES = 50
_SILENCE_S = 120
_CYCLES = 2  # the first sync, and an idle one behind it

SAMPLER = """
import gc, usys
gc.threshold(8192)
usys.path.append("/usr")
from ftp_manager import FtpManager
told = FtpManager.on_event
live = 0
def on_event(self, kind, data):
    global live
    gc.collect()
    live = max(live, gc.mem_alloc())
    if kind == "cycle":
        print("live", live)
        live = 0
    told(self, kind, data)
FtpManager.on_event = on_event
import ferry_main
ferry_main.main()
"""


@dataclass
class Row:
    files: int
    first_live: int | None  # bytes; None: the cycle did not end well
    idle_live: int | None
    fits: bool
    error: str
    stand_ins: int  # bytes
    smallest_k: int | None = None  # None: not searched


@dataclass
class _Run:
    error: str = ""
    live: list = field(default_factory=list)  # of each cycle
    stand_ins: int = 0  # bytes that the heap has for them on top


def measure(count, heap_k, is_smallest_wanted):
    """-> Row for so many files in one folder of an SD card."""
    sampled = _run(count, heap_k, is_sampled=True)
    live = (None, None) if sampled.error else sampled.live
    fit = _run(count, heap_k)
    row = Row(count, *live, not fit.error, fit.error, fit.stand_ins)
    if is_smallest_wanted:
        row.smallest_k = _smallest(count, heap_k, row.fits)
    return row


def _smallest(count, heap_k, fits):
    """The smallest heap, in steps, with which it goes."""
    bad, good = (_LEAST_K, heap_k) if fits else (heap_k, _MOST_K)
    while good - bad > STEP_K:
        middle = (bad + good) // 2 // STEP_K * STEP_K
        if _run(count, middle).error:
            bad = middle
        else:
            good = middle
    return good


def _run(count, heap_k, is_sampled=False):
    """A new module with `count` files, a new server, two cycles."""
    with tempfile.TemporaryDirectory(prefix="ferry-memory-") as name:
        folder = Path(name)
        root, files = folder / "root", folder / "root" / "sd" / "data"
        for path in (root / "usr", root / "bak", files, folder / "server" / "updates"):
            path.mkdir(parents=True)
        for number in range(count):
            (files / f"file {number:05}.bin").write_bytes(b"%*d" % (_FILE_BYTES, number))
        with server.serve(folder / "server") as access:
            logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)  # modules that die for want of memory are the point
            config = settings.use_server(settings.own_config(), access)
            config.update(upload={"from": "/sd"}, log={"level": "warning"})
            module.flash(root / "usr", config, is_small=True)  # compiled, as a module in the field has it
            if is_sampled:
                (root / "usr" / "main.py").rename(root / "usr" / "ferry_main.py")
                (root / "usr" / "main.py").write_text(SAMPLER, encoding="utf-8")
            module.write_world(folder / "world.json", root, _CYCLES, 1)
            interpreter = child.find_interpreter(None, f"{heap_k}k")
            run = _watch(interpreter.command(folder / "world.json"), count)
            run.stand_ins = child.stand_ins_bytes(interpreter.path, folder / "world.json")
            run.live = [live - run.stand_ins for live in run.live]
            return run


def _watch(command, count):
    record, run, lines = Record(), _Run(), []
    with child.Child(command) as process:
        for item in process.items(_SILENCE_S):
            if isinstance(item, str):
                lines = [*lines[-9:], item]
                run.live += [int(found[1])] if (found := re.fullmatch(r"live (\d+)", item)) else []
            else:
                record.feed(item)
        status = process.wait()
    moved = [cycle["up_count"] for cycle in record.cycles]
    errors = [cycle["error"] for cycle in record.cycles if cycle["error"]]
    if status or errors:
        run.error = (errors or lines or [f"exit status {status}"])[0 if errors else -1]
    elif moved != [count, 0]:
        run.error = f"the cycles sent {moved} files, not {[count, 0]}"
    return run


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--files", "counts", type=click.IntRange(min=1), multiple=True, default=COUNTS, show_default=True, metavar="N"
)
@click.option("--heap", "heap_k", type=click.IntRange(_LEAST_K, _MOST_K), default=HEAP_K, show_default=True, metavar="K")
@click.option("--smallest", is_flag=True, help=f"Search the smallest heap too, in steps of {STEP_K}k; takes minutes.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def memory(counts, heap_k, smallest, json_file):
    """Measure the heap that a first sync of many files and an idle cycle behind it need. Exit status 1 if it is too small."""
    interpreter = child.find_interpreter(None, f"{heap_k}k")
    if not interpreter.heap:
        raise click.UsageError(f"needs a real MicroPython: the heap of {interpreter.name} has no limit")
    console = Console(highlight=False)
    rows = [measure(count, heap_k, smallest) for count in counts]
    _show(console, rows, heap_k, interpreter.name)
    if json_file:
        result = {"heap_k": heap_k, "interpreter": interpreter.name, "rows": [asdict(row) for row in rows]}
        json_file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    raise SystemExit(0 if all(row.fits for row in rows) else 1)


def _show(console, rows, heap_k, name):
    heads = ["files", "first sync, live bytes", "idle cycle, live bytes", f"with {heap_k}k", "smallest heap"]
    cells = [
        [
            f"{row.files:,}",
            f"{row.first_live:,}" if row.first_live else "",
            f"{row.idle_live:,}" if row.idle_live else "",
            "fits" if row.fits else f"does NOT fit: {row.error}",
            f"{row.smallest_k}k" if row.smallest_k else "",
        ]
        for row in rows
    ]
    if console.is_terminal:
        table = Table(*heads, title=f"files on an SD card, {name}")
        for row in cells:
            table.add_row(*row)
        console.print(table)
    else:
        for row in itertools.chain([heads], cells):
            click.echo("\t".join(row).rstrip())  # rich makes spaces of tabs
    console.print(
        "live: the most that was in use behind a garbage collection at any event, without the stand-ins for the firmware; "
        f"the heap has {rows[0].stand_ins:,} bytes for them on top",
        soft_wrap=True,
    )
