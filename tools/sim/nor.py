# A flash for MicroPython's own file systems, kept in a file of the host: counts what is done to each block and cuts the
# power where it is told to. Runs on the module's interpreter, for tools/sim/boot.py, tools/sim/image.py and tests/powercut.
from array import array
from io import open as host_open

import vfs

BLOCK_BYTES = 4096  # read, programmed and erased as one: the module's geometry
SECTOR_BYTES = 512  # of FAT, which writes sectors and never erases

_BLOCK_COUNT, _BLOCK_SIZE, _ERASE = 4, 5, 6  # operations of ioctl()
_IO_ERROR = -5


class PowerCut(BaseException):
    """The power goes: not an Exception, so that no handler of the app goes on without it."""


class Nor:
    """The block device. Reads, programs and erases are counted; `cut_at`: the power goes at that program or erase, the
    first is 1, 0 is never. A clean cut leaves the block as it was; a torn one does half of it, and what the other half
    holds is either the old content or garbage, as `seed` says."""

    def __init__(self, path: str, fs: str, cut_at: int = 0, torn: bool = False, seed: int = 0) -> None:
        self._file = host_open(path, "r+b")  # noqa: SIM115, UP020 - closed by close(); the app's open() is another one
        self._size = SECTOR_BYTES if fs == "fat" else BLOCK_BYTES
        self._count = self._file.seek(0, 2) // self._size
        self._erased = b"\xff" * self._size
        self._cut_at = cut_at
        self._torn = torn
        self._noise = seed * 2654435761 + cut_at
        self.reads = self.programs = self.erases = 0
        self.wear = array("I", [0] * self._count)  # erases of each block; of FAT, writes of each sector
        self.is_off = False
        self.is_forgotten = False  # nobody is left who could hear PowerCut: calls fail with a number

    def close(self) -> None:
        self._file.close()

    def readblocks(self, number: int, buf: object, offset: int = 0) -> object:
        if self.is_off:
            return self._no_power()
        self.reads += 1
        self._file.seek(number * self._size + offset)
        self._file.readinto(buf)
        return None

    def writeblocks(self, number: int, buf: object, offset: object = None) -> object:
        if offset is not None:  # littlefs: one erased block
            self.programs += 1
            return self._change(number, buf)
        view = memoryview(buf)
        for at in range(0, len(buf), self._size):
            self.programs += 1
            failed = self._change(number + at // self._size, view[at : at + self._size])
            if failed:
                return failed
            self.wear[number + at // self._size] += 1
        return None

    def ioctl(self, operation: int, argument: int) -> object:
        if operation == _BLOCK_COUNT:
            return self._count
        if operation == _BLOCK_SIZE:
            return self._size
        if operation == _ERASE:
            self.erases += 1
            self.wear[argument] += 1
            return self._change(argument, self._erased) or 0
        return 0

    def _no_power(self) -> int:
        if self.is_forgotten:
            return _IO_ERROR
        raise PowerCut

    def _change(self, number: int, content: object) -> object:
        """The one place where the flash changes: one block, or one sector of FAT."""
        if self.is_off:
            return self._no_power()
        self._file.seek(number * self._size)
        if self.programs + self.erases != self._cut_at:
            self._file.write(content)
            return None
        self.is_off = True
        if self._torn:
            half = self._size // 2
            self._file.write(memoryview(content)[:half])
            if self._size == BLOCK_BYTES and self._noise & 1:  # a card's controller never leaves garbage in a sector
                self._file.write(self._garbage(half))
        raise PowerCut

    def _garbage(self, size: int) -> bytes:
        found = bytearray(size)
        state = self._noise & 0xFFFFFFFF | 1
        for i in range(size):
            state ^= state << 13 & 0xFFFFFFFF
            state ^= state >> 17
            state ^= state << 5 & 0xFFFFFFFF
            found[i] = state & 0xFF
        return found


def make_image(path: str, fs: str, size_bytes: int) -> None:
    """An empty file system of that size in a new file."""
    with host_open(path, "wb") as image:  # noqa: UP020
        for _ in range(size_bytes // BLOCK_BYTES):
            image.write(b"\xff" * BLOCK_BYTES)
    nor = Nor(path, fs)
    if fs == "fat":
        vfs.VfsFat.mkfs(nor)
    else:
        _little(fs).mkfs(nor, readsize=BLOCK_BYTES, progsize=BLOCK_BYTES, lookahead=128)
    nor.close()


def file_system(nor: Nor, fs: str) -> object:
    """What vfs.mount() takes. OSError where the image holds no such file system."""
    if fs == "fat":
        return vfs.VfsFat(nor)
    return _little(fs)(nor, readsize=BLOCK_BYTES, progsize=BLOCK_BYTES, lookahead=128)


def _little(fs: str) -> object:
    return vfs.VfsLfs1 if fs == "lfs1" else vfs.VfsLfs2
