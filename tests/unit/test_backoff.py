import pytest

from app.pace import Backoff


def longest(low, high):
    assert low == 0
    return high


def test_limit_doubles_up_to_the_cap():
    backoff = Backoff(5000, 60000, longest)
    assert [backoff.next_ms() for _ in range(6)] == [5000, 10000, 20000, 40000, 60000, 60000]


def test_jitter_is_full():
    asked = []
    backoff = Backoff(100, 1000, lambda low, high: asked.append((low, high)) or 7)
    assert [backoff.next_ms(), backoff.next_ms()] == [7, 7]
    assert asked == [(0, 100), (0, 200)]


def test_a_success_starts_over():
    backoff = Backoff(5000, 60000, longest)
    backoff.next_ms()
    backoff.next_ms()
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.next_ms() == 5000


def test_a_cap_below_the_base_holds():
    assert Backoff(5000, 1000, longest).next_ms() == 1000


@pytest.mark.parametrize("failures", [100, 10**9])
def test_years_of_failures_cost_no_more_time_and_no_big_numbers(failures):
    backoff = Backoff(1000, 900000, longest)
    backoff.failures = failures
    assert backoff.next_ms() == 900000
    assert backoff.failures == failures + 1
