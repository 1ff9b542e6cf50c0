# The device's files as syntax trees, parsed once for all gates.
import ast
import functools
from dataclasses import dataclass
from pathlib import PurePosixPath

from tools.device_files import ROOT, device_files

# Libraries that the firmware shares with any MicroPython: computing, no hardware, no network, no files.
PLAIN = {
    "ustruct",
    "uhashlib",
    "ubinascii",
    "ujson",
    "urandom",
    "usys",
    "ucollections",
    "uio",
    "ure",
    "uerrno",
    "uctypes",
    "uzlib",
    "math",
    "gc",
    "micropython",
}

# What is the module's own: hardware, network, files, time.
FIRMWARE = {
    "checkNet",
    "dataCall",
    "net",
    "sim",
    "modem",
    "misc",
    "machine",
    "usocket",
    "ussl",
    "uos",
    "osTimer",
    "pm",
    "utime",
    "uselect",
    "_thread",
    "ntptime",
    "log",
    "ql_fs",
    "app_fota",
    "app_fota_download",
    "checksum",
    "file_crc32",
    "system",
    "utils",
    "ucryptolib",
}


@dataclass(frozen=True)
class Source:
    path: PurePosixPath
    text: str
    tree: ast.Module

    @functools.cached_property
    def nodes(self):
        """Every node of the tree; walked once, because sixty rules look at them."""
        return tuple(ast.walk(self.tree))

    @property
    def module(self):
        """Dotted name under which others import it: app/ftp/__init__.py is app.ftp."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(text, path="app/sample.py"):
    return Source(PurePosixPath(path), text, ast.parse(text))


@functools.cache
def sources():
    return tuple(parse((ROOT / path).read_text(encoding="utf-8"), path.as_posix()) for path in device_files())


@functools.cache
def _modules():
    return frozenset(source.module for source in sources())


def imports(source):
    """[(line, dotted module)] of every import, in functions too; `from a import b` gives a.b when that is a file."""
    known = _modules()
    found = []
    for node in source.nodes:
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                found.append((node.lineno, below if below in known else node.module))
    return found
