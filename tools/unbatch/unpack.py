# One batch (docs/PROTOCOL.md): judged as a whole, then each member to a temp name, to the disk, to its name; then the tar goes.
# So a kill at any moment leaves the tar, and the next run does all of it again with the same result.
import contextlib
import hashlib
import os
import stat
import tarfile
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from tools import desktop

desktop.install()

from app.sync.rules import temp_name, why_unsafe  # noqa: E402  (needs the module's names first)

DONE, BAD = "done", "bad"
_BLOCK_BYTES = 65536
_END_BYTES = 1024
# Somebody else has put a folder where a file shall be, or the other way round: no later run can mend that either.
_IN_THE_WAY = (IsADirectoryError, NotADirectoryError, FileExistsError)


class Broken(Exception):
    """No later run can unpack this tar; the text says why."""


@dataclass
class Outcome:
    batch: Path
    target: Path
    count: int = 0  # files put in place
    bytes: int = 0
    newer: list = field(default_factory=list)  # names of files there that are newer than the batch, and stay
    problem: str = ""
    moved_to: Path | None = None  # where the tar is, when it was kept


def unpack(batch, target, is_kept):
    """Unpack `batch` into the folder `target`, then remove the tar or put it aside. -> Outcome. Raises OSError: try again."""
    outcome = Outcome(batch, target)
    with open(batch, "rb") as stream:
        facts = os.fstat(stream.fileno())
        try:
            members = _members(stream)
            _place(stream, members, facts, outcome)
        except (Broken, *_IN_THE_WAY) as error:
            outcome.problem = str(error)
    if outcome.problem or is_kept:
        outcome.moved_to = _put_aside(batch, BAD if outcome.problem else DONE, facts)
    else:
        batch.unlink()
    return outcome


def _members(stream):
    """Every member, checked before anything is written. They need no limit of size: without compression and sparse files
    they are never larger than the tar."""
    found = []
    try:
        with tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="strict") as archive:
            for member in archive:
                problem = _why_refused(member)
                if problem:
                    raise Broken(f"{member.name!r}: {problem}")
                found.append(member)
            end = archive.offset
    except (tarfile.TarError, ValueError) as error:
        raise Broken(f"no whole tar: {error}") from error
    _check_end(stream, end)
    if not found:
        raise Broken("there are no files in it")
    return found


def _check_end(stream, end):
    """Only zeros behind the last member: tarfile takes a damaged header, and the end of the file, for the end of the tar."""
    size = 0
    stream.seek(end)
    while block := stream.read(_BLOCK_BYTES):
        if block.strip(b"\0"):
            raise Broken(f"no whole tar: damaged at byte {end}")
        size += len(block)
    if size < _END_BYTES:
        raise Broken("no whole tar: its end is missing")


def _why_refused(member):
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        return "no regular file"
    return next((problem for part in member.name.split("/") if (problem := why_unsafe(part))), None)


def _place(stream, members, facts, outcome):
    folders = set()
    for number, member in enumerate(members):
        path = outcome.target / member.name
        _make_folders(path.parent, outcome.target, facts)
        # Both times are of this machine's clock, and unpacked files get that of their tar: so newer means sent later.
        if path.is_file() and path.stat().st_mtime_ns > facts.st_mtime_ns:
            outcome.newer.append(member.name)
            continue
        # The same temp name at each try: a run puts right what a killed one left behind.
        tag = hashlib.sha256(f"{outcome.batch.name} {number}".encode()).digest()
        temp = path.with_name(temp_name(path.name, tag))
        try:
            _write(stream, member, temp, facts)
            os.replace(temp, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                temp.unlink()
            raise
        folders.add(path.parent)
        outcome.count += 1
        outcome.bytes += member.size
    for folder in folders:
        _sync(folder)


def _write(stream, member, temp, facts):
    stream.seek(member.offset_data)
    left = member.size
    with open(temp, "wb") as output:
        while left:
            block = stream.read(min(left, _BLOCK_BYTES))
            if not block:
                raise OSError(f"{member.name!r}: the tar became shorter while it was read")
            output.write(block)
            left -= len(block)
        output.flush()
        os.chmod(temp, stat.S_IMODE(facts.st_mode) & 0o666)
        _own(temp, facts)
        os.utime(temp, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
        os.fsync(output.fileno())


def _make_folders(folder, top, facts):
    if not folder.exists():
        if folder == top:
            folder.mkdir(parents=True)
        else:
            _make_folders(folder.parent, top, facts)
            folder.mkdir()
        _own(folder, facts)
        _sync(folder.parent)
    elif not folder.resolve().is_relative_to(top.resolve()):
        raise Broken(f"{folder} is a link that leaves {top}")


def _own(path, facts):
    """Run by root, files still belong to the account that the server writes with: it must be able to go on with them."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        os.chown(path, facts.st_uid, facts.st_gid)


def _sync(folder):
    """What was renamed into the folder is there after a power cut, too. Windows has no such call for folders."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_aside(batch, name, facts):
    """With the time of arrival in its name, so that it is neither found again nor replaced by a later one of its number."""
    folder = batch.parent / name
    folder.mkdir(exist_ok=True)
    arrived = datetime.fromtimestamp(facts.st_mtime, timezone.utc)
    path = folder / f"{batch.stem}-{arrived:%Y%m%dT%H%M%S-%f}.tar"
    os.replace(batch, path)
    return path
