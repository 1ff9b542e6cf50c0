# What a person, or a program, gets to see of flashing.
import contextlib
import json

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from tools.printable import printable

_STYLES = {"new": "green", "changed": "yellow", "goes": "red"}
_NAME_WIDTH = 26
_LABEL_WIDTH = 10
_LISTED = 10  # files; all of them with --dry-run
FILL_IN = "the module has no settings yet: python -m tools set server.host ftp.example.com, then server.user, server.password"


class TextView:
    """Colours and a bar on a terminal; in a pipe a line for each fact, tab-separated."""

    def __init__(self, console=None):
        self._console = console or Console(highlight=False)

    def port(self, name):
        self._say(f"port\t{name}")

    def module(self, about, found):
        self._say(f"module\t{about['model'] or 'not told'}, firmware {about['firmware'] or 'not told'}")
        self._say(f"python\tMicroPython {about['python']}, .mpy version {about['mpy'] & 0xFF or 'not told'}")
        kib = about["free_blocks"] * about["block_bytes"] // 1024
        self._say(f"flash\t{about['free_blocks']} of {about['block_count']} blocks free in /usr ({kib} KiB)")
        runs = "runs" if about["is_running"] else "is there; it does not run now" if found.is_ferry else "is not there yet"
        self._say(f"Ferry\t{runs}")

    def plan(self, plan, is_dry):
        changes = [*((what, path) for path, what in plan.changed.items()), *(("goes", path) for path in plan.gone)]
        for what, style in _STYLES.items():
            paths = [printable(path) for kind, path in changes if kind == what]
            if len(paths) > _LISTED and not is_dry:
                paths = [f"{len(paths)} files"]
            for path in paths:
                self._say(f"{what}\t{path}", style)
        if plan.kept_main:
            self._say(f"kept\tmain.py of another program, as {plan.kept_main}", "yellow")
        if plan.is_empty:
            self._say("all is there already; nothing to do", "green")
            return
        verb = "would copy" if is_dry else "to copy"
        ready = f", {len(plan.changed) - len(plan.copies)} are there from the last try" * (
            len(plan.changed) > len(plan.copies)
        )
        self._say(
            f"{verb}: {len(plan.copies)} files, {plan.copy_bytes:,} bytes{ready}; needs {plan.need_blocks} blocks until "
            "the old ones go"
        )

    def step(self, text):
        self._say(text, "dim")

    @contextlib.contextmanager
    def progress(self, total):
        """-> tell(path, count)"""
        columns = (
            TextColumn(f"{{task.description:{_NAME_WIDTH}}}", markup=False),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, disable=not self._console.is_terminal) as bar:
            task = bar.add_task("", total=total)
            yield lambda path, count: bar.update(
                task, advance=count, description=path.removeprefix("/usr/")[-_NAME_WIDTH:]
            )

    def line(self, text):
        """Of the module."""
        self._say(f"  {printable(text)}")

    def done(self, is_up, has_template):
        if is_up:
            self._say("flashed; Ferry is up", "green")
        elif has_template:
            self._say(f"flashed; {FILL_IN}", "yellow")
        else:
            self._say("flashed, but Ferry does not tell that it is up: see its lines above", "red")

    def end(self):
        """Nothing: all is said."""

    def _say(self, text, style=""):
        if self._console.is_terminal:
            label, tab, rest = text.partition("\t")
            text = f"{label:{_LABEL_WIDTH}}{rest}" if tab else text
            self._console.print(Text(text, style=style), soft_wrap=True)
        else:
            click.echo(text)  # rich makes spaces of tabs


class JsonView:
    """One object on standard output, at the end."""

    def __init__(self):
        self._result = {"lines": [], "is_up": None}

    def port(self, name):
        self._result["port"] = name

    def module(self, about, found):
        self._result["module"] = {**about, "has_ferry": found.is_ferry}

    def plan(self, plan, is_dry):
        self._result.update(
            is_dry_run=is_dry,
            changes=[{"what": what, "path": path} for path, what in plan.changed.items()]
            + [{"what": "goes", "path": path} for path in plan.gone],
            kept_main=plan.kept_main,
            copy_bytes=plan.copy_bytes,
            need_blocks=plan.need_blocks,
        )

    def step(self, text):
        """For people."""

    @contextlib.contextmanager
    def progress(self, total):
        yield lambda path, count: None

    def line(self, text):
        self._result["lines"].append(text)

    def done(self, is_up, has_template):
        self._result.update(is_up=is_up, has_template=has_template)

    def end(self):
        click.echo(json.dumps(self._result, indent=2, ensure_ascii=False))
