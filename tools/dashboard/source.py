# Where the status files of a fleet lie: a folder, or an FTP server. What is there is read and never judged here: a file that
# cannot be read is one of the answers. Files that have not changed since the last look are not read again.
import calendar
import ftplib
import hashlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from tools.dashboard.status import MOST_BYTES, clean, too_large
from tools.publish.target import open_session
from tools.sim.settings import SettingsError

MOST_FILES = 20_000
_ENDING = ".json"
_BLOCK_BYTES = 8192
_OPEN = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_BINARY")
)  # not all systems have all


@dataclass(frozen=True)
class File:
    name: str
    modified: float | None  # seconds since 1970, by the clock of the file system or of the server
    stamp: str  # the same as long as the file has not changed; "" = nobody can tell
    raw: bytes = b""
    problem: str = ""  # why there is no `raw`

    @property
    def key(self):
        """The name may be made of any bytes; this is not."""
        return hashlib.sha256(self.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


class Truncated(Exception):
    """There are more files than are read."""


def open_source(text):
    """A folder, ftp:// or ftps:// -> the source. Raises SettingsError if `text` is neither; no link is made yet."""
    if "://" in text:
        return FtpSource(text)
    path = Path(text)
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise SettingsError(
            f"--from {text} {what}; it must be a folder with status files, or ftp://user:password@host:port/path"
        )
    return FolderSource(path)


class _Source:
    """`look(tell)` -> [File]. `tell(done, count)` hears of the progress. Raises ftplib.all_errors if nothing can be read at all."""

    def __init__(self):
        self._known = {}  # name -> File

    def _keep(self, files):
        self._known = {file.name: file for file in files}
        return files

    def _is_known(self, name, stamp):
        return bool(stamp) and name in self._known and self._known[name].stamp == stamp


class FolderSource(_Source):
    def __init__(self, root):
        super().__init__()
        self._root = root

    def __str__(self):
        return str(self._root.resolve())

    def look(self, tell):
        names = _wanted(os.listdir(self._root))
        files = []
        for done, name in enumerate(names):
            tell(done, len(names))
            file = self._read(name)
            if file:
                files.append(file)
        return self._keep(files)

    def _read(self, name):
        """None where the file is gone meanwhile."""
        modified, stamp = None, ""
        try:
            # A FIFO would wait for its writer, a link may lead anywhere.
            handle = os.open(
                self._root / name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
            )
            with open(handle, "rb") as stream:
                found = os.fstat(handle)
                modified, stamp = (
                    found.st_mtime,
                    f"{found.st_mtime_ns} {found.st_ctime_ns} {found.st_size} {found.st_ino}",
                )
                if not stat.S_ISREG(found.st_mode):
                    return File(name, None, "", problem="it is no regular file")
                if self._is_known(name, stamp):
                    return self._known[name]
                if found.st_size > MOST_BYTES:
                    return File(name, modified, stamp, problem=too_large(found.st_size))
                return File(name, modified, stamp, stream.read(MOST_BYTES + 1))
        except FileNotFoundError:
            return None
        except OSError as error:
            return File(name, modified, "", problem=f"it cannot be read: {clean(error.strerror or str(error))}")


class FtpSource(_Source):
    """A session for each look: a server that went away in between is no news."""

    def __init__(self, url):
        super().__init__()
        self._url = url
        self._shown = "".join(url.partition("://")[:2]) + url.partition("://")[2].rpartition("@")[2]
        self._has_facts = True  # until the server refuses MLSD

    def __str__(self):
        return self._shown

    def look(self, tell):
        with open_session(self._url, "--from") as (ftp, folder, _):
            _take_any_name(ftp)
            if folder:
                ftp.cwd(
                    folder.encode().decode(ftp.encoding)
                )  # a folder that is not there is an error, and not an empty fleet
            ftp.voidcmd("TYPE I")
            found = self._facts(ftp) if self._has_facts else None
            names = _wanted(_names(ftp) if found is None else found)
            files = []
            for done, name in enumerate(names):
                tell(done, len(names))
                size, modify = _ask(ftp, name) if found is None else found[name]
                file = self._read(ftp, name, size, modify)
                if file:
                    files.append(file)
        return self._keep(files)

    def _facts(self, ftp):
        """{name: (size, modify)} in one transfer, by MLSD (RFC 3659); None where the server has no such command."""
        try:
            found = {
                name: (_int(facts.get("size")), facts.get("modify", ""))
                for name, facts in ftp.mlsd()
                if facts.get("type", "file") == "file"
            }
        except ftplib.error_perm as error:
            if not str(error).startswith(("500", "501", "502", "504")):
                raise
            self._has_facts = False
            found = None
        ftp.voidcmd("TYPE I")  # the listing leaves TYPE A behind
        return found

    def _read(self, ftp, name, size, modify):
        """None where the file is gone meanwhile."""
        modified, here = parse_time(modify), _as_here(name)
        stamp = f"{modify} {size}" if modified is not None and size is not None else ""
        if self._is_known(here, stamp):
            return self._known[here]
        if size is not None and size > MOST_BYTES:
            return File(here, modified, stamp, problem=too_large(size))
        try:
            return File(here, modified, stamp, _retrieve(ftp, name))
        except (ftplib.error_perm, ftplib.error_temp) as error:
            if str(error).startswith("421"):
                raise
            if str(error).startswith("550") and size is not None and _ask(ftp, name)[0] is None:
                return None
            return File(here, modified, "", problem=f"the server does not give it: {clean(str(error))}")


def _names(ftp):
    try:
        found = ftp.nlst()
    except (ftplib.error_perm, ftplib.error_temp) as error:
        if not str(error).startswith(("450", "550")):  # what some servers say of an empty folder
            raise
        found = []
    ftp.voidcmd("TYPE I")
    return [name.rpartition("/")[2] for name in found]


def _ask(ftp, name):
    """(size, modify) of one file, None and "" where the server does not say."""
    answers = []
    for command in ("SIZE", "MDTM"):
        try:
            answers.append(ftp.sendcmd(f"{command} {name}").partition(" ")[2].strip())
        except ftplib.error_perm:
            answers.append("")
    return _int(answers[0]), answers[1]


def _take_any_name(ftp):
    """A name that is not UTF-8 shall not hide the others: bytes go through as they are."""
    ftp.encoding = "latin-1"
    ftp.file = ftp.sock.makefile("r", encoding=ftp.encoding)


def _as_here(name):
    """A name as os.listdir() would have it."""
    return name.encode("latin-1").decode("utf-8", "surrogateescape")


def _retrieve(ftp, name):
    """The bytes, one more than are allowed at most. What the server says of a transfer that was enough for us is not asked."""
    raw = bytearray()
    with ftp.transfercmd(f"RETR {name}") as data:
        while len(raw) <= MOST_BYTES:
            block = data.recv(_BLOCK_BYTES)
            if not block:
                break
            raw += block
    try:
        ftp.voidresp()
    except ftplib.error_temp as error:
        if len(raw) <= MOST_BYTES or str(error).startswith("421"):
            raise
    return bytes(raw[: MOST_BYTES + 1])


def parse_time(text):
    """YYYYMMDDHHMMSS[.sss] of MLSD or MDTM, in UTC (RFC 3659) -> seconds since 1970, or None."""
    try:
        return float(calendar.timegm(time.strptime(text[:14], "%Y%m%d%H%M%S")))
    except ValueError:
        return None


def _int(text):
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None


def _wanted(names):
    found = sorted({name for name in names if name.lower().endswith(_ENDING)})
    if len(found) > MOST_FILES:
        raise Truncated(
            f"{len(found):,} status files, and at most {MOST_FILES:,} are read; divide the fleet over several folders"
        )
    return found
