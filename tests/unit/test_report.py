import pytest

from app.errors import AuthError, PermReply, TempReply
from app.log import Log
from app.proto.control import Counts
from app.sync.report import LIST_ENTRIES, PARKED, REASON_BYTES, SHOWN, Report
from tests.fakes import FakeClock

V1, V2 = b"version1", b"version2"


@pytest.fixture
def told():
    return []


@pytest.fixture
def report(told):
    report = Report(Log(FakeClock(), out=lambda line: None), lambda kind, data: told.append((kind, data)), lambda: None)
    report.begin(1, Counts())
    return report


def send(report):
    report.sent("/usr/a", "out/a", 3, b"key")


def fail(report, key=b"key", digest=V1, error=None):
    report.failed("up", "/usr/a", key, digest, error or refusal())


def refusal():
    return PermReply("553 no", verb="STOR", code=553)


def test_why_files_are_parked_is_known_over_cycles_until_they_are_sent(report):
    fail(report)
    report.begin(2, Counts())
    fail(report, digest=V2)
    assert report.result.parked == [("/usr/a", "553 no")]
    send(report)
    assert report.result.parked == []


def test_lists_are_bounded_and_counts_are_not(report, told):
    for _ in range(LIST_ENTRIES + 10):
        send(report)
        report.fetched("up/b", "/usr/b", 5)
        report.skipped("up", "/usr/c", "why", refusal())
    result = report.result
    assert [len(x) for x in (result.up, result.down, result.skipped, result.errors)] == [LIST_ENTRIES] * 4
    assert (result.up_count, result.down_count, result.skip_count) == (LIST_ENTRIES + 10,) * 3
    assert (result.up_bytes, result.down_bytes) == (3 * (LIST_ENTRIES + 10), 5 * (LIST_ENTRIES + 10))
    assert len([kind for kind, _ in told if kind == "up"]) == LIST_ENTRIES + 10


def test_a_new_cycle_begins_with_nothing(report):
    send(report)
    result = report.begin(2, Counts())
    assert result is report.result
    assert (result.number, result.up, result.up_count, result.ok, result.error) == (2, [], 0, False, None)


def test_refused_file_is_parked_and_does_not_fail_the_cycle(report, told):
    fail(report)
    assert report.is_parked(b"key", V1)
    assert report.parked_count() == 1
    assert report.result.error is None
    assert "553" in report.result.skipped[0][2]
    assert [kind for kind, _ in told] == ["skip", "error"]


def test_new_version_of_a_parked_file_gets_a_new_chance(report):
    fail(report)
    assert not report.is_parked(b"key", V2)
    fail(report, digest=V2)
    assert report.is_parked(b"key", V2)
    assert not report.is_parked(b"key", V1)
    assert report.parked_count() == 1


def test_a_file_that_was_sent_is_not_parked_any_more(report):
    fail(report)
    send(report)
    assert report.parked_count() == 0


def test_parked_files_outlive_the_cycle(report):
    fail(report)
    report.begin(2, Counts())
    assert report.is_parked(b"key", V1)


def test_parked_files_are_bounded_and_the_oldest_gets_another_try(report):
    for i in range(PARKED + 3):
        fail(report, b"%d" % i)
    assert report.parked_count() == PARKED
    assert not report.is_parked(b"2", V1)
    assert report.is_parked(b"3", V1)
    assert report.is_parked(b"%d" % (PARKED + 2), V1)


def test_what_one_server_refused_another_one_may_take(report):
    fail(report)
    fail(report, b"late", error=TempReply("452 full", verb="STOR", code=452))
    report.forget_refusals()
    assert (report.parked_count(), report.is_parked(b"key", V1), report.is_late(b"late")) == (0, False, False)


def test_parking_one_file_again_and_again_pushes_no_other_out(report):
    fail(report, b"first")
    for i in range(PARKED + 3):
        fail(report, b"again", b"%8d" % i)
    assert report.is_parked(b"first", V1)
    assert report.parked_count() == 2


def test_parked_files_are_shown_with_their_last_reason_until_they_are_sent(report):
    fail(report)
    fail(report, digest=V2, error=PermReply("550 gone", verb="STOR", code=550))
    assert report.parked_files() == [("/usr/a", "550 gone")]
    send(report)
    assert report.parked_files() == []


def test_what_is_shown_of_parked_files_is_bounded(report):
    for i in range(PARKED + SHOWN):
        fail(report, b"%d" % i, error=PermReply("x" * 1000))
        assert report.parked_files() == [("/usr/a", "x" * REASON_BYTES)] * min(i + 1, SHOWN)


def test_changes_of_the_parked_set_are_counted_and_other_tries_are_not(report):
    fail(report)
    fail(report, digest=V2)
    assert report.parked_changes == 1
    send(report)
    assert report.parked_changes == 2


def test_what_one_server_refused_is_forgotten_as_a_whole(report):
    fail(report)
    report.park(b"quiet", V1)
    report.forget_refusals()
    assert (report.parked_count(), report.parked_files(), report.is_parked(b"key", V1)) == (0, [], False)
    assert report.parked_changes == 4


def test_what_nobody_has_to_know_of_is_left_alone_and_not_counted(report):
    report.park(b"key", V1)
    assert report.is_parked(b"key", V1)
    assert (report.parked_count(), report.parked_files()) == (0, [])
    fail(report)
    assert report.parked_count() == 1


def test_files_that_wait_are_counted_with_the_first_few_reasons(report):
    for i in range(LIST_ENTRIES + 5):
        report.waiting(f"/usr/{i}", "x" * 1000)
    fail(report, error=TempReply("450 busy", verb="STOR", code=450))
    result = report.result
    assert result.wait_count == LIST_ENTRIES + 6
    assert result.waits == [(f"/usr/{i}", "x" * REASON_BYTES) for i in range(LIST_ENTRIES)]
    assert report.begin(2, None).wait_count == 0


def test_the_last_failure_outlives_good_cycles_with_the_number_that_failed_in_a_row(report):
    assert report.failure is None
    report.fail(TempReply("421 a", verb="USER", code=421))
    report.begin(2, None)
    report.fail(AuthError("530 b", verb="PASS", code=530))
    for number in (3, 4):
        report.begin(number, None)
        assert report.failure == (2, 2, "AuthError", "PASS", 530, "530 b", "check server.user and server.password")
    report.trouble(TempReply("450 c", verb="STOR", code=450))
    assert report.failure[:2] == (4, 1)


def test_passing_failure_of_a_file_is_not_parked_and_fails_the_cycle(report):
    error = TempReply("450 busy", verb="STOR", code=450)
    fail(report, error=error)
    assert not report.is_parked(b"key", V1)
    assert report.result.error is error
    assert report.result.skipped == [("up", "/usr/a", "later: 450 busy")]


def test_first_failure_of_a_cycle_is_kept_until_it_ends(report):
    first, second, last = (TempReply(text) for text in ("450 a", "450 b", "421 c"))
    report.trouble(first)
    report.trouble(second)
    assert report.result.error is first
    report.fail(last)
    assert report.result.error is last


def test_error_is_told_with_class_step_code_text_and_advice(report, told):
    report.fail(AuthError("530 no", verb="PASS", code=530))
    entry = ("AuthError", "PASS", 530, "530 no", "check server.user and server.password")
    assert report.result.errors == [entry]
    assert told == [("error", entry)]


def test_missing_folder_is_told_once_and_the_memory_of_it_is_bounded(report):
    lines = []
    report._log = Log(FakeClock(), out=lines.append)
    for _ in range(2):
        report.no_folder("updates", refusal())
    assert len(lines) == 1
    for i in range(PARKED + 10):
        report.no_folder(f"f{i}", refusal())
    assert len(lines) == PARKED


def test_numbers_of_a_result_are_json(report):
    import json

    report.fail(AuthError("530 no", verb="PASS", code=530))
    numbers = json.loads(json.dumps(report.result.as_dict()))
    assert numbers["ok"] is False
    assert numbers["error"] == "AuthError in PASS: 530 no"
