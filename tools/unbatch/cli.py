# `python -m tools unbatch`: options in, exit status out.
import json
import os
import re
import signal
import time
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from tools.printable import printable
from tools.unbatch.lock import only_one
from tools.unbatch.unpack import unpack

_POLL_S = 5
_BATCH = re.compile(r"batch-(\d+)\.tar")
_STYLES = {"unpacked": "green", "busy": "yellow"}

_EXAMPLES = """
\b
Examples:
  python -m tools unbatch /srv/ftp/fleet
      once, all that is there; good for cron
  python -m tools unbatch /srv/ftp/fleet --watch
      until Ctrl-C or SIGTERM; good for a service
  python -m tools unbatch /srv/ftp/fleet --into /srv/data --keep
      files go below another folder, by the same paths; the tars are kept in done/

Exit status: 0 all was unpacked, 1 something was not (a broken tar is moved to bad/), 2 wrong usage.
"""


@click.command(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--watch", is_flag=True, help=f"Look again every {_POLL_S} seconds until Ctrl-C.")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Put the files below DIR, by the paths that they would have below FOLDER. Default: where the tar lies.",
)
@click.option("--keep", is_flag=True, help="Move unpacked tars to done/ beside them instead of removing them.")
@click.option("--json", "is_json", is_flag=True, help="One JSON object for each tar, each in a line.")
def unbatch(folder, watch, into, keep, is_json):
    """Unpack the batches that modules have sent: every batch-N.tar below FOLDER, on the server's side.

    Files appear whole or not at all, and the tar goes only after all of them are there. A file that the module has
    sent again after the batch stays. It may be run at the same time as another for the same FOLDER.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service is stopped as cleanly as by Ctrl-C
    say = _say_json if is_json else _Speaker(Console(highlight=False))
    is_good = True
    try:
        is_good = run_once(folder, into, keep, say)
        while watch:
            time.sleep(_POLL_S)
            is_good = run_once(folder, into, keep, say) and is_good
    except KeyboardInterrupt:
        if not watch:
            raise
    except OSError as error:
        raise click.ClickException(f"{error}\nIt must be possible to read and write in {folder}.") from error
    raise SystemExit(0 if is_good else 1)


def run_once(folder, into, is_kept, say):
    """-> whether all that was found is unpacked. `say(fact)` hears of each tar."""
    with only_one(folder) as is_ours:
        if not is_ours:
            say({"state": "busy", "folder": str(folder)})
            return True
        batches, unread = find(folder)
        facts = [{"state": "failed", "batch": error.filename, "problem": error.strerror} for error in unread]
        for fact in facts:
            say(fact)
        for batch in batches:
            target = into / batch.parent.relative_to(folder) if into else batch.parent
            facts.append(_fact(batch, target, is_kept))
            say(facts[-1])
        return all(fact["state"] == "unpacked" for fact in facts)


def find(folder):
    """-> (batches below `folder`, those of a folder in the order in which they were sent; errors of unreadable folders)"""
    found, unread = [], []
    for place, folders, names in os.walk(folder, onerror=unread.append):
        folders.sort()
        numbers = sorted((int(match[1]), name) for name in names if (match := _BATCH.fullmatch(name)))
        found += [Path(place, name) for _, name in numbers if not Path(place, name).is_symlink()]
    return found, unread


def _fact(batch, target, is_kept):
    fact = {"batch": str(batch), "target": str(target)}
    try:
        outcome = unpack(batch, target, is_kept)
    except OSError as error:
        return dict(fact, state="failed", problem=f"{error}; it is tried again at the next run")
    if outcome.moved_to:
        fact["moved_to"] = str(outcome.moved_to)
    if outcome.problem:
        return dict(fact, state="bad", problem=outcome.problem)
    return dict(fact, state="unpacked", files=outcome.count, bytes=outcome.bytes, newer=outcome.newer)


def _say_json(fact):
    click.echo(json.dumps(fact))  # in ASCII: names on the server need not be text


class _Speaker:
    """Coloured lines on a terminal, the same lines, tab-separated, in a pipe."""

    def __init__(self, console):
        self._console = console

    def __call__(self, fact):
        fields = [fact["state"], *map(printable, self._fields(fact))]
        if self._console.is_terminal:
            style = _STYLES.get(fact["state"], "red")
            self._console.print(Text.assemble((fields[0], style), "  ", "  ".join(fields[1:])), soft_wrap=True)
        else:
            click.echo("\t".join(fields))

    def _fields(self, fact):
        if fact["state"] == "busy":
            return [fact["folder"], "another unbatch is at work there"]
        if fact["state"] != "unpacked":
            moved = f"; moved to {fact['moved_to']}" if "moved_to" in fact else ""
            return [fact["batch"], fact["problem"] + moved]
        newer = f", {len(fact['newer'])} left alone that are newer" if fact["newer"] else ""
        return [fact["batch"], f"{fact['files']} files, {fact['bytes']} bytes{newer}", fact["target"]]
