# python.quectel.com API reference: uos. The module's file system over a plain folder, with littlefs 1's blocks, errors
# and zero times; what it costs is counted in _flash. Mounting is not simulated.
import os
from collections import namedtuple

from qpycom_stubs import _flash, _world

urandom = os.urandom


def getcwd() -> str:
    return _world.cwd


def chdir(path: str) -> None:
    host = _world.host_path(path)
    if _flash.stat(host)[0] != _flash.DIR_MODE:
        raise OSError(20)
    if _world.IS_MICROPYTHON:
        os.chdir(path)  # imports and plain reads follow the interpreter's own idea of it
    _world.cwd = "/" + host[len(_world.prefix) :].strip("/")


def ilistdir(path: str = "") -> object:
    """Iterates (name, mode, 0, size); over "/" it is the mounts, as 3-tuples."""
    host = _world.host_path(path)
    if host[len(_world.prefix) :].strip("/") == "":
        return iter([("usr", _flash.DIR_MODE, 0), ("bak", _flash.DIR_MODE, 0)])
    if _flash.stat(host)[0] != _flash.DIR_MODE:
        raise OSError(20)
    return _flash.entries(host.rstrip("/"))


def listdir(path: str = "") -> list:
    return [entry[0] for entry in ilistdir(path)]


def stat(path: str) -> tuple:
    mode, size = _flash.stat(_world.host_path(path))
    return (mode, 0, 0, 0, 0, 0, size, 0, 0, 0)


def statvfs(path: str) -> tuple:
    if not _world.host_path(path)[len(_world.prefix) :].strip("/"):
        return (0,) * 10
    if _world.flash:
        return os.statvfs(path)
    free = 0 if _world.flash_is_full else _world.flash_blocks - _flash.used_blocks()
    return (_flash.BLOCK_BYTES, _flash.BLOCK_BYTES, _world.flash_blocks, free, free, 0, 0, 0, 0, 255)


def mkdir(path: str) -> object:
    if _flash.is_read_only(path):
        return -1
    _flash.check_name(path)
    _flash.reserve(_flash.DIR_BLOCKS)
    try:
        os.mkdir(_world.host_path(path.rstrip("/")))
    except OSError as error:
        _flash.release(_flash.DIR_BLOCKS)
        raise _world.firmware_error(error)


def remove(path: str) -> object:
    """Removes a file or an empty folder."""
    if _flash.is_read_only(path):
        return -1
    host = _world.host_path(path)
    if _world.flash:
        return _flash.remove(host)
    mode, size = _flash.stat(host)
    _flash.used_blocks()
    try:
        if mode == _flash.DIR_MODE:
            os.rmdir(host)
        else:
            os.remove(host)
    except OSError as error:
        raise _world.firmware_error(error)
    return _flash.release(_flash.DIR_BLOCKS if mode == _flash.DIR_MODE else _flash.blocks_of(size))


rmdir = remove


def rename(old: str, new: str) -> object:
    """Moves; what is at `new` is replaced, atomically."""
    if _flash.is_read_only(old) or _flash.is_read_only(new):
        return -1
    _flash.check_name(new)
    _flash.used_blocks()
    source, target = _world.host_path(old), _world.host_path(new)
    replaced = 0 if source == target else _flash.blocks_at(target)
    try:
        _world.replace(source, target)
    except OSError as error:
        raise _world.firmware_error(error)
    _flash.release(replaced)


def uname() -> tuple:
    """Six strings, not an object with attributes: that is uname2()."""
    return (
        "sysname=%s-QuecPython" % _world.model,
        "nodename=%s" % _world.model,
        "release=1.12.0",
        "version=v1.12 on 2021-12-01",
        "machine=%s with QUECTEL" % _world.model,
        "qpyver=V0001",
    )


def uname2() -> object:
    pairs = [item.split("=", 1) for item in uname()]
    return namedtuple("uname2", [key for key, _ in pairs])(*[value for _, value in pairs])
