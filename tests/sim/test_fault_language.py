# The language of --fault: what each part means, and that a mistake is told with what would be right.
import pytest

from tools.sim import faults


def parse_one(spec):
    (found,) = faults.parse(spec)
    return found


@pytest.mark.parametrize(
    ("when", "from_ms", "to_ms"),
    [
        ("@0-60s", 0, 60_000),
        ("@30s", 30_000, None),
        ("@1.5m-2h", 90_000, 7_200_000),
        ("@1-2d", 86_400_000, 172_800_000),
        ("", 0, None),
    ],
)
def test_times_are_milliseconds_since_the_first_boot(when, from_ms, to_ms):
    found = parse_one("sim-missing" + when)
    assert (found["from_ms"], found["to_ms"]) == (from_ms, to_ms)
    assert (found["from_cycle"], found["to_cycle"], found["cure"]) == (0, None, None)


@pytest.mark.parametrize(("when", "first", "last"), [("cycle3", 3, 3), ("cycle3-5", 3, 5)])
def test_cycles_are_from_the_first_to_the_last(when, first, last):
    found = parse_one("server-down@" + when)
    assert (found["from_cycle"], found["to_cycle"], found["from_ms"], found["to_ms"]) == (first, last, 0, None)


@pytest.mark.parametrize("cure", ["redial", "flight", "restart"])
@pytest.mark.parametrize(("when", "from_ms", "from_cycle"), [("60s", 60_000, 0), ("cycle2", 0, 2)])
def test_a_cure_stands_in_the_place_of_the_end(cure, when, from_ms, from_cycle):
    found = parse_one(f"no-data-call@{when}-{cure}")
    assert (found["from_ms"], found["from_cycle"]) == (from_ms, from_cycle)
    assert (found["to_ms"], found["to_cycle"], found["cure"]) == (None, None, cure)


@pytest.mark.parametrize(
    ("spec", "amount"),
    [
        ("cut-data@40%", {"pct": 40.0}),
        ("cut-data@100%", {"pct": 100.0}),
        ("cut-data@0.5%", {"pct": 0.5}),
        ("cut-data@20kB@cycle2", {"bytes": 20_000.0}),
        ("cut-data@512B", {"bytes": 512.0}),
        ("cut-control@3", 3),
        ("hang@400s@1h", 400_000),
        ("clock-wrong@-3y", -3),
        ("battery@3300mV", 3300),
        ("signal@99", 99),
    ],
)
def test_amounts(spec, amount):
    assert parse_one(spec)["amount"] == amount


def test_several_are_separated_by_commas_and_keep_their_order_and_text():
    found = faults.parse("sim-missing@0-60s, dns-fail,cut-data@40%@cycle3")
    assert [fault["spec"] for fault in found] == ["sim-missing@0-60s", "dns-fail", "cut-data@40%@cycle3"]
    assert [fault["kind"] for fault in found] == ["sim-missing", "dns-fail", "cut-data"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("sim-mising", ["no fault 'sim-mising'", "did you mean sim-missing?"]),
        ("xyz", ["no fault 'xyz'", "sim-missing", "watchdog-fails"]),
        ("", ["no fault ''"]),
        ("dns-fail,", ["no fault ''"]),
        ("dns-fail@soon", ["'soon' is no moment", "30s", "cycle3"]),
        ("dns-fail@60", ["'60' is no moment", "30s"]),
        ("dns-fail@", ["'' is no moment"]),
        ("dns-fail@cycle0", ["'cycle0' is no moment"]),
        ("dns-fail@60-30s", ["ends before it begins"]),
        ("dns-fail@cycle5-3", ["ends before it begins"]),
        ("dns-fail@1s@2s", ["too many @", "one moment"]),
        ("cut-data", ["the amount is missing", "40%"]),
        ("cut-data@40", ["'40' is no amount", "40%", "20kB"]),
        ("cut-data@140%", ["'140%' is no amount", "a part of the file"]),
        ("cut-control@0", ["'0' is no amount", "counted from 1"]),
        ("battery@3.3V", ["'3.3V' is no amount", "3300mV"]),
        ("signal@50", ["'50' is no amount", "0 to 31"]),
        ("hang@cycle2", ["'cycle2' is no amount", "400s"]),
        ("cut-data@1%@1s@2s", ["too many @", "an amount and a moment"]),
        ("ip-change", ["when?", "30s"]),
        ("power-cut", ["when?", "cycle3"]),
        ("sim-missing@1s-redial", ["-redial does not end sim-missing", "-flight, -restart"]),
        ("server-down@1s-restart", ["-restart does not end server-down", "time or cycle only"]),
        ("no-data-call@1-5s-redial", ["either at a moment or by -redial"]),
        ("no-data-call@cycle1-5-redial", ["either at a moment or by -redial"]),
    ],
)
def test_a_mistake_is_told_with_what_is_allowed(spec, words):
    with pytest.raises(faults.FaultError) as caught:
        faults.parse(spec)
    for word in words:
        assert word in str(caught.value)


def test_help_has_one_line_for_each_kind_and_its_examples_parse():
    lines = faults.help_lines()
    assert [line.split("@")[0].split(" ")[0] for line in lines] == list(faults.KINDS)
    for line in lines:
        example = line.split(" ")[0]
        needs_when = faults.KINDS[example.split("@")[0]].happens == "moment"
        assert faults.parse(example + "@60s" * needs_when)
