# python.quectel.com API reference: ql_fs. File helpers as the firmware has them, its own FileNotFoundError and odd
# argument order included: file_copy(target, source).
import json as _json

from qpycom_stubs import _flash, uos

_CHUNK_BYTES = 4096


class FileNotFoundError(Exception):  # noqa: A001 - the firmware's name
    pass


def path_exists(path: str) -> bool:
    try:
        uos.stat(path)
    except OSError as error:
        if error.args[0] in (2, 20):
            return False
        raise
    return True


def path_dirname(path: str) -> str:
    return path.rsplit("/", 1)[0] or "/" if "/" in path else ""


def path_getsize(path: str) -> int:
    if not path_exists(path):
        raise FileNotFoundError(path)
    return uos.stat(path)[6]


def mkdirs(path: str) -> None:
    made = ""
    for part in path.strip("/").split("/"):
        made += "/" + part
        if not path_exists(made):
            uos.mkdir(made)


def rmdirs(path: str) -> None:
    """Removes a folder with all that is in it."""
    for entry in list(uos.ilistdir(path)):
        inside = path.rstrip("/") + "/" + entry[0]
        if entry[1] == _flash.DIR_MODE:
            rmdirs(inside)
        else:
            uos.remove(inside)
    if path.rstrip("/") != "/usr":
        uos.rmdir(path)


def file_copy(target: str, source: str) -> bool:
    if not path_exists(source):
        return False
    with _flash.open_file(source, "rb") as reader, _flash.open_file(target, "wb") as writer:
        while True:
            chunk = reader.read(_CHUNK_BYTES)
            if not chunk:
                return True
            writer.write(chunk)


def touch(path: str, content: dict) -> int:
    try:
        mkdirs(path_dirname(path))
        with _flash.open_file(path, "w") as writer:
            writer.write(_json.dumps(content))
    except OSError:
        return -1
    return 0


def read_json(path: str) -> object:
    if not path_exists(path):
        return None
    with _flash.open_file(path, "r") as reader:
        return _json.load(reader)
