# The ledger against a model: what it says in RAM, after a restart, and after a cut anywhere. The model is a dict.
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import StorageError
from app.sync.ledger import Ledger
from app.sync.records import (
    CANCEL,
    FORGET,
    GET_DONE,
    GET_INTENT,
    PUT_DONE,
    PUT_INTENT,
    PUT_VERIFIED,
    RECORD_BYTES,
    SERVER,
)
from tests.fakes import MemoryFiles

PATH = "/usr/.ferry/ledger"
INTENTS = (PUT_INTENT, PUT_VERIFIED, GET_INTENT)
# Some share the segment of the index, some the 4 bytes in it as well.
KEYS = [b"\x01same%c.." % c for c in b"abc"] + [b"\x41same...", b"\x01other.a", b"\x02sameXYZ", b"\x01samesam"]

PUTS = st.tuples(
    st.just("put"),
    st.sampled_from([PUT_INTENT, PUT_VERIFIED, PUT_DONE, GET_INTENT, GET_DONE, SERVER, CANCEL, FORGET]),
    st.sampled_from(KEYS),
    st.integers(0, 0xFFFFFFFF),
)
STEPS = st.one_of(
    PUTS,
    PUTS,
    st.just(("flush",)),
    st.just(("compact",)),
    st.just(("restart",)),
    st.tuples(st.just("failing flush"), st.integers(0, 4 * RECORD_BYTES)),
    st.tuples(st.just("failing compact"), st.integers(1, 14)),
)


class Model:
    def __init__(self, done=None, pending=None):
        self.done = dict(done or {})
        self.pending = dict(pending or {})

    def take(self, kind, key, size):
        if kind in INTENTS:
            self.pending[key] = (kind, size)
            return
        self.pending.pop(key, None)
        if kind == FORGET:
            self.done.pop(key, None)
        elif kind != CANCEL:
            self.done[key] = (kind, size)

    def after(self, entries):
        model = Model(self.done, self.pending)
        for entry in entries:
            model.take(*entry)
        return model

    def shown(self):
        return self.done, self.pending


def shown(ledger):
    done = {key: ledger.find(key) for key in KEYS}
    return (
        {key: (entry.kind, entry.size) for key, entry in done.items() if entry},
        {key: (entry.kind, entry.size) for key, entry in ledger.pending.items()},
    )


def load(files):
    ledger = Ledger(files, PATH)
    ledger.load()
    assert ledger.lost == ""
    return ledger


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=30))
@example([("put", PUT_DONE, KEYS[0], 1), ("put", PUT_INTENT, KEYS[0], 2), ("flush",)])
def test_ledger_is_its_model(steps):
    files = MemoryFiles()
    ledger = load(files)
    saved, waiting = Model(), []  # what is on flash for sure, and what came since
    for step in steps:
        if step[0] == "put":
            _, kind, key, size = step
            ledger.put(kind, key, size, b"digest..")
            waiting.append((kind, key, size))
        elif step[0] == "restart":
            ledger = load(files)
            found = shown(ledger)
            matching = [n for n in range(len(waiting) + 1) if saved.after(waiting[:n]).shown() == found]
            assert matching, "neither the last saved state nor one on the way from it"
            saved, waiting = saved.after(waiting[: matching[0]]), []
        else:
            what, *limit = step
            files.fail_after = limit[0] if limit else 0
            files.fail_at = files.steps + (limit[0] if what == "failing compact" else 1) if limit else None
            try:
                if what.endswith("compact"):
                    ledger.compact()
                else:
                    ledger.flush()
                saved, waiting = saved.after(waiting), []
            except StorageError:
                assert limit
            files.fail_at = None
        assert shown(ledger) == saved.after(waiting).shown(), step
    ledger.flush()
    assert shown(load(files)) == saved.after(waiting).shown()


ENTRIES = st.lists(PUTS.map(lambda put: put[1:]), min_size=1, max_size=12)


@given(ENTRIES, st.integers(0, 12 * RECORD_BYTES), st.binary(max_size=100))
def test_any_prefix_with_any_garbage_is_read_and_written_behind(entries, length, garbage):
    files = MemoryFiles()
    ledger = load(files)
    ledger.put(SERVER, KEYS[-1], 7, b"digest..")
    ledger.flush()
    for kind, key, size in entries:
        ledger.put(kind, key, size, b"digest..")
        ledger.flush()  # what waits is dropped when something newer says more
    ledger.flush()
    length = min(2 * RECORD_BYTES + length, len(files.store[PATH]))
    files.store[PATH] = files.store[PATH][:length] + garbage
    model = Model({KEYS[-1]: (SERVER, 7)}).after(entries[: length // RECORD_BYTES - 2])
    ledger = load(files)
    if garbage:  # it may complete the torn record by chance
        length -= length % RECORD_BYTES
    assert shown(ledger) == model.shown()
    ledger.put(PUT_DONE, KEYS[0], 5, b"digest..")
    ledger.flush()
    model.take(PUT_DONE, KEYS[0], 5)
    assert shown(ledger) == shown(load(files)) == model.shown()


@given(
    st.lists(st.tuples(st.sampled_from(range(60)), st.booleans()), max_size=80),
    st.sets(st.integers(0, 59)),
    st.booleans(),
)
def test_tidy_drops_nothing_that_was_asked_for_or_written_in_the_cycle(puts, asked, is_complete):
    files = MemoryFiles()
    ledger = load(files)
    keys = [b"%08d" % i for i in range(60)]
    for i in range(0, 60, 2):
        ledger.put(PUT_DONE, keys[i], i, b"digest..")
    ledger.flush()
    for _ in range(100):
        ledger.put(PUT_DONE, keys[0], 0, b"digest..")
    ledger.flush()
    ledger.watch()
    known = set(range(0, 60, 2))
    for i in asked:
        assert (ledger.find(keys[i]) is not None) == (i in known)
    for i, is_flushed in puts:
        ledger.put(PUT_DONE, keys[i], i, b"digest..")
        if is_flushed:
            ledger.flush()
    written = {i for i, _ in puts}
    ledger.tidy(is_complete)
    ledger.put(CANCEL, KEYS[0])
    ledger.flush()
    ledger = load(files)
    kept = {i for i in range(60) if ledger.find(keys[i])}
    assert kept >= (known & asked) | written
    if not is_complete:
        assert kept == known | written
