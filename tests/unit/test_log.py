import sys
import traceback

import pytest

from app.log import LEVELS, LINE_BYTES, RING_BYTES, Log
from tests.fakes import FakeClock


@pytest.fixture
def out():
    return []


@pytest.fixture
def log(out):
    return Log(FakeClock(12345), "debug", out.append)


def test_line_has_time_level_and_text(log, out):
    log.info("sent %s, %d bytes", "a.txt", 3)
    assert out == ["   12.345 info    sent a.txt, 3 bytes"]
    assert log.lines() == out


@pytest.mark.parametrize("level", LEVELS)
def test_levels_below_the_threshold_are_not_shown(log, out, level):
    log.set_level(level)
    for name in LEVELS:
        getattr(log, name)("x")
    assert [line.split()[1] for line in out] == list(LEVELS[LEVELS.index(level) :])


def test_unknown_level_is_refused(log):
    with pytest.raises(ValueError):
        log.set_level("loud")


def test_secrets_are_redacted_in_text_and_arguments(log, out):
    log.set_secrets(["hunter2", ""])
    log.info("PASS hunter2")
    log.error("%s refused %s", "ftp", "hunter2hunter2")
    assert "hunter2" not in "".join(out + log.lines())
    assert out[1].endswith("ftp refused ******")


def test_a_secret_on_the_edge_of_a_long_line_does_not_show_its_half(log, out):
    log.set_secrets(["hunter2"])
    log.info("x" * (LINE_BYTES - 3) + "hunter2")
    assert "hun" not in out[0]


def test_empty_secrets_redact_nothing(log, out):
    log.set_secrets([""])
    log.info("abc")
    assert out[0].endswith(" abc")


def test_a_text_without_arguments_is_not_formatted(log, out):
    log.info("100 % done, %s")
    assert out[0].endswith("100 % done, %s")


@pytest.mark.parametrize("length", [10, 60, LINE_BYTES])
def test_ring_keeps_as_many_of_the_last_lines_as_fit(log, out, length):
    for i in range(RING_BYTES):
        log.info("%s", f"{i} {'x' * length}")
    kept = log.lines()
    assert kept == out[-len(kept) :]
    assert sum(map(len, kept)) <= RING_BYTES < sum(map(len, out[-len(kept) - 1 :]))


def test_lines_are_a_copy(log):
    log.info("x")
    log.lines().clear()
    assert len(log.lines()) == 1


def test_long_lines_are_cut(log, out):
    log.info("%s", "x" * 10000)
    assert out[0].count("x") == LINE_BYTES


def test_traceback_is_told_line_by_line_and_redacted(log, out, monkeypatch):
    monkeypatch.setattr(
        sys, "print_exception", lambda e, stream: stream.write("".join(traceback.format_exception(e))), raising=False
    )
    log.set_secrets(["hunter2"])
    try:
        raise KeyError("hunter2")
    except KeyError as e:
        log.trace(e)
    assert "Traceback" in out[0]
    assert "KeyError: '***'" in out[-1]
    assert not any("\n" in line for line in out)
