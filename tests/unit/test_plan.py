# The decision tables, walked over the full product of what can be.
from itertools import product

import pytest

from app.sync.item import CONFLICT, FETCH, REMOVE, RESUME, SEND, SKIP, plan_download, plan_upload
from app.sync.records import GET_DONE, GET_INTENT, PUT_DONE, PUT_INTENT, PUT_VERIFIED, Entry

SIZE, DIGEST = 3, b"digest-A"
SAME, OTHER_SIZE, OTHER_CONTENT = (SIZE, DIGEST), (4, DIGEST), (SIZE, b"digest-B")
VERSIONS = (SAME, OTHER_SIZE, OTHER_CONTENT)


def entries(*kinds):
    return [None] + [Entry(kind, b"k" * 8, *version) for kind, version in product(kinds, VERSIONS)]


def holds(entry):
    return entry is not None and (entry.size, entry.digest) == SAME


def name(entry):
    return "-" if entry is None else f"{entry.kind}:{'same' if holds(entry) else 'other'}"


UPLOADS = list(
    product(entries(PUT_DONE), entries(PUT_INTENT, PUT_VERIFIED), entries(GET_DONE, GET_INTENT), ("keep", "delete", "move"))
)


def may_be_replaced(pending):
    """B was being renamed over A when the module was cut: the server may hold B by now, also if the file here is A again."""
    return pending is not None and pending.kind == PUT_VERIFIED and not holds(pending)


def expected_upload(done, pending, got, after):
    if holds(pending):
        return RESUME
    if holds(done) and not may_be_replaced(pending):
        return SKIP if after == "keep" else REMOVE
    if holds(got):
        return SKIP
    return SEND


def wrong_answers(rows):
    found = []
    for done, pending, got, after in rows:
        answer, right = plan_upload(done, pending, got, SIZE, DIGEST, after), expected_upload(done, pending, got, after)
        if answer != right:
            found.append((name(done), name(pending), name(got), after, answer, right))
    return found


def test_every_upload_has_the_right_answer():
    assert wrong_answers([row for row in UPLOADS if not may_be_replaced(row[1])]) == []


def test_sent_content_that_a_cut_rename_may_have_replaced_is_sent_again():
    assert wrong_answers([row for row in UPLOADS if may_be_replaced(row[1])]) == []


def test_nothing_is_put_away_here_that_the_ledger_does_not_know_as_sent():
    for done, pending, got, after in UPLOADS:
        if plan_upload(done, pending, got, SIZE, DIGEST, after) == REMOVE:
            assert holds(done)
            assert after != "keep"


def test_a_sent_file_is_in_step():
    for _, pending, got, after in UPLOADS:
        if plan_upload(None, pending, got, SIZE, DIGEST, after) == SEND:
            done = Entry(PUT_DONE, b"k" * 8, SIZE, DIGEST)
            assert plan_upload(done, None, got, SIZE, DIGEST, "keep") == SKIP


GOT = [None] + [Entry(GET_DONE, b"k" * 8, size, DIGEST, stamp) for size, stamp in product((3, 4), (7, 8))]
DOWNLOADS = list(product(GOT, (3, 0), (7, 0), (None, 3, 9, 0), (True, False)))


def expected_download(got, remote_size, stamp, local_size, is_safe):
    is_fetched = got is not None and (got.size, got.stamp) == (remote_size, stamp)
    if is_fetched and local_size is not None:
        return SKIP
    return FETCH if local_size is None or is_safe else CONFLICT


def test_every_download_has_the_right_answer():
    for got, remote_size, stamp, local_size, is_safe in DOWNLOADS:
        right = expected_download(got, remote_size, stamp, local_size, is_safe)
        row = (name(got), remote_size, stamp, local_size, is_safe)
        assert plan_download(got, remote_size, stamp, local_size, lambda is_safe=is_safe: is_safe) == right, row


@pytest.mark.parametrize(("local_size", "count"), [(None, 0), (3, 1)])
def test_what_lies_here_is_read_only_when_it_matters(local_size, count):
    asked = []
    plan_download(None, 3, 7, local_size, lambda: asked.append(1))
    assert len(asked) == count


def test_what_is_in_step_is_not_read():
    assert plan_download(Entry(GET_DONE, b"k" * 8, 3, DIGEST, 7), 3, 7, 3, None) == SKIP
