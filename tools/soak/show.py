# What a person sees of a soak or a week: a bar on a terminal, now and then a line anywhere else; and the counts at the end.
import click
from rich import progress
from rich.table import Table

_LINE_SHARE = 10  # so many lines in all


class Progress:
    """`at()` is called behind each cycle with how much is done of `of`."""

    def __init__(self, console, of, unit):
        self._of = of
        self._unit = unit
        self._bar = None
        self._said = 0
        if console.is_terminal:
            self._bar = progress.Progress(
                progress.BarColumn(),
                progress.TextColumn(f"{{task.completed:,.0f}} of {{task.total:,.0f}} {unit}, {{task.description}}"),
                progress.TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task("", total=of)

    def __enter__(self):
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_):
        if self._bar:
            self._bar.stop()

    def at(self, done, tally):
        text = f"{tally.good:,} good, {tally.up_files:,} files up, {sum(tally.restarts.values())} restarts"
        if self._bar:
            self._bar.update(self._task, completed=done, description=text)
        elif done * _LINE_SHARE // self._of > self._said:
            self._said = done * _LINE_SHARE // self._of
            click.echo(f"{round(done, 1):,} {self._unit}, {text}")


def rows(result):
    """[(what, value)] of a result, as a person reads it."""
    cycles = result["cycles"]
    return [
        ("module", f"{result['interpreter']}, heap {result['heap']}, firmware of {result['firmware']}"),
        ("cycles", f"{cycles:,}, {result['good']:,} good, {cycles - result['good']:,} failed"),
        *listed("failed", result["failed"]),
        ("restarts", f"{sum(result['restarts'].values())}, {result['boots']} boots"),
        *listed("restart", result["restarts"]),
        *listed("rung of the ladder", result["rungs"]),
        *listed("fault", result["faults"]),
        *listed("cut at a random byte", result["cuts"]),
        ("files up", f"{result['up_files']:,}, {result['up_bytes']:,} bytes"),
        ("files down", f"{result['down_files']:,}, {result['down_bytes']:,} bytes"),
        ("on the wire", f"{result['sent_bytes']:,} bytes sent, {result['received_bytes']:,} received"),
        ("connections", f"{result['connections']:,}, {result['round_trips']:,} round trips"),
        ("memory", f"{result['memory_most_bytes']:,} bytes at the most, {_slope(result['memory_growth_per_cycle'])}"),
        ("open behind a cycle", f"{result['most_sockets']} sockets, {result['most_open_files']} files"),
        ("temp names left", str(result["temp_names_left"])),
        ("virtual time", f"{result['virtual_s'] / 3600:.1f} h"),
        ("took", f"{result['took_s']:.0f} s, {1000 * result['took_s'] / cycles:.0f} ms a cycle"),
    ]


def _slope(bytes_per_cycle):
    return "no boot was long enough for more" if bytes_per_cycle is None else f"{bytes_per_cycle:+.2f} bytes a cycle"


def listed(what, counts):
    """[(what, "count name")], the most frequent first."""
    return [(what, f"{count:,} {name}") for name, count in sorted(counts.items(), key=lambda item: -item[1])]


def conclude(console, lines, problems):
    """[(what, value)] as a table on a terminal, tab-separated elsewhere; then what is wrong."""
    if console.is_terminal:
        table = Table("what", "count")
        last = ""
        for what, value in lines:
            table.add_row("" if what == last else what, value)
            last = what
        console.print(table)
    else:
        for what, value in lines:
            click.echo(f"{what}\t{value}")  # rich makes spaces of tabs
    for text in problems:
        console.print(f"NOT so: {text}", markup=False, soft_wrap=True)
    if not problems:
        console.print("every file is there once and byte-identical, nothing was moved twice", soft_wrap=True)
