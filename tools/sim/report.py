# `python -m tools sim --report FILE.html`: one run drawn as one self-contained page. Lengths are percents of a drawing's width, so that
# it fits a phone as well.
import math
from pathlib import Path

from markupsafe import Markup

from tools.printable import printable
from tools.sim.timeline import MOST_CYCLES
from tools.web import charts
from tools.web.page import Page

_FIRST_CYCLES = 10  # are drawn in any case
_MOST_BARS = 100  # of a chart; more cycles are put together
_LANE_PX, _STATE_PX, _AXIS_PX = 30, 26, 22
_WIDE_PERCENT = 7  # a state as wide as that bears its name
_PATH_LETTERS = 60  # the last of a long one
_TICKS = 6  # at most
_STEPS_MS = [
    *(factor * power for power in (1, 10, 100, 1000) for factor in (1, 2, 5)),
    *(
        1000 * seconds
        for seconds in (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800)
    ),
]
_SHORT_MS = 100  # a cycle that took less and moved nothing is told in words only
_OUTCOMES = {"up": "arrived", "down": "arrived", "skip": "skipped", "moved": "all bytes moved", "cut": "cut"}


def draw(timeline, run):
    """The page's text. `run` is what was run and how it ended: title, verdict, trouble, in_step, facts [(name, text)], files [row of
    check.py with is_good]."""
    drawn = [chart for chart in _charts(timeline) if chart]
    page = Page(
        Path(__file__).parent / "web", "report", style="".join(style for _, style, _ in drawn), at=clock, span=span
    )
    chosen = _chosen(timeline.cycles)
    return page.render(
        **run,
        totals=_totals(timeline),
        overview=_overview(timeline),
        cycles=[_cycle(number, timeline.cycles[number - 1], timeline.faults) for number in chosen],
        left_out=len(timeline.cycles) - len(chosen),
        charts=[(title, Markup(svg)) for title, _, svg in drawn],
        rows=[_row(number, cycle) for number, cycle in enumerate(timeline.cycles, 1)],
        faults=timeline.faults,
        restarts=timeline.restarts,
    )


# --- words


def clock(ms):
    """A moment of the run: 3.2 s, 12:05, 3:04:05."""
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02} min"


def span(ms):
    return f"{ms} ms" if ms < 1000 else clock(ms)


def _sum(timeline, name):
    return sum(cycle.counts.get(name) or 0 for cycle in timeline.cycles if cycle.counts)


def _totals(timeline):
    """[(name, text, level)] for the top of the page."""
    failed = sum(not cycle.is_good for cycle in timeline.cycles)
    erases = [cycle.erases for cycle in timeline.cycles if cycle.erases is not None]
    heaps = [cycle.heap["used_bytes"] for cycle in timeline.cycles if cycle.heap]
    found = [
        ("cycles", f"{len(timeline.cycles):,}", ""),
        ("failed", f"{failed:,}", "bad" if failed else ""),
        *((f"files {way}", f"{sum(cycle.moved[way][0] for cycle in timeline.cycles):,}", "") for way in ("up", "down")),
        ("bytes sent", f"{_sum(timeline, 'sent_bytes'):,}", ""),
        ("bytes received", f"{_sum(timeline, 'received_bytes'):,}", ""),
        ("retries", f"{_sum(timeline, 'retries'):,}", ""),
        ("restarts", f"{len(timeline.restarts):,}", "warn" if timeline.restarts else ""),
        ("virtual time", clock(timeline.end_ms), ""),
    ]
    if heaps:
        found.append(("live heap at most", f"{max(heaps):,}", ""))
    if erases:
        found.append(("block erases", f"{sum(erases):,}", ""))
    return found


def _chosen(cycles):
    """Numbers of the cycles that are drawn: the first few, those that failed, and as many others as there is room for."""
    numbers = range(1, len(cycles) + 1)
    order = sorted(numbers, key=lambda number: (number > _FIRST_CYCLES, cycles[number - 1].is_good))
    return sorted(order[:MOST_CYCLES])


# --- drawings


def _scale(start_ms, end_ms):
    """-> place(ms), in percent of the width."""
    length = max(end_ms - start_ms, 1)
    return lambda ms: round(100 * min(max(ms - start_ms, 0), length) / length, 3)


def _ticks(start_ms, end_ms):
    """[(percent, text)] at round moments."""
    length = max(end_ms - start_ms, 1)
    step = next((step for step in _STEPS_MS if length / step <= _TICKS), _STEPS_MS[-1])
    place = _scale(start_ms, end_ms)
    return [(place(start_ms + at), _tick(at)) for at in range(0, length + 1, step)][: 10 * _TICKS]


def _tick(ms):
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if ms >= size:
            return f"{ms / size:g} {unit}"
    return f"{ms} ms" if ms else "0"


def _overview(timeline):
    """The whole run: cycles, faults, restarts over virtual time."""
    place = _scale(0, timeline.end_ms)
    return {
        "ticks": _ticks(0, timeline.end_ms),
        "cycles": [
            {
                "x": place(cycle.start_ms),
                "width": max(place(cycle.end_ms) - place(cycle.start_ms), 0.15),
                "is_good": cycle.is_good,
                "title": f"cycle {number}, {'good' if cycle.is_good else 'failed'}, at {clock(cycle.start_ms)}",
            }
            for number, cycle in enumerate(timeline.cycles, 1)
        ],
        "faults": [_bar(place, fault.start_ms, fault.end_ms, fault.name) for fault in timeline.faults],
        "restarts": [{"x": place(mark.ms), "title": f"{clock(mark.ms)}: {mark.text}"} for mark in timeline.restarts],
    }


def _bar(place, start_ms, end_ms, title):
    x = place(start_ms)
    return {"x": x, "width": max(place(end_ms) - x, 0.3), "title": title, "is_right": x > 50, "right": place(end_ms)}


def _cycle(number, cycle, faults):
    """One cycle: states, transfers with their progress, faults, errors."""
    place = _scale(cycle.start_ms, cycle.end_ms)
    near = [
        fault for fault in faults if fault.start_ms <= cycle.end_ms and (fault.end_ms or cycle.end_ms) >= cycle.start_ms
    ]
    transfers = [_transfer(place, transfer) for transfer in cycle.transfers]
    return {
        "number": number,
        "is_good": cycle.is_good,
        "start_ms": cycle.start_ms,
        "length_ms": cycle.end_ms - cycle.start_ms,
        "is_drawn": bool(transfers) or cycle.end_ms - cycle.start_ms >= _SHORT_MS,
        "end": cycle.end,
        "facts": _facts(cycle),
        "states": [
            {
                **_bar(place, state.start_ms, state.end_ms, state.name),
                "is_wide": place(state.end_ms) - place(state.start_ms) > _WIDE_PERCENT,
            }
            for state in cycle.states
            if state.end_ms > state.start_ms
        ],
        "path": " → ".join(state.name for state in cycle.states),
        "transfers": transfers,
        "left_out": cycle.left_out,
        "faults": [_bar(place, fault.start_ms, fault.end_ms, fault.name) for fault in near],
        "errors": [
            {
                "x": place(mark.ms),
                "at": mark.ms - cycle.start_ms,
                "title": mark.title,
                "text": printable(mark.text),
                "advice": mark.advice,
            }
            for mark in cycle.errors
        ],
        "ticks": _ticks(cycle.start_ms, cycle.end_ms),
        "lanes_y": _STATE_PX + 22 * len(near) + 8,
        "lane_px": _LANE_PX,
        "height": _STATE_PX + 22 * len(near) + 8 + _LANE_PX * len(transfers) + (20 if cycle.errors else 0) + _AXIS_PX,
    }


def _transfer(place, transfer):
    start, end = place(transfer.start_ms), place(transfer.end_ms)
    done = transfer.points[-1][1] if transfer.points else 0
    inner = _scale(transfer.start_ms, transfer.end_ms)
    corners = [
        (inner(ms), 100 - 100 * min(bytes_ / transfer.size, 1) if transfer.size else 0)
        for ms, bytes_ in transfer.points
    ]
    curve = (
        " ".join(f"{x:g},{y:g}" for x, y in [(0, 100), *corners, (100, corners[-1][1]), (100, 100)]) if corners else ""
    )
    sign = {"up": "↑", "down": "↓"}.get(transfer.direction, "")
    label = f"{sign} {_short(printable(transfer.path))}  {transfer.size:,} bytes"
    if 0 < done < transfer.size:
        label += f", {done:,} of them here"
    if transfer.outcome not in ("up", "down"):
        label += f", {_OUTCOMES[transfer.outcome]}{': ' + printable(transfer.reason) if transfer.reason else ''}"
    return {
        **_bar(place, transfer.start_ms, transfer.end_ms, label),
        "right": end,
        "is_right": start > 50,
        "direction": transfer.direction,
        "outcome": transfer.outcome,
        "curve": curve,
    }


def _short(path):
    return path if len(path) <= _PATH_LETTERS else f"…{path[-_PATH_LETTERS:]}"


def _facts(cycle):
    """What a cycle comes to, in a line."""
    counts = cycle.counts or {}
    found = [f"{count} {way}, {size:,} bytes" for way, (count, size) in cycle.moved.items() if count] or [
        "nothing moved"
    ]
    if cycle.end:
        found.append(cycle.end)
    if counts.get("sent_bytes"):
        found.append(f"{counts['sent_bytes']:,} sent and {counts['received_bytes']:,} received with the commands")
        found.append(f"{counts['round_trips']} round trips")
    if counts.get("retries"):
        found.append(f"{counts['retries']} retries")
    if cycle.heap:
        found.append(f"heap {cycle.heap['used_bytes']:,} bytes live")
    if cycle.erases is not None:
        found.append(f"{cycle.erases} block erases")
    return found


def _row(number, cycle):
    counts = cycle.counts or {}
    return {
        "number": number,
        "start_ms": cycle.start_ms,
        "length_ms": cycle.end_ms - cycle.start_ms,
        "is_good": cycle.is_good,
        "cells": [
            cycle.moved["up"][0],
            cycle.moved["down"][0],
            counts.get("sent_bytes"),
            counts.get("received_bytes"),
            counts.get("round_trips"),
            counts.get("retries"),
            len(cycle.errors),
            cycle.heap and cycle.heap["used_bytes"],
            cycle.erases,
        ],
        "error": printable(counts.get("error") or cycle.end or ""),
    }


# --- charts by cycle


def _charts(timeline):
    cycles = timeline.cycles
    counts = [cycle.counts or {} for cycle in cycles]
    yield _chart(
        charts.STACK,
        "Bytes on the connections",
        {name: [count.get(f"{name}_bytes") for count in counts] for name in ("sent", "received")},
    )
    yield _chart(
        charts.BAR, "Duration, s", {"duration": [(cycle.end_ms - cycle.start_ms) / 1000 for cycle in cycles]}, max
    )
    yield _chart(
        charts.STACK,
        "Retries and errors",
        {"retries": [count.get("retries") for count in counts], "errors": [len(cycle.errors) for cycle in cycles]},
    )
    if any(cycle.heap for cycle in cycles):
        live = [cycle.heap and cycle.heap["used_bytes"] for cycle in cycles]
        yield _chart(
            charts.LINE,
            "Live heap at the end of a cycle, bytes (the stand-ins for the firmware included)",
            {"live": live},
            max,
        )
    if any(cycle.erases is not None for cycle in cycles):
        yield _chart(charts.BAR, "Block erases of the flash", {"erases": [cycle.erases for cycle in cycles]})


def _chart(kind, title, series, together=sum):
    """As charts.draw(), cycles put together where there are too many; None where there is nothing."""
    if not any(value for values in series.values() for value in values):
        return None
    groups, labels = _grouped(len(next(iter(series.values()))))
    return charts.draw(
        kind,
        title,
        labels,
        {
            name: [_together([values[place] for place in group], together) for group in groups]
            for name, values in series.items()
        },
    )


def _grouped(count):
    """Places of the cycles that share a bar, and its label."""
    size = math.ceil(count / _MOST_BARS)
    groups = [range(first, min(first + size, count)) for first in range(0, count, size)]
    return groups, [f"{group[0] + 1}" if size == 1 else f"{group[0] + 1}-{group[-1] + 1}" for group in groups]


def _together(values, together):
    known = [value for value in values if value is not None]
    return together(known) if known else None
