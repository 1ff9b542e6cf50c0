# `python -m tools dashboard`: options in, exit status out.
import contextlib
import json
import os
import re
import signal
import sqlite3
import tempfile
import threading
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from tools.dashboard import serve, view
from tools.dashboard.fleet import Limits
from tools.dashboard.history import KEPT, History
from tools.dashboard.source import open_source
from tools.dashboard.watch import Watch
from tools.sim.settings import ROWS, SettingsError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_OVERDUE_S = ROWS["status.every"][2] * (ROWS["schedule.every_s"][2] + ROWS["schedule.jitter_s"][2])
_LOW_BLOCKS = 2 * ROWS["storage.reserve_blocks"][2]

_EXAMPLES = """
\b
Examples:
  python -m tools dashboard --from /srv/ftp/status
      on the server itself; open the address that it prints
  python -m tools dashboard --from ftps://me:secret@ftp.example.com/status --updates ftps://me:secret@ftp.example.com/updates
      from anywhere; says also who lacks the update that was published last
  python -m tools dashboard --from ./status --out report.html
      the same as one file, to be mailed or kept; by cron, say
  python -m tools dashboard --from ./status --json | jq -r '.modules[] | select(.state == "overdue") | .device'
      for programs

The modules send a status when status.to is set, to one folder for all, such as "status/{device}.json" (README, "What a module
tells").
A module is overdue when its last status is older than --overdue. Without another word that is what the default settings come to:
status.every cycles of schedule.every_s and schedule.jitter_s. The older of two times counts: that in the status, and that of the
file on the server; a module whose clock is not set has only the second.

Certificates of ftps:// are checked; name your own authority in SSL_CERT_FILE.

Exit status: 0 the fleet was read, 1 it was not, 2 wrong usage.
"""


class _Span(click.ParamType):
    name = "span"

    def convert(self, value, param, ctx):
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([smhd])", value, re.ASCII)
        if not found or float(found[1]) * _UNITS_S[found[2]] < 1:
            self.fail(f"{value!r} is no span; write a number and s, m, h or d, such as 26h", param, ctx)
        return round(float(found[1]) * _UNITS_S[found[2]])


@click.command(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--from",
    "source",
    required=True,
    metavar="URL|DIR",
    help="Folder with the status files, or ftp(s)://user:password@host:port/path.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the page as one file and end, in place of serving it.",
)
@click.option("--json", "is_json", is_flag=True, help="Print the same rows for programs and end.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    metavar="N",
    help="TCP port where the page is served; 0 takes a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address where it listens. There is no password: on another one than loopback anybody who gets there can read it.",
)
@click.option(
    "--every",
    type=_Span(),
    default=60,
    show_default="1m",
    metavar="SPAN",
    help="Look at the status files again after so long.",
)
@click.option(
    "--overdue",
    type=_Span(),
    default=_OVERDUE_S,
    show_default=f"{_OVERDUE_S / 3600:g}h",
    metavar="SPAN",
    help="A module may be silent for so long, such as 26h.",
)
@click.option(
    "--low-flash",
    type=click.IntRange(min=0),
    default=_LOW_BLOCKS,
    show_default=True,
    metavar="BLOCKS",
    help="Fewer free blocks of 4 KiB are told.",
)
@click.option(
    "--day-bytes",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="More bytes on the air in a day are told. Default: where a module says that budget.day_bytes are used up.",
)
@click.option(
    "--updates",
    metavar="URL|DIR",
    help="Folder of `tools publish`: who lacks what its manifest names is behind. Default: who has less than others have.",
)
@click.option(
    "--history",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help=f"Where the last {KEPT} statuses of each module are kept (SQLite). Default: dashboard.sqlite3 in {click.get_app_dir('ferry')}.",
)
def dashboard(source, out, is_json, port, host, every, overdue, low_flash, day_bytes, updates, history):
    """Who of the fleet is overdue, failing, low on flash, over budget, behind on updates: one page, from the status files of the modules.

    Serves the page until Ctrl-C and looks again every minute. A file that cannot be read is in the list, with the reason.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` ends it as cleanly as Ctrl-C does
    if out and is_json:
        raise click.UsageError("--out and --json exclude each other; call it twice")
    limits = Limits(overdue, low_flash, day_bytes)
    console = Console(highlight=False, stderr=True)
    try:
        opened = open_source(source)
        with contextlib.ExitStack() as stack:
            store, kept = _history(stack, history, opened)
            if kept.startswith("not"):
                _say(console, f"history: {kept}")
            watch = Watch(opened, store, updates, limits)
            if out or is_json:
                _once(console, watch, opened, view.FleetPage(opened, limits, kept), out)
            else:
                _serve(console, watch, view.FleetPage(opened, limits, kept, every), host, port, every)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _history(stack, path, source):
    """-> (History or None, what is said of it). A store that does not work takes the past away, and nothing else."""
    path = path or Path(click.get_app_dir("ferry")) / "dashboard.sqlite3"
    try:
        store = History(path, str(source))
    except (sqlite3.Error, OSError) as error:
        return None, f"not kept: {path}: {error}"
    stack.callback(store.close)
    return store, f"the last {KEPT} statuses of each module that were seen"


def _look(console, look):
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        found = look(lambda done, count: bar.update(task, completed=done, total=count))
    for line in found.trouble:
        _say(console, line)
    return found


def _once(console, watch, source, page, out):
    look = _look(console, watch.look)
    if look.read_at is None:
        raise click.ClickException("the status files could not be read; the reason is above")
    if out is None:
        click.echo(json.dumps(view.as_json(look, source), indent=2, ensure_ascii=False))
        return
    text = page.render(look, view.details(watch))
    try:
        _replace(out, text)
    except OSError as error:
        raise click.ClickException(f"cannot write {out}: {error.strerror}; name another place with --out") from error
    _say(console, f"{out}: {summary(look)}")


def _tell_new(console, old, new):
    """Only what is new: a server that is down all night is said once."""
    for line in new.trouble:
        if line not in old.trouble:
            _say(console, line)


def _replace(path, text):
    """Whoever opens it meanwhile sees the old report or the new one."""
    handle, temp = tempfile.mkstemp(dir=path.resolve().parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with open(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(temp, 0o644)
        os.replace(temp, path)
    except BaseException:
        os.unlink(temp)
        raise


def _serve(console, watch, page, host, port, every):
    site = serve.Site(watch, page, host)
    look = _look(console, site.look)
    if look.read_at is None:
        raise click.ClickException("the status files could not be read; the reason is above")
    try:
        with serve.serving(site, host, port) as taken:
            shown = f"[{host}]" if ":" in host else host
            click.echo(f"http://{shown}:{taken}/  {summary(look)}; Ctrl-C ends it")
            with contextlib.suppress(KeyboardInterrupt):  # the way to end it
                while not threading.Event().wait(every):
                    _tell_new(console, look, site.look())
                    look = site.watch.last
    except OSError as error:
        advice = "name another one with --port, or 0 for a free one" if port else "look at --host"
        raise click.ClickException(
            f"cannot listen on {host}, TCP port {port}: {error.strerror or error}; {advice}"
        ) from error


def summary(look):
    """One line."""
    count = len(look.fleet.rows)
    return f"{count} module{'' if count == 1 else 's'}, {count - look.fleet.ok_count} in trouble"


def _say(console, text):
    console.print(text, markup=False, soft_wrap=True)
