"""What app/sync/update.py makes of a pack: any files, any of them wanted, any gaps, any blocks, cut and gone on with."""

import hashlib

from hypothesis import assume, given
from hypothesis import strategies as st

from app.sync.update import _Enough, _Splitter, _staged
from tests.powercut.scenarios import noise


class Staging:
    """The part of Files that a splitter uses, over a dict."""

    def __init__(self):
        self.store = {}

    def writer(self, path, offset=0):
        assert len(self.store.get(path, b"")) == offset or not offset
        self.store[path] = self.store.get(path, b"")[:offset]
        return _Writer(self.store, path)

    def digest(self, path, size, digest, buffer):
        digest.update(self.store[path][:size])

    def remove(self, path):
        del self.store[path]


class _Writer:
    def __init__(self, store, path):
        self._store = store
        self._path = path

    def write(self, block):
        self._store[self._path] += bytes(block)

    def close(self):
        self._store = None  # nothing is written behind it

    keep = close


class Pack:
    """Files of these sizes one behind the other; `run`: those that are wanted, as the manifest has them."""

    def __init__(self, sizes, wanted):
        self.raw = noise(len(sizes), sum(sizes))
        self.run, at = [], 0
        for number, size in enumerate(sizes):
            content = self.raw[at : at + size]
            path = f"/usr/{number}"
            if wanted[number]:
                sha256 = hashlib.sha256(content).hexdigest()
                self.run.append({"path": path, "size": size, "sha256": sha256, "at": at})
            at += size

    def content(self, entry):
        return self.raw[entry["at"] : entry["at"] + entry["size"]]


@st.composite
def packs(draw):
    sizes = draw(st.lists(st.integers(0, 40), min_size=1, max_size=8))
    wanted = draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)))
    assume(any(wanted))
    return Pack(sizes, wanted)


def receive(files, pack, held, raw, start, block_sizes):
    """All of `raw`, which begins at offset `start` of the pack, in blocks; the first entry has `held` bytes already."""
    first = pack.run[0]
    if held:
        files.store[_staged(first)] = pack.content(first)[:held]
    splitter = _Splitter(files, bytearray(16), pack.run, start, held, len(pack.raw))
    try:
        at = 0
        for number in range(len(raw) + 1):
            size = block_sizes[number % len(block_sizes)]
            if at >= len(raw):
                break
            splitter.write(memoryview(raw)[at : at + size])
            at += size
    except _Enough:
        pass
    splitter.end()
    splitter.close()
    return splitter.bad


def begin(data, pack):
    """(bytes of the first entry that are there, offset at which the server begins)"""
    first = pack.run[0]
    held = data.draw(st.integers(0, max(0, first["size"] - 1)))
    # A server without REST begins at 0 although it was asked for more.
    return held, data.draw(st.sampled_from([0, first["at"] + held]))


BLOCKS = st.lists(st.integers(1, 60), min_size=1, max_size=5)


@given(st.data(), packs(), BLOCKS)
def test_every_file_that_is_wanted_comes_out_and_no_other(data, pack, blocks):
    held, start = begin(data, pack)
    files = Staging()
    assert receive(files, pack, held, pack.raw[start:], start, blocks) is None
    assert files.store == {_staged(entry): pack.content(entry) for entry in pack.run}


@given(st.data(), packs(), BLOCKS)
def test_of_a_stream_that_ends_early_only_right_beginnings_are_there(data, pack, blocks):
    held, start = begin(data, pack)
    end = data.draw(st.integers(start, len(pack.raw)))
    files = Staging()
    bad = receive(files, pack, held, pack.raw[start:end], start, blocks)
    whole = [entry for entry in pack.run if files.store.get(_staged(entry)) == pack.content(entry)]
    assert bad in [entry for entry in pack.run if entry not in whole] or (bad is None and whole == pack.run)
    for entry in pack.run:
        assert pack.content(entry).startswith(files.store.get(_staged(entry), b""))


@given(st.data(), packs(), BLOCKS)
def test_a_wrong_byte_costs_the_file_that_it_lies_in_and_no_other(data, pack, blocks):
    entry = data.draw(st.sampled_from(pack.run))
    assume(entry["size"])
    raw = bytearray(pack.raw)
    raw[data.draw(st.integers(entry["at"], entry["at"] + entry["size"] - 1))] ^= 1
    files = Staging()
    assert receive(files, pack, 0, bytes(raw), 0, blocks) == entry
    assert files.store == {_staged(other): pack.content(other) for other in pack.run if other is not entry}
