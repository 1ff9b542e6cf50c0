# A result for people: tables on a terminal, tab-separated lines in a pipe, the tables of README.md.
import click
from rich.table import Table

from tools.bench import ferry, jobs, links
from tools.bench.peers import PEERS

_HEADS = ("client", "trips", "cmds", "conns", "up", "down", *links.NAMES.values())
_OURS = (ferry.NAME, ferry.TWO)
_CLIENTS = [*_OURS, *(peer.name for peer in PEERS)]


def tables(console, result):
    """A table for each job on a terminal; elsewhere one line for each job and client."""
    if not console.is_terminal:
        click.echo("\t".join(("job", *_HEADS, "result")))  # rich makes spaces of tabs
    for key, floor in result["floors"].items():
        rows = [row for row in result["rows"] if row["job"] == key]
        if console.is_terminal:
            console.print(_job_table(key, floor, rows))
            for row in rows:
                if row["wrong"]:
                    console.print(f"[red]{row['client']}: WRONG[/], {row['wrong']}", soft_wrap=True)
            console.print()
            continue
        click.echo("\t".join((key, "floor", str(floor["turns"]), "", "", f"{floor['payload']}")))
        for row in rows:
            click.echo("\t".join((key, *_cells(row), f"WRONG: {row['wrong']}" if row["wrong"] else "same bytes")))
    _footprint(console, result)
    for row in result["computed"]:
        console.print(_time_line(row), soft_wrap=True)
    for name, why in result["missing"].items():
        console.print(f"left out: {name}, {why}", soft_wrap=True)


def _job_table(key, floor, rows):
    proof = f", {floor['turns'] + floor['proof']} with proof" if floor["proof"] else ""
    title = f"{jobs.BY_KEY[key].title}\nfloor: {floor['turns']} round trips{proof}; {floor['payload']:,} bytes"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), header_style="underline")
    table.add_column(_HEADS[0])
    for head in _HEADS[1:]:
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row), style="red" if row["wrong"] else "bold" if row["client"] in _OURS else None)
    return table


def _cells(row):
    if "turns" not in row:
        return [row["client"], *[""] * (len(_HEADS) - 1)]
    counts = [f"{row[name]:,}" for name in ("turns", "commands", "connections", "up_bytes", "down_bytes")]
    return [row["client"], *counts, *map(_ratio, row["times"].values())]


def _ratio(number):
    return f"{number:.2f}" if number < 100 else f"{number:,.0f}"


def _footprint(console, result):
    flash = result["flash"]
    compiled = f"{flash['mpy_bytes']:,} as .mpy" if flash["mpy_bytes"] else "no mpy-cross 1.13 here"
    console.print(f"flash: {flash['py_bytes']:,} bytes as .py, {compiled}", soft_wrap=True)
    for row in result["rows"]:
        if row.get("erases") is not None:
            console.print(
                f"{jobs.BY_KEY[row['job']].title}: heap {row['live_bytes']:,} bytes at the most"
                f" ({row['import_bytes']:,} behind the imports), {row['erases']} block erases",
                soft_wrap=True,
            )


def _time_line(row):
    return (
        f"real time on the emulated link, {row['client']}, {jobs.BY_KEY[row['job']].title}:"
        f" {row['measured_s']:.2f} s, computed {row['computed_s']:.2f} s"
    )


# --- README.md


def readme_part(result):
    rows = {(row["job"], row["client"]): row for row in result["rows"]}
    names = [name for name in _CLIENTS if any(client == name for _, client in rows)]
    keys = list(result["floors"])
    parts = [
        _about(result),
        "**Round trips** (of parallel sessions those that overlap are one). A dash: it has no such thing; *wrong*: what arrived"
        " was not what was sent.",
        _grid(["", "floor", *names], [[_title(key), _floor(result, key), *(_turns(rows, key, n) for n in names)] for key in keys]),
        "**On the wire**, bytes both ways, without headers of TCP and IP.",
        _grid(["", "payload", *names], [[_title(key), _payload(result, key), *(_bytes(rows, key, n) for n in names)] for key in keys]),
        "**Time**, computed, of the quickest of the others that came out right, as a multiple of Ferry's.",
        _grid(["", *links.NAMES.values()], [[_title(key), *_best(rows, key, names)] for key in keys]),
        f"Links: {links.told()}. {_checked(result)}",
        "**Footprint**: " + _flash(result),
        _grid(
            ["", "heap at the most", "block erases"],
            [
                [_title(row["job"]), f"{row['live_bytes']:,}", str(row["erases"])]
                for row in (rows[key, ferry.NAME] for key in keys)
                if row.get("erases") is not None
            ],
        ),
    ]
    return "\n\n".join(parts)


def _about(result):
    versions = ", ".join(f"{name} {version}" for name, version in result["peers"].items())
    missing = "".join(f" Left out: {name}, {why}." for name, why in result["missing"].items())
    return (
        f"Ferry {result['version']} on {result['interpreter']} with a heap of {result['heap']}, the server is"
        f" {result['server']}. The others: {versions}.{missing}"
    )


def _grid(head, lines):
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines))


def _title(key):
    return jobs.BY_KEY[key].title


def _floor(result, key):
    floor = result["floors"][key]
    return f"{floor['turns']}" + (f" + {floor['proof']}" if floor["proof"] else "")


def _payload(result, key):
    return f"{result['floors'][key]['payload']:,}"


def _shown(rows, key, name, text):
    row = rows.get((key, name))
    if not row:
        return "-"
    if "turns" not in row:
        return "failed"
    shown = f"**{text(row)}**" if name in _OURS else text(row)
    return f"*wrong* ({shown})" if row["wrong"] else shown


def _turns(rows, key, name):
    return _shown(rows, key, name, lambda row: f"{row['turns']:,}")


def _bytes(rows, key, name):
    return _shown(rows, key, name, lambda row: f"{row['up_bytes'] + row['down_bytes']:,}")


def _best(rows, key, names):
    others = [rows[key, name] for name in names if name not in _OURS and (key, name) in rows]
    right = [row for row in others if not row["wrong"]]
    for link in links.NAMES:
        best = min(right, key=lambda row: row["times"][link], default=None)
        yield f"{_ratio(best['times'][link])} {best['client']}" if best else "-"


def _checked(result):
    if not result["computed"]:
        return ""
    off = [row["measured_s"] / row["computed_s"] - 1 for row in result["computed"]]
    return (
        f"Waited for in real time on Cat-1, by {len({row['client'] for row in result['computed']})} clients in"
        f" {len({row['job'] for row in result['computed']})} jobs: {100 * min(off):+.0f} % to {100 * max(off):+.0f} % of what is computed."
    )


def _flash(result):
    flash, imported = result["flash"], max(row.get("import_bytes", 0) for row in result["rows"])
    compiled = f"{flash['mpy_bytes']:,} as `.mpy`" if flash["mpy_bytes"] else "`.mpy` not measured"
    return (
        f"flash {flash['py_bytes']:,} bytes as `.py`, {compiled}; heap {imported:,} bytes behind the imports, on a 64-bit host,"
        " where a word is twice as long as on a module."
    )

