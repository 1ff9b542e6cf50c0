# What a person sees: a table and bars on a terminal, lines with tabs in a pipe, a picture in a file.
from xml.etree import ElementTree

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tools.fleet import result

_BARS = " ▁▂▃▄▅▆▇█"
_SLOTS = 60
_COLOURS = ("#0072b2", "#d55e00", "#009e73")  # told apart by those who see no red or no green, too


def show(console, report):
    """`report`: as --json writes it, with its phases as Phase."""
    if not console.is_terminal:
        for line in _lines(report):
            click.echo("\t".join(line))  # rich makes spaces of tabs
        return
    console.print(Group(*_heads(report)), soft_wrap=True)
    console.print(_table(report["phases"]))
    for phase in report["phases"]:
        if phase.logins:
            console.print(Text(f"{phase.what}: logins per second, the highest is {max(phase.logins)}"))
            console.print(Text("  " + bars(phase.logins)))
    for line in conclusions(report):
        console.print(Text(line), soft_wrap=True)


def bars(counts, slots=_SLOTS):
    """One character for each of `slots` parts of the time: the mean of that part."""
    slots = min(slots, len(counts))
    means = []
    for slot in range(slots):
        part = counts[slot * len(counts) // slots : (slot + 1) * len(counts) // slots]
        means.append(sum(part) / len(part))
    most = max(means) or 1
    return "".join(_BARS[-int(-mean * (len(_BARS) - 1) // most)] for mean in means)


def _heads(report):
    return [Text(f"{name:10}{value}") for name, value in heads(report)]


def heads(report):
    """[(name, text)]: what was run."""
    found = [("fleet", f"{report['devices']:,} modules: {report['how']}"), ("server", report["server"])]
    if report["script"]:
        script = report["script"]
        found.append(
            (
                "cycle",
                f"{' '.join(script['commands'])}; {script['waits']} round trips, "
                f"{script['bytes_up']:,} bytes up, {script['bytes_down']:,} down",
            )
        )
    found.append(("link", report["link"]))
    return found


def _table(phases):
    table = Table(
        "", "time", "begun", "failed", "logins\nper s\nmost", "open\nmost", "seconds\nhalf\n99 %", "CPU\nms", "busy"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for phase in phases:
        failed = Text(f"{phase.failed():,}", style="red" if phase.failed() else "green")
        table.add_row(
            phase.what,
            f"{phase.seconds:.0f} s",
            f"{phase.sessions:,}",
            failed,
            f"{phase.logins_per_s:.1f}\n{phase.most_logins_per_s or ''}",
            f"{phase.most_open:,}",
            "" if phase.p50_s is None else f"{phase.p50_s:.2f}\n{phase.p99_s:.2f}",
            "?" if phase.cpu_ms is None else f"{phase.cpu_ms:.2f}",
            f"{phase.machine_pct:.0f} %",
        )
    return table


def _lines(report):
    yield from heads(report)
    for phase in report["phases"]:
        yield (
            phase.what,
            f"{phase.seconds:.0f} s",
            f"{phase.sessions} begun",
            f"{phase.failed()} failed",
            f"{phase.logins_per_s:.1f} logins/s",
            f"most {phase.most_logins_per_s}/s",
            f"{phase.most_open} open",
            "" if phase.p50_s is None else f"{phase.p50_s:.2f} s half, {phase.p99_s:.2f} s 99 %",
            "CPU unknown" if phase.cpu_ms is None else f"{phase.cpu_ms:.2f} ms CPU each",
            f"machine {phase.machine_pct:.0f} % busy",
        )
    for phase in report["phases"]:
        for second, (logins, is_open) in enumerate(zip(phase.logins, phase.open, strict=False)):
            yield phase.what, f"{second} s", f"{logins} logins", f"{is_open} open"
    for line in conclusions(report):
        yield (line,)


def conclusions(report):
    """What follows, a sentence each."""
    found = []
    for phase in report["phases"]:
        if phase.failures:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in phase.failures.items())
            tail = f"; {phase.waiting:,} had not come through at the end" if phase.waiting else ""
            found.append(f"{phase.what}: failed {kinds}; {phase.again:,} tries again{tail}")
        if phase.latest_s > 1:
            found.append(
                f"{phase.what}: this PC was up to {phase.latest_s:.1f} s behind its plan: less came at once than should have"
            )
    outage = report["outage"]
    found.append(
        f"while the server is away for an hour, {report['devices']:,} modules try {outage['tries_per_s']:.1f} times a second in all; "
        f"when it is back the last of them comes after {outage['last_s']} s"
    )
    steady = report["steady"]
    if steady is None:
        found.append(
            "how many modules the server carries: not known, because its CPU time is not (--pid), or because too few came"
        )
        return found
    found.append(
        f"one core carries {steady['modules_per_core']:,} modules with a cycle in {report['every_s']} s each: "
        f"{steady['cpu_ms']:.2f} ms of it for each cycle, {result.LOAD:.0%} busy in the mean"
    )
    for wave in report["waves"]:
        found.append(
            f"{wave['what']}: {wave['most_per_s']} logins in the busiest second keep {wave['cores']:.2f} cores busy"
        )
    if steady["open_mean"] is not None:
        memory = ""
        if steady["session_kib"]:
            memory = f", {steady['session_kib'] / 1024:.1f} MiB of memory each"
        found.append(f"open at one time in the mean: {steady['open_mean']:.0f} sessions{memory}")
    return found


def chart(report):
    """The SVG, as bytes. Of the model: logins in each second of each phase, and sessions open (on the right). Of real modules, which
    come one behind the other: when that many would come, as their schedule says. Needs no network."""
    import pygal  # half a second that no other command has to wait
    from pygal.style import Style

    phases = [phase for phase in report["phases"] if phase.logins]
    told = (
        "logins in each second; dashed, on the right: sessions open" if phases else "arrivals that their schedule gives"
    )
    picture = pygal.XY(
        js=[],
        style=Style(
            colors=_COLOURS * 2,
            background="white",
            plot_background="white",
            font_family="sans-serif",
            legend_font_size=13,
        ),
        title=f"{report['devices']:,} modules, {report['server']}, {report['link']}\n{told}",
        x_title="seconds",
        show_dots=False,
        legend_at_bottom=True,
        width=1000,
        height=520,
        include_x_axis=True,
        value_formatter="{:.0f}".format,
        x_value_formatter="{:.0f}".format,
    )
    for phase in phases:
        picture.add(phase.what, list(enumerate(phase.logins)))
    for phase in phases:
        picture.add(
            f"{phase.what}, open", list(enumerate(phase.open)), secondary=True, stroke_style={"dasharray": "4, 4"}
        )
    if not phases:
        for wave in report["waves"]:
            picture.add(wave["what"], wave["arrivals"])
    root = picture.render_tree()
    for parent in list(root.iter()):  # pygal puts in what its tooltips need; this is a picture
        for script in [element for element in parent if element.tag == "script"]:
            parent.remove(script)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
