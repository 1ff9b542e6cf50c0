# The table of states, and the one door that changes the state.
import ast

import pytest

from app.config import parse
from app.log import Log
from app.sync.report import LIST_ENTRIES
from ftp_manager import CHANGES_KEPT, RESTING, TRANSITIONS, FtpManager
from tests.fakes import FakeClock, MemoryFiles
from tests.world import Mains
from tools.device_files import ROOT

EVENTS = sorted({event for row in TRANSITIONS.values() for event in row})


@pytest.fixture
def manager():
    clock = FakeClock()
    return FtpManager(
        parse(b'{"server": {"host": "ftp.example.com"}}'),
        files=MemoryFiles(),
        net=object(),
        clock=clock,
        link=object(),
        log=Log(clock, out=lambda line: None),
        randint=lambda low, high: high,
        power=Mains(),
    )


def reachable_from(state):
    found, todo = set(), [state]
    while todo:
        state = todo.pop()
        if state not in found:
            found.add(state)
            todo += TRANSITIONS[state].values()
    return found


def test_every_state_is_reachable():
    assert reachable_from("RECOVER") == set(TRANSITIONS)


@pytest.mark.parametrize("state", TRANSITIONS)
def test_every_state_leads_back_to_rest(state):
    assert reachable_from(state) & {"IDLE", "HALT"}


@pytest.mark.parametrize("state", [state for state in TRANSITIONS if state not in RESTING])
def test_every_working_state_can_fail_and_has_a_step(state, manager):
    assert TRANSITIONS[state]["failed"] == "BACKOFF"
    assert state in manager._steps


def test_only_working_states_have_steps(manager):
    assert set(manager._steps) == set(TRANSITIONS) - set(RESTING)


def cell(manager, state, event):
    """Let an event happen in a state, and look at everything that it may change."""
    manager.state = state
    manager.changes = []
    result = manager._report.begin(1, None)
    told = []
    manager.on_event = lambda kind, data: told.append((kind, data))
    if event in TRANSITIONS[state]:
        manager._enter(event)
        change = (state, event, TRANSITIONS[state][event])
        assert manager.state == change[2]
        assert manager.changes == [change]
        assert result.states == [change]
        assert told == [("state", change)]
    else:
        with pytest.raises(ValueError, match=f"no event {event} in state {state}"):
            manager._enter(event)
        assert (manager.state, manager.changes, result.states, told) == (state, [], [], [])


@pytest.mark.parametrize("state", TRANSITIONS)
def test_events_the_state_knows_change_it_and_others_raise_and_change_nothing(state, manager):
    for event in EVENTS:
        cell(manager, state, event)


def test_only_the_last_changes_are_kept(manager):
    manager.state = "SCAN"
    for _ in range(CHANGES_KEPT):
        manager._enter("more")
        manager._enter("more")
    assert len(manager.changes) == CHANGES_KEPT


def test_changes_in_a_result_are_bounded_as_its_other_lists(manager):
    """5,000 new files are 313 batches: 626 changes."""
    result = manager._report.begin(1, None)
    manager.state = "SCAN"
    for _ in range(313):
        manager._enter("more")
        manager._enter("more")
    assert len(result.states) <= max(LIST_ENTRIES, CHANGES_KEPT)


def writers_of_state(tree):
    """Names of the functions that assign an attribute called `state`."""
    found = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and node.attr == "state" and not isinstance(node.ctx, ast.Load):
                    found.add(function.name)
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setattr":
                    found.add(function.name)
    return found


def test_one_door_changes_the_state():
    tree = ast.parse((ROOT / "ftp_manager.py").read_text(encoding="utf-8"))
    assert writers_of_state(tree) == {"__init__", "_enter"}


def test_the_constructor_sets_the_first_state_only(manager):
    assert manager.state == "RECOVER"
    assert manager.changes == []
