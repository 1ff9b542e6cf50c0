# After the run: is everything where the settings say it has to be, byte for byte? Both sides are read anew.
import ftplib
import hashlib
from dataclasses import dataclass

from tools.sim import naming, settings
from tools.sim.module import IMEI
from tools.sim.remote import Content, Remote

SAME, PROTECTED, DELETED, MOVED, TAKEN, LARGE, WAITS = GOOD = (
    "same",
    "protected",
    "sent, deleted",
    "sent, moved",
    "left, the name is taken",
    "left, too large",
    "waits, as its rule wants",
)
MISSING, DIFFERS, LOST, TOUCHED = "missing", "differs", "lost on the module", "protected, but changed"


@dataclass(frozen=True)
class Row:
    direction: str
    local: str
    remote: str
    bytes: int
    state: str
    reason: str = ""  # what the module said when it left the file out


def local_files(root):
    """{path on the module: Content} of every file below the module's root."""
    found = {}
    for path in sorted((root / "usr").resolve().rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            name = "/usr/" + path.relative_to((root / "usr").resolve()).as_posix()
            found[name] = Content(len(content), hashlib.sha256(content).hexdigest())
    return found


def compare(config, before, after, record):
    """-> (rows, trouble). `before` and `after`: local_files() around the run; `trouble`: why a side was not read."""
    server = settings.server_of(config)
    if server is None:
        return [], "the settings name no usable server, so there is nothing to compare with"
    try:
        with Remote(server) as remote:
            down = _downloads(config, after, remote)
            fetched = {row.local for row in down if row.state == SAME}
            rows = down + _uploads(config, before, after, remote, fetched, record)
    except ftplib.all_errors as error:
        return [], f"the server {server} could not be read: {type(error).__name__}: {error}"
    reasons = {entry["path"]: entry["reason"] for entry in record.all("skipped")}
    return [_explained(row, reasons) for row in rows], ""


def _downloads(config, after, remote):
    rule = settings.download(config)
    if rule is None:
        return []
    source, target = rule
    rows = []
    for relative in remote.walk(source):
        local = f"{target}/{relative}"
        if settings.is_own(local):
            continue
        there = remote.read(f"{source}/{relative}")
        if settings.is_protected(local):
            state = PROTECTED
        else:
            state = _verdict(there, after.get(local))
        rows.append(Row("down", local, f"{source}/{relative}", there.size if there else 0, state))
    return rows


def _uploads(config, before, after, remote, fetched, record):
    rules = settings.uploads(config, IMEI)
    kept_away = tuple(f"{rule.move_to}/" for rule in rules if rule.move_to)
    server = _Server(remote)
    rows = []
    for rule in rules:
        folder = rule.source + "/"
        for local in sorted(before.keys() | after.keys()):
            relative = local[len(folder) :]
            if not local.startswith(folder) or local.startswith(kept_away) or not rule.wants(relative):
                continue
            if local in fetched or settings.is_own(local):
                continue
            was, now = before.get(local), after.get(local)
            if settings.is_protected(local):
                path, state = "", PROTECTED if was == now else TOUCHED
            elif now is not None:
                path, state = _kept(rule, local, relative, now, server, record)
            elif _went_by_another(rule, local, relative, record):
                continue
            else:
                path, state = _gone(rule, _taker(rules, local), local, relative, was, after, server, record)
            rows.append(Row("up", local, path, (now or was).size, state))
    return rows


def _kept(rule, local, relative, content, server, record):
    """(name on the server, state) of a file that is there."""
    if rule.max_bytes and content.size > rule.max_bytes:
        return "", LARGE
    path, state = server.find(rule, relative, content)
    if state == SAME:
        return path, state
    reasons = [entry["reason"] for entry in record.all("skipped") if entry["path"] == local]
    if state == DIFFERS and rule.on_conflict != "overwrite" and any("another file" in reason for reason in reasons):
        return path, TAKEN
    return path, WAITS if record.cycles and _may_wait(rule, local, relative, record.cycles[-1]) else state


def _may_wait(rule, local, relative, cycle):
    """Whether a rule wants a file to wait that the last cycle left out."""
    if rule.has_cycle_limit and cycle["ok"]:
        tried = [entry["local"] for entry in cycle["up"]] + [entry["path"] for entry in cycle["skipped"]]
        return any(path.startswith(rule.source + "/") for path in tried)
    is_watched = rule.settle_s or naming.name_of(rule.target, relative) is None
    return bool(is_watched) and any(entry["path"] == local for entry in cycle["waiting"])


def _gone(rule, taker, local, relative, content, after, server, record):
    """(name on the server, state) of a file that was there."""
    path, state = server.find(rule, relative, content)
    if state != SAME or taker is None or (local, path) not in _sent(record):
        return path, LOST
    if taker.after == "delete":
        return path, DELETED
    is_there = after.get(taker.move_to + local[len(taker.source) :]) == content
    return path, MOVED if is_there or taker.has_move_limit else LOST


def _taker(rules, local):
    """The rule that wants a file gone when it has arrived, or None."""
    for rule in rules:
        inside = local.removeprefix(rule.source + "/")
        if rule.after != "keep" and inside != local and rule.wants(inside):
            return rule
    return None


def _went_by_another(rule, local, relative, record):
    """Whether another rule sent a file, and had it taken away before this one had its turn."""
    pattern = naming.pattern_of(rule.target, relative, rule.undated, rule.on_conflict == "suffix")
    sent = [remote for path, remote in _sent(record) if path == local]
    return bool(sent) and not any(pattern.fullmatch(remote) for remote in sent)


def _sent(record):
    return {(entry["local"], entry["remote"]) for entry in record.all("up")}


class _Server:
    """Finds files by what their rule says of their names; where that leaves it open, by their content."""

    def __init__(self, remote):
        self._remote = remote
        self._names = {}  # folder -> paths of all files below it
        self._contents = {}
        self._taken = set()  # paths that are some file's already

    def find(self, rule, relative, content):
        """(path, SAME, DIFFERS or MISSING) of a file with this content."""
        path = naming.name_of(rule.target, relative)
        if path is not None and rule.on_conflict != "suffix":
            return path, _verdict(content, self._read(path))
        pattern = naming.pattern_of(rule.target, relative, rule.undated, rule.on_conflict == "suffix")
        paths = [name for name in self._below(naming.folder_of(rule.target)) if pattern.fullmatch(name)]
        for found in sorted(paths, key=len):  # a name without a number first
            if found not in self._taken and self._read(found) == content:
                self._taken.add(found)
                return found, SAME
        return path or naming.shown(rule.target, relative), DIFFERS if paths else MISSING

    def _below(self, folder):
        if folder not in self._names:
            top = f"{folder}/" if folder not in ("", "/") else folder
            self._names[folder] = [top + name for name in self._remote.walk(folder or ".")]
        return self._names[folder]

    def _read(self, path):
        if path not in self._contents:
            self._contents[path] = self._remote.read(path)
        return self._contents[path]


def _verdict(wanted, found):
    if found is None:
        return MISSING
    return SAME if wanted == found else DIFFERS


def _explained(row, reasons):
    reason = reasons.get(row.local) or reasons.get(row.remote)
    if row.state in GOOD or not reason:
        return row
    return Row(row.direction, row.local, row.remote, row.bytes, row.state, reason)
