# The plan has an answer for everything, and what it asks for, once done, needs no doing again.
from hypothesis import given
from hypothesis import strategies as st

from app.sync import item as plan
from app.sync.records import GET_DONE, PUT_DONE, PUT_INTENT, PUT_VERIFIED, Entry

SIZES = st.integers(0, 3)
DIGESTS = st.sampled_from([b"digest-A", b"digest-B"])


def entries(*kinds):
    made = st.builds(
        lambda kind, size, digest, stamp: Entry(kind, b"k" * 8, size, digest, stamp),
        st.sampled_from(kinds),
        SIZES,
        DIGESTS,
        st.integers(0, 2),
    )
    return st.none() | made


@given(
    entries(PUT_DONE),
    entries(PUT_INTENT, PUT_VERIFIED),
    entries(GET_DONE),
    SIZES,
    DIGESTS,
    st.sampled_from(["keep", "delete", "move"]),
)
def test_an_upload_that_was_done_is_not_done_again(done, pending, got, size, digest, after):
    todo = plan.plan_upload(done, pending, got, size, digest, after)
    assert todo in (plan.SKIP, plan.SEND, plan.RESUME, plan.REMOVE)
    if todo in (plan.SEND, plan.RESUME):
        sent = Entry(PUT_DONE, b"k" * 8, size, digest)
        assert plan.plan_upload(sent, None, got, size, digest, after) == (
            plan.SKIP if after == "keep" else plan.REMOVE
        )
    elif todo == plan.SKIP:
        assert plan.plan_upload(done, pending, got, size, digest, after) == plan.SKIP


@given(entries(GET_DONE), SIZES, st.integers(0, 2), st.none() | SIZES, st.booleans())
def test_a_download_that_was_done_is_not_done_again(got, remote_size, stamp, local_size, is_safe):
    todo = plan.plan_download(got, remote_size, stamp, local_size, lambda: is_safe)
    assert todo in (plan.SKIP, plan.FETCH, plan.CONFLICT)
    if todo == plan.FETCH:
        fetched = Entry(GET_DONE, b"k" * 8, remote_size, b"digest-A", stamp)
        assert plan.plan_download(fetched, remote_size, stamp, remote_size, lambda: is_safe) == plan.SKIP
