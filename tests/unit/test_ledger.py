# The ledger on a store in RAM: what it finds after any cut, what it writes and when, and that a failing flash loses nothing.
import pytest

from app.errors import StorageError
from app.sync.ledger import Ledger
from app.sync.records import (
    CANCEL,
    FORGET,
    GET_DONE,
    GET_INTENT,
    HEADER,
    MAGIC,
    PUT_DONE,
    PUT_INTENT,
    PUT_VERIFIED,
    RECORD_BYTES,
    SERVER,
    VERSION,
    Entry,
    decode,
    encode,
    get_key,
    put_key,
    server_key,
)
from tests.fakes import MemoryFiles

PATH = "/usr/.ferry/ledger"
DIGEST = b"8 bytes."
HEADER_BYTES = RECORD_BYTES


def key(i):
    return put_key(f"/usr/{i}", f"out/{i}")


def load(files):
    ledger = Ledger(files, PATH)
    ledger.load()
    return ledger


def state(ledger, keys=20):
    """All that can be asked of it."""

    def shown(entry):
        return entry and (entry.kind, entry.size, entry.digest, entry.stamp, entry.attempt)

    found = {i: shown(ledger.find(key(i))) for i in range(keys) if ledger.find(key(i))}
    return found, {k: shown(entry) for k, entry in ledger.pending.items()}


def by_key(numbers):
    """In the order in which a compaction writes them."""
    return sorted(numbers, key=key)


def done_keys(ledger, keys):
    return {i for i in range(keys) if ledger.find(key(i))}


@pytest.fixture
def files():
    return MemoryFiles()


@pytest.fixture
def ledger(files):
    return load(files)


def tidy(ledger, is_complete):
    """The end of a cycle, and the next thing that has to be written anyway."""
    ledger.tidy(is_complete)
    ledger.put(CANCEL, key(999))
    ledger.flush()


def fill(ledger, keys, rounds=1):
    """Send each file `rounds` times, each time with another content."""
    for n in range(rounds):
        for i in keys:
            ledger.put(PUT_DONE, key(i), n + 1, DIGEST)
        ledger.flush()


# --- records


def test_record_has_its_size_and_comes_back():
    entry = Entry(PUT_DONE, key(1), 0xFFFFFFFF, DIGEST, 0xFFFFFFFE, 0xFFFF, 0xF3, 3)
    raw = encode(entry, 7, 9)
    assert len(raw) == RECORD_BYTES
    assert vars(decode(raw, 7, 9)) == vars(entry)


def test_all_flags_of_what_is_known_of_a_server_come_back():
    found = decode(encode(Entry(SERVER, key(1), flags=0xFF), 7, 9), 7, 9)
    assert (found.flags, found.server) == (0xFF, 0)


def test_record_of_another_place_or_file_or_with_a_broken_byte_is_garbage():
    raw = encode(Entry(PUT_DONE, key(1), 3, DIGEST), 7, 9)
    assert decode(raw, 7, 8) is None
    assert decode(raw, 8, 9) is None
    assert decode(raw[:-1], 7, 9) is None
    assert decode(b"", 7, 9) is None
    for at in range(RECORD_BYTES):
        assert decode(raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :], 7, 9) is None


# --- what is known


def test_nothing_is_known_of_a_new_ledger(ledger, files):
    assert state(ledger) == ({}, {})
    assert ledger.lost == ""
    assert files.store == {}


@pytest.mark.parametrize("is_flushed", [False, True])
def test_done_is_found(ledger, is_flushed):
    ledger.put(PUT_DONE, key(1), 3, DIGEST, stamp=9, attempt=2)
    if is_flushed:
        ledger.flush()
    entry = ledger.find(key(1))
    assert (entry.kind, entry.size, entry.digest, entry.stamp, entry.attempt) == (PUT_DONE, 3, DIGEST, 9, 2)
    assert ledger.find(key(2)) is None


def test_what_is_known_of_a_server_survives_a_restart_and_a_compaction(ledger, files):
    ledger.put(SERVER, server_key("h", 21), flags=5)
    ledger.flush()
    ledger.compact()
    assert load(files).find(server_key("h", 21)).flags == 5
    assert ledger.find(server_key("h", 21)).flags == 5


@pytest.mark.parametrize("kind", [PUT_INTENT, PUT_VERIFIED, GET_INTENT])
def test_intent_is_pending_and_not_done(ledger, kind):
    ledger.put(kind, key(1), 3, DIGEST)
    assert ledger.pending[key(1)].kind == kind
    assert ledger.find(key(1)) is None


@pytest.mark.parametrize("kind", [PUT_DONE, GET_DONE, CANCEL, FORGET])
def test_what_ends_an_intent_removes_it(ledger, kind):
    ledger.put(PUT_INTENT, key(1), 3, DIGEST)
    ledger.flush()
    ledger.put(kind, key(1), 3, DIGEST)
    assert ledger.pending == {}
    ledger.flush()
    assert ledger.pending == {}


def test_cancel_leaves_what_arrived_before(ledger):
    ledger.put(PUT_DONE, key(1), 3, DIGEST)
    ledger.put(PUT_INTENT, key(1), 4, DIGEST)
    ledger.put(CANCEL, key(1))
    assert ledger.find(key(1)).size == 3


@pytest.mark.parametrize("is_flushed", [False, True])
def test_forget(ledger, is_flushed):
    fill(ledger, [1, 2])
    ledger.forget(key(1))
    if is_flushed:
        ledger.flush()
    assert done_keys(ledger, 5) == {2}


@pytest.mark.parametrize("is_flushed", [False, True])
def test_later_entry_replaces_the_earlier(ledger, is_flushed):
    fill(ledger, [1], rounds=3)
    ledger.put(PUT_DONE, key(1), 99, DIGEST)
    if is_flushed:
        ledger.flush()
    assert ledger.find(key(1)).size == 99


def test_entry_is_of_size_and_digest():
    entry = Entry(PUT_DONE, key(1), 3, DIGEST)
    assert entry.is_of(3, DIGEST)
    assert not entry.is_of(4, DIGEST)
    assert not entry.is_of(3, b"another.")


def test_keys_tell_destination_and_direction_apart():
    keys = [put_key("/a", "b"), put_key("/a", "c"), put_key("/b", "b"), get_key("/a"), get_key("/b")]
    keys += [server_key("a", 21), server_key("a", 2121), server_key("b", 21)]
    assert len(set(keys)) == len(keys)
    assert all(len(k) == 8 for k in keys)


def test_keys_with_the_same_index_part_are_told_apart(ledger):
    a, b, c = (b"\x01same" + tail for tail in (b"aaa", b"bbb", b"ccc"))
    for size, k in enumerate((a, b)):
        ledger.put(PUT_DONE, k, size, DIGEST)
        ledger.flush()
    assert (ledger.find(a).size, ledger.find(b).size, ledger.find(c)) == (0, 1, None)
    ledger.forget(a)
    ledger.flush()
    assert (ledger.find(a), ledger.find(b).size) == (None, 1)


# --- an intent that a cut left open


def test_settle_get_by_what_lies_in_place(ledger):
    ledger.put(GET_INTENT, key(1), 3, DIGEST, stamp=7)
    entry = ledger.settle_get(key(1), 3, DIGEST)
    assert (entry.kind, entry.stamp, entry.size) == (GET_DONE, 7, 3)
    assert ledger.pending == {}


def test_settle_get_when_the_old_file_lies_in_place(ledger):
    ledger.put(GET_DONE, key(1), 2, DIGEST, stamp=6)
    ledger.put(GET_INTENT, key(1), 3, DIGEST, stamp=7)
    assert ledger.settle_get(key(1), 2, DIGEST).stamp == 6
    assert ledger.pending[key(1)].stamp == 7


# --- on flash


def test_nothing_is_written_without_something_to_write(ledger, files):
    fill(ledger, [1])
    before, steps = files.store[PATH], files.steps
    ledger.flush()
    ledger.tidy(True)
    assert files.store[PATH] == before
    assert files.steps == steps


def test_one_append_for_whatever_waits(ledger, files):
    fill(ledger, [0])
    files.appends = 0
    for i in range(1, 19):
        ledger.put(PUT_INTENT, key(i), 3, DIGEST)
    assert ledger.waiting_count() == 18
    assert files.appends == 0
    ledger.flush()
    assert files.appends == 1
    assert ledger.waiting_count() == 0
    assert len(files.store[PATH]) == HEADER_BYTES + 19 * RECORD_BYTES


def test_everything_is_there_after_a_restart(ledger, files):
    fill(ledger, range(10), rounds=2)
    ledger.put(PUT_VERIFIED, key(3), 77, DIGEST, attempt=5)
    ledger.put(GET_INTENT, key(11), 78, DIGEST, stamp=6)
    ledger.forget(key(4))
    ledger.flush()
    assert state(load(files)) == state(ledger)


def test_load_writes_nothing(ledger, files):
    fill(ledger, range(10))
    before = dict(files.store)
    load(files)
    assert files.store == before


def test_prefix_of_any_length_is_read(ledger, files):
    states = {0: ({}, {})}
    for i in range(6):
        ledger.put(PUT_DONE if i % 2 else PUT_INTENT, key(i), i, DIGEST)
        ledger.flush()
        states[i + 1] = state(ledger)
    whole = files.store[PATH]
    for length in range(HEADER_BYTES, len(whole) + 1):
        files.store[PATH] = whole[:length]
        assert state(load(files)) == states[length // RECORD_BYTES - 1], length


@pytest.mark.parametrize("garbage", [b"\0", b"\xff" * 31, b"\xff" * 32, b"\0" * 4096, bytes(range(256)) * 40])
def test_garbage_behind_is_passed_over_and_written_behind(ledger, files, garbage):
    fill(ledger, range(5))
    before = state(ledger)
    files.store[PATH] += garbage
    ledger = load(files)
    assert state(ledger) == before
    ledger.put(PUT_DONE, key(6), 6, DIGEST)
    ledger.put(PUT_INTENT, key(7), 7, DIGEST)
    ledger.flush()
    assert state(ledger) != before
    assert state(load(files)) == state(ledger)


def test_every_single_broken_byte_costs_at_most_its_own_record(ledger, files):
    fill(ledger, range(4))
    whole = files.store[PATH]
    for at in range(HEADER_BYTES, len(whole)):
        files.store[PATH] = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        assert done_keys(load(files), 4) == set(range(4)) - {by_key(range(4))[at // RECORD_BYTES - 1]}


def test_record_counts_in_its_own_place_only(ledger, files):
    fill(ledger, range(4))
    whole = files.store[PATH]
    first, second = whole[32:64], whole[64:96]
    files.store[PATH] = whole[:32] + second + first + whole[96:]
    assert done_keys(load(files), 4) == set(by_key(range(4))[2:])


def test_records_of_an_older_file_never_count(ledger, files):
    fill(ledger, range(8))
    old = files.store[PATH]
    ledger.forget(key(7))
    ledger.compact()
    assert len(files.store[PATH]) == HEADER_BYTES + 7 * RECORD_BYTES
    files.store[PATH] = files.store[PATH][: 3 * RECORD_BYTES] + old[3 * RECORD_BYTES :]
    assert done_keys(load(files), 8) == set(by_key(range(7))[:2])


def test_temp_of_a_cut_compaction_is_removed(ledger, files):
    fill(ledger, [1])
    files.store[PATH + ".new"] = b"half"
    load(files)
    assert PATH + ".new" not in files.store


# --- a ledger that cannot be read


def newer_version(files):
    return encode(Entry(HEADER, MAGIC, 0, b"", 5, 0, VERSION + 1), 0, 0) + b"new ways" * 4


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (newer_version, f"version {VERSION + 1}, this Ferry reads {VERSION}"),
        (lambda files: b"", "could not be read"),
        (lambda files: b"FERRYLDG", "could not be read"),
        (lambda files: b"\xff" * 4096, "could not be read"),
    ],
    ids=["newer version", "empty", "short", "foreign"],
)
def test_ledger_that_cannot_be_read_is_kept_aside_and_said(files, make, words):
    raw = make(files)
    files.store[PATH] = raw
    ledger = load(files)
    assert words in ledger.lost
    assert files.store == {PATH + ".old": raw}
    fill(ledger, [1])
    again = load(files)
    assert again.lost == ""
    assert done_keys(again, 3) == {1}
    assert files.store[PATH + ".old"] == raw


# --- compaction


def test_idle_cycle_writes_nothing(ledger, files):
    fill(ledger, range(10), rounds=3)
    before, steps = dict(files.store), files.appends
    ledger.watch()
    for i in range(10):
        ledger.find(key(i))
    ledger.tidy(True)
    ledger.flush()
    assert (files.store, files.appends) == (before, steps)


def test_compaction_waits_for_the_next_append_and_takes_its_place(ledger, files):
    superseded(ledger)
    ledger.watch()
    for i in range(6):
        assert ledger.find(key(i))
    before, appends = dict(files.store), files.appends
    ledger.tidy(True)
    ledger.flush()
    assert files.store == before
    ledger.watch()  # the next cycle
    assert ledger.find(key(7))  # it is back
    ledger.put(PUT_DONE, key(15), 9, DIGEST)
    ledger.flush()
    assert files.appends == appends
    assert done_keys(load(files), 20) == {0, 1, 2, 3, 4, 5, 7, 15}
    assert len(files.store[PATH]) == HEADER_BYTES + 8 * RECORD_BYTES


def test_where_there_is_no_room_for_a_compaction_an_append_has_to_do(ledger, files):
    superseded(ledger)
    ledger.watch()
    ledger.tidy(False)
    for number in range(2):
        ledger.put(PUT_DONE, key(15), number, DIGEST)
        before, appends = state(ledger), files.appends
        if not number:
            files.fail_at = files.steps + 14  # in the middle of it
        ledger.flush()
        assert number or files.failed
        assert files.appends == appends + 1
        assert set(files.store) == {PATH}
        assert state(ledger) == state(load(files)) == before
    ledger.tidy(False)  # the next cycle ends: another try
    ledger.put(CANCEL, key(999))
    ledger.flush()
    assert len(files.store[PATH]) == HEADER_BYTES + 13 * RECORD_BYTES


def test_append_that_nearly_fills_a_block_fills_it(ledger, files):
    """Else the next one would end in a further block, and begin in this one: an erase more."""
    ends = set()
    for number in range(300):
        ledger.put(PUT_DONE, key(1), number, DIGEST)
        ledger.put(PUT_INTENT, key(2), number, DIGEST)
        before = len(files.store.get(PATH, b""))
        ledger.flush()
        after = len(files.store[PATH])
        assert files.block_end(before + 1) == files.block_end(after)
        ends.add(files.block_end(after) - after)
        assert state(load(files)) == state(ledger)
    assert 0 in ends


def test_compaction_keeps_exactly_the_live_entries(ledger, files):
    fill(ledger, range(12), rounds=20)
    ledger.put(PUT_VERIFIED, key(3), 77, DIGEST, attempt=5)
    ledger.put(PUT_INTENT, key(13), 5, DIGEST)
    ledger.put(PUT_INTENT, key(14), 5, DIGEST)
    ledger.put(CANCEL, key(14))
    ledger.forget(key(4))
    ledger.flush()
    before = state(ledger)
    ledger.watch()
    tidy(ledger, False)
    assert len(files.store[PATH]) == HEADER_BYTES + (11 + 2) * RECORD_BYTES
    assert state(ledger) == before
    assert state(load(files)) == before


def test_compaction_takes_what_waits_along(ledger, files):
    fill(ledger, range(4), rounds=60)
    ledger.put(PUT_DONE, key(1), 99, DIGEST)
    ledger.put(PUT_INTENT, key(2), 98, DIGEST)
    ledger.put(PUT_INTENT, key(3), 97, DIGEST)
    ledger.put(CANCEL, key(3))
    ledger.forget(key(0))
    before = state(ledger)
    tidy(ledger, False)
    assert len(files.store[PATH]) == HEADER_BYTES + (3 + 1) * RECORD_BYTES
    assert ledger.waiting_count() == 0
    assert state(ledger) == before
    assert state(load(files)) == before


def test_intent_that_follows_a_done_survives_the_first_write(ledger, files):
    """Nothing could be written when the file was sent (flash full), then it was changed and goes again."""
    ledger.put(PUT_DONE, key(1), 3, DIGEST)
    ledger.put(PUT_INTENT, key(1), 4, DIGEST)
    before = state(ledger)
    ledger.flush()
    assert state(ledger) == before
    assert state(load(files)) == before


def test_done_that_follows_a_forget_survives_a_compaction(ledger, files):
    fill(ledger, [1])
    ledger.forget(key(1))
    ledger.put(PUT_DONE, key(1), 4, DIGEST)
    ledger.compact()
    assert load(files).find(key(1)).size == 4


def superseded(ledger, count=12):
    """A ledger that is worth a compaction, with `count` live entries."""
    fill(ledger, range(count), rounds=300 // count)


@pytest.mark.parametrize("is_complete", [False, True])
def test_unseen_entries_go_only_when_everything_was_looked_at(ledger, is_complete):
    superseded(ledger)
    ledger.watch()
    for i in range(0, 12, 2):
        assert ledger.find(key(i))
    tidy(ledger, is_complete)
    assert done_keys(ledger, 12) == (set(range(0, 12, 2)) if is_complete else set(range(12)))


def test_many_unseen_entries_are_reason_enough_to_compact(ledger, files):
    fill(ledger, range(300))
    ledger.watch()
    for i in range(10):
        ledger.find(key(i))
    tidy(ledger, True)
    assert len(files.store[PATH]) == HEADER_BYTES + 10 * RECORD_BYTES


def test_entry_of_a_file_sent_in_this_cycle_is_not_unseen(ledger):
    superseded(ledger)
    ledger.watch()
    assert ledger.find(key(99)) is None
    ledger.put(PUT_DONE, key(99), 5, DIGEST)
    ledger.flush()
    tidy(ledger, True)
    assert ledger.find(key(99))


def test_entry_that_waited_when_it_was_asked_for_is_not_unseen(ledger):
    """DONE of the last file of a cycle is written with the first record of the next."""
    superseded(ledger)
    ledger.put(PUT_DONE, key(99), 5, DIGEST)
    ledger.watch()
    assert ledger.find(key(99))
    ledger.put(PUT_INTENT, key(1), 6, DIGEST)
    ledger.flush()
    tidy(ledger, True)
    assert ledger.find(key(99))


def test_intents_that_somebody_asked_for_outlive_a_cycle_that_looked_at_everything(ledger):
    superseded(ledger)
    ledger.put(PUT_INTENT, key(50), 5, DIGEST)
    ledger.put(PUT_INTENT, key(51), 5, DIGEST)
    ledger.flush()
    ledger.watch()
    assert ledger.under_way(key(50))
    ledger.put(PUT_INTENT, key(52), 5, DIGEST)
    tidy(ledger, True)
    assert set(ledger.pending) == {key(50), key(52)}


def test_intents_outlive_a_cycle_that_did_not_look_at_everything(ledger):
    superseded(ledger)
    ledger.put(PUT_INTENT, key(50), 5, DIGEST)
    ledger.flush()
    ledger.watch()
    tidy(ledger, False)
    assert key(50) in ledger.pending


def test_numbers_of_records_that_do_not_fit_are_made_small_again(ledger, files):
    fill(ledger, range(3))
    files.store[PATH] += b"\xff" * (RECORD_BYTES * (65536 - 5))
    ledger = load(files)
    ledger.put(PUT_DONE, key(3), 1, DIGEST)
    ledger.flush()
    ledger.put(PUT_DONE, key(4), 1, DIGEST)
    ledger.flush()
    assert len(files.store[PATH]) < 100 * RECORD_BYTES
    assert done_keys(ledger, 9) == done_keys(load(files), 9) == {0, 1, 2, 3, 4}


# --- a flash that fails


@pytest.mark.parametrize("written", [0, 1, 31, 32, 33, 64, 95, 96])
def test_going_on_after_an_append_that_failed_in_the_middle(ledger, files, written):
    fill(ledger, range(3))
    ledger.put(PUT_DONE, key(3), 3, DIGEST)
    ledger.put(PUT_INTENT, key(4), 4, DIGEST)
    ledger.put(PUT_DONE, key(1), 9, DIGEST)
    before = state(ledger)
    files.fail_at, files.fail_after = files.steps + 1, written
    with pytest.raises(StorageError):
        ledger.flush()
    assert state(ledger) == before  # still waiting, and answered from RAM
    assert ledger.waiting_count() == 3
    load(files)  # a restart here finds a ledger that can be read
    files.fail_at = None
    ledger.flush()
    assert state(ledger) == before
    assert state(load(files)) == before
    ledger.put(PUT_DONE, key(5), 5, DIGEST)
    ledger.flush()
    assert state(load(files)) == state(ledger)


def compaction_steps():
    files = MemoryFiles()
    ledger = load(files)
    superseded(ledger, 4)
    before = files.steps
    tidy(ledger, False)
    assert len(files.store[PATH]) == HEADER_BYTES + 4 * RECORD_BYTES
    return files.steps - before


@pytest.mark.parametrize("step", range(1, 30))
def test_going_on_after_a_compaction_that_failed(ledger, files, step):
    superseded(ledger, 4)
    ledger.put(PUT_DONE, key(5), 5, DIGEST)
    ledger.put(PUT_INTENT, key(6), 6, DIGEST)
    before = state(ledger)
    files.fail_at = files.steps + step
    try:
        tidy(ledger, False)
    except StorageError:
        assert files.failed
    files.fail_at = None
    assert state(ledger) == before, "after a failed " + files.failed
    ledger.put(PUT_DONE, key(7), 7, DIGEST)
    after = state(ledger)
    ledger.flush()
    assert state(ledger) == after, "after a failed " + files.failed
    assert state(load(files)) == after, "after a failed " + files.failed


def test_all_steps_of_a_compaction_are_swept():
    assert compaction_steps() < 29


class _BadSector:
    """A file whose bytes cannot be read any more."""

    def __init__(self, stream, good_bytes):
        self._stream = stream
        self._good_bytes = good_bytes

    def read(self, count=-1):
        if self._stream.tell() >= self._good_bytes:
            raise OSError(5)
        return self._stream.read(count)

    def seek(self, at):
        return self._stream.seek(at)

    def close(self):
        self._stream.close()


@pytest.mark.parametrize("good_bytes", [0, RECORD_BYTES])
@pytest.mark.parametrize("action", ["load", "find", "compact"])
def test_flash_that_cannot_be_read_is_a_storage_error(files, action, good_bytes):
    ledger = load(files)
    fill(ledger, range(3))
    plain_open = files.open
    files.open = lambda path, mode: _BadSector(plain_open(path, mode), good_bytes)
    with pytest.raises(StorageError):
        if action == "load":
            load(files)
        elif action == "find":
            ledger.find(key(1))
        else:
            ledger.compact()


def test_loading_again_after_it_failed_reads_everything(ledger, files):
    fill(ledger, range(5), rounds=2)
    ledger.forget(key(4))
    ledger.put(PUT_INTENT, key(6), 6, DIGEST)
    ledger.flush()
    before = state(ledger)
    for step in range(1, 12):
        again = Ledger(files, PATH)
        files.fail_at = files.steps + step
        try:
            again.load()
        except StorageError:
            files.fail_at = None
            again.load()
        files.fail_at = None
        assert state(again) == before


# --- the sorted part


def test_each_of_many_is_found_with_few_reads_and_none_that_is_not_there(ledger, monkeypatch):
    fill(ledger, range(1500))
    ledger.compact()
    reads = []
    read = ledger._read
    monkeypatch.setattr(ledger, "_read", lambda number: reads.append(number) or read(number))
    assert done_keys(ledger, 3000) == set(range(1500))
    assert len(reads) < 3000 * 8


@pytest.mark.parametrize("bad", [range(1, 9), range(700, 830), range(1492, 1501), range(1, 1501)])
def test_a_bad_block_in_it_costs_its_own_records_only(ledger, files, bad):
    fill(ledger, range(1500))
    ledger.compact()
    raw = bytearray(files.store[PATH])
    raw[bad[0] * RECORD_BYTES : (bad[-1] + 1) * RECORD_BYTES] = bytes(len(bad) * RECORD_BYTES)
    files.store[PATH] = bytes(raw)
    lost = {number for at, number in enumerate(by_key(range(1500)), 1) if at in bad}
    assert done_keys(load(files), 1500) == set(range(1500)) - lost


def test_memory_holds_nothing_of_what_was_compacted(ledger):
    fill(ledger, range(1500))
    ledger.compact()
    assert sum(map(len, ledger._index)) == 0


# --- serial numbers


def test_serial_numbers_of_uploads_go_on_after_a_restart_and_a_compaction(ledger, files):
    ledger.put(PUT_VERIFIED, key(1), 5, DIGEST, ledger.next_serial())
    ledger.put(PUT_DONE, key(2), 5, DIGEST, ledger.next_serial())
    ledger.flush()
    assert load(files).next_serial() == 3
    for compacted in (load(files), load(files)):
        compacted.forget(key(1))
        compacted.forget(key(2))
        compacted.compact()
    assert load(files).next_serial() == 3
