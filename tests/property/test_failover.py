# Fail-over against what is promised, for any servers that come and go.
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.sync.servers import Failover
from tests.world import FastClock

PERIOD_MS = 1 << 30
RETURN_MS = 60_000

# How long since the last cycle, and which servers work in it.
CYCLES = st.lists(st.tuples(st.integers(0, 2 * RETURN_MS), st.sets(st.integers(0, 3))), max_size=60)


def used(count, after, cycles, start_ms):
    """[(server, ms since the first one was tried last, whether it was good)] of the cycles."""
    chosen = Failover(count, after, RETURN_MS, FastClock().ticks_diff)
    now, tried, found = start_ms, start_ms, []
    for passed, working in cycles:
        now += passed
        chosen.before_cycle(now % PERIOD_MS)
        index = chosen.index
        is_good = index in working
        found.append((index, now - tried, is_good))
        if index == 0:
            tried = now
        if is_good:
            chosen.succeeded()
        else:
            chosen.failed(now % PERIOD_MS)
    return found


ANY = (st.integers(1, 4), st.integers(1, 5), CYCLES, st.integers(0, PERIOD_MS - 1))


@given(*ANY)
def test_it_stays_in_the_list_and_with_a_server_that_works(count, after, cycles, start_ms):
    found = used(count, after, cycles, start_ms)
    for (index, _, is_good), (following, away_ms, _) in pairwise(found):
        assert 0 <= following < count
        if is_good:
            assert following == index or (following == 0 and away_ms >= RETURN_MS)


@given(*ANY)
def test_the_first_is_never_left_alone_for_longer_than_its_time(count, after, cycles, start_ms):
    for index, away_ms, _ in used(count, after, cycles, start_ms):
        assert index == 0 or away_ms < RETURN_MS


@given(*ANY, st.integers(0, 3))
def test_one_server_that_works_is_found(count, after, cycles, start_ms, good):
    good %= count
    cycles = cycles + [(1, {good})] * (count * after + 1)
    assert used(count, after, cycles, start_ms)[-1][2]
