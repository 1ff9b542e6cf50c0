# The states of the link in words, and the timers of power saving mode.
import importlib
import itertools
import sys
import types

import pytest

# PLATFORM.md, section 5: every state in which checkNet may stop.
SIM = [(1, state) for state in (-1, 0, *range(2, 22))]
REGISTRATION = [(2, state) for state in (-1, 0, 2, 3, 4, *range(6, 12))]
DATA_CALL = [(3, 0)]


@pytest.fixture
def states(monkeypatch):
    if "pm" not in sys.modules:
        monkeypatch.setitem(sys.modules, "pm", types.ModuleType("pm"))
    return importlib.import_module("app.platform.states")


@pytest.mark.parametrize(("stage", "state"), SIM + REGISTRATION + DATA_CALL)
def test_each_state_has_a_line_and_advice(states, stage, state):
    what, advice = states.explain(stage, state)
    assert what
    assert advice
    word = {1: "SIM", 2: ("regist", "network", "emergency"), 3: "data call"}[stage]
    assert any(part in what for part in ([word] if isinstance(word, str) else word))


def test_states_with_another_remedy_are_told_apart(states):
    apart = [(1, state) for state in (0, 2, 3, 5, 18, 19, 20, 21)] + [(2, state) for state in (-1, 0, 2, 3, 4, 6, 8)] + [(3, 0)]
    told = [states.explain(*state)[0] for state in apart]
    assert len(set(told)) == len(apart)


@pytest.mark.parametrize("stage", [0, 4])
def test_a_stage_that_no_page_names_has_a_line_too(states, stage):
    assert all(states.explain(stage, 7))


def test_a_timer_is_never_shorter_than_asked_for_and_as_near_as_its_units_let_it(states):
    for units in (states._TAU, states._ACTIVE):
        sizes = {unit: size for unit, size, _ in units}
        for seconds in itertools.chain(range(1, 3000), range(3000, 400_000, 977)):
            unit, count = states.coded(seconds, units)
            length = sizes[unit] * count
            longest = max(size * most for _, size, most in units)
            assert 0 <= count <= 31
            assert length >= min(seconds, longest)
            if seconds <= longest:
                assert length - seconds < max(size for _, size, most in units if size <= sizes[unit])


def test_power_saving_is_refused_where_the_firmware_has_no_call_for_it(states, monkeypatch):
    monkeypatch.setattr(states.pm, "set_psm_time", lambda *times: False, raising=False)
    assert states.ask(3600, 60) is False
    monkeypatch.delattr(states.pm, "set_psm_time")
    assert states.ask(3600, 60) is False
