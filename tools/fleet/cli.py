# `python -m tools fleet`: options in, exit status out. What it does is in the modules beside it.
import asyncio
import contextlib
import dataclasses
import ftplib
import json
import random
import signal
import time
from pathlib import Path

import click
import psutil
from rich import progress
from rich.console import Console

from tools import spread
from tools.fleet import crowd, modules, result, script, server, show
from tools.sim import child, settings
from tools.sim.links import LINKS

MOST_REAL = 50  # more devices than this are modelled, unless --real says otherwise
_REAL_CYCLES = 5  # of each module, behind its first one
_POWER, _STEADY, _BACK = "power at once", "ordinary day", "server back"

_EXAMPLES = """
\b
Examples:
  python -m tools fleet
      20 real modules, two at a time, against an embedded server
  python -m tools fleet --devices 10000 --daemon vsftpd
      the model: what 10,000 do to a vsftpd when they get power, day by day, and when it is back after an hour
  python -m tools fleet --devices 10000 --link nbiot --out fleet.svg
      over a slow link, where sessions are open for long; with a picture
  python -m tools fleet --devices 40 --daemon proftpd --tls explicit --upload 2000
      what TLS costs, and a file of 2,000 bytes in each cycle
  python -m tools fleet --devices 500 --server ftp://me:secret@192.0.2.7/test --json fleet.json
      your own server; for its CPU time run this on its machine, with --pid
\b
Exit status: 0 all sessions were good, 1 some failed, 2 wrong usage.
"""


@click.command(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--devices", type=click.IntRange(1, 100_000), default=20, show_default=True, metavar="N", help="Modules.")
@click.option(
    "--real/--model",
    "is_real",
    default=None,
    help=f"Real MicroPython processes, or a model of what they say. Default: real up to {MOST_REAL} devices.",
)
@click.option(
    "--at-once", type=click.IntRange(1, 256), metavar="N", help="Real modules that run at a time. Default: two."
)
@click.option(
    "--daemon",
    type=click.Choice(server.DAEMONS),
    help="The server, on loopback, as the tests run it. Default: pyftpdlib.",
)
@click.option(
    "--server", "url", metavar="URL", help="ftp://user:password@host:port/path of your own server. Files stay there."
)
@click.option(
    "--pid", type=click.IntRange(1), metavar="PID", help="With --server: its process on this machine, for its CPU time."
)
@click.option(
    "--tls",
    type=click.Choice(("off", "explicit", "control-only")),
    default="off",
    show_default=True,
    help="Only real modules speak it.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings of the modules. Default: config.json.",
)
@click.option(
    "--upload",
    "upload_bytes",
    type=click.IntRange(0, 10_000_000),
    default=0,
    show_default=True,
    metavar="BYTES",
    help="A new file of this size in each cycle; 0: nothing to do.",
)
@click.option(
    "--link",
    type=click.Choice(LINKS),
    default="cat1",
    show_default=True,
    help="Round trip and rate of the modules' links.",
)
@spread.schedule_options
@click.option(
    "--seconds",
    type=click.IntRange(1, 3600),
    default=60,
    show_default=True,
    metavar="S",
    help="The model: how much of each wave is played, in real time.",
)
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="For jitter, back-off and the links.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg", help="Draw it.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="All numbers, for a program.",
)
def fleet(
    devices,
    is_real,
    at_once,
    daemon,
    url,
    pid,
    tls,
    config_file,
    upload_bytes,
    link,
    every,
    first,
    jitter,
    seconds,
    seed,
    out,
    json_file,
):
    """Show what a fleet does to its server, and how many modules that server carries.

    Few modules are real ones: MicroPython processes with Ferry's code, some at a time. Many are a model: a cycle of a real
    module is recorded, and one client repeats it byte by byte over real sockets, once for each module, at the moments that the
    module's own code chooses (`tools spread`). What fails comes again after the module's own pauses.

    Three waves are played: all get power at one moment; a minute of an ordinary day; the server is back after an hour in which
    nobody reached it. The client shares the machine with the server: the CPU time of a session is the server's alone, but where
    the column "busy" nears 100 % the times are those of this machine.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` ends it as cleanly as Ctrl-C does
    _allow_many_files()
    is_real = devices <= MOST_REAL if is_real is None else is_real
    console = Console(highlight=False)
    try:
        _refuse(url, daemon, pid, tls, is_real, at_once, out)
        plan = spread.Settings(every_s=every, first_s=first, jitter_s=jitter)
        with contextlib.ExitStack() as stack:
            access, cost, name = _server(stack, daemon, url, pid, tls)
            bench = _Bench(console, access, cost, _interpreter(), _config(config_file), upload_bytes, link, seed)
            names = spread.imeis(devices)
            lives = list(spread.lives(names, plan, random.Random(seed).randint))
            if is_real:
                phases = bench.real(stack, names, at_once or 2)
            else:
                phases = bench.model(lives, plan, seconds)
            report = _report(bench, lives, plan, phases, is_real, name, tls, link)
    except settings.SettingsError as error:
        raise click.UsageError(str(error)) from error
    except (modules.ModuleError, script.ScriptError) as error:
        raise click.ClickException(str(error)) from error
    except ftplib.all_errors as error:
        raise click.ClickException(f"the server: {error}. Try it with: python -m tools sim --server URL") from error
    show.show(console, report)
    _write(report, out, json_file)
    raise SystemExit(1 if any(phase.failures for phase in phases) else 0)


def _refuse(url, daemon, pid, tls, is_real, at_once, out):
    """What does not go together."""
    if url and daemon:
        raise settings.SettingsError("--daemon and --server are two servers; name one")
    if pid and not url:
        raise settings.SettingsError("--pid is for --server; of a --daemon it is known")
    if tls != "off" and not is_real:
        raise settings.SettingsError(
            f"the model speaks no TLS; measure what TLS costs the server with real modules: --tls {tls} --devices {MOST_REAL} or --real"
        )
    if at_once and not is_real:
        raise settings.SettingsError("--at-once is for real modules; those of the model come when their schedule says")
    if out and out.suffix != ".svg":
        raise settings.SettingsError(
            f"--out draws an SVG; name a file that ends in .svg, such as {out.with_suffix('.svg')}"
        )


def _interpreter():
    found = child.find_interpreter(None, modules.HEAP)
    if not found.heap:
        raise settings.SettingsError(f"needs a real MicroPython: {found.name} has no limited heap")
    return found


def _config(config_file):
    return settings.load_config(config_file) if config_file else settings.own_config()


def _server(stack, daemon, url, pid, tls):
    """-> (Server, Cost or None, what a person calls it)"""
    if url:
        access = dataclasses.replace(settings.parse_server(url), tls=tls)
        cost = server.Cost(pid) if pid else None
        if tls == "off":
            with server.session(access):
                pass  # who cannot log in at all is told at once
        return access, cost, str(access)
    access, pid = stack.enter_context(server.daemon(daemon or "pyftpdlib", tls))
    return access, server.Cost(pid), f"{daemon or 'pyftpdlib'} on loopback"


class _Bench:
    """A server, and what is needed to let modules loose on it."""

    def __init__(self, console, access, cost, interpreter, config, upload_bytes, link, seed):
        self.script = None
        self._console = console
        self._access = access
        self._cost = cost
        self._interpreter = interpreter
        self._config = config
        self._upload_bytes = upload_bytes
        self._link = link
        self._seed = seed

    def real(self, stack, names, at_once):
        """-> [Phase]: the first cycle of each, then the others."""
        config = modules.configured(self._config, self._access, self._upload_bytes)
        make = lambda name: modules.Module(  # noqa: E731
            stack, self._interpreter, name, config, self._upload_bytes, _REAL_CYCLES + 1, self._link
        )
        fleet = [make(name) for name in self._watched("modules are made", names)]
        return [
            self._real_phase("first cycle", fleet, 1, at_once),
            self._real_phase(f"{_REAL_CYCLES} more", fleet, _REAL_CYCLES, at_once),
        ]

    def _real_phase(self, what, fleet, cycles, at_once):
        with self._bar(what, len(fleet)) as advance, _Meter(self._cost) as meter:
            good, failed = modules.run_all(fleet, cycles, at_once, advance)
        sessions = good + sum(failed.values())
        return result.Phase(
            what=what,
            seconds=meter.seconds,
            planned=sessions,
            sessions=sessions,
            good=good,
            failures=dict(failed.most_common()),
            again=0,
            waiting=0,
            logins_per_s=good / meter.seconds,
            most_logins_per_s=0,
            most_open=min(at_once, len(fleet)),
            p50_s=None,
            p99_s=None,
            latest_s=0,
            cpu_ms=result.cpu_ms_of(meter.cpu_s, sessions),
            machine_pct=meter.machine_pct,
            session_kib=None,
        )

    def model(self, lives, plan, seconds):
        """-> [Phase]: the three waves."""
        recorded = lives[0].name
        with self._bar("a real cycle is recorded", 1) as advance:
            self.script = modules.record(self._interpreter, recorded, self._config, self._access, self._upload_bytes)
            advance()
        folders = [folder.replace(recorded, life.name) for folder in self.script.folders() for life in lives]
        if folders:
            server.make_folders(self._access, self._watched("folders are made", folders))
        randint = random.Random(self._seed).randint
        fresh = lambda: spread.backoff_of(plan, randint)  # noqa: E731
        second = sorted(life.cycles_ms[1] for life in lives)
        middle_ms = max(0, second[len(second) // 2] - 500 * seconds)
        waves = (
            (_POWER, [crowd.Device(life.name, life.cycles_ms[0], fresh()) for life in lives]),
            (
                _STEADY,
                [
                    crowd.Device(life.name, life.cycles_ms[1] - middle_ms, fresh())
                    for life in lives
                    if life.cycles_ms[1] >= middle_ms
                ],
            ),
            (_BACK, [crowd.Device(life.name, life.return_ms, life.backoff) for life in lives]),
        )
        return [self._wave(what, devices, recorded, seconds) for what, devices in waves]

    def _wave(self, what, devices, recorded, seconds):
        players = crowd.Crowd(self._access, self.script, recorded, LINKS[self._link], self._seed)
        kib = []

        def on_second(second):
            advance()
            if self._cost and second == seconds // 2:
                kib.append(self._cost.session_kib())

        with self._bar(what, seconds) as advance, _Meter(self._cost) as meter:
            tally = asyncio.run(players.play(devices, seconds, on_second))
        planned = sum(device.at_ms < 1000 * seconds for device in devices)
        return result.phase_of(what, seconds, planned, tally, meter.cpu_s, meter.machine_pct, kib[0] if kib else None)

    @contextlib.contextmanager
    def _bar(self, what, of):
        """-> a function to be called behind each of them. A line where there is no terminal."""
        if not self._console.is_terminal:
            click.echo(f"{what} ...", err=True)
            yield lambda: None
            return
        columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn())
        with progress.Progress(*columns, progress.TimeRemainingColumn(), console=self._console, transient=True) as bar:
            task = bar.add_task(what, total=of)
            yield lambda: bar.advance(task)

    def _watched(self, what, items):
        with self._bar(what, len(items)) as advance:
            for item in items:
                yield item
                advance()


class _Meter:
    """What happened meanwhile: `seconds`, `cpu_s` of the server (None where it is not known), `machine_pct` of all cores."""

    def __init__(self, cost):
        self._cost = cost

    def __enter__(self):
        psutil.cpu_percent()
        self._cpu_s = self._cost and self._cost.seconds()
        self._start_s = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self._start_s
        self.cpu_s = self._cost and self._cost.seconds() - self._cpu_s
        self.machine_pct = psutil.cpu_percent()


def _allow_many_files():
    """A socket is a file: as many as the system lets this process have."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _report(bench, lives, plan, phases, is_real, name, tls, link):
    tries = [ms for life in lives for ms in life.tries_ms]
    steady = phases[1]
    cpu_ms = result.mean_cpu_ms(phases[1:] if is_real else phases)  # all waves of the model say the same
    found = {
        "devices": len(lives),
        "how": "real ones, MicroPython processes"
        if is_real
        else "a model; each says what a real one said, over real sockets",
        "server": name + ("" if tls == "off" else f", TLS {tls}"),
        "link": link,
        "every_s": plan.every_s,
        "script": bench.script and _about(bench.script),
        "phases": phases,
        "waves": [],
        "outage": {
            "tries_per_s": len(tries) / spread.OUTAGE_S,
            "last_s": max(life.return_ms for life in lives) / 1000,
        },
        "steady": None,
    }
    found["outage"]["last_s"] = round(found["outage"]["last_s"])
    if cpu_ms:
        length_s = steady.p50_s
        found["steady"] = {
            "cpu_ms": cpu_ms,
            "modules_per_core": result.carries(cpu_ms, plan.every_s),
            "open_mean": length_s and result.open_sessions(len(lives), plan.every_s, length_s),
            "session_kib": steady.session_kib,
        }
    for what, wave in _computed(lives):
        found["waves"].append(
            {
                "what": what,
                "over_s": wave.length_s(),
                "most_per_s": wave.most(),
                "cores": result.cores(cpu_ms, wave.most()) if cpu_ms else None,
                "arrivals": wave.histogram(),
            }
        )
    return found


def _computed(lives):
    """[(what, spread.Wave)] of all modules, to their last one."""
    return [
        (_POWER, spread.Wave("", [life.cycles_ms[0] for life in lives])),
        (_BACK, spread.Wave("", [life.return_ms for life in lives])),
    ]


def _about(found):
    return {
        "commands": [
            line.split(b" ")[0].decode() for step in found.steps if step[0] == "send" for line in step[1].splitlines()
        ],
        "waits": found.waits(),
        "bytes_up": found.bytes_up,
        "bytes_down": found.bytes_down,
    }


def _write(report, out, json_file):
    if out:
        out.write_bytes(show.chart(report))
    if json_file:
        plain = dict(report, phases=[result.as_dict(phase) for phase in report["phases"]])
        json_file.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
