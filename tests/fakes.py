# Stand-ins for the ports that the device code gets as constructor arguments. No real time, flash or randomness.
import io

from app.errors import StorageError

FULL = 28
IO_ERROR = 5


class FakeClock:
    """Time that passes only when it is told to, or slept through."""

    def __init__(self, now_ms=0):
        self.now_ms = now_ms

    def ticks_ms(self):
        return self.now_ms

    def ticks_diff(self, later, earlier):
        return later - earlier

    def seconds(self):
        return None

    def sleep_ms(self, ms):
        self.now_ms += ms


class MemoryFiles:
    """The Files port over a dict. Every call that touches the store counts as a step; `fail_at` names the one that fails.

    A failing append has written the first `fail_after` bytes by then: that is what a full flash does."""

    def __init__(self):
        self.store = {}
        self.folders = {"/"}
        self.appends = 0
        self.steps = 0
        self.fail_at = None
        self.fail_after = 0
        self.failed = ""  # which call it was

    def _step(self, what, path):
        self.steps += 1
        if self.steps == self.fail_at:
            self.failed = what
            raise StorageError(f"{what} {path}: error {FULL}", step=what, code=FULL)

    def size(self, path):
        if path in self.folders:
            return -1
        return len(self.store[path]) if path in self.store else None

    def open(self, path, mode):
        assert mode == "rb"
        self._step("open", path)
        if path not in self.store:
            raise StorageError("open " + path, step="open", code=2)
        return io.BytesIO(self.store[path])

    def make_folders(self, path):
        done = ""
        for part in path.strip("/").split("/"):
            done += "/" + part
            self.folders.add(done)

    def remove(self, path):
        self._step("remove", path)
        self.store.pop(path, None)

    def rename(self, old, new):
        self._step("rename", new)
        self.store[new] = self.store.pop(old)

    def block_end(self, size):
        end = 4096
        while end < size:
            end += 4092  # no multiple of a record's size, as on littlefs
        return end

    def read(self, path, at_most):
        self._step("read", path)
        found = self.store.get(path)
        assert found is None or len(found) <= at_most
        return found

    def replace(self, path, raw):
        self._step("write", path)
        self.store[path] = raw

    def append(self, path, raw):
        self.appends += 1
        try:
            self._step("append", path)
        except StorageError:
            self.store[path] = self.store.get(path, b"") + raw[: self.fail_after]
            raise
        self.store[path] = self.store.get(path, b"") + raw

    def writer(self, path):
        self._step("open", path)
        return _Writer(self, path)

    def commit(self, temp, path, size):
        assert self.size(temp) == size
        self.rename(temp, path)

    def entries(self, folder, after, limit, is_reverse=False):
        """As the real one: the first `limit` names behind `after`, sorted."""
        top = folder.rstrip("/") + "/"
        found = {}
        for path, raw in self.store.items():
            if path.startswith(top):
                name, _, below = path[len(top) :].partition("/")
                found[name] = (name, True, -1) if below else (name, False, len(raw))
        for path in self.folders:
            if path.startswith(top):
                name = path[len(top) :].partition("/")[0]
                found[name] = (name, True, -1)
        behind = [e for e in found.values() if not after or (e[0] < after if is_reverse else e[0] > after)]
        return sorted(behind, reverse=is_reverse)[:limit]


class _Writer:
    def __init__(self, files, path):
        self._files = files
        self._raw = b""
        self.path = path
        self.size = 0
        self._is_closed = False

    def write(self, block):
        try:
            self._files._step("write", self.path)
        except StorageError:
            self.abandon()
            raise
        self._raw += block
        self.size += len(block)

    def close(self):
        self._files._step("close", self.path)
        self._files.store[self.path] = self._raw
        self._is_closed = True

    def abandon(self):
        if not self._is_closed:
            self._files.store.pop(self.path, None)
