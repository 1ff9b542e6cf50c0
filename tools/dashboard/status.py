# One status file (docs/PROTOCOL.md, "What a module tells"), read as what it is: bytes from elsewhere. Pure.
# What comes out has every key with a value of its type, and texts that cannot disguise what stands beside them.
import json

FORMAT = 1
MOST_BYTES = 16_384  # a module writes at most 1,536
_MOST_TEXT = 500  # characters
_MOST_FILES = 20
_MOST_NUMBER = 2**53  # what JavaScript counts exactly


class Unreadable(ValueError):
    """The text says why, for a person."""


def parse(raw):
    """The bytes of a status file -> dict with all keys of the status. Raises Unreadable."""
    if len(raw) > MOST_BYTES:
        raise Unreadable(too_large(len(raw)))
    if not raw.strip():
        raise Unreadable("the file is empty")
    data = _json(raw)
    if not isinstance(data, dict):
        raise Unreadable("it is JSON, but no object")
    if "format" not in data or "device" not in data:
        raise Unreadable("it is JSON, but no status of a module: there is no format or no device in it")
    if data["format"] != FORMAT or type(data["format"]) is not int:
        raise Unreadable(
            f"its format is {_shown(data['format'])}, and this dashboard knows {FORMAT}: is there a newer Ferry?"
        )
    found = {key: read(data.get(key), key) for key, read in _KEYS.items()}
    if not found["device"]:
        raise Unreadable("device is empty")
    return found


def too_large(size):
    return f"{size:,} bytes; a status has at most 1,536, and more than {MOST_BYTES:,} are not read"


def _json(raw):
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise Unreadable(f"byte {error.start + 1} is no UTF-8") from error
    except json.JSONDecodeError as error:
        raise Unreadable(
            f"broken JSON in line {error.lineno}, column {error.colno} ({error.msg.removesuffix(' at')})"
        ) from error
    except RecursionError as error:
        raise Unreadable("its lists and objects lie too deep in each other") from error
    except Unreadable:
        raise
    except ValueError as error:  # a number of more digits than Python reads
        raise Unreadable("it holds a number that is too long") from error


def _no_number(name):
    raise Unreadable(f"{name} is no JSON number")


def clean(text, most=_MOST_TEXT):
    """`text` in one line, without what a screen would obey: controls, turned writing direction, halves of characters."""
    shown = "".join(letter if letter.isprintable() else "�" for letter in text[: most + 1])
    return shown if len(shown) <= most else shown[:most] + "…"


def _shown(value):
    return clean(json.dumps(value, ensure_ascii=False), 40)


def _wrong(key, value, allowed):
    return Unreadable(f"{key} is {_shown(value)}; it must be {allowed}")


def _text(value, key):
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(key, value, "a text")
    return clean(value)


def _number(value, key):
    if value is None:
        return None
    if type(value) is not int or not -_MOST_NUMBER <= value <= _MOST_NUMBER:
        raise _wrong(key, value, "a whole number of at most 2^53")
    return value


def _count(value, key):
    found = _number(value, key)
    if found is not None and found < 0:
        raise _wrong(key, value, "0 or more")
    return found or 0


def _object(value, key):
    if not isinstance(value, dict):
        raise _wrong(key, value, "an object")
    return value


def _list(value, key):
    if not isinstance(value, list):
        raise _wrong(key, value, "a list")
    return value[:_MOST_FILES]


def _error(value, key):
    if value is None:
        return None
    data = _object(value, key)
    numbers = {name: _count(data.get(name), f"{key}.{name}") for name in ("cycle", "count", "code")}
    return numbers | {name: _text(data.get(name), f"{key}.{name}") for name in ("class", "step", "text", "advice")}


def _files(value, key):
    if value is None:
        return {"count": 0, "files": []}
    data = _object(value, key)
    files = []
    for entry in _list(data.get("files", []), f"{key}.files"):
        if not isinstance(entry, list) or len(entry) != 2:
            raise _wrong(f"{key}.files", entry, "a list of [path, reason]")
        files.append([_text(part, f"{key}.files") for part in entry])
    return {"count": _count(data.get("count"), f"{key}.count"), "files": files}


def _update(value, key):
    if value is None:
        return {"version": 0, "note": ""}
    data = _object(value, key)
    return {"version": _count(data.get("version"), f"{key}.version"), "note": _text(data.get("note"), f"{key}.note")}


def _texts(value, key):
    return [] if value is None else [_text(entry, key) for entry in _list(value, key)]


_KEYS = {
    "device": _text,
    "model": _text,
    "firmware": _text,
    "version": _text,
    "server": _text,
    "time": _text,
    "uptime_s": _number,
    "boots": _count,
    "bad_boots": _count,
    "power_on": _text,
    "cycle": _count,
    "last_good": _count,
    "error": _error,
    "parked": _files,
    "queue": _files,
    "update": _update,
    "ledger": _text,
    "free_blocks": _number,
    "battery_mv": _number,
    "signal": _number,
    "bytes_today": _number,
    "waited_for": _text,
    "restarts": _texts,
}
