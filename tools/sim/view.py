# What a person sees while it runs: a live screen on a terminal, plain lines anywhere else; and the table at the end.
from collections import deque

import click
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from tools.sim import check

_TAIL_LINES = 10
_ARROWS = {"up": "module -> server", "down": "server -> module"}


class PlainView:
    """The module's own log, line by line."""

    def __init__(self, console):
        self._console = console

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def say(self, line):
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def log(self, line):
        self.say(line)

    def event(self, event, record):
        """Nothing: what happened is in the module's log as well."""


class LiveView:
    """State, the file under way, counts, the last error and the end of the log. Names are never read as markup."""

    def __init__(self, console, title):
        self._title = title
        self._state = "starting"
        self._error = ""
        self._counts = ""
        self._tail = deque(maxlen=_TAIL_LINES)
        self._progress = Progress(TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
        self._task = None
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=8)

    def __enter__(self):
        self._live.start()
        return self

    def __exit__(self, *_):
        self._live.stop()

    def say(self, line):
        self._live.console.print(line, markup=False, highlight=False)

    def log(self, line):
        self._tail.append(line)

    def event(self, event, record):
        match event.kind, event.data:
            case "state", [_, _, new]:
                self._state = new
            case "file", [direction, path, size]:
                self._drop_task()
                self._task = self._progress.add_task(f"{_ARROWS.get(direction, direction)}  {path[-50:]}", total=size)
            case "progress", [done] if self._task is not None:
                self._progress.update(self._task, completed=done)
            case (("up" | "down" | "skip" | "cycle"), _):
                self._drop_task()
            case "error", [name, step, _, text, advice]:
                self._error = f"{name} in {step}: {text} ({advice})"
        self._counts = (
            f"cycles {len(record.cycles)}   up {len(record.all('up'))}   down {len(record.all('down'))}   "
            f"skipped {len(record.all('skipped'))}   errors {len(record.all('errors'))}"
        )

    def _drop_task(self):
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None

    def _draw(self):
        lines = [Text(f"{self._state}   {self._counts}"), self._progress]
        if self._error:
            lines.append(Text(self._error, style="red"))
        lines += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self._tail]
        return Panel(Group(*lines), title=Text(self._title), title_align="left")


def show_result(console, rows, trouble):
    """The table of what is where. On a terminal a table, else one line per file, tab-separated."""
    if trouble:
        console.print(Text(trouble, style="red"), soft_wrap=True)
    if not rows:
        return
    if not console.is_terminal:
        for row in rows:
            fields = (row.state, str(row.bytes), _route(row), row.reason)
            click.echo("\t".join(field for field in fields if field))  # rich makes spaces of tabs
        return
    table = Table("state", "bytes", "from -> to", title="checked byte for byte", title_justify="left")
    table.columns[1].justify = "right"
    table.columns[2].overflow = "fold"
    for row in rows:
        route = Text(_route(row))
        if row.reason:
            route.append(f"\n{row.reason}", style="dim")
        table.add_row(Text(row.state, style="green" if row.state in check.GOOD else "red"), f"{row.bytes:,}", route)
    console.print(table)


def _route(row):
    if not row.remote:
        return row.local
    ends = (row.local, row.remote) if row.direction == "up" else (row.remote, row.local)
    return " -> ".join(ends)
