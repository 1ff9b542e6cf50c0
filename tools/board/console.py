# Ferry's console from the PC: its functions at the module's REPL, and what they print, for people or as data.
import json
import re

from tools.board.errors import BoardError, ModuleFault

_NAMED = re.compile(r"(?=.{9} )([A-Za-z]+) +(\S.*)")
_CONTINUED = re.compile(r" {10}(\S.*)")
_SETTING = re.compile(r"[ *] ([\w.\[\]]+) = (.*)")
_CHECK_S = 600  # each of its hops has time-outs of its own


def literal(value):
    """A JSON value as a program for the module may write it: str is bytes there, and its JSON knows no escapes beyond a byte."""
    return f'__import__("ujson").loads(str({json.dumps(value, ensure_ascii=False).encode()!r}, "utf-8"))'


def call(repl, name, args=(), hear=None):
    """f.name(*args) on the module; returns what it printed. The app goes on meanwhile."""
    source = f"from usr import ferry as f\nf.{name}({', '.join(literal(arg) for arg in args)})"
    try:
        return repl.run(source, hear, _CHECK_S)
    except ModuleFault as error:
        if "ImportError" in str(error):
            raise BoardError(f"Ferry is not on this module: python -m tools flash\n  {str(error).splitlines()[-1]}") from error
        raise BoardError(f"the module failed:\n{error}") from error


def is_running(repl):
    """Whether Ferry's worker runs beside the REPL."""
    source = 'import usys\nw = getattr(usys.modules.get("app"), "running", None)\nprint("\x1e%s" % bool(w and w.is_running))'
    return "\x1eTrue" in repl.run(source)


def parse_status(text):
    """{name: text, or a list where it has several lines}; lines of the log in between are left out."""
    found, name = {}, None
    for line in text.splitlines():
        if (named := _NAMED.fullmatch(line)) and not line[0].isspace():
            name, more = named.groups()
        elif name and (continued := _CONTINUED.fullmatch(line)):
            more = continued[1]
        else:
            continue
        if name not in found:
            found[name] = more
        else:
            found[name] = [*([found[name]] if isinstance(found[name], str) else found[name]), more]
    return {**found, "is_running": "Ferry does not run" not in text}


def parse_settings(text):
    """{key: value}; a secret that is set is "***"."""
    found = {}
    for line in text.splitlines():
        setting = _SETTING.fullmatch(line)
        if setting:
            key, shown = setting.groups()
            try:
                found[key] = json.loads(shown)
            except ValueError:
                found[key] = shown
    return found


def has_changed(text):
    """True if f.set() took the value, or it was that already."""
    return any(" -> " in line or line.endswith(" already") for line in text.splitlines())
