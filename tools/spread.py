# `python -m tools spread`: when the modules of a fleet come to the server, if all of them get power at one moment. Computed with
# the device's own code (app/pace.py); no module and no server is needed.
import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tools.sim.settings import ROWS

from app.pace import Backoff, first_ms, next_ms  # isort: skip  (needs the module's names, which settings installs)

CYCLES = 3  # that are looked at before the outage
OUTAGE_S = 3600
_TYPE_CODE = 86123405  # first digits of an IMEI: the model
_BARS = " ▁▂▃▄▅▆▇█"
_SLOTS = 30  # of a histogram


@dataclass(frozen=True)
class Settings:
    every_s: int
    first_s: int
    jitter_s: int
    base_s: int = ROWS["retry.base_s"][2]
    cap_s: int = ROWS["retry.cap_s"][2]


@dataclass
class Wave:
    """One arrival of each module; times in ms since the power came, of the last one since the server was back."""

    what: str
    times_ms: list

    def per_second(self):
        """{second: arrivals}, without the empty ones."""
        return Counter(ms // 1000 for ms in self.times_ms)

    def most(self):
        return max(self.per_second().values())

    def length_s(self):
        """From the first second with an arrival to the last one."""
        seconds = self.per_second()
        return max(seconds) - min(seconds) + 1

    def mean(self):
        """Arrivals in a second of the time in which they come."""
        return len(self.times_ms) / self.length_s()

    def histogram(self, slots=_SLOTS):
        """[(second in which the slot begins, arrivals)]"""
        start, length = min(self.per_second()), self.length_s()
        slots = min(slots, length)
        counts = Counter((ms // 1000 - start) * slots // length for ms in self.times_ms)
        return [(start - -slot * length // slots, counts[slot]) for slot in range(slots)]


def imeis(count):
    """As operators buy modules: one model, serial numbers in a row, the check digit behind them."""
    return [f"{body}{_check_digit(body)}" for body in (f"{_TYPE_CODE}{number:06}" for number in range(1, count + 1))]


def _check_digit(body):
    """Luhn's."""
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in body[1::2]]
    return -(sum(doubled) + sum(map(int, body[::2]))) % 10


@dataclass
class Life:
    """What one module does: its cycles before the outage and its tries during it, in ms since the power came; when it first reaches
    the server again, in ms since the outage ended, and the Backoff with which it comes."""

    name: str
    cycles_ms: list
    tries_ms: list
    return_ms: int
    backoff: Backoff


def lives(names, settings, randint):
    """Yields the Life of each module: power for all at one moment, CYCLES cycles, then an hour without a server."""
    outage_ms = 1000 * ((CYCLES + 1) * settings.every_s + settings.first_s + settings.jitter_s)
    end_ms = outage_ms + 1000 * OUTAGE_S
    for name in names:
        now, cycles_ms, tries_ms = first_ms(name, settings.first_s), [], []
        for _ in range(CYCLES):
            cycles_ms.append(now)
            now = _next(name, settings, now, randint)
        while now < outage_ms:
            now = _next(name, settings, now, randint)
        backoff = backoff_of(settings, randint)
        while now < end_ms:
            tries_ms.append(now)
            now += backoff.next_ms()
        yield Life(name, cycles_ms, tries_ms, now - end_ms, backoff)


def waves(names, settings, randint):
    """-> [Wave]: the first cycles, and the first good one behind an outage of an hour that began after them."""
    found = [Wave(f"cycle {number + 1}", []) for number in range(CYCLES)]
    back = Wave("after an outage", [])
    for life in lives(names, settings, randint):
        for wave, ms in zip(found, life.cycles_ms, strict=True):
            wave.times_ms.append(ms)
        back.times_ms.append(life.return_ms)
    return [*found, back]


def backoff_of(settings, randint):
    """The pauses of a module that has not failed yet."""
    return Backoff(1000 * settings.base_s, 1000 * settings.cap_s, randint)


def _next(name, settings, now, randint):
    return now + next_ms(name, settings.every_s, now) + randint(0, 1000 * settings.jitter_s)


_EXAMPLES = """
\b
Examples:
  python -m tools spread
      10,000 modules with the default schedule
  python -m tools spread --modules 100000 --every 3600 --first 600
      ten times as many, one cycle an hour, ten minutes for the first one
  python -m tools spread --first 1
      what a server sees that no time was left for the first cycle
  python -m tools spread --json spread.json
      the arrivals of every second, for a program

Without a terminal: a line for each wave, then a line for each slot of the histograms, tab-separated.
"""


def schedule_options(command):
    """--every, --first and --jitter, for a click command: the schedule of all modules of a fleet."""
    for name, key in (("--jitter", "schedule.jitter_s"), ("--first", "schedule.first_s"), ("--every", "schedule.every_s")):
        _, _, default, limits = ROWS[key][:4]
        text = f"{key} of all of them."
        command = click.option(
            name, type=click.IntRange(*limits), default=default, show_default=True, metavar="S", help=text
        )(command)
    return command


@click.command(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--modules", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, metavar="N")
@schedule_options
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="For the jitter and the back-off.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the arrivals of every second.",
)
def spread(modules, every, first, jitter, seed, json_file):
    """Show how a fleet that gets power at one moment spreads over time, so that its server is not run over.

    Every module has its own moment, made of its IMEI: of the first cycle within --first, of the others within --every; some
    jitter comes on top. Behind an outage of the server it is the random pauses between the tries that spread the fleet.
    """
    found = waves(imeis(modules), Settings(every, first, jitter), random.Random(seed).randint)
    console = Console(highlight=False)
    if console.is_terminal:
        _draw(console, found, modules)
    else:
        for wave in found:
            click.echo(
                f"{wave.what}\tover {wave.length_s()} s\tmean {wave.mean():.1f}/s\tmost {wave.most()}/s"
            )  # rich makes spaces of tabs
        for wave in found:
            for second, count in wave.histogram():
                click.echo(f"{wave.what}\t{second} s\t{count}")
    if json_file:
        json_file.write_text(json.dumps([_as_dict(wave) for wave in found], indent=2) + "\n", encoding="utf-8")


def _as_dict(wave):
    return {
        "what": wave.what,
        "mean_per_s": wave.mean(),
        "most_per_s": wave.most(),
        "arrivals": sorted(wave.per_second().items()),
    }


def _draw(console, found, modules):
    table = Table(
        "", "over", "mean /s", "most /s", "arrivals over time", title=f"{modules:,} modules, power at one moment"
    )
    for wave in found:
        counts = [count for _, count in wave.histogram()]
        bars = "".join(_BARS[-(-count * (len(_BARS) - 1) // max(counts))] for count in counts)
        table.add_row(wave.what, f"{wave.length_s()} s", f"{wave.mean():.1f}", str(wave.most()), bars)
    console.print(table)
