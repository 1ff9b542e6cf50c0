# Moments of a fleet, times of day, and the data budget.
import pytest

from app.budget import DAY_S, Budget
from app.pace import first_ms, is_open, next_ms, parse_window, phase_of
from app.proto.control import Counts

DAY = 20_000
HOUR_MS = 3_600_000


@pytest.mark.parametrize("text", ["22:00", "22:00-", "24:00-01:00", "00:00-24:01", "09:60-10:00", "-1:00-02:00", "9:00-10:00"])
def test_what_is_no_window_is_refused(text):
    with pytest.raises(ValueError):
        parse_window(text)


@pytest.mark.parametrize(
    ("windows", "clock", "expected"),
    [
        ([], "12:00", True),
        (["09:00-10:00"], "09:00", True),
        (["09:00-10:00"], "09:59", True),
        (["09:00-10:00"], "10:00", False),
        (["22:00-06:00"], "23:59", True),
        (["22:00-06:00"], "05:59", True),
        (["22:00-06:00"], "06:00", False),
        (["22:00-06:00"], "21:59", False),
        (["00:00-24:00"], "00:00", True),
        (["09:00-10:00", "12:00-13:00"], "12:30", True),
    ],
)
def test_a_time_of_day_is_in_a_window_or_not(windows, clock, expected):
    hours, minutes = clock.split(":")
    assert is_open(windows, DAY * DAY_S + int(hours) * 3600 + int(minutes) * 60) is expected


def test_a_fleet_that_waited_for_its_window_does_not_come_at_one_moment():
    opening = DAY * DAY_S + 23 * 3600
    names = [f"86123405{number:07}" for number in range(1000)]
    first = [next(s for s in range(7200) if is_open(["23:00-01:00"], opening + s, name, 900)) for name in names]
    assert max(first) < 900
    assert all(70 <= len([s for s in first if at <= s < at + 90]) <= 130 for at in range(0, 900, 90))
    assert not any(is_open(["23:00-01:00"], opening + 7200, name, 900) for name in names)


def test_a_short_window_opens_for_everybody():
    opening = DAY * DAY_S + 2 * 3600
    assert all(is_open(["02:00-02:10"], opening + 300, f"m{number}", 86400) for number in range(1000))


def test_a_phase_is_always_the_same_and_inside_of_its_period():
    for number in range(1000):
        name = f"86123405{number:07}"
        assert 0 <= phase_of(name, 900_000) < 900_000
        assert phase_of(name, 900_000) == phase_of(name, 900_000)
        assert first_ms(name, 60) == phase_of(name, 60_000)


def test_a_cycle_never_follows_within_half_a_period():
    for uptime_ms in range(0, 2_000_000, 12_345):
        wait_ms = next_ms("m1", 900, uptime_ms)
        assert 450_000 <= wait_ms < 1_350_000
        assert (uptime_ms + wait_ms) % 900_000 == phase_of("m1", 900_000)


def counts(sent=0, connections=0, round_trips=0):
    found = Counts()
    found.sent_bytes, found.connections, found.round_trips = sent, connections, round_trips
    return found


def test_without_limits_nothing_waits():
    budget = Budget(0, 0, False)
    budget.begin(counts(10**9), None, 0)
    assert not budget.is_spent()
    assert budget.why_not(10**9) == ""


def test_what_is_on_the_air_is_more_than_what_is_sent():
    budget = Budget(1000, 0, False)
    budget.begin(counts(10_000, connections=2, round_trips=7), None, 0)
    plain = budget.now()
    assert 10_600 < plain < 13_000
    secure = Budget(1000, 0, True)
    secure.begin(counts(10_000, connections=2, round_trips=7), None, 0)
    assert secure.now() > plain + 10_000


def test_the_days_bytes_are_counted_over_cycles_and_begin_anew_with_the_day():
    budget = Budget(50_000, 0, False)
    for _ in range(4):
        budget.begin(counts(10_000), DAY * DAY_S, 0)
        budget.end()
    assert budget.used == 42_400
    assert budget.why_not(1000, 9) == ""
    budget.begin(counts(), DAY * DAY_S + DAY_S - 1, 0)
    assert budget.now() == 42_400
    budget.begin(counts(), DAY * DAY_S + DAY_S, 0)
    assert budget.now() == 0


def test_near_the_limit_only_what_has_priority_goes():
    budget = Budget(100_000, 0, False)
    budget.recall(85_000, DAY)
    budget.begin(counts(), DAY * DAY_S, 0)
    assert "priority" in budget.why_not(1000)
    assert budget.why_not(1000, 6) == ""
    assert not budget.is_spent()


def test_what_is_planned_in_a_cycle_counts_before_it_is_sent():
    budget = Budget(100_000, 0, False)
    budget.begin(counts(), DAY * DAY_S, 0)
    assert [bool(budget.why_not(20_000, 9)) for _ in range(6)] == [False] * 4 + [True] * 2


def test_a_file_beyond_a_whole_day_says_so():
    budget = Budget(100_000, 0, False)
    budget.begin(counts(), DAY * DAY_S, 0)
    assert "alone" in budget.why_not(200_000, 9)


def test_one_file_goes_in_a_cycle_whatever_its_limit():
    budget = Budget(0, 5000, False)
    for _ in range(3):
        budget.begin(counts(), None, 0)
        assert budget.why_not(1_000_000) == ""
        assert "cycle_bytes" in budget.why_not(1)


def test_without_a_clock_the_bytes_come_back_with_the_uptime_and_a_restart_makes_no_new_day():
    for _ in range(10):  # restarts
        budget = Budget(50_000, 0, False)
        budget.recall(50_000, DAY)
        budget.begin(counts(), None, 1000)
        assert budget.is_spent()
    budget.begin(counts(), None, 24 * HOUR_MS)
    assert budget.now() == 0


@pytest.mark.parametrize("look_ms", [60_000, HOUR_MS])
def test_without_a_clock_no_more_than_the_days_bytes_go_in_a_day_however_often_it_is_looked(look_ms):
    budget = Budget(50_000, 0, False)
    budget.recall(50_000, 0)
    gone = 0
    for uptime_ms in range(0, 24 * HOUR_MS, look_ms):
        budget.begin(counts(0, connections=1), None, uptime_ms)
        if budget.is_near() or budget.is_spent():
            budget._counts = None
            continue
        before = budget.used
        budget.end()
        gone += budget.used - before
    assert 1000 < gone <= 50_000


def test_without_a_clock_a_module_that_never_has_a_day_of_power_does_not_fall_silent():
    used = 50_000
    for _ in range(3):  # boots of 12 hours
        budget = Budget(50_000, 0, False)
        budget.recall(used, 0)
        for uptime_ms in range(0, 12 * HOUR_MS, 60_000):
            budget.begin(None, None, uptime_ms)
        assert budget.why_not(1000) == ""
        assert budget.used < 32_000


def test_bytes_that_are_used_late_in_the_uptime_do_not_come_back_for_the_time_before():
    budget = Budget(50_000, 0, False)
    budget.begin(counts(40_000), None, 20 * HOUR_MS)
    budget.end()
    budget.begin(counts(), None, 20 * HOUR_MS + 60_000)
    assert budget.now() > 42_000


def test_a_clock_that_gets_set_later_on_the_same_day_changes_nothing():
    budget = Budget(50_000, 0, False)
    budget.recall(30_000, DAY)
    budget.begin(counts(), None, 0)
    budget.begin(counts(), DAY * DAY_S + 5, 0)
    assert budget.now() == 30_000
