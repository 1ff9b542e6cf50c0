# What a manifest says, checked as a whole before anything is done. docs/PROTOCOL.md, "An update". Pure.

import ubinascii
import uhashlib
import uio
import ujson
import ustruct

from app.errors import PARK, Error
from app.sync.rules import is_own_code, is_protected, matches, mount_of, why_unsafe

MANIFEST_BYTES = 16384
_MAGIC = b"FERRY1 "
_VERSION_MAX = 0x7FFFFFFF
_SIZE_MAX = 0x7FFFFFFF
# What a way back needs -> what has to come where it is deleted.
_VITAL = {
    "/usr/main.py": "",
    "/usr/app/apply.py": "/usr/app/apply.mpy",
    "/usr/app/apply.mpy": "/usr/app/apply.py",
}


class ManifestError(Error):
    """The update is refused as a whole; nothing was changed."""

    action = PARK
    advice = "publish it again; python -m tools publish makes what the module takes"


def hmac_sha256(key, raw):
    """RFC 2104."""
    if len(key) > 64:
        key = uhashlib.sha256(key).digest()
    key += b"\0" * (64 - len(key))
    inner = uhashlib.sha256(bytes([b ^ 0x36 for b in key]))
    inner.update(raw)
    outer = uhashlib.sha256(bytes([b ^ 0x5C for b in key]))
    outer.update(inner.digest())
    return outer.digest()


def _is_same(a, b):
    """Without telling by its duration where they differ."""
    different = len(a) ^ len(b)
    for x, y in zip(a, b):
        different |= x ^ y
    return not different


def parse(raw, key):
    """The checked manifest as a dict: version, files, pack, delete, settings, expires, devices, share. Raises ManifestError,
    and MemoryError."""
    if len(raw) > MANIFEST_BYTES:
        raise ManifestError("a manifest of more than %d bytes" % MANIFEST_BYTES)
    end = raw.find(b"\n")
    if end < 0 or not raw.startswith(_MAGIC):
        raise ManifestError("it does not begin as a manifest does")
    signature = raw[len(_MAGIC) : end].strip()
    if key:  # neither here nor below is the body copied: a heap with room for it once need not have it twice
        if signature == b"-":
            raise ManifestError("it is not signed, and update.key is set", advice="publish it with --key-file")
        if not _is_same(signature, ubinascii.hexlify(hmac_sha256(key.encode(), memoryview(raw)[end + 1 :]))):
            raise ManifestError("its signature is wrong", advice="is update.key the key that it was published with?")
    stream = uio.BytesIO(raw)
    stream.seek(end + 1)
    try:
        data = ujson.load(stream)
    except (ValueError, RuntimeError):  # the latter for brackets without end
        raise ManifestError("its JSON is broken: it was cut, or changed on the way")
    if not isinstance(data, dict):
        raise ManifestError("its JSON is no object")
    return _checked(data)


def _is_int(value, low, high):
    return isinstance(value, int) and value is not True and value is not False and low <= value <= high


def _texts(data, name):
    found = data.setdefault(name, [])
    if not isinstance(found, list) or [x for x in found if not isinstance(x, str)]:
        raise ManifestError("%s is no list of texts" % name)
    return found


def _checked(data):
    if not _is_int(data.get("version"), 1, _VERSION_MAX):
        raise ManifestError("version is no whole number above 0")
    files = data.setdefault("files", [])
    if not isinstance(files, list):
        raise ManifestError("files is no list")
    pack = data.setdefault("pack", None)
    if pack is not None and not (
        isinstance(pack, dict)
        and isinstance(pack.get("name"), str)
        and not why_unsafe(pack["name"])
        and _is_int(pack.get("size"), 0, _SIZE_MAX)
    ):
        raise ManifestError("pack is not usable")
    seen = set()
    for entry in files:
        _check_file(entry, pack)
        _check_path(entry["path"], seen)
    for path in _texts(data, "delete"):
        if path in _VITAL and _VITAL[path] not in seen:
            raise ManifestError("%s: nothing starts without it" % path)
        _check_path(path, seen)
    for path in seen:
        at = path.rfind("/")
        while at > 0:
            if path[:at] in seen:
                raise ManifestError("%s: it cannot be a file and a folder" % path[:at])
            at = path.rfind("/", 0, at)
    if not isinstance(data.setdefault("settings", {}), dict):
        raise ManifestError("settings is no object")
    if not _is_int(data.setdefault("share", 100), 0, 100) or not _is_int(data.setdefault("expires", 0), 0, 0x7FFFFFFFFF):
        raise ManifestError("share or expires is no usable number")
    _texts(data, "devices")
    return data


def _check_file(entry, pack):
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise ManifestError("a file without a path")
    path, digest, at = entry["path"], entry.get("sha256"), entry.get("at")
    if not _is_int(entry.get("size"), 0, _SIZE_MAX):
        raise ManifestError("%s: its size is no usable number" % path)
    if not isinstance(digest, str) or len(digest) != 64 or digest.strip("0123456789abcdef"):
        raise ManifestError("%s: its sha256 is not 64 hex digits" % path)
    if at is not None and not (pack and _is_int(at, 0, pack["size"] - entry["size"])):
        raise ManifestError("%s: it does not lie in the pack" % path)


def _check_path(path, seen):
    parts = path.split("/")
    if parts[0] != "" or len(parts) < 3:
        raise ManifestError("%s: a path goes from the root into a mount" % path)
    for part in parts[1:]:
        reason = why_unsafe(part)
        if reason:
            raise ManifestError("%s: %s" % (path, reason))
    if is_protected(path) and not is_own_code(path):
        raise ManifestError("%s: the name is protected on the module" % path)
    if path.lower() in seen:
        raise ManifestError("%s: it is named twice" % path)
    seen.add(path.lower())


def why_not_here(manifest, device, seconds):
    """None, or why an intact manifest is not for this module now. `seconds` since 1970, or None."""
    if manifest["expires"] and seconds is None:
        return "it may have expired: the clock is not set"
    if manifest["expires"] and seconds > manifest["expires"]:
        return "it has expired"
    if manifest["devices"] and not [True for pattern in manifest["devices"] if matches(pattern, device)]:
        return "it is for other devices"
    if bucket(device) >= manifest["share"]:
        return "it is for %d %% of the fleet, and not for this module yet" % manifest["share"]
    return None


def bucket(device):
    """0 to 99, the same for a device at any time."""
    return ustruct.unpack(">I", uhashlib.sha256(("bucket" + device).encode()).digest()[:4])[0] % 100


def mounts_of(manifest):
    found = []
    for entry in manifest["files"]:
        if mount_of(entry["path"]) not in found:
            found.append(mount_of(entry["path"]))
    return found
