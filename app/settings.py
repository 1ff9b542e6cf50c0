# config.json changed by a program: a value is checked like one that a person wrote, and the file is replaced as a whole.

import ujson

from app.config import SCHEMA, TEXT_BYTES, check_all
from app.errors import ConfigError


def changed(raw, values):
    """The bytes of config.json (`raw`) with `values` ("section.key" -> value) set. Raises ConfigError with every problem."""
    try:
        data = ujson.loads(raw.decode())
    except ValueError:
        raise ConfigError(["config.json: broken JSON"])
    if not isinstance(data, dict):
        raise ConfigError(["config.json: must be an object { }"])
    for key in values:
        section, name = key.split(".")
        found = data.setdefault(section, {})
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if not isinstance(found, dict):
            raise ConfigError(["%s: there are several, and it does not say which" % key])
        found[name] = values[key]
    check_all(data)
    text = _pretty(data).encode()
    if len(text) > TEXT_BYTES:
        raise ConfigError(["config.json: %d bytes; at most %d are allowed" % (len(text), TEXT_BYTES)])
    return text


def _pretty(data):
    """As a person would write it: a key a line, in the order of the schema."""
    sections = []
    for row in SCHEMA:
        name = row[0].split(".")[0]
        if name in data and name not in sections:
            sections.append(name)
    parts = []
    for name in sections:
        value = data[name]
        if isinstance(value, list):
            rules = ["    " + _object(name, rule, "    ") for rule in value]
            text = "[\n" + ",\n".join(rules) + "\n  ]"
        else:
            text = _object(name, value, "  ")
        parts.append('  "%s": %s' % (name, text))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _object(section, values, indent):
    lines = []
    for row in SCHEMA:
        top, name = row[0].split(".")
        if top == section and name in values:
            lines.append('%s  "%s": %s' % (indent, name, ujson.dumps(values[name])))
    return "{\n" + ",\n".join(lines) + "\n" + indent + "}"
