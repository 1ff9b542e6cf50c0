# The settings of a run, read by the simulator's own rules: what goes into the module's config.json, and what must then
# be where. On purpose not the device's code: two readings of the same rules check each other. Only the defaults come
# from there. A value of the wrong type counts as the default here: judging it is the module's business.
import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tools import desktop
from tools.device_files import ROOT

desktop.install()

from app.config import SCHEMA  # noqa: E402  (needs the module's names first)

ROWS = {row[0]: row for row in SCHEMA}

# In /usr, never touched: Ferry's own files, and the firmware's.
_OWN = ("app/", "main.py", "main.mpy", "ftp_manager.py", "ftp_manager.mpy", "ferry.py", "ferry.mpy", "config.json")
_FIRMWARE = (
    ".updater/",
    "system_config.json",
    "user_apn.json",
    "apn_cfg.json",
    "datacall_config.json",
    "checksum.json",
    "q_init_fs.py",
)


class SettingsError(Exception):
    """Wrong input of the person at the keyboard; the text says what is wrong and what would be right."""


@dataclass(frozen=True)
class Server:
    host: str
    port: int = 21
    user: str = ""
    password: str = ""
    path: str = ""
    account: str = ""
    tls: str | None = None  # as server.tls; None where nobody has said

    def __str__(self):
        return f"ftp://{self.host}:{self.port}/{self.path}"


@dataclass(frozen=True)
class Upload:
    source: str
    target: str  # a template; see naming.py
    include: tuple = ()
    exclude: tuple = ()
    after: str = "keep"
    move_to: str = ""
    on_conflict: str = "overwrite"
    undated: str = ""
    settle_s: int = 0
    max_bytes: int = 0
    has_cycle_limit: bool = False
    has_move_limit: bool = False

    def wants(self, relative):
        if any(matches(pattern, relative) for pattern in self.exclude):
            return False
        return not self.include or any(matches(pattern, relative) for pattern in self.include)


def parse_server(url):
    """ftp://user:password@host:port/path -> Server."""
    example = "expected ftp://user:password@host:port/path, for example ftp://ferry:secret@127.0.0.1:2121/fleet"
    if "://" not in url:
        raise SettingsError(f"{url!r} is not a URL; {example}")
    parts = urlsplit(url)
    if parts.scheme != "ftp":
        raise SettingsError(f"{parts.scheme}:// is not served, only ftp://; {example}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        where = parts.netloc.rpartition("@")[2]
        raise SettingsError(f"the TCP port in {where!r} must be a number from 1 to 65535; {example}")
    if not parts.hostname:
        raise SettingsError(f"there is no host in it; {example}")
    return Server(
        parts.hostname,
        port or 21,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        unquote(parts.path).strip("/"),
    )


def load_config(path):
    """The JSON object in a config file, unchecked: what is in it is the module's business to judge."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path} is broken JSON in line {error.lineno}: {error.msg}") from error
    if not isinstance(data, dict):
        raise SettingsError(f"{path} must be one JSON object with sections, as config.json in the checkout is")
    return data


def own_config():
    """The simulator's config.json: the checkout's, with the shortest waits that the schema allows."""
    data = load_config(ROOT / "config.json")
    for key in ("schedule.every_s", "schedule.jitter_s", "schedule.first_s", "retry.base_s"):
        section, name = key.split(".")
        data.setdefault(section, {})[name] = ROWS[key][3][0]
    return data


def use_server(data, server):
    """`data` with its server named; a path on it becomes the base of both folders there."""
    access = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
    if server.tls is not None:
        access["tls"] = server.tls
    data = dict(data, server=dict(_section(data, "server"), **access))
    if server.path:
        rules = [dict(rule, to=f"{server.path}/{_of(rule, 'upload.to')}".rstrip("/")) for rule in _upload_rules(data)]
        data["upload"] = rules if isinstance(data.get("upload"), list) else rules[0]
        source = value(data, "download.from")
        if source:
            data["download"] = dict(_section(data, "download"), **{"from": f"{server.path}/{source}"})
    return data


def server_of(data):
    """The Server that a config names, or None when it names none that could be asked."""
    host, port = value(data, "server.host"), value(data, "server.port")
    if not host or not 0 < port < 65536:
        return None
    names = ("user", "password", "account", "tls")
    return Server(host, port, **{name: value(data, f"server.{name}") for name in names})


def uploads(data, imei):
    """[Upload] of the settings, {device} and {imei} filled in."""
    device = value(data, "device.id") or imei
    found = []
    for rule in _upload_rules(data):
        source = _of(rule, "upload.from")
        if source:
            include, exclude = (tuple(map(str, _of(rule, f"upload.{name}"))) for name in ("include", "exclude"))
            after = _of(rule, "upload.after")
            found.append(
                Upload(
                    source.rstrip("/"),
                    _of(rule, "upload.to").replace("{device}", device).replace("{imei}", imei),
                    include,
                    exclude,
                    after,
                    _of(rule, "upload.move_to").rstrip("/") if after == "move" else "",
                    _of(rule, "upload.on_conflict"),
                    _of(rule, "upload.undated"),
                    _of(rule, "upload.settle_s"),
                    _of(rule, "upload.max_bytes"),
                    has_cycle_limit=bool(_of(rule, "upload.cycle_files") or _of(rule, "upload.cycle_bytes")),
                    has_move_limit=bool(_of(rule, "upload.move_files") or _of(rule, "upload.move_bytes")),
                )
            )
    return found


def download(data):
    """(folder on the server, folder on the module), or None when nothing is fetched."""
    source = value(data, "download.from").strip("/")
    return (source, value(data, "download.to").rstrip("/")) if source else None


def value(data, key):
    """The setting "section.name"."""
    return _of(_section(data, key.split(".")[0]), key)


def _of(section, key):
    default = ROWS[key][2]
    found = section.get(key.split(".")[1], default)
    return found if isinstance(found, list if isinstance(default, tuple) else type(default)) else default


def is_own(path):
    """Whether it is Ferry's own: code, settings, state. No file to keep in step, and no news to anyone."""
    return ".ferry" in path.split("/") or _is_in_usr(path, _OWN)


def is_protected(path):
    """Whether Ferry must leave this path of the module alone: never sent, never overwritten."""
    path = path.lower()  # an SD card does not tell upper from lower case
    return is_own(path) or path.endswith(".part") or path.startswith("/bak/") or _is_in_usr(path, _FIRMWARE)


def _is_in_usr(path, names):
    inside = path.removeprefix("/usr/")
    return inside != path and any(inside.startswith(name) if name.endswith("/") else inside == name for name in names)


def matches(pattern, relative):
    """A pattern without "/" is for the name at any depth, one with "/" for the whole path, a last "/" for all below."""
    if pattern.endswith("/"):
        return relative.startswith(pattern)
    subject = relative if "/" in pattern else relative.rpartition("/")[2]
    return re.fullmatch(_expression(pattern), subject) is not None


def _expression(pattern):
    parts = {"*": "[^/]*", "?": "[^/]"}
    return "".join(parts.get(letter, re.escape(letter)) for letter in pattern)


def _section(data, name):
    section = data.get(name, {})
    if name == "server" and isinstance(section, list):  # the others are for when the first is down
        section = section[0] if section else {}
    return section if isinstance(section, dict) else {}


def _upload_rules(data):
    rules = data.get("upload", {})
    return [rule if isinstance(rule, dict) else {} for rule in (rules if isinstance(rules, list) else [rules])]
