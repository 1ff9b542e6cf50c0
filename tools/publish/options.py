# The options of `publish` that need more than a type: each is judged here, and a mistake is answered with what is right.
import json
import os
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

from app.config import FROM_AFAR
from tools.publish.contents import why_refused
from tools.sim.settings import ROWS, SettingsError

from app.config import check, nearest  # isort: skip  (tools.sim.settings has put the module's names in place)

KEY_VARIABLE = "FERRY_UPDATE_KEY"
_MOST_KEY_BYTES = 128
_DAY_S = 86_400
# What an update may not touch: the way to the server, the module's name, and rules that may be several.


def read_key(key_file):
    """The key for the HMAC: of the file, else of the environment, else None."""
    if key_file:
        try:
            raw, where = Path(key_file).read_bytes(), str(key_file)
        except OSError as error:
            raise SettingsError(f"--key-file {key_file}: {error.strerror}") from error
        raw = raw.rstrip(b"\r\n")
    elif KEY_VARIABLE in os.environ:
        raw, where = os.environ[KEY_VARIABLE].encode("utf-8", "surrogateescape"), KEY_VARIABLE
    else:
        return None
    problem = _why_bad_key(raw)
    if problem:
        raise SettingsError(
            f"the key in {where} {problem}; it must be the text of update.key in the modules' config.json"
        )
    return raw


def _why_bad_key(raw):
    if not raw:
        return "is empty"
    if len(raw) > _MOST_KEY_BYTES:
        return f"has {len(raw)} bytes, at most {_MOST_KEY_BYTES} are allowed"
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    if not text.isprintable():
        return "holds a line end or a control character"
    return None


def expiry(text, now):
    """--expires, days from now or a date (through that day, UTC) -> seconds since 1970."""
    if re.fullmatch(r"\d{1,5}", text):
        seconds = int(now) + int(text) * _DAY_S
    else:
        try:
            day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc)
        except ValueError as error:
            raise SettingsError(f"--expires {text}: write days, such as 30, or a date, such as 2030-12-31") from error
        seconds = int((day + timedelta(days=1)).timestamp()) - 1
    if seconds <= now:
        raise SettingsError(f"--expires {text} is over already; write a day to come, or days from now, such as 30")
    return seconds


def check_devices(patterns):
    for pattern in patterns:
        if not re.fullmatch(r"[A-Za-z0-9_.*?-]{1,64}", pattern):
            raise SettingsError(
                f"--devices {pattern!r} matches no device id; ids are letters, digits, '-', '_' and '.', and here '*' and '?'"
            )
    return list(patterns)


def check_folder(to):
    problem = check("--to", to, ROWS["download.to"])
    if problem:
        raise SettingsError(problem)
    return to.rstrip("/")


def check_deletes(paths):
    for path in paths:
        problem = why_refused(path)
        if problem:
            raise SettingsError(f"--delete {path}: {problem}")
    return list(paths)


def remote_keys():
    """Settings that an update may change."""
    return list(FROM_AFAR)


def parse_settings(pairs):
    """--set section.key=value -> {"section.key": value}."""
    found, allowed = {}, remote_keys()
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise SettingsError(f"--set {pair}: write section.key=value, such as --set schedule.every_s=600")
        if key not in ROWS:
            near = nearest(key, ROWS)
            raise SettingsError(f"--set {key}: unknown key" + (f"; did you mean {near}?" if near else ""))
        if key not in allowed:
            raise SettingsError(f"--set {key}: not to be changed from afar; only {', '.join(allowed)}")
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise SettingsError(
                f"""--set {key}: {text!r} is no JSON; text goes in quotes: --set '{key}="..."'"""
            ) from error
        problem = check(key, value, ROWS[key])
        if problem:
            raise SettingsError(f"--set {problem}")
        found[key] = value
    return found
