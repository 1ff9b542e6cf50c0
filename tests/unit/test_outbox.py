# A file that has to stand still, over the wrap of the module's ticks.
import pytest

from app.sync.outbox import Outbox
from tests.fakes import MemoryFiles
from tests.world import FastClock

DAY_MS = 86_400_000
PERIOD_MS = 1 << 30
RULE = {"settle_s": 86_400}


class Deaf:
    def waiting(self, path, reason):
        pass


class Clock(FastClock):
    now_ms = 0

    def ticks_ms(self):
        return self.now_ms % PERIOD_MS


@pytest.mark.parametrize("start_ms", [0, PERIOD_MS - 1000, PERIOD_MS // 2])
@pytest.mark.parametrize(("passed_ms", "is_settled"), [(0, False), (DAY_MS - 1, False), (DAY_MS, True), (7 * DAY_MS, True)])
def test_a_file_is_settled_when_it_stood_still_for_so_long_also_for_longer_than_ticks_can_tell(start_ms, passed_ms, is_settled):
    clock = Clock()
    outbox = Outbox([], MemoryFiles(), None, Deaf(), clock, bytearray(16), None)
    clock.now_ms = start_ms
    assert not outbox.is_settled(RULE, "/usr/a", b"digest")
    clock.now_ms += passed_ms
    assert outbox.is_settled(RULE, "/usr/a", b"digest") is is_settled
