# The module's littlefs over a plain folder: block accounting, and open() with the firmware's promises. A file opened
# for 'w' keeps its old content until flush() or close(); a write without room raises OSError(28), after which close()
# reports success and commits nothing. Private to the shims. Not simulated: data appended or written after a flush() is
# visible at once, where littlefs shows it at the next flush() or close().
#
# Where /usr is a file system of its own on a simulated flash (_world.flash) nothing of this is played: the real one does it.
import os
from io import open as host_open

from qpycom_stubs import _world

BLOCK_BYTES = 4096
_LINKED_BYTES = 4088  # every block after the first carries list pointers
_EMPTY_BLOCKS = 4  # superblock pair and root pair
DIR_BLOCKS = 2
_RESERVED_BLOCKS = 1  # littlefs never hands out the last one
_NAME_MAX_BYTES = 255
DIR_MODE = 0x4000
FILE_MODE = 0x8000

_HIDDEN_NAME = ".open~"  # folder in /usr on the host for uncommitted content: on the same disk, and no listing shows it

_used_blocks = -1  # -1: not walked yet
_hidden_count = 0
_open_files = []  # on a simulated flash


def blocks_of(size_bytes: int) -> int:
    if size_bytes == 0:
        return 0
    return 1 + (max(0, size_bytes - BLOCK_BYTES) + _LINKED_BYTES - 1) // _LINKED_BYTES


def used_blocks() -> int:
    """Blocks in use in /usr; the first call walks the whole folder."""
    global _used_blocks
    if _world.flash:
        return 0
    if _used_blocks < 0:
        _used_blocks = _EMPTY_BLOCKS + _tree_blocks(_world.host_path("/usr"))
    return _used_blocks


def reserve(blocks: int) -> None:
    """Takes blocks; OSError(28) where there are not as many."""
    global _used_blocks
    if _world.flash:
        return
    if blocks > 0 and (_world.flash_is_full or used_blocks() + blocks > _world.flash_blocks - _RESERVED_BLOCKS):
        raise OSError(28)
    _used_blocks = used_blocks() + blocks


def release(blocks: int) -> None:
    reserve(-blocks)


def stat(host: str) -> tuple:
    """(mode, size in bytes) of a host path."""
    try:
        found = os.stat(host)
    except OSError as error:
        raise _world.firmware_error(error)
    if found[0] & 0xF000 == DIR_MODE:
        return DIR_MODE, 0
    return FILE_MODE, found[6]


def blocks_at(host: str) -> int:
    """Blocks that a host path takes now; 0 if there is nothing."""
    if _world.flash:
        return 0
    try:
        mode, size = stat(host)
    except OSError as error:
        if error.args[0] in (2, 20):
            return 0
        raise
    return DIR_BLOCKS if mode == DIR_MODE else blocks_of(size)


def entries(host: str) -> object:
    """Yields (name, mode, 0, size) of each entry of a host folder."""
    if _world.flash and (host + "/").startswith("/usr/"):  # an SD card beside it is the host's
        for name, mode, _, size in os.ilistdir(host):
            yield name, mode, 0, size if mode == FILE_MODE else 0
        return
    names = os.ilistdir(host) if _world.IS_MICROPYTHON else [(name,) for name in os.listdir(host)]
    for entry in names:
        if entry[0] == _HIDDEN_NAME:
            continue
        try:
            mode, size = stat(host + "/" + entry[0])
        except OSError as error:
            if error.args[0] == 2:  # somebody on the host took it away since
                continue
            raise
        yield entry[0], mode, 0, size


def is_read_only(path: str) -> bool:
    """The firmware guards /bak: calls that would change it return -1 and do nothing."""
    return (path if path.startswith("/") else _world.cwd.rstrip("/") + "/" + path).startswith("/bak")


def check_name(path: str) -> None:
    """The fork's littlefs makes a corrupt entry of a longer name: refused loudly here. "/" itself holds only mounts."""
    if not _world.host_path(path)[len(_world.prefix) :].strip("/").count("/"):
        raise OSError(19)
    if len(path.rstrip("/").rsplit("/", 1)[-1].encode()) > _NAME_MAX_BYTES:
        raise OSError(36)


def open_file(path: str, mode: str = "r", encoding: str = "utf-8") -> object:
    """The builtin open() of the firmware."""
    is_text = "b" not in mode
    kind = mode.replace("b", "").replace("t", "")
    host = _world.host_path(path)
    if _world.flash and kind == "r":
        return FlashFile(host, mode)
    if kind == "r":
        if stat(host)[0] == DIR_MODE:  # the host of MicroPython would open a folder
            raise OSError(21)
        try:
            if is_text and not _world.IS_MICROPYTHON:
                return host_open(host, "r", encoding="utf-8", errors="surrogateescape", newline="")
            return host_open(host, mode)
        except OSError as error:
            raise _world.firmware_error(error)
    if is_read_only(path):
        return -1
    check_name(path)
    return FlashFile(host, mode) if _world.flash else File(host, kind, is_text)


def clear_hidden() -> None:
    """At boot and at the end: what was not committed when the power went is gone."""
    if _world.flash:
        return
    hidden = _world.host_path("/usr/" + _HIDDEN_NAME)
    try:
        names = os.listdir(hidden)
    except OSError as error:
        if _world.firmware_error(error).args[0] == 2:
            return
        raise
    for name in names:
        os.remove(hidden + "/" + name)
    os.rmdir(hidden)


def _tree_blocks(host: str) -> int:
    total = 0
    for name, mode, _, size in entries(host):
        total += DIR_BLOCKS + _tree_blocks(host + "/" + name) if mode == DIR_MODE else blocks_of(size)
    return total


def _hidden_path() -> str:
    global _hidden_count
    folder = _world.prefix + "/usr/" + _HIDDEN_NAME
    try:
        os.mkdir(folder)
    except OSError as error:
        if _world.firmware_error(error).args[0] != 17:
            raise
    _hidden_count += 1
    return "%s/%d" % (folder, _hidden_count)


def remove(host: str) -> None:
    """One call for both on littlefs. Nothing is asked before it: a call that changes something is what makes littlefs 2
    finish a rename that a power cut left half done."""
    try:
        os.remove(host)
    except OSError as error:
        if _world.firmware_error(error).args[0] != 21:
            raise _world.firmware_error(error)
        os.rmdir(host)  # FAT


def close_all() -> None:
    """Closes what the app left open. Here and not in the garbage collector: a device written in Python cannot run there."""
    for file in _open_files[:]:
        file._end()


class FlashFile:
    """An open file of the real file system on the simulated flash, which stays reachable until it is closed."""

    def __init__(self, path: str, mode: str) -> None:
        try:
            self._file = file = host_open(path, mode)
        except OSError as error:
            raise _world.firmware_error(error)
        self.read, self.readline, self.readlines, self.readinto = (
            file.read,
            file.readline,
            file.readlines,
            file.readinto,
        )
        self.seek, self.tell = file.seek, file.tell
        _open_files.append(self)
        _world.open_files += 1

    def write(self, data: object) -> int:
        return self._call(self._file.write, data)

    def flush(self) -> None:
        self._call(self._file.flush)

    def close(self) -> None:
        if self in _open_files and not _world.is_off():
            self._end()

    def _end(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise _world.firmware_error(error)
        finally:
            _open_files.remove(self)
            _world.open_files -= 1

    def _call(self, method: object, *args: object) -> object:
        _world.check_power()
        try:
            return method(*args)
        except OSError as error:
            raise _world.firmware_error(error)

    def __enter__(self) -> object:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> object:
        return self._file

    def __next__(self) -> object:
        return next(self._file)


class File:
    """A file open for writing."""

    def __init__(self, path: str, kind: str, is_text: bool) -> None:
        self._path = path
        self._is_text = is_text
        self._is_append = kind[0] == "a"
        self._hidden = None
        self._is_full = False
        used_blocks()  # counted before this file changes anything
        try:
            exists = self._exists()
            if kind[0] == "x" and exists:
                raise OSError(17)
            if kind[0] in "wx":
                if not exists:  # littlefs makes the entry at once, empty
                    host_open(path, "wb").close()
                self._hidden = _hidden_path()
                self._file = host_open(self._hidden, "w+b")
            else:
                self._file = host_open(path, "a+b" if self._is_append else "r+b")
        except OSError as error:
            raise _world.firmware_error(error)
        self._committed = 0 if self._hidden else stat(path)[1]
        self._end = self._committed if self._is_append else 0  # where the next write goes
        self._blocks = blocks_of(self._committed)
        self._room = self._room_of(self._blocks)
        _world.open_files += 1

    def write(self, data: object) -> int:
        _world.check_power()
        if isinstance(data, str):
            data = data.encode()
        if self._is_full:
            raise OSError(28)
        end = self._end + len(data)
        if end > self._room:
            self._grow(end)
        self._end = end
        self._file.write(data)
        return len(data)

    def read(self, size: int = -1) -> object:
        data = self._file.read(size)
        return data.decode() if self._is_text else data

    def readline(self) -> object:
        line = self._file.readline()
        return line.decode() if self._is_text else line

    def readlines(self) -> list:
        return list(self)

    def readinto(self, buf: object) -> int:
        return self._file.readinto(buf)

    def seek(self, offset: int, whence: int = 0) -> int:
        position = self._file.seek(offset, whence)
        if not self._is_append:
            self._end = position
        return position

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        """littlefs sync: what was written so far is the file's content from now on."""
        _world.check_power()
        if self._is_full:
            return
        self._file.flush()
        if self._hidden:
            position = self._file.tell()
            self._file.close()
            self._commit()
            self._file = host_open(self._path, "r+b")
            self._file.seek(position)
        self._committed = stat(self._path)[1]

    def close(self) -> None:
        if self._file is None:
            return
        self._file.close()
        self._file = None
        _world.open_files -= 1
        if self._is_full or _world.is_off():
            self._roll_back()
        elif self._hidden:
            self._commit()

    def __enter__(self) -> object:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> object:
        return self

    def __next__(self) -> object:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def _exists(self) -> bool:
        try:
            mode, _ = stat(self._path)
        except OSError as error:
            if error.args[0] == 2:
                return False
            raise
        if mode == DIR_MODE:
            raise OSError(21)
        return True

    @staticmethod
    def _room_of(blocks: int) -> int:
        return BLOCK_BYTES + (blocks - 1) * _LINKED_BYTES if blocks else 0

    def _grow(self, end: int) -> None:
        blocks = blocks_of(end)
        try:
            reserve(blocks - self._blocks)
        except OSError:
            self._is_full = True
            raise
        self._blocks = blocks
        self._room = self._room_of(blocks)

    def _commit(self) -> None:
        replaced = blocks_at(self._path)
        _world.replace(self._hidden, self._path)
        self._hidden = None
        release(replaced)

    def _roll_back(self) -> None:
        """After ENOSPC, and without power, the file keeps what it held before, as littlefs does."""
        if self._hidden:
            os.remove(self._hidden)
            release(self._blocks)
            return
        if stat(self._path)[1] > self._committed:
            hidden = _hidden_path()
            with host_open(self._path, "rb") as source, host_open(hidden, "wb") as target:
                left = self._committed
                while left:
                    left -= target.write(source.read(min(left, BLOCK_BYTES)))
            _world.replace(hidden, self._path)
        release(self._blocks - blocks_of(self._committed))
