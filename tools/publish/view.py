# What a person, or a program, gets to see of publishing.
import contextlib
import json
from datetime import datetime, timezone

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from tools import desktop
from tools.printable import printable

desktop.install()

from app.sync.rules import is_own_code  # noqa: E402  (needs the module's names first)

_STYLES = {"new": "green", "changed": "yellow", "gone": "red"}


class TextView:
    """A table and a bar on a terminal; in a pipe a line for each fact, tab-separated."""

    def __init__(self, console):
        self._console = console

    def plan(self, plan, left_out, target, is_signed, is_dry):
        self._changes(plan)
        for name, reason in left_out:
            self._say(f"left out\t{name}\t{reason}", "dim")
        for note in plan.notes:
            self._say(f"note: {note}", "yellow")
        last = f"after {plan.last.version}" if plan.last else "the first"
        signed = "signed" if is_signed else "not signed"
        self._say(f"version {plan.version}, {last}; {plan.unchanged_count()} files unchanged; {signed}")
        for text in _conditions(plan.extras):
            self._say(text)
        verb = "would upload" if is_dry else "to upload"
        self._say(
            f"{verb}: {_count(plan.missing, 'object')} and the manifest of {plan.manifest.size:,} bytes, "
            f"{plan.upload_bytes():,} bytes in all, to {target}"
        )
        fresh, usual = plan.fetch_bytes(False), plan.fetch_bytes(True)
        text = f"a module fetches at most {fresh:,} bytes"
        self._say(text + (f", {usual:,} bytes if it has version {plan.last.version}" if plan.last else ""))

    def _changes(self, plan):
        rows = plan.changes()
        if not self._console.is_terminal:
            for what, path, size in rows:
                self._say(f"{what}\t{size}\t{path}")
            return
        if rows:
            table = Table("", "bytes", "on the module")
            table.columns[1].justify = "right"
            table.columns[2].overflow = "fold"
            for what, path, size in rows:
                table.add_row(Text(what, style=_STYLES[what]), f"{size:,}", Text(path))
            self._console.print(table)

    @contextlib.contextmanager
    def progress(self, total):
        """-> tell(count)"""
        columns = (TextColumn("uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=self._console, disable=not self._console.is_terminal) as bar:
            task = bar.add_task("", total=total)
            yield lambda count: bar.advance(task, count)

    def published(self, plan, target, pruned):
        for name in pruned:
            self._say(f"removed\t{name}", "dim")
        self._say(f"published version {plan.version}", "green")

    def end(self):
        """Nothing: all is said."""

    def _say(self, text, style=""):
        if self._console.is_terminal:
            self._console.print(Text(text, style=style), soft_wrap=True)
        else:
            click.echo(text)  # rich makes spaces of tabs


class JsonView:
    """One object on standard output, at the end."""

    def plan(self, plan, left_out, target, is_signed, is_dry):
        self._result = {
            "version": plan.version,
            "last_version": plan.last.version if plan.last else None,
            "is_signed": is_signed,
            "is_dry_run": is_dry,
            **{name: plan.extras.get(name) for name in ("share", "devices", "expires", "delete", "settings")},
            "target": str(target),
            "changes": [{"what": what, "path": path, "bytes": size} for what, path, size in plan.changes()],
            "unchanged_count": plan.unchanged_count(),
            "left_out": [{"name": name, "reason": reason} for name, reason in left_out],
            "notes": plan.notes,
            "objects_to_upload": sorted(plan.missing),
            "upload_bytes": plan.upload_bytes(),
            "manifest_bytes": plan.manifest.size,
            "fetch_bytes": {
                "from_nothing": plan.fetch_bytes(False),
                "from_last": plan.fetch_bytes(True) if plan.last else None,
            },
            "pruned": [],
        }

    @contextlib.contextmanager
    def progress(self, total):
        yield lambda count: None

    def published(self, plan, target, pruned):
        self._result["pruned"] = pruned

    def end(self):
        click.echo(json.dumps(self._result, indent=2, ensure_ascii=False))


def _conditions(extras):
    """Who takes it, until when, and what it does beside bringing files: a line for each."""
    if "share" in extras:
        yield f"for {extras['share']} % of the modules"
    if "devices" in extras:
        yield f"for devices {', '.join(extras['devices'])}"
    if "expires" in extras:
        yield f"until {datetime.fromtimestamp(extras['expires'], timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    deletes = extras.get("delete", ())
    for path in deletes:
        if not is_own_code(path):
            yield f"delete\t{printable(path)}"
    if any(map(is_own_code, deletes)):
        yield "delete\tFerry's code in its other form"
    for key, value in extras.get("settings", {}).items():
        yield f"set\t{key}={json.dumps(value, ensure_ascii=False)}"


def _count(things, name):
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
