# Which files take part and under which names; pure. Paths on the module begin with "/", names on the server do not.

import ubinascii

# Never sent, never overwritten, never deleted: what the firmware keeps in /usr, Ferry's own code, settings and state.
_USR_FILES = (
    "system_config.json",
    "user_apn.json",
    "apn_cfg.json",
    "datacall_config.json",
    "checksum.json",
    "q_init_fs.py",
    "config.json",
)
_OWN_FILES = ("main.py", "main.mpy", "ftp_manager.py", "ftp_manager.mpy", "ferry.py", "ferry.mpy")
_USR_FOLDERS = (".updater", "app")
STATE_FOLDER = ".ferry"  # on every mount; downloads are staged there, the ledger is in that of /usr
TEMP_SUFFIX = ".part"
PATH_BYTES = 512  # of a path on the server; with its verb it must fit into a command
NAME_BYTES = 255  # longer names corrupt the module's file system


def mount_of(path):
    """The mount point that a path lies on: its first folder, "/usr" of "/usr/a/b"."""
    return "/" + path.split("/")[1]


def is_protected(path):
    """True for a path on the module that a sync must not read, write or delete."""
    parts = [
        part for part in path.lower().split("/") if part not in ("", ".")
    ]  # FAT on SD cards does not know upper from lower case
    if not parts:
        return False
    if STATE_FOLDER in parts or parts[-1].endswith(TEMP_SUFFIX):
        return True
    if parts[0] == "bak":  # the firmware's backup partition
        return True
    if parts[0] != "usr" or len(parts) < 2:
        return False
    return parts[1] in _USR_FOLDERS or (len(parts) == 2 and parts[1] in _USR_FILES + _OWN_FILES)


def is_own_code(path):
    """True for Ferry's own code: protected from everything but an update that says so."""
    parts = path.split("/")
    if len(parts) < 3 or parts[1] != "usr" or STATE_FOLDER in parts or path.endswith(TEMP_SUFFIX):
        return False
    return (parts[2] == "app" and len(parts) > 3) or (len(parts) == 3 and parts[2] in _OWN_FILES)


def matches(pattern, name):
    """Glob: "*" is any run of characters but "/", "?" is one; everything else stands for itself, brackets too."""
    p = n = 0
    star = mark = -1
    while n < len(name):
        if p < len(pattern) and pattern[p] == "*":
            star, mark = p, n
            p += 1
        elif p < len(pattern) and (pattern[p] == name[n] or (pattern[p] == "?" and name[n] != "/")):
            p += 1
            n += 1
        elif star >= 0 and name[mark] != "/":
            mark += 1
            p, n = star + 1, mark
        else:
            return False
    while p < len(pattern) and pattern[p] == "*":
        p += 1
    return p == len(pattern)


def _is_listed(relative, patterns):
    for pattern in patterns:
        if pattern.endswith("/"):
            if relative.startswith(pattern):
                return True
        elif matches(pattern, relative if "/" in pattern else relative.rsplit("/", 1)[-1]):
            return True
    return False


def is_selected(relative, include, exclude):
    """True if a file is wanted. A pattern without "/" is for the name in any folder, one with "/" for the path below `from`,
    one that ends in "/" for everything in that folder."""
    return (not include or _is_listed(relative, include)) and not _is_listed(relative, exclude)


def temp_name(remote, digest, attempt=0):
    """Name under which a file travels: `1a2b3c4d.name.part`, after its content, so that a partial of another content is never
    taken for its own; a fresh one for each further attempt; short enough for any server.

    No beginning of it is the final name: a server may take a command that was cut for a whole one."""
    tag = str(ubinascii.hexlify(digest[:4]), "ascii") + ("-%s." % attempt if attempt else ".")
    cut = remote.rfind("/") + 1
    name = remote[cut:].encode()
    room = NAME_BYTES - len(tag) - len(TEMP_SUFFIX)
    if len(name) > room:
        name = name[:room]
        name = name[: room - _broken_tail(name)]
    return remote[:cut] + tag + name.decode() + TEMP_SUFFIX


def _broken_tail(raw):
    """Bytes at the end of `raw` that are a cut UTF-8 character."""
    for back in range(1, min(4, len(raw)) + 1):
        b = raw[-back]
        if b < 0x80:
            return 0
        if b >= 0xC0:
            need = 2 if b < 0xE0 else 3 if b < 0xF0 else 4
            return back if back < need else 0
    return 0


def why_too_long(remote):
    """None, or why a path on the server cannot be named in a command."""
    return "the path on the server is longer than %d bytes" % PATH_BYTES if len(remote.encode()) > PATH_BYTES else None


def why_unsendable(path):
    """None, or why a name on the module cannot be a name on the server."""
    for c in path:
        if ord(c) < 32 or ord(c) == 127:
            return "the name holds a control character"
    return None


def why_unsafe(name):
    """None, or why a name that a server listed cannot be a file name on the module. Names from outside are never trusted."""
    if name in ("", ".", ".."):
        return "the name is no file name"
    if "/" in name or "\\" in name:
        return "the name leaves its folder"
    if len(name.encode()) > NAME_BYTES:
        return "the name is longer than %d bytes" % NAME_BYTES
    return why_unsendable(name)
