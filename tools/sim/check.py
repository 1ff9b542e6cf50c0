# After the run: is everything where the settings say it has to be, byte for byte? Both sides are read anew.
import ftplib
import hashlib
from dataclasses import dataclass

from tools.sim import settings
from tools.sim.module import IMEI
from tools.sim.remote import Content, Remote

SAME, PROTECTED, DELETED = GOOD = ("same", "protected", "sent, deleted")
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
    sent = {(entry["local"], entry["remote"]) for entry in record.all("up")}
    rows = []
    for rule in settings.uploads(config, IMEI):
        folder = rule.source + "/"
        for local in sorted(before.keys() | after.keys()):
            relative = local[len(folder) :]
            if not local.startswith(folder) or not rule.wants(relative) or local in fetched or settings.is_own(local):
                continue
            was, now = before.get(local), after.get(local)
            path = f"{rule.target}/{relative}" if rule.target else relative
            if settings.is_protected(local):
                state = PROTECTED if was == now else TOUCHED
                path = ""
            elif now is not None:
                state = _verdict(now, remote.read(path))
            elif rule.after == "delete" and (local, path) in sent:
                state = DELETED if _verdict(was, remote.read(path)) == SAME else LOST
            else:
                state = LOST
            rows.append(Row("up", local, path, (now or was).size, state))
    return rows


def _verdict(wanted, found):
    if found is None:
        return MISSING
    return SAME if wanted == found else DIFFERS


def _explained(row, reasons):
    reason = reasons.get(row.local) or reasons.get(row.remote)
    if row.state in GOOD or not reason:
        return row
    return Row(row.direction, row.local, row.remote, row.bytes, row.state, reason)
