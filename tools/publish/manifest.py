# The bytes of an update, as docs/PROTOCOL.md has them: manifest and pack, both ways. No I/O but reading the small files.
import hashlib
import hmac
import json
from dataclasses import dataclass

from app.sync.manifest import ManifestError
from app.sync.manifest import parse as parse_on_module
from tools.publish.contents import Refused, from_bytes

NAME = "manifest"
MOST_BYTES = 16_384
MOST_VERSION = 2_147_483_647
_MAGIC = b"FERRY1 "
_SIZES = 64


@dataclass(frozen=True)
class Manifest:
    """One that is on the server. `files` is {path: entry}."""

    version: int
    files: dict
    signature: str | None
    body: bytes
    delete: list
    settings: dict

    def is_signed_with(self, key):
        return self.signature == _signature(self.body, key)


def make_pack(contents, below):
    """-> (Content of the pack, {path: offset}), or (None, {}) where fewer than two files are smaller than `below`."""
    small = sorted((content for content in contents if content.size < below), key=lambda content: content.path)
    if len(small) < 2:
        return None, {}
    parts, offsets, at = [], {}, 0
    for content in small:
        with content.open() as stream:
            raw = stream.read()
        if hashlib.sha256(raw).hexdigest() != content.sha256:
            raise Refused(f"{content.source} changed while it was read. Run the same command again.")
        parts.append(raw)
        offsets[content.path] = at
        at += len(raw)
    raw = b"".join(parts)
    return from_bytes(f"pack-{hashlib.sha256(raw).hexdigest()[:16]}", raw), offsets


def encode(version, contents, pack, offsets, extras, key):
    """The manifest, signed where there is a key. `extras` holds the optional parts. Raises Refused if it is too large."""
    files = []
    for content in sorted(contents, key=lambda content: content.path):
        entry = {"path": content.path, "size": content.size, "sha256": content.sha256}
        if content.path in offsets:
            entry["at"] = offsets[content.path]
        files.append(entry)
    parts = {"version": version, "files": files}
    if pack:
        parts["pack"] = {"name": pack.path, "size": pack.size}
    body = json.dumps({**parts, **extras}, ensure_ascii=False, separators=(",", ":")).encode()
    # A module looks at size and time, and some servers tell no time, others whole seconds: let the size tell versions apart.
    body += b" " * ((version - len(body)) % _SIZES)
    raw = _MAGIC + (_signature(body, key) if key else "-").encode() + b"\n" + body
    if len(raw) > MOST_BYTES:
        raise Refused(
            f"the manifest would have {len(raw):,} bytes, and a module reads at most {MOST_BYTES:,}: {len(files)} files are "
            "too many. Publish fewer files, or put those that belong together into one."
        )
    try:
        parse_on_module(raw, key.decode() if key else "")
    except ManifestError as error:
        raise Refused(f"no module would take this update: {error.text()}") from error
    return raw


def parse(raw):
    """A manifest as the server has it -> Manifest. Raises ValueError with what is wrong with it."""
    if len(raw) > MOST_BYTES:
        raise ValueError(f"it has {len(raw):,} bytes, at most {MOST_BYTES:,} are allowed")
    head, line_feed, body = raw.partition(b"\n")
    if not (line_feed and head.startswith(_MAGIC)):
        raise ValueError(f"it does not begin with {_MAGIC.decode()!r}")
    signature = head[len(_MAGIC) :].decode()
    data = json.loads(body)
    if not isinstance(data, dict):
        raise ValueError("it is no JSON object")
    version, files = data.get("version"), data.get("files")
    if type(version) is not int or not 1 <= version <= MOST_VERSION:
        raise ValueError(f"its version is {version!r}")
    if not isinstance(files, list) or not all(map(_is_entry, files)):
        raise ValueError("its files are no list of entries")
    delete, settings = data.get("delete", []), data.get("settings", {})
    if not isinstance(delete, list) or not isinstance(settings, dict):
        raise ValueError("its delete is no list, or its settings are no object")
    return Manifest(
        version,
        {entry["path"]: entry for entry in files},
        None if signature == "-" else signature,
        body,
        delete,
        settings,
    )


def _is_entry(entry):
    return isinstance(entry, dict) and isinstance(entry.get("path"), str) and type(entry.get("size")) is int


def _signature(body, key):
    return hmac.new(key, body, hashlib.sha256).hexdigest()
