# `python -m tools week`: some days in the life of a module in the field, in virtual time: a slow link, outages, power cuts, a
# small flash with a real file system, an application that measures. The driver and the verdict are those of `tools soak`.
import contextlib
import json
import random
import tempfile
import time
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from tools import wear
from tools.sim import child, faults, flash, settings
from tools.sim.life import Life
from tools.sim.links import LINKS
from tools.soak import verdict
from tools.soak.bench import RULES, Bench, BenchError
from tools.soak.show import Progress, conclude, listed
from tools.soak.site import Site

from app.budget import Budget  # isort: skip  (needs the module's names, which settings installs)

HEAP = "512k"
FLASH_BYTES = 512 * 1024  # Ferry, an application and its files
BLOCKS = FLASH_BYTES // flash.BLOCK_BYTES - 1
DAY_MS = 86_400_000
FILE_EVERY_S = 600
REST_CYCLES = 6  # behind the last day, without faults: time to get in step
CUT_SHARE, CHANGE_SHARE, UPDATE_BYTES = 0.03, 0.02, 3000
CUT_CHANGES = (20, 4000)  # programs and erases from a start to the next power cut: some two a day
CONFIG = {
    "upload": RULES,
    "download": {"from": "updates", "to": "/usr/in"},
    "log": {"level": "warning"},
    "schedule": {},
    "retry": {},
}
# Of one day: (how often at the most, spec); t is when it begins, e when it ends.
_OUTAGES = (
    (2, "no-data-call@{t}-{e}s", 3600),
    (1, "searching@{t}-{e}s", 7200),
    (1, "silence@{t}-{e}s", 1800),
    (1, "server-down@{t}-{e}s", 10_800),
    (2, "ip-change@{t}-{e}s", 30),
    (1, "power-cut@{t}-{e}s", 3600),
    (1, "hang@400s@{t}-{e}s", 3600),
)

_EXAMPLES = """
\b
Examples:
  python -m tools week
      seven days on NB-IoT; takes a minute or two
  python -m tools week --days 1 --link cat1 --seed 3
      one day on a faster link, with other outages
  python -m tools week --json week.json
      the numbers of every day, for a program

Exit status: 0 every file is there once and byte-identical and nothing was moved twice, 1 something is not so, 2 wrong usage.
"""

# head, value, and by what it is divided for the eye
_COLUMNS = (
    ("cycles", "cycles", 1),
    ("good", "good", 1),
    ("up", "up_files", 1),
    ("kB", "up_bytes", 1000),
    ("down", "down_files", 1),
    ("kB", "down_bytes", 1000),
    ("air kB", "air_bytes", 1000),
    ("busy min", "busy_min", 1),
    ("restarts", "restarts", 1),
    ("erases", "erases", 1),
)
_SUMS = ("cycles", "good", "up_files", "up_bytes", "down_files", "down_bytes", "busy_ms", "erases")
_TRAFFIC = ("sent_bytes", "received_bytes", "connections", "round_trips")


@click.command(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--link", type=click.Choice(LINKS), default="nbiot", show_default=True, help="Round trip and rate.")
@click.option("--days", type=click.IntRange(1, 366), default=7, show_default=True, metavar="N")
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="For outages, power cuts and files.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def week(link, days, seed, json_file):
    """Live through some days with a module in the field: what goes over the air, what restarts it, what it costs the flash.

    The schedule is the default one. An application makes a file or a line of a log in every ten minutes; outages and power
    cuts come at random, the latter in the middle of a write to the flash, one of 512k with littlefs 1.

    Air: with what TCP and IP add, as the module's own data budget estimates it. Busy: in cycles, radio on. Erases: by cycles.
    """
    console = Console(highlight=False)
    start_s = time.monotonic()
    try:
        with contextlib.ExitStack() as stack:
            bench = _bench(stack, link, days, seed)
            calendar = _Calendar(bench, days)
            with Progress(console, days, "days") as progress:
                calendar.live(progress)
            bench.dump()
            found = verdict.held(bench) + verdict.problems(bench)
            result = _result(bench, calendar, link, seed, time.monotonic() - start_s, found)
    except settings.SettingsError as error:
        raise click.UsageError(str(error)) from error
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    _show(console, result)
    if json_file:
        json_file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    raise SystemExit(1 if found else 0)


def _bench(stack, link, days, seed):
    noise = random.Random(seed)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ferry-server-")))
    cuts = tuple(flash.Cut(noise.randint(*CUT_CHANGES), noise.random() < 0.5) for _ in range(20 * days))
    image_folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ferry-flash-")))
    image = flash.Flash(child.find_interpreter(None, HEAP).path, image_folder / "lfs1", "lfs1", FLASH_BYTES, cuts)
    life = Life(LINKS[link], [fault for day in range(days) for fault in _outages(noise, day)])
    application = {"seed": seed, "per_cycle": 0, "every_s": FILE_EVERY_S, "slots": 2, "most_bytes": 600}
    application.update(quiet_cycle=1 << 30, quiet_ms=days * DAY_MS, rest_cycles=REST_CYCLES)
    site = Site(folder, seed, CUT_SHARE, CHANGE_SHARE, UPDATE_BYTES)
    return Bench(stack, HEAP, seed, site, life, CONFIG, application, image)


def _outages(noise, day):
    found = []
    for most, spec, longest_s in _OUTAGES:
        for _ in range(noise.randint(0, most)):
            start_s = day * DAY_MS / 1000 + noise.uniform(0, DAY_MS / 1000 - longest_s)
            text = spec.format(t=f"{start_s:.0f}", e=f"{start_s + noise.uniform(5, longest_s):.0f}")
            found += faults.parse(text)
    return found


class _Calendar:
    """The days of a bench, and what was counted in each."""

    def __init__(self, bench, days):
        self._bench = bench
        self._days = days
        self.rows = []
        self._before = _snapshot(bench)

    def live(self, progress):
        def on_cycle():
            progress.at(min(self._bench.now_ms / DAY_MS, self._days), self._bench.tally)
            if len(self.rows) < self._days - 1 and self._bench.now_ms >= (len(self.rows) + 1) * DAY_MS:
                self._close_day()
            self._bench.site.is_quiet = self._bench.now_ms >= self._days * DAY_MS

        while self._bench.boot(0, on_cycle):
            pass
        self._close_day()

    def _close_day(self):
        now = _snapshot(self._bench)
        self.rows.append(_row(str(len(self.rows) + 1), {name: now[name] - self._before[name] for name in now}))
        self._before = now

    def total(self):
        return _row("all", _snapshot(self._bench))


def _snapshot(bench):
    counts = {name: getattr(bench.tally, name) for name in _SUMS + _TRAFFIC}
    return dict(counts, restarts=sum(bench.tally.restarts.values()))


class _Counts:
    """What the data budget counts from."""

    def __init__(self, counts):
        self.sent_bytes, self.received_bytes, self.connections, self.round_trips = (counts[name] for name in _TRAFFIC)


def _row(day, counts):
    """A day; the bytes on the air as the module's own data budget estimates them."""
    budget = Budget(0, 0, False)
    budget.begin(_Counts(counts), None, 0)
    return dict(counts, day=day, air_bytes=budget.now(), busy_min=counts["busy_ms"] // 60_000)


def _result(bench, calendar, link, seed, took_s, found):
    erases = sum(bench.wear)
    days = len(calendar.rows)
    return {
        "interpreter": bench.interpreter.name,
        "link": link,
        "seed": seed,
        "days": calendar.rows,
        "all": calendar.total(),
        "failed": bench.tally.failed,
        "restarts": bench.tally.restarts,
        "rungs": bench.tally.rungs,
        "faults": bench.tally.faults,
        "cuts": bench.site.cuts,
        "made": sum(map(len, bench.made.values())),
        "temp_names_left": verdict.leftovers(bench),
        "memory_most_bytes": max((used for boot in bench.memory for _, used in boot), default=0),
        "erases_with_application": erases,
        "erases_of_the_busiest_block": max(bench.wear),
        "years": _years(bench.tally.erases / days),
        "years_with_application": _years(erases / days),
        "took_s": took_s,
        "problems": found,
    }


def _years(erases_per_day):
    """README.md's formula."""
    return BLOCKS * wear.ENDURANCE / erases_per_day / 365


def _show(console, result):
    days = [*result["days"], result["all"]]
    rows = [[row["day"], *(f"{round(row[key] / by):,}" for _, key, by in _COLUMNS)] for row in days]
    heads = ["day", *(head for head, _, _ in _COLUMNS)]
    if console.is_terminal:
        table = Table(
            title=f"{result['link']}, {result['interpreter']}, seed {result['seed']}",
            box=box.SIMPLE,
            pad_edge=False,
            collapse_padding=True,
        )
        for head in heads:
            table.add_column(head, justify="right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    else:
        for row in [heads, *rows]:
            click.echo("\t".join(row))  # rich makes spaces of tabs
    lines = [
        *listed("restart", result["restarts"]),
        *listed("rung of the ladder", result["rungs"]),
        *listed("failed", result["failed"]),
        ("files made", f"{result['made']:,}"),
        ("temp names left", str(result["temp_names_left"])),
        ("flash", f"{result['all']['erases']:,} block erases by Ferry's cycles: {result['years']:.1f} years"),
        (
            "flash",
            f"{result['erases_with_application']:,} with the application's own and the boots: "
            f"{result['years_with_application']:.1f} years",
        ),
        (
            "years",
            f"{wear.ENDURANCE} erases per block, spread over {BLOCKS}; {result['erases_of_the_busiest_block']} erases of "
            "the busiest one",
        ),
        ("memory", f"{result['memory_most_bytes']:,} bytes at the most"),
        ("took", f"{result['took_s']:.0f} s"),
    ]
    conclude(console, lines, result["problems"])
