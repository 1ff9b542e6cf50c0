# config.json: every setting is declared once, in SCHEMA. load() checks everything and reports all problems at once;
# the app never writes defaults over what a person wrote. No I/O of its own: the text of the file comes in.

import ujson

from app.errors import ConfigError
from app.pace import parse_window
from app.sync.names import PASSING, STABLE
from app.sync.names import parse as parse_template
from app.sync.records import server_mark
from app.sync.rules import mount_of

# key, type, default, limits, unit, help. Limits: (low, high) for int, (min, max) length in bytes for text, path, secret and list;
# the allowed values for choice. A key that starts with "upload." belongs to each upload rule, one with "server." to each server.
SCHEMA = (
    ("device.id", "name", "", (0, 64), "", "the module's name on the server; empty = its IMEI"),
    ("server.host", "text", "", (1, 255), "", "name or IPv4 address of the FTP server"),
    ("server.port", "int", 21, (1, 65535), "TCP port", "where the server listens"),
    ("server.user", "text", "", (0, 128), "", "login name; empty = anonymous"),
    ("server.password", "secret", "", (0, 128), "", "password; never printed"),
    ("server.account", "secret", "", (0, 128), "", "for servers that ask for ACCT; empty = none"),
    (
        "server.tls",
        "choice",
        "off",
        ("off", "explicit", "implicit", "control-only"),
        "",
        "TLS; control-only protects the login, not the data; never falls back",
    ),
    ("server.tls_pin", "hex", "", (0, 95), "", "SHA-256 of the server's certificate; empty = not compared"),
    (
        "server.mode",
        "choice",
        "passive",
        ("passive", "active"),
        "",
        "who opens the data connection; active needs a public address",
    ),
    ("server.active_host", "text", "", (0, 255), "", "own address for active mode; empty = that of the data call"),
    (
        "server.talk_first",
        "bool",
        False,
        None,
        "",
        "send the login before the greeting: one round trip less, not every server likes it",
    ),
    (
        "server.verify",
        "choice",
        "size",
        ("size", "none", "marker"),
        "",
        "none is for drop boxes that allow neither SIZE nor rename: files go under their final names, unproved;"
        " marker: and a file `name.ok` behind each, which holds its size",
    ),
    ("server.sessions", "int", 1, (1, 2), "", "with 2, small files go over two sessions side by side; not with TLS"),
    (
        "server.timeout_s",
        "choice",
        15,
        (5, 10, 15, 20),
        "s",
        "longest silence on a connection; other values do not work on the module",
    ),
    ("failover.after", "int", 2, (1, 1000), "cycles", "in a row that failed, then the next of several servers is tried"),
    ("failover.return_s", "int", 3600, (60, 604800), "s", "until the first one is tried again"),
    (
        "upload.from",
        "path",
        "/usr",
        (0, 200),
        "",
        "folder on the module that is sent, sub-folders included; empty = none",
    ),
    (
        "upload.to",
        "template",
        "{device}",
        (0, 200),
        "",
        "folder on the server, or the whole name if {path}, {name}, {stem} or {ext} is in it",
    ),
    ("upload.include", "list", (), (0, 32), "patterns", "only files that match one of these; empty = all"),
    ("upload.exclude", "list", (), (0, 32), "patterns", "never files that match one of these"),
    (
        "upload.mode",
        "choice",
        "whole",
        ("whole", "append", "batch"),
        "",
        "append: of a file that grows only the new bytes go; batch: many small files travel as one tar",
    ),
    ("upload.whole_lines", "bool", True, None, "", "with append: a line goes when its end is there"),
    ("upload.batch_files", "int", 64, (1, 256), "files", "with batch: in one tar"),
    (
        "upload.batch_bytes",
        "int",
        262144,
        (1024, 16777216),
        "bytes",
        "with batch: of a tar; larger files go alone in one",
    ),
    (
        "upload.on_conflict",
        "choice",
        "overwrite",
        ("overwrite", "suffix", "skip"),
        "",
        "when the server has another file of that name: replace it, take name-1, or leave both where they are",
    ),
    ("upload.after", "choice", "keep", ("keep", "delete", "move"), "", "what becomes of a file that has arrived"),
    ("upload.move_to", "path", "", (0, 200), "", "with after = move: the folder, for nothing else, on the same mount as `from`"),
    ("upload.move_files", "int", 0, (0, 65535), "files", "kept in move_to, the first by name go first; 0 = all"),
    ("upload.move_bytes", "int", 0, (0, 1073741823), "bytes", "kept in move_to; 0 = all"),
    (
        "upload.undated",
        "token",
        "",
        (0, 32),
        "",
        "stands for {date} and {time} while the clock is not set; empty = such files wait",
    ),
    ("upload.settle_s", "int", 0, (0, 86400), "s", "a file goes when it stood still for so long; 0 = at once"),
    ("upload.order", "choice", "name", ("name", "reverse"), "", "which go first, by name; the module keeps no times"),
    ("upload.priority", "int", 5, (0, 9), "", "rules with a higher one go first"),
    ("upload.max_bytes", "int", 0, (0, 1073741823), "bytes", "larger files are never sent; 0 = any"),
    ("upload.cycle_files", "int", 0, (0, 65535), "files", "sent in one cycle; 0 = all"),
    ("upload.cycle_bytes", "int", 0, (0, 1073741823), "bytes", "sent in one cycle, but always one file; 0 = all"),
    (
        "upload.drop_unsent",
        "bool",
        False,
        None,
        "",
        "with storage.when_full = drop: files of this rule may go although they were never sent",
    ),
    (
        "download.from",
        "remote",
        "updates",
        (0, 200),
        "",
        "folder on the server whose files the module gets; empty = none",
    ),
    ("download.to", "path", "/usr", (1, 200), "", "folder on the module where they go"),
    (
        "update.from",
        "remote",
        "",
        (0, 200),
        "",
        "folder on the server with a manifest made by `tools publish`; empty = none",
    ),
    ("update.key", "secret", "", (0, 128), "", "key of the manifest's signature; with a key unsigned ones are refused"),
    (
        "update.trial_boots",
        "int",
        3,
        (1, 100),
        "boots",
        "without a good cycle, then new code or settings are taken back",
    ),
    ("update.trial_cycles", "int", 24, (1, 1000), "cycles", "in a row that failed, then they are taken back"),
    ("schedule.every_s", "int", 900, (10, 604800), "s", "time between two cycles"),
    ("schedule.jitter_s", "int", 60, (0, 86400), "s", "up to this much is added at random, so that a fleet spreads"),
    (
        "schedule.first_s",
        "int",
        60,
        (0, 86400),
        "s",
        "the first cycle comes within this time after power-on; when, is the module's own",
    ),
    (
        "schedule.windows",
        "windows",
        (),
        (0, 8),
        "",
        "times of day (UTC) in which cycles begin; empty, or the clock not set = always",
    ),
    ("schedule.when_files", "int", 0, (0, 65535), "files", "a cycle begins when so many wait to be sent; 0 = off"),
    ("schedule.when_bytes", "int", 0, (0, 1073741823), "bytes", "a cycle begins when so many wait to be sent; 0 = off"),
    ("schedule.min_battery_mv", "int", 0, (0, 20000), "mV", "below it no cycle begins; 0 = off"),
    ("schedule.min_signal", "int", 0, (0, 31), "", "strength (CSQ) below which no cycle begins; 0 = off"),
    ("budget.day_bytes", "int", 0, (0, 1073741823), "bytes", "on the air in a day, estimated; 0 = no limit"),
    (
        "budget.cycle_bytes",
        "int",
        0,
        (0, 1073741823),
        "bytes",
        "on the air in a cycle, but always one file; 0 = no limit",
    ),
    ("link.hold_s", "int", 3, (0, 60), "s", "a new data call must hold for so long before it is used"),
    (
        "link.restart_after_s",
        "int",
        3600,
        (0, 604800),
        "s",
        "without a good cycle before the module restarts; twice as long with each restart, up to a day; 0 = never",
    ),
    ("clock.source", "choice", "network", ("network", "ntp"), "", "who sets the clock; network = the firmware does"),
    ("clock.ntp_host", "text", "", (0, 255), "", "time server; empty = the firmware's"),
    ("run.thread", "bool", True, None, "", "run beside the REPL; false = in the main thread, the REPL is blocked"),
    (
        "run.watchdog_s",
        "choice",
        300,
        (0, 180, 300, 600, 1800),
        "s",
        "the module restarts when Ferry hangs for so long; 0 = off; the longest wait of a healthy Ferry is 100 s",
    ),
    ("power.sleep", "bool", False, None, "", "let the module sleep between cycles"),
    (
        "power.psm_tau_s",
        "int",
        0,
        (0, 35712000),
        "s",
        "power saving mode: time between signs of life; 0 = left as it is",
    ),
    ("power.psm_active_s", "int", 60, (2, 11160), "s", "power saving mode: awake after each talk"),
    (
        "status.to",
        "template",
        "",
        (0, 200),
        "",
        "name of the status file on the server, with {device} or {imei}; empty = none is sent",
    ),
    ("status.every", "int", 96, (1, 65535), "cycles", "the status goes after so many, and when something changed"),
    ("retry.base_s", "int", 5, (1, 3600), "s", "longest wait after the first failure; doubles with each further one"),
    ("retry.cap_s", "int", 900, (1, 86400), "s", "longest wait after many failures"),
    ("storage.reserve_blocks", "int", 4, (0, 1024), "blocks of 4 KiB", "flash that downloads leave free"),
    (
        "storage.when_full",
        "choice",
        "keep",
        ("keep", "drop"),
        "",
        "drop: files that have arrived on the server make room, the oldest first",
    ),
    ("storage.low_blocks", "int", 12, (0, 65535), "blocks of 4 KiB", "with drop: room is made until so many are free"),
    ("log.level", "choice", "info", ("debug", "info", "warning", "error"), "", "how much is printed"),
)

# What an update may set. Never names and secrets of the server's account: who can write there could take the module away.
FROM_AFAR = (
    "server.host",
    "server.port",
    "server.timeout_s",
    "server.talk_first",
    "schedule.every_s",
    "schedule.jitter_s",
    "schedule.first_s",
    "schedule.windows",
    "schedule.when_files",
    "schedule.when_bytes",
    "budget.day_bytes",
    "budget.cycle_bytes",
    "status.every",
    "retry.base_s",
    "retry.cap_s",
    "storage.reserve_blocks",
    "storage.when_full",
    "storage.low_blocks",
    "update.trial_boots",
    "update.trial_cycles",
    "log.level",
)

SERVERS = 4  # the ledger has numbers for so many
TEXT_BYTES = 8192  # a config.json is about 1 kB; more is a wrong file and would only fill the heap
_RULE = "upload."


def _distance(a, b):
    """Edit distance of two short texts (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        last, row[0] = row[0], i + 1
        for j, y in enumerate(b):
            last, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, last + (x != y))
    return row[-1]


def nearest(key, keys):
    """The known key that looks most like a mistyped one, or None if none is near."""
    best, found = len(key) // 2 + 2, None
    for known in keys:
        distance = _distance(key, known)
        if distance < best:
            best, found = distance, known
    return found


def _is_int(value):
    # True is an int on a PC and not on the module
    return isinstance(value, int) and value is not True and value is not False


def _allowed(kind, limits, unit):
    if kind == "choice":
        return "one of " + ", ".join([str(x) for x in limits])
    if kind == "int":
        return "a whole number from %d to %d%s" % (limits[0], limits[1], " " + unit if unit else "")
    if kind == "list":
        return "a list of at most %d texts" % limits[1]
    if kind == "windows":
        return 'a list of at most %d texts such as "22:00-06:00"' % limits[1]
    if kind == "path":
        return 'a path from the root such as "/usr/data", %d to %d bytes' % limits
    if kind == "template":
        names = ", ".join(STABLE + PASSING)
        return 'a path on the server of at most %d bytes without ".."; in braces: %s' % (limits[1], names)
    if kind == "remote":
        return 'a folder on the server without "..", at most %d bytes' % limits[1]
    if kind == "bool":
        return "true or false"
    if kind == "hex":
        return "64 hex digits, colons allowed"
    if kind in ("name", "token"):
        return 'letters, digits, "-", "_" and ".", at most %d' % limits[1]
    return "text of %d to %d bytes" % limits


def _has_control(text):
    for c in text:
        if ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF:  # half a character, from a \u escape
            return True
    return False


def _is_window(text):
    try:
        return bool(parse_window(text))
    except ValueError:
        return False


def _fits(kind, value, limits):
    if kind == "int":
        return _is_int(value) and limits[0] <= value <= limits[1]
    if kind == "choice":
        return value in limits and not isinstance(value, bool)
    if kind == "bool":
        return value is True or value is False
    if kind in ("list", "windows"):
        if not isinstance(value, (list, tuple)) or len(value) > limits[1]:
            return False
        for x in value:
            if not isinstance(x, str) or not x or _has_control(x) or kind == "windows" and not _is_window(x):
                return False
        return True
    if not isinstance(value, str) or _has_control(value) or not limits[0] <= len(value.encode()) <= limits[1]:
        return False
    if kind == "path":
        if value == "":
            return True
        parts = value.rstrip("/").split("/")
        return parts[0] == "" and len(parts) > 1 and not [p for p in parts[1:] if p in ("", ".", "..")]
    if kind == "remote":
        return ".." not in value.split("/")
    if kind == "template":
        try:
            parse_template(value)
        except ValueError:
            return False
        return ".." not in value.split("/")
    if kind == "hex":
        digits = value.lower().replace(":", "")
        return len(digits) in (0, 64) and not digits.strip("0123456789abcdef")
    if kind in ("name", "token"):
        for c in value:
            if not ("a" <= c <= "z" or "A" <= c <= "Z" or "0" <= c <= "9" or c in "-_."):
                return False
        return value not in (".", "..")
    return True


def check(key, value, row):
    """None if `value` is allowed for the schema row, else one line with key, value and what is allowed."""
    _, kind, _, limits, unit, text = row
    if _fits(kind, value, limits):
        return None
    if row[0] == "server.host" and value == "":
        return '%s is empty: fill in the name or address of your FTP server, e.g. "ftp.example.com"' % key
    shown = "***" if kind == "secret" else ujson.dumps(value)[:60]
    return "%s: %s is not allowed; it must be %s (%s)" % (key, shown, _allowed(kind, limits, unit), text)


def _section(section, given, rows, at, problems):
    """Values of one section: what is given over the defaults; faults go to `problems`. `at` is its name in messages."""
    values = {}
    for row in rows:
        name = row[0][len(section) + 1 :]
        values[name] = list(row[2]) if row[1] in ("list", "windows") else row[2]
    if not isinstance(given, dict):
        problems.append("%s: must be an object { }" % at)  # the value may hold a password
        return values
    for name in sorted(given):
        if name in values:
            values[name] = given[name]
        else:
            near = nearest(name, values)
            hint = "did you mean %s.%s?" % (at, near) if near else "known: " + ", ".join(sorted(values))
            problems.append("%s.%s: unknown key; %s" % (at, name, hint))
    for row in rows:
        name = row[0][len(section) + 1 :]
        problem = check(at + "." + name, values[name], row)
        if problem:
            problems.append(problem)
    return values


def _rows_of(section):
    return [row for row in SCHEMA if row[0].startswith(section + ".")]


def _sections():
    names = []
    for row in SCHEMA:
        name = row[0].split(".")[0]
        if name not in names:
            names.append(name)
    return names


def check_all(data):
    """Settings from the parsed file: a dict "section.key" -> value; "upload" -> list of rules and "servers" -> list of servers
    (dicts without prefix). "server.key" is of the first one.

    Raises ConfigError with every problem at once."""
    if not isinstance(data, dict):
        raise ConfigError(["config.json: must be an object { } with the sections " + ", ".join(_sections())])
    problems = []
    config = {}
    sections = _sections()
    for name in sorted(data):
        if name not in sections:
            near = nearest(name, sections)
            hint = "did you mean %s?" % near if near else "known: " + ", ".join(sections)
            problems.append("%s: unknown section; %s" % (name, hint))
    for section in sections:
        given = data.get(section, {})
        rows = _rows_of(section)
        if section in ("upload", "server") and isinstance(given, list):
            found = [_section(section, g, rows, "%s[%d]" % (section, i), problems) for i, g in enumerate(given)]
        else:
            found = [_section(section, given, rows, section, problems)]
        if section == "upload":
            config["upload"] = found
            continue
        if section == "server":
            config["servers"] = found
            if not 1 <= len(found) <= SERVERS:
                problems.append("server: %d are given; it must be one, or a list of 1 to %d" % (len(found), SERVERS))
                continue
        for name in found[0]:
            config[section + "." + name] = found[0][name]
    if not problems:
        _check_twins(config["servers"], problems)
        has_proof = not [True for server in config["servers"] if server["verify"] != "size"]
        for i, rule in enumerate(config["upload"]):
            problem = _why_odd(rule, has_proof) or _why_never(rule, config["upload"])
            if problem:
                problems.append("upload%s.%s" % ("[%d]" % i if isinstance(data.get("upload"), list) else "", problem))
        up, down = config["update.from"], config["download.from"]
        if up and down and ("/%s/" % up.strip("/")).startswith(("/" + down.strip("/")).rstrip("/") + "/"):
            problems.append('update.from: lies in download.from (%s); set that to ""' % down)
        problem = _why_no_status(config["status.to"], has_proof)
        if problem:
            problems.append("status.to: " + problem)
    if problems:
        raise ConfigError(problems)
    return config


def _check_twins(servers, problems):
    """The ledger tells servers apart by host, port and user; two different ones have the same mark once in 4,000 million."""
    seen = []
    for i, server in enumerate(servers):
        mark = server_mark(server["host"], server["port"], server["user"])
        if mark in seen:
            what = "server[%d]: is the same as server[%d]; leave one out, or if they are two, write an address for its name"
            problems.append(what % (i, seen.index(mark)))
        seen.append(mark)


def _why_no_status(to, has_proof):
    """None, or why there cannot be a status of that name."""
    for i, name in enumerate(parse_template(to)):
        if i % 2 and name not in ("device", "imei"):
            return "must hold {device} and {imei} only"
    if to and (to.endswith("/") or "{" not in to):
        return "must name a file, another one for each module: with {device} or {imei} in it"
    return "needs server.verify = size" if to and not has_proof else None


def _why_odd(rule, has_proof):
    """None, or what in an upload rule does not go together."""
    if rule["mode"] != "whole" and not has_proof:
        return "mode: %s needs server.verify = size" % rule["mode"]
    if not has_proof and rule["on_conflict"] != "overwrite":
        return "on_conflict: %s needs server.verify = size" % rule["on_conflict"]
    if rule["mode"] != "whole":
        for name, idle in (("on_conflict", "overwrite"), ("cycle_files", 0), ("cycle_bytes", 0)):
            if rule[name] != idle:
                return "%s: has no effect with mode = %s; leave it out" % (name, rule["mode"])
    if rule["mode"] == "append" and rule["settle_s"]:
        return "settle_s: has no effect with mode = append, which sends whole lines; leave it out"
    if rule["mode"] == "append" and rule["after"] != "keep":
        return "after: must be keep with mode = append: the file goes on growing"
    if rule["mode"] == "batch":
        for name in parse_template(rule["to"])[1:]:
            if name in STABLE[2:] + PASSING:
                return "to: must be a folder with mode = batch, with {device} and {imei} only"
    if rule["from"] and rule["after"] == "move":
        if not rule["move_to"]:
            return "move_to: is empty; with after = move it must name a folder"
        if mount_of(rule["move_to"]) != mount_of(rule["from"]):
            return "move_to: must lie on the same mount as `from` (%s): files are renamed" % mount_of(rule["from"])
    return None


def _why_never(rule, rules):
    """None, or why nothing of an upload rule would ever be sent."""
    top = rule["from"].rstrip("/") + "/"
    for other in rules:
        away = other["move_to"] if other["from"] and other["after"] == "move" else ""
        if away and top.startswith(away.rstrip("/") + "/"):
            return "from: lies in move_to (%s)" % away
    return None


def _line_of_fault(raw, error):
    """Line number of the JSON fault: CPython's error has it; MicroPython's stream stands right behind the fault."""
    line = getattr(error, "lineno", 0)
    if line:
        return line
    import uio

    stream = uio.BytesIO(raw)
    try:
        ujson.load(stream)
    except ValueError:
        pass  # the position is what was wanted; the fault itself is reported by the caller
    return len(raw[: max(0, stream.tell() - 1)].split(b"\n"))


def parse(raw):
    """The settings in `raw` (bytes of config.json), checked. Raises ConfigError with every problem."""
    if len(raw) > TEXT_BYTES:
        raise ConfigError(["config.json: %d bytes; at most %d are allowed" % (len(raw), TEXT_BYTES)])
    try:
        return check_all(ujson.loads(raw.decode()))
    except ValueError as e:
        line = _line_of_fault(raw, e)
        raise ConfigError(["config.json: broken JSON in line %d; check brackets, quotes and commas there" % line])
    except (MemoryError, RuntimeError):
        raise ConfigError(["config.json: too many brackets inside each other"])
