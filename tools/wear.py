# `python -m tools wear`: what Ferry costs the flash, measured on the simulated one, and how long the flash lasts at that.
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tools import readme
from tools.sim import child, flash, module, server, settings
from tools.sim.record import Record

SIZE_BYTES = 384 * 1024
USABLE_BLOCKS = SIZE_BYTES // flash.BLOCK_BYTES - 1
CYCLES_PER_DAY = 96  # one in 15 minutes
FILES_PER_DAY = CYCLES_PER_DAY  # unless said otherwise: one in each cycle
ENDURANCE = 10_000  # erases that a block takes, unless said otherwise
FORMULA = (
    "years = {blocks} blocks x endurance / (files a day x erases per file + 96 cycles x erases per idle cycle) / 365"
)
_SILENCE_S = 60

_SMALL_BYTES, _LARGE_BYTES, _SERIES = 300, 40_000, 10
_ALONE_COUNT = 250  # enough for two compactions of the ledger: what counts is the mean from one to the next
_SERIES_COUNT, _LARGE_COUNT, _IDLE_COUNT = 11, 12, 3
_DOWN_COUNT = 8

# The module's main.py: files come up between cycles, as an application would make them.
_MAIN = """
import usys
usys.path.append("/usr")
import uos
from app import start
from app.log import Log
from app.platform.clock import Clock
from app.platform.files import Files
clock, files = Clock(), Files()
log = Log(clock, "error")
manager = start.build(start.load_config(files, log), files, clock, log).manager
manager.run_cycle()
files.make_folders("/usr/data")
number = 0
for sizes in STEPS:
    for name in uos.listdir("/usr/data") if sizes else ():
        uos.remove("/usr/data/" + name)
    for i, size in enumerate(sizes):
        number += 1
        with open("/usr/data/%d" % i, "wb") as target:
            target.write(b"%8d" % number * (size // 8))
    manager.run_cycle()
"""


@dataclass(frozen=True)
class Row:
    what: str
    erases: float  # block erases
    programs: float


class _Bench:
    """A module on a simulated flash and its server."""

    def __init__(self, folder, interpreter):
        self.root = folder / "root"
        self.updates = folder / "server" / "updates"
        for path in (self.root / "usr", self.root / "bak", self.updates):
            path.mkdir(parents=True)
        self._world = folder / "world.json"
        self._interpreter = interpreter
        self._flash = flash.Flash(interpreter.path, folder / "image", "lfs1", SIZE_BYTES)
        self.fetched_count = 0

    def flash(self, access):
        """Ferry's code, with a main.py that takes its orders from boot()."""
        module.flash(self.root / "usr", settings.use_server(settings.own_config(), access), is_small=True)
        (self.root / "usr" / "main.py").rename(self.root / "usr" / "ferry_main.py")

    def boot(self, steps):
        """-> [cost of each cycle]: of the boot with its first cycle, then of one for each step, a list of file sizes."""
        (self.root / "usr" / "main.py").write_text(f"STEPS = {steps!r}\n{_MAIN}", encoding="utf-8")
        self._flash.fill(self.root / "usr")
        module.write_world(self._world, self.root, 0, 1, self._flash.world(0))
        record, lines = Record(), []
        with child.Child(self._interpreter.command(self._world)) as process:
            for item in process.items(_SILENCE_S):
                if isinstance(item, str):
                    lines.append(item)
                else:
                    record.feed(item)
            status = process.wait()
        if status or not all(cycle["ok"] for cycle in record.cycles) or len(record.cycles) != len(steps) + 1:
            raise RuntimeError(f"the measurement failed (exit status {status}):\n" + "\n".join(lines[-20:]))
        self._flash.dump(self.root / "usr")
        self.fetched_count = len(record.all("down"))
        return [cycle["flash"] for cycle in record.cycles]


def measure(interpreter):
    """-> [Row]"""
    with tempfile.TemporaryDirectory(prefix="ferry-wear-") as name:
        bench = _Bench(Path(name), interpreter)
        with server.serve(bench.updates.parent) as access:
            bench.flash(access)
            return _uploads(bench) + _downloads(bench)


def _uploads(bench):
    kinds = (
        [[_SMALL_BYTES]] * _ALONE_COUNT,
        [[_SMALL_BYTES] * _SERIES] * _SERIES_COUNT,
        [[_LARGE_BYTES + 8 * number] for number in range(_LARGE_COUNT)],
        [[_LARGE_BYTES]] * (1 + _LARGE_COUNT),
        [[]] * _IDLE_COUNT,
    )
    costs = iter(bench.boot([sizes for steps in kinds for sizes in steps])[1:])
    alone, series, large, same, idle = [[next(costs) for _ in steps] for steps in kinds]
    usual = min(cost["erases"] for cost in alone)
    alone = _whole_periods(alone, usual)
    compaction = sum(cost["erases"] for cost in alone) / len(alone) - usual
    return [
        _row("a small file up, alone", alone, len(alone)),
        Row("  of that, compaction of the ledger", compaction, compaction),
        _row(f"a small file up, in a series of {_SERIES}", series, len(series) * _SERIES),
        _row(f"a file of {_LARGE_BYTES} bytes up", large, len(large)),
        _row("  the same, in the place of one of that size", same[1:], _LARGE_COUNT),
        _row("an idle cycle", idle, len(idle)),
    ]


def _whole_periods(costs, usual):
    """The cycles behind the first compaction, up to the last one."""
    dear = [number for number, cost in enumerate(costs) if cost["erases"] > usual]
    if len(dear) < 2:
        raise RuntimeError(f"{len(costs)} files saw {len(dear)} compactions of the ledger: the measurement needs two")
    return costs[dear[0] + 1 : dear[-1] + 1]


def _downloads(bench):
    rows = []
    shutil.rmtree(bench.root / "usr" / "data")  # it takes the room
    base = bench.boot([])
    rows.append(_row("a boot with nothing to do", base, 1))
    for what, size, count in (
        ("a small file down", _SMALL_BYTES, _DOWN_COUNT),
        (f"a file of {_LARGE_BYTES // 5} bytes down", _LARGE_BYTES // 5, 1),
    ):
        for path in list(bench.updates.iterdir()):  # of the row before: they take the room
            (bench.root / "usr" / path.name).unlink()
            path.unlink()
        for number in range(count):
            (bench.updates / f"{size}-{number}").write_bytes(bytes([number]) * size)
        cost = bench.boot([])[0]
        if bench.fetched_count != count:
            raise RuntimeError(
                f"{bench.fetched_count} of {count} files were fetched: there is no room for the measurement"
            )
        rows.append(
            Row(
                what,
                (cost["erases"] - base[0]["erases"]) / count,
                (cost["programs"] - base[0]["programs"]) / count,
            )
        )
    return rows


def _row(what, costs, count):
    return Row(what, sum(cost["erases"] for cost in costs) / count, sum(cost["programs"] for cost in costs) / count)


def years(rows, files_per_day, endurance):
    """How long the flash lasts where littlefs spreads the erases evenly over it."""
    by_name = {row.what: row.erases for row in rows}
    alone, idle = by_name["a small file up, alone"], by_name["an idle cycle"]
    per_day = files_per_day * alone + CYCLES_PER_DAY * idle
    return USABLE_BLOCKS * endurance / per_day / 365 if per_day else float("inf")


def readme_part(rows):
    """The table and the formula for README.md, with the command's own defaults."""
    lines = ["| what | block erases |", "|---|---|"]
    lines += [f"| {row.what.strip()} | {row.erases:.2f} |" for row in rows]
    life = years(rows, FILES_PER_DAY, ENDURANCE)
    return "\n".join([*lines, "", f"{summary(life, FILES_PER_DAY, ENDURANCE)}."])


def summary(life, files_per_day, endurance):
    """The years in one sentence, with the formula."""
    formula = FORMULA.format(blocks=USABLE_BLOCKS)
    return f"{life:.1f} years with {files_per_day} small files a day and {endurance} erases per block: `{formula}`"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--files-per-day", type=click.IntRange(min=1), default=FILES_PER_DAY, show_default=True, metavar="N")
@click.option(
    "--endurance",
    type=click.IntRange(min=1),
    default=ENDURANCE,
    show_default=True,
    metavar="N",
    help="Erases that a block takes.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--readme", "is_for_readme", is_flag=True, help="Write the table into README.md.")
def wear(files_per_day, endurance, json_file, is_for_readme):
    """Measure what Ferry costs a flash of 384k with littlefs 1, and how many years that leaves it."""
    interpreter = child.find_interpreter(None, "768k")  # the flash is simulated in it too
    if not interpreter.heap:
        raise click.UsageError(f"needs a real MicroPython: {interpreter.name} has no littlefs")
    rows = measure(interpreter)
    life = years(rows, files_per_day, endurance)
    console = Console(highlight=False)
    if console.is_terminal:
        table = Table("what", "block erases", "programs", title=f"384k, littlefs 1, {interpreter.name}")
        for row in rows:
            table.add_row(row.what, f"{row.erases:.2f}", f"{row.programs:.2f}")
        console.print(table)
    else:
        for row in rows:
            click.echo(f"{row.erases:.2f}\t{row.programs:.2f}\t{row.what}")  # rich makes spaces of tabs
    console.print(summary(life, files_per_day, endurance).replace("`", ""), soft_wrap=True)
    if is_for_readme:
        text = readme.README.read_text(encoding="utf-8")
        readme.README.write_text(readme.put(text, *readme.WEAR, readme_part(rows)), encoding="utf-8")
    if json_file:
        result = {"rows": [vars(row) for row in rows], "years": life, "files_per_day": files_per_day}
        json_file.write_text(json.dumps(dict(result, endurance=endurance), indent=2) + "\n", encoding="utf-8")
