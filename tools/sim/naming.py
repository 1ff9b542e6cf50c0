# Which names a file may have on the server, read from the template of its upload rule by the simulator's own rules.
import re

_PLACE = re.compile(r"\{(\w*)\}")
_DATE, _TIME = r"\d{4}-\d{2}-\d{2}", r"\d{2}-\d{2}-\d{2}"
_PASSING = {"seq": r"\d{8,}", "boot": r"\d{5,}", "date": _DATE, "time": _TIME}  # nobody can know them beforehand


def folder_of(template):
    """The folder on the server below which all names of a template lie; "" is the top."""
    known = _whole(template).partition("{")[0]
    return _tidy(known[: known.rfind("/") + 1])


def name_of(template, relative):
    """The name of the file at `relative`, below the rule's folder, where it can be known beforehand; else None."""
    path = _path(template, relative)
    return None if "\0" in path else path


def shown(template, relative):
    """The name for people: what cannot be known beforehand stays in braces."""
    return re.sub("\0(.*?)\0", r"{\1}", _path(template, relative))


def pattern_of(template, relative, undated="", has_number=False):
    """-> re.Pattern of the names that the file may have. `has_number`: there may be a number before the extension, because
    another file had the name."""
    path = _path(template, relative)
    _, extension = _split(path)
    pattern = re.escape(path.removesuffix(extension)) + "(?:-[1-9])?" * has_number + re.escape(extension)
    for name, digits in _PASSING.items():
        text = f"(?:{digits}|{re.escape(undated)})" if undated and name in ("date", "time") else digits
        pattern = pattern.replace(_mark(name), text)
    return re.compile(pattern)


def _path(template, relative):
    """With marks for what cannot be known beforehand."""
    return _tidy(_PLACE.sub(lambda place: _value(place[1], relative), _whole(template)))


def _whole(template):
    """A template that names a folder stands for what is in it."""
    if re.search(r"\{(path|name|stem|ext)\}", template):
        return template
    return f"{template.rstrip('/')}/{{path}}" if template else "{path}"


def _value(name, relative):
    folder, _, file_name = relative.rpartition("/")
    stem, extension = _split(file_name)
    values = {"path": relative, "dir": folder, "name": file_name, "stem": stem, "ext": extension}
    return values.get(name, _mark(name))


def _mark(name):
    """Nothing that a path can hold, nothing to escape in a pattern."""
    return f"\0{name}\0"


def _split(path):
    """(stem, extension) of the last part; a name that is nothing but an extension is a stem."""
    name = path.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    return (stem, dot + extension) if stem else (name, "")


def _tidy(path):
    return ("/" if path.startswith("/") else "") + "/".join(part for part in path.split("/") if part)
