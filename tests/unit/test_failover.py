import pytest

from app.sync.servers import Failover
from tests.world import FastClock

AFTER = 2
RETURN_MS = 3_600_000
PERIOD_MS = 1 << 30


def failover(count=3, after=AFTER, return_ms=RETURN_MS):
    return Failover(count, after, return_ms, FastClock().ticks_diff)


def cycle(chosen, now_ms, is_good):
    """One cycle; which server it was with."""
    chosen.before_cycle(now_ms % PERIOD_MS)
    index = chosen.index
    if is_good:
        chosen.succeeded()
    else:
        chosen.failed(now_ms % PERIOD_MS)
    return index


def used(chosen, *results, start_ms=0, step_ms=1000):
    return [cycle(chosen, start_ms + i * step_ms, is_good) for i, is_good in enumerate(results)]


def on_second(start_ms=0):
    """One that left the first server at `start_ms`."""
    chosen = failover()
    used(chosen, False, False, start_ms=start_ms, step_ms=0)
    assert chosen.index == 1
    return chosen


def test_the_first_is_used_while_it_works():
    assert used(failover(), True, True, True) == [0, 0, 0]


def test_failures_in_a_row_lead_to_the_next_and_round_and_round():
    assert used(failover(3), *[False] * 8) == [0, 0, 1, 1, 2, 2, 0, 0]


def test_a_good_cycle_between_two_failures_starts_the_count_again():
    assert used(failover(), False, True, False, True, False, False, True) == [0, 0, 0, 0, 0, 0, 1]


def test_one_server_is_used_whatever_happens():
    assert used(failover(1), *[False] * 9, step_ms=RETURN_MS) == [0] * 9


def test_the_first_is_tried_again_after_its_time_and_kept_if_it_works():
    chosen = on_second()
    assert cycle(chosen, RETURN_MS - 1, True) == 1
    assert cycle(chosen, RETURN_MS, True) == 0
    assert used(chosen, False, True, False, False, True, start_ms=RETURN_MS) == [0, 0, 0, 0, 1]


def test_a_first_that_fails_once_on_its_return_is_left_at_once_for_its_time():
    chosen = on_second()
    assert cycle(chosen, RETURN_MS, False) == 0
    assert cycle(chosen, RETURN_MS + 1000, True) == 1
    assert cycle(chosen, 2 * RETURN_MS - 1, True) == 1
    assert cycle(chosen, 2 * RETURN_MS, False) == 0


def test_it_goes_back_to_the_one_that_worked_and_not_to_the_second():
    chosen = failover(3)
    assert used(chosen, *[False] * 4, True) == [0, 0, 1, 1, 2]
    assert cycle(chosen, RETURN_MS + 1000, False) == 0
    assert cycle(chosen, RETURN_MS + 2000, True) == 2


def test_moving_on_among_the_others_does_not_put_off_the_return():
    chosen = on_second()
    assert used(chosen, False, False, start_ms=RETURN_MS - 2000) == [1, 1]
    assert cycle(chosen, RETURN_MS, True) == 0


def test_failures_on_the_one_that_worked_count_anew_after_a_return():
    chosen = on_second()
    assert cycle(chosen, RETURN_MS - 1, False) == 1
    assert cycle(chosen, RETURN_MS, False) == 0
    assert used(chosen, False, False, True, start_ms=RETURN_MS + 1) == [1, 1, 2]


@pytest.mark.parametrize("start_ms", [PERIOD_MS - 1, PERIOD_MS - RETURN_MS // 2])
def test_ticks_that_wrap_do_no_harm(start_ms):
    chosen = on_second(start_ms)
    assert cycle(chosen, start_ms + RETURN_MS - 1, True) == 1
    assert cycle(chosen, start_ms + RETURN_MS, True) == 0


def test_a_time_longer_than_half_the_period_of_the_ticks_is_measured():
    day_ms = 86_400_000
    chosen = failover(2, return_ms=7 * day_ms)
    used(chosen, False, False, step_ms=0)
    assert [cycle(chosen, day * day_ms, True) for day in range(1, 9)] == [1] * 6 + [0] * 2


def test_a_pause_of_a_week_between_two_cycles_is_a_long_time():
    chosen = on_second()
    assert cycle(chosen, 7 * 86_400_000, True) == 0
