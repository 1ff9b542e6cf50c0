# `python -m tools soak`: options in, exit status out.
import contextlib
import json
import random
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from tools.sim import settings
from tools.sim.firmware import FIRMWARE
from tools.sim.life import Life
from tools.sim.links import LINKS
from tools.soak import plan, verdict
from tools.soak.bench import RULES, Bench, BenchError
from tools.soak.show import Progress, conclude, rows
from tools.soak.site import Site

HEAP = "512k"
STRETCH_CYCLES = (100, 1200)  # from one planned restart to the next
QUIET_CYCLES = 8  # at the end, without faults: time to get in step
CUT_SHARE = 0.15  # of sessions that the server's side cuts
CHANGE_SHARE = 0.2  # of sessions that find something new to fetch
UPDATE_BYTES = 30_000  # of a file to fetch, at the most
CONFIG = {
    "upload": RULES,
    "download": {"from": "updates", "to": "/usr/in"},
    "schedule": {"every_s": 10, "jitter_s": 0, "first_s": 0},
    "retry": {"base_s": 1, "cap_s": 60},
    "log": {"level": "warning"},
}

_EXAMPLES = """
\b
Examples:
  python -m tools soak
      10,000 cycles; takes some minutes
  python -m tools soak --cycles 300 --seed 7
      a short one with other faults
  python -m tools soak --faults none --json soak.json
      how it is when nothing goes wrong, for a program

Exit status: 0 every file is there once and byte-identical, nothing was moved twice, memory is flat and no socket is left
open; 1 something is not so; 2 wrong usage.
"""


@click.command(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--cycles", type=click.IntRange(min=1), default=10_000, show_default=True, metavar="N")
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="For faults and files; also chooses the firmware: even 2021, odd 2026.",
)
@click.option(
    "--faults",
    type=click.Choice(["random", "none"]),
    default="random",
    show_default=True,
    help="Faults of the link, the server, the clock, the flash and the power, and connections that the server's side "
    "cuts at random bytes.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def soak(cycles, seed, faults, json_file):
    """Run Ferry for thousands of cycles in virtual time, with an application beside it and faults all the way.

    The module's code runs on a real MicroPython with the module's memory. Between the cycles an application makes files,
    rewrites some and adds lines to a log; on the server other files change. At the end both sides must be the same.
    """
    console = Console(highlight=False)
    start_s = time.monotonic()
    try:
        with contextlib.ExitStack() as stack:
            bench = _bench(stack, cycles, seed, faults == "random")
            with Progress(console, cycles, "cycles") as progress:
                _run(bench, cycles, random.Random(seed), faults == "random", progress)
            found = verdict.held(bench) + verdict.problems(bench)
            result = _result(bench, seed, time.monotonic() - start_s, found)
    except settings.SettingsError as error:
        raise click.UsageError(str(error)) from error
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    conclude(console, rows(result), found)
    if json_file:
        json_file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    raise SystemExit(1 if found else 0)


def _bench(stack, cycles, seed, has_faults):
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ferry-server-")))
    site = Site(folder, seed, CUT_SHARE if has_faults else 0, CHANGE_SHARE, UPDATE_BYTES)
    application = {"seed": seed, "per_cycle": 2, "every_s": 0, "slots": 10, "most_bytes": 6000}
    application.update(quiet_cycle=cycles, quiet_ms=1 << 60, rest_cycles=QUIET_CYCLES)
    life = Life(LINKS["cat1"], variants=FIRMWARE[_firmware(seed)])
    return Bench(stack, HEAP, seed, site, life, CONFIG, application)


def _firmware(seed):
    """The seeds take turns."""
    return sorted(FIRMWARE)[seed % len(FIRMWARE)]


def _run(bench, cycles, noise, has_faults, progress):
    while bench.tally.cycles < cycles:
        done = bench.tally.cycles
        if has_faults:
            ahead = noise.randint(*STRETCH_CYCLES)
            bench.life.plan(plan.stretch(noise, done, bench.now_ms, ahead), bench.now_ms)
        bench.boot(cycles - done, lambda: progress.at(bench.tally.cycles, bench.tally))
    bench.site.is_quiet = True
    bench.life.plan([], bench.now_ms)
    bench.boot(QUIET_CYCLES)


def _result(bench, seed, took_s, found):
    return {
        "interpreter": bench.interpreter.name,
        "heap": bench.interpreter.heap,
        "firmware": _firmware(seed),
        "seed": seed,
        **vars(bench.tally),
        "cuts": bench.site.cuts,
        "boots": len(bench.memory),
        "memory_most_bytes": max((used for boot in bench.memory for _, used in boot), default=0),
        "memory": bench.memory,
        "memory_growth_per_cycle": verdict.growth(bench.memory),
        "temp_names_left": verdict.leftovers(bench),
        "virtual_s": bench.now_ms / 1000,
        "took_s": took_s,
        "problems": found,
    }
