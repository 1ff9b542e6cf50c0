# What --report draws: the module's events in their time, and a page that holds whatever they say.
import json
import re
from html.parser import HTMLParser

import pytest

from tools.sim import report
from tools.sim.child import Event
from tools.sim.timeline import MOST_CYCLES, MOST_POINTS, MOST_TRANSFERS, Timeline

COUNTS = {
    **dict.fromkeys(("up_count", "up_bytes", "down_count", "down_bytes", "retries", "round_trips"), 1),
    "number": 1,
    "ok": True,
    "sent_bytes": 10,
    "received_bytes": 20,
    "error": None,
}


def timeline(*events):
    """Events as (ms, kind, data...) -> a Timeline that is closed."""
    made = Timeline()
    for ms, kind, *data in events:
        made.take(Event(kind, data, ms, [1000, 500] if kind == "cycle" else None))
    made.close()
    return made


def state(ms, new):
    return ms, "state", "OLD", "event", new


def test_a_cycle_goes_from_its_first_state_to_its_end_and_rests_are_none_of_it():
    found = timeline(
        state(100, "ROOM"),
        state(150, "LINK"),
        state(400, "IDLE"),
        (400, "cycle", COUNTS),
        state(9000, "ROOM"),
        (9100, "cycle", COUNTS),
    )
    first, second = found.cycles
    assert [(span.name, span.start_ms, span.end_ms) for span in first.states] == [
        ("ROOM", 100, 150),
        ("LINK", 150, 400),
        ("IDLE", 400, 400),
    ]
    assert (first.start_ms, first.end_ms, first.heap) == (100, 400, {"used_bytes": 1000, "free_bytes": 500})
    assert (second.start_ms, second.end_ms) == (9000, 9100)


def test_files_in_hand_at_once_are_told_apart_by_their_names():
    found = timeline(
        state(0, "UPLOAD"),
        (10, "file", "up", "a", 100),
        (20, "progress", 60),
        (30, "progress", 100),
        (40, "file", "up", "b", 5),
        (50, "up", "a", "remote/a", 100),
        (60, "progress", 5),
        (90, "up", "b", "remote/b", 5),
        (95, "file", "down", "updates/c", 8),
        (97, "progress", 8),
        (99, "down", "updates/c", "/usr/c", 8),
        (100, "cycle", COUNTS),
    )
    assert [(one.path, one.start_ms, one.end_ms, one.points, one.outcome) for one in found.cycles[0].transfers] == [
        ("a", 10, 50, [(20, 60), (30, 100)], "up"),
        ("b", 40, 90, [(60, 5)], "up"),
        ("updates/c", 95, 99, [(97, 8)], "down"),
    ]


def test_what_did_not_arrive_is_cut_at_the_end_of_its_cycle_and_parts_that_moved_whole_are_not():
    found = timeline(
        state(0, "UPDATE"),
        (10, "file", "down", "pack", 100),
        (20, "progress", 100),
        (30, "file", "up", "a", 100),
        (40, "progress", 60),
        (70, "error", "TransportError", "EPSV", 0, "reset", "wait"),
        (80, "cycle", {**COUNTS, "ok": False}),
    )
    (cycle,) = found.cycles
    assert [(one.outcome, one.end_ms) for one in cycle.transfers] == [("moved", 20), ("cut", 80)]
    assert [(mark.ms, mark.title, mark.text, mark.advice) for mark in cycle.errors] == [
        (70, "TransportError in EPSV", "reset", "wait")
    ]


@pytest.mark.parametrize("kind", ["power_cut", "restart", "watchdog", "died"])
def test_a_cycle_that_was_cut_ends_there_and_says_why(kind):
    found = timeline(state(0, "UPLOAD"), (50, kind, {}), state(90, "RECOVER"), (99, "cycle", COUNTS))
    first, second = found.cycles
    assert (first.end_ms, first.counts, bool(first.end)) == (50, None, True)
    assert (second.start_ms, second.end) == (90, "")
    assert [(mark.ms, mark.title) for mark in found.restarts] == [(50, kind)]


def test_files_that_arrived_in_a_cycle_that_was_cut_are_counted():
    found = timeline(
        state(0, "UPLOAD"), (9, "up", "a", "remote/a", 70), (10, "down", "u/b", "/usr/b", 3), (50, "power_cut", {})
    )
    assert found.cycles[0].moved == {"up": [1, 70], "down": [1, 3]}
    assert "1 up, 70 bytes; 1 down, 3 bytes; the power went" in page(found)


def test_faults_last_until_they_end_or_the_run_does():
    found = timeline(
        (0, "fault", "a", "begins"), (5, "fault", "b", "begins"), (7, "fault", "a", "ends"), (9, "watchdog_armed", 60)
    )
    assert [(fault.name, fault.start_ms, fault.end_ms) for fault in found.faults] == [("a", 0, 7), ("b", 5, 9)]


def test_erases_are_those_of_their_cycle():
    found = timeline(
        state(0, "ROOM"), (1, "flash", {"erases": 7}), (1, "cycle", COUNTS), state(5, "ROOM"), (6, "cycle", COUNTS)
    )
    assert [cycle.erases for cycle in found.cycles] == [7, None]


def test_long_transfers_and_many_of_them_are_bounded():
    found = timeline(
        state(0, "UPLOAD"),
        (1, "file", "up", "long", 10**6),
        *((ms, "progress", ms) for ms in range(2, 10_000)),
        *((10_000 + n, "file", "up", f"f{n}", 1) for n in range(MOST_TRANSFERS + 5)),
        (20_000, "cycle", COUNTS),
    )
    (cycle,) = found.cycles
    points = cycle.transfers[0].points
    assert len(points) <= MOST_POINTS
    assert (points[0], points[-1]) == ((2, 2), (9999, 9999))
    assert (len(cycle.transfers), cycle.left_out) == (MOST_TRANSFERS, 6)


def page(found, **more):
    run = {"title": "t", "verdict": "v", "in_step": True, "trouble": "", "facts": [], "files": []}
    return report.draw(found, {**run, **more})


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def tags(text):
    parser = _Tags()
    parser.feed(text)
    return parser.found


def test_whatever_is_told_stays_text_and_no_attribute_holds_style_or_script():
    evil = '"><script>alert(1)</script>'
    found = timeline(
        state(0, "UPLOAD"),
        (1, "fault", evil, "begins"),
        (1, "file", "up", evil, 10),
        (5, "progress", 10),
        (6, "skip", "up", evil, evil),
        (7, "error", evil, evil, 1, evil, evil),
        (200, "cycle", {**COUNTS, "ok": False, "error": evil}),
    )
    row = {"state": evil, "bytes": 1, "local": evil, "remote": evil, "reason": evil, "is_good": False}
    text = page(found, title=evil, verdict=evil, trouble=evil, facts=[(evil, evil)], files=[row])
    assert "<script" not in text
    assert [
        (tag, name) for tag, attributes in tags(text) for name in attributes if name == "style" or name.startswith("on")
    ] == []


@pytest.mark.parametrize(
    "events",
    [
        [],
        [state(0, "RECOVER")],
        [state(5, "ROOM"), (5, "cycle", COUNTS)],
        [state(0, "ROOM"), (3_000_000_000, "cycle", {**COUNTS, "sent_bytes": None})],
        [(0, "file", "up", "x", 0), (0, "progress", 0)],
    ],
    ids=["nothing", "no end", "no time", "35 days", "no state"],
)
def test_odd_runs_are_drawn_too(events):
    text = page(timeline(*events))
    assert text.rstrip().endswith("</html>")
    assert "nan" not in text.lower().replace("nanosecond", "")


def test_of_many_cycles_those_that_failed_are_drawn_and_all_are_in_the_table_and_the_charts():
    events = []
    for number in range(1000):
        counts = {**COUNTS, "sent_bytes": 1, "ok": number != 899}
        start = number * 1000
        events += [state(start, "UPLOAD"), (start + 1, "file", "up", f"f{number}", 9), (start + 500, "cycle", counts)]
    found = timeline(*events)
    text = page(found)
    drawn = [int(number) for number in re.findall(r'<section id="cycle-(\d+)"', text)]
    assert drawn == [*range(1, MOST_CYCLES), 900]
    assert f"The other {1000 - MOST_CYCLES} cycles" in text
    assert "f899" in text
    assert len(re.findall(r"<tr><td>\d+</td>", text)) == 1000
    assert "991-1000" in text
    assert len(text) < 1_000_000
    assert sum(len(cycle.transfers) for cycle in found.cycles) == MOST_CYCLES + 1


@pytest.mark.parametrize(
    ("length_ms", "texts"),
    [
        (40, ["0", "10 ms", "20 ms", "30 ms", "40 ms"]),
        (9_000, ["0", "2 s", "4 s", "6 s", "8 s"]),
        (250_000, ["0", "1 min", "2 min", "3 min", "4 min"]),
        (3 * 86_400_000, ["0", "12 h", "1 d", "1.5 d", "2 d", "2.5 d", "3 d"]),
    ],
)
def test_ticks_are_round(length_ms, texts):
    assert [text for _, text in report._ticks(0, length_ms)] == texts


def test_json_of_the_events_is_what_the_module_writes():
    line = json.loads('{"kind": "cycle", "data": [{}], "ms": 7, "heap": [1, 2]}')
    assert Event(line["kind"], line["data"], line["ms"], line["heap"]).heap == [1, 2]
