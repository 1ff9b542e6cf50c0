# The settings at the REPL: shown, and changed one at a time. Loaded by app/console.py.

import ujson

from app import start
from app.errors import ConfigError
from app.platform.files import Files

_AFTER_RESTART = ("run", "power")  # sections that are looked at once, at the start
_QUOTES = "numbers, True and False go without quotes"


def load():
    """The checked settings, as app.config.parse() gives them. Raises ConfigError, StorageError."""
    start.borrow_config()
    try:
        from app.config import parse

        return parse(_raw())
    finally:
        start.forget_config()


def show(wanted):
    """Print one setting, those of a section, or all with "". Raises ConfigError, StorageError."""
    start.borrow_config()
    try:
        _show(str(wanted))
    finally:
        start.forget_config()


def change(key, value, worker):
    """Set one key in config.json and let a running `worker` know. Raises ConfigError, StorageError, and nothing is changed."""
    start.borrow_config()
    try:
        key = str(key)
        text = _changed(key, value)
    finally:
        start.forget_config()
    if text is None:
        return
    Files().replace(start.CONFIG, text)
    if worker:
        worker.has_new_settings = True
    if key.split(".")[0] in _AFTER_RESTART:
        print("It counts after a restart: f.restart()")
    else:
        print("It counts from the next cycle on." if worker else "It counts when Ferry starts.")


# --- what follows has app.config borrowed


def _raw():
    from app.config import TEXT_BYTES

    raw = Files().read(start.CONFIG, TEXT_BYTES)
    if raw is None:
        raise ConfigError(["config.json is missing: copy it to /usr and fill in server.host"])
    return raw


def _default(row):
    return list(row[2]) if isinstance(row[2], tuple) else row[2]


def _shown(value, row):
    return "***" if row[1] == "secret" and value else ujson.dumps(value)


def _unknown(key):
    from app.config import SCHEMA, nearest

    near = nearest(key, [row[0] for row in SCHEMA])
    return ConfigError(["%s: unknown key; %s" % (key, "did you mean %s?" % near if near else "f.get() shows all")])


def _show(wanted):
    from app.config import SCHEMA, parse

    config = parse(_raw())
    lists = {"upload": config["upload"], "server": config["servers"]}
    places = []  # (section as it is named, values in it or None, row); what there may be several of comes last, one by one
    for row in SCHEMA:
        section = row[0].split(".")[0]
        if section not in lists:
            places.append((section, None, row))
    for section in lists:
        several = lists[section]
        for i, values in enumerate(several):
            at = "%s[%d]" % (section, i) if len(several) > 1 else section
            places += [(at, values, row) for row in SCHEMA if row[0].startswith(section + ".")]
        if len(several) == 1:
            wanted = wanted.replace(section + "[0]", section)
    found = []
    for at, values, row in places:
        section, name = row[0].split(".")
        key = at + "." + name
        if wanted in ("", section, at, row[0], key):
            value = values[name] if values else config[key]
            print("%s %s = %s" % (" " if value == _default(row) else "*", key, _shown(value, row)))
            found.append(row)
    if not found:
        raise _unknown(wanted)
    if len(found) > 1:
        print("* differs from the default")
    else:
        row = found[0]
        print("  %s; default %s%s" % (row[5], ujson.dumps(row[2]), " " + row[4] if row[4] else ""))


def _changed(key, value):
    """The new bytes of config.json, or None if the value is that already. Prints what was and what is."""
    from app.config import SCHEMA
    from app.settings import changed

    try:
        data = ujson.loads(_raw().decode())
    except ValueError:
        raise ConfigError(["config.json: broken JSON; copy a good one to /usr"])
    section, number, name = _parts(key)
    row = [row for row in SCHEMA if row[0] == section + "." + name]
    if not row:
        raise _unknown(key)
    row = row[0]
    values = _section(data, section, number, key)
    was = values.get(name, _default(row))
    if was == value and type(was) is type(value):  # 1 is True
        print("%s is %s already" % (key, _shown(was, row)))
        return None
    try:
        values[name] = ujson.loads(ujson.dumps(value))
    except (TypeError, ValueError):  # a function, say, or nan
        raise ConfigError(["%s: %s is no value of a setting" % (key, value)])
    try:
        text = changed(ujson.dumps(data).encode(), {})
    except ConfigError as e:
        if isinstance(value, str) and not isinstance(row[2], (str, tuple)):
            e.problems.append(_QUOTES)
        raise
    print("%s: %s -> %s" % (key, _shown(was, row), _shown(value, row)))
    return text


def _parts(key):
    """("upload", 2, "mode") of "upload[2].mode"; without brackets the number is None."""
    parts = key.split(".")
    if len(parts) != 2:
        raise _unknown(key)
    section, number = parts[0], None
    cut = section.find("[")
    if cut > 0 and section.endswith("]") and section[cut + 1 : -1].isdigit():
        section, number = section[:cut], int(section[cut + 1 : -1])
    return section, number, parts[1]


def _section(data, section, number, key):
    """The dict in `data` where a key's value stands."""
    found = data.setdefault(section, {}) if isinstance(data, dict) else None
    several = found if isinstance(found, list) else [found]
    if number is None and len(several) != 1 or (number or 0) >= len(several):
        raise ConfigError(["%s: there are %d; the first is %s[0]" % (key, len(several), section)])
    found = several[number or 0]
    if not isinstance(found, dict):
        raise ConfigError(["config.json: %s must be an object { }" % section])
    return found
