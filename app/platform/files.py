# The flash and SD cards as the app sees them: uos with StorageError instead of numbers, sorted folders, atomic replace.
#
# Of the module's littlefs: there are no file times, no fsync; an iterator of ilistdir that is not run to its end leaves a
# dangling entry in the file system's list of open folders; after ENOSPC close() reports success; rename replaces atomically;
# statvfs walks the whole file system; names of 256 bytes and more corrupt the folder.

import gc

import uhashlib
import uos

from app.errors import StorageError, number_of

BLOCK_BYTES = 4096
NAME_BYTES = 255
MIN_ENTRIES = 32
ENTRY_HEAP_BYTES = 800  # so much free heap for each entry held: an eighth of it is used
_FOLDER = 0x4000
_MISSING = (2, 19, 20)  # no such file; no such mount; a part of the path is a file


def blocks_for(size):
    """Blocks that littlefs 1 takes for a file of `size` bytes; never too few."""
    return 0 if size == 0 else 1 + (max(0, size - 4096) + 4087) // 4088


def block_end(size):
    """Size up to which a file of `size` bytes grows on littlefs without a further block: each but the first begins with pointers."""
    number, end = 0, BLOCK_BYTES
    while end < size:
        number += 1
        end += BLOCK_BYTES - 4
        pairs = number
        while not pairs & 1:  # 4 bytes for each time that 2 divides the block's number, and 4
            pairs >>= 1
            end -= 4
    return end


def _failed(what, path, error):
    number = number_of(error)
    return StorageError("%s %s: error %d" % (what, path, number), step=what, code=number)


class Files:
    """All calls raise StorageError (`code` is the error number) and block for as long as the flash takes."""

    feed = None  # called for every block that is read for a digest: a large file takes longer than a watchdog waits

    def size(self, path):
        """Bytes of a file; -1 for a folder; None if there is nothing."""
        try:
            stat = uos.stat(path)
        except OSError as e:
            if number_of(e) in _MISSING:
                return None
            raise _failed("stat", path, e)
        return -1 if stat[0] & _FOLDER else stat[6]

    def entries(self, folder, after, limit, is_reverse=False):
        """The first `limit` entries of a folder whose names sort behind `after`: a sorted list of (name, is_folder, size).

        With `is_reverse` from the greatest name down; an empty `after` is before all. A missing folder has none. Memory is
        bounded by `limit`, whatever the folder holds."""
        found = []
        try:
            for entry in uos.ilistdir(folder):
                name = entry[0]
                if after and name != after and (name < after) != is_reverse or name == after:
                    continue
                if len(found) == limit and (name > found[-1][0]) != is_reverse:
                    continue
                at, end = 0, len(found)
                while at < end:
                    middle = (at + end) // 2
                    if (found[middle][0] < name) != is_reverse:
                        at = middle + 1
                    else:
                        end = middle
                found.insert(at, (name, entry[1] == _FOLDER, entry[3] if len(entry) > 3 else -1))
                if len(found) > limit:
                    found.pop()
        except OSError as e:
            if number_of(e) in _MISSING:
                return []
            raise _failed("list", folder, e)
        return found

    def entry_limit(self):
        """How many entries of a folder may be held at once: the more there is heap, the fewer looks a large folder needs."""
        return max(MIN_ENTRIES, gc.mem_free() // ENTRY_HEAP_BYTES) if hasattr(gc, "mem_free") else MIN_ENTRIES

    def open(self, path, mode):
        """An open file; the caller closes it in a finally block."""
        try:
            return open(path, mode)
        except OSError as e:
            raise _failed("open", path, e)

    def make_folders(self, path):
        """Make a folder and those above it; what exists is left alone."""
        done = ""
        for part in path.strip("/").split("/"):
            done += "/" + part
            if self.size(done) is None:
                try:
                    uos.mkdir(done)
                except OSError as e:
                    raise _failed("mkdir", done, e)

    def remove(self, path):
        """Remove a file or an empty folder; a missing one is no error."""
        try:
            uos.remove(path)
        except OSError as e:
            if number_of(e) not in _MISSING:
                raise _failed("remove", path, e)

    def rename(self, old, new):
        """Atomic on one mount, also over an existing file."""
        try:
            uos.rename(old, new)
        except OSError as e:
            raise _failed("rename", new, e)

    def blocks_for(self, size):
        return blocks_for(size)

    def block_end(self, size):
        return block_end(size)

    def free_blocks(self, path):
        """Free blocks of the file system that `path` lies on. Slow: walks all of it."""
        try:
            stat = uos.statvfs("/" + path.split("/")[1])  # the mount is the first folder
        except OSError as e:
            raise _failed("statvfs", path, e)
        free = stat[3] if 0 <= stat[3] <= stat[2] else 0  # littlefs 2 counts below zero when it is full
        return free * stat[0] // BLOCK_BYTES

    def read(self, path, at_most):
        """The bytes of a small file, or None if it does not exist; StorageError if it is longer than `at_most`."""
        size = self.size(path)
        if size is None:
            return None
        if not 0 <= size <= at_most:
            raise StorageError("%s: %d bytes; at most %d are read" % (path, size, at_most), step="read")
        stream = self.open(path, "rb")
        try:
            return stream.read()
        except OSError as e:
            raise _failed("read", path, e)
        finally:
            stream.close()

    def digest(self, path, size, digest, buffer):
        """Feed the first `size` bytes of a file to `digest.update`; returns the bytes read, fewer if the file is shorter."""
        view = memoryview(buffer)
        done = 0
        stream = self.open(path, "rb")
        try:
            while done < size:
                n = stream.readinto(buffer if size - done >= len(buffer) else view[: size - done])
                if not n:
                    break
                digest.update(view[:n])
                done += n
                if self.feed:
                    self.feed()
        except OSError as e:
            raise _failed("read", path, e)
        finally:
            stream.close()
        return done

    def digest8(self, path, size, buffer):
        """8 bytes of the sha256 of the first `size` bytes of a file, or None if it has become shorter."""
        digest = uhashlib.sha256()
        return digest.digest()[:8] if self.digest(path, size, digest, buffer) == size else None

    def replace(self, path, raw):
        """Put bytes in the place of a small file: written beside it, measured, renamed. Never less than the old or the new one."""
        self.make_folders(path.rsplit("/", 1)[0])
        writer = self.writer(path + ".part")
        try:
            writer.write(raw)
            writer.close()
        finally:
            writer.abandon()
        self.commit(path + ".part", path, len(raw))

    def append(self, path, raw):
        """Add bytes to the end of a file. StorageError if not all of them got there; a part may have."""
        size = (self.size(path) or 0) + len(raw)
        stream = self.open(path, "ab")
        try:
            stream.write(raw)
        except OSError as e:
            raise _failed("append", path, e)
        finally:
            stream.close()
        if self.size(path) != size:
            raise StorageError("%s has %s bytes, not %d" % (path, self.size(path), size), step="append", code=28)

    def writer(self, path, offset=0):
        """A file being written; see Writer. With an `offset` the file exists, has that many bytes and is gone on with."""
        return Writer(self, path, offset)

    def commit(self, temp, path, size):
        """Check that `temp` has `size` bytes, then rename it to `path`. Never believes close(): it says nothing after ENOSPC."""
        found = self.size(temp)
        if found != size:
            self.remove(temp)
            raise StorageError("%s has %s bytes, not %d" % (temp, found, size), step="write", code=28)
        self.rename(temp, path)


class Writer:
    """Writes a file block by block. Any failure removes the file: no stub stays behind."""

    def __init__(self, files, path, offset):
        self._files = files
        self.path = path
        self.size = offset
        self._stream = files.open(path, "ab" if offset else "wb")

    def write(self, block):
        try:
            count = self._stream.write(block)
        except OSError as e:
            self.abandon()
            raise _failed("write", self.path, e)
        if count != len(block):
            self.abandon()
            raise StorageError("%s: %s of %d bytes written" % (self.path, count, len(block)), step="write", code=28)
        self.size += count

    def close(self):
        """All written bytes are in the file, or StorageError and no file."""
        try:
            self._stream.close()
        except OSError as e:
            self._stream = None
            self._files.remove(self.path)
            raise _failed("close", self.path, e)
        self._stream = None
        found = self._files.size(self.path)
        if found != self.size:
            self._files.remove(self.path)
            raise StorageError("%s has %s bytes, not %d" % (self.path, found, self.size), step="write", code=28)

    def keep(self):
        """Close without a claim that the file is complete; what was written stays as far as it got."""
        if self._stream:
            stream, self._stream = self._stream, None
            try:
                stream.close()
            except OSError:
                self._files.remove(self.path)

    def abandon(self):
        """Close and remove; may be called at any time, also twice."""
        if self._stream:
            stream, self._stream = self._stream, None
            try:
                stream.close()
            except OSError:
                pass  # the file is removed next
            self._files.remove(self.path)
