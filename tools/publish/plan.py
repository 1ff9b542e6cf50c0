# What publishing means, before anything is sent: the next manifest, what it changes, what has to go up.
import re
from dataclasses import dataclass

from tools.publish import manifest
from tools.publish.contents import Content, Refused, from_bytes
from tools.sim.settings import SettingsError

_OBJECT = r"files/[0-9a-f]{64}|pack-[0-9a-f]{16}"
_LEFTOVER = r"(files/)?[0-9a-f]{8}\.([0-9a-f]{64}|pack-[0-9a-f]{16}|manifest)\.part"
_OLD_MANIFEST = r"[0-9a-f]{8}-old\.manifest\.part"


@dataclass(frozen=True)
class Plan:
    version: int
    last: manifest.Manifest | None
    manifest: Content
    contents: list  # of Content, by path
    packed: dict  # {path: offset in the pack}
    pack: Content | None
    objects: dict  # {name on the server: Content}: all that the manifest names
    missing: dict  # those of them that are not there
    notes: list
    extras: dict  # the optional parts of the manifest

    def changes(self):
        """[(what, path, bytes)] against the last manifest: new, changed, gone."""
        before = self.last.files if self.last else {}
        rows = []
        for content in self.contents:
            if content.path not in before:
                rows.append(("new", content.path, content.size))
            elif before[content.path].get("sha256") != content.sha256:
                rows.append(("changed", content.path, content.size))
        paths = {content.path for content in self.contents}
        return rows + [("gone", path, entry["size"]) for path, entry in before.items() if path not in paths]

    def unchanged_count(self):
        return len(self.contents) - sum(what != "gone" for what, _, _ in self.changes())

    def upload_bytes(self):
        return sum(content.size for content in self.missing.values()) + self.manifest.size

    def fetch_bytes(self, is_from_last):
        """What a module has to fetch at most: from nothing, or when it has the last version."""
        news = {path for what, path, _ in self.changes() if what != "gone"}
        wanted = [content for content in self.contents if not is_from_last or content.path in news]
        alone = sum(content.size for content in wanted if content.path not in self.packed)
        is_pack_wanted = any(content.path in self.packed for content in wanted)
        return self.manifest.size + alone + (self.pack.size if is_pack_wanted else 0)


def make(target, contents, version, extras, key, pack_below):
    """Look at the target, and -> Plan. Raises Refused, SettingsError and what the target raises."""
    contents = sorted(contents, key=lambda content: content.path)
    if not contents and not extras.get("delete") and not extras.get("settings"):
        raise Refused(
            "there is nothing to publish: SOURCE holds no files. Put files there, or use --ferry, --delete, --set."
        )
    last, notes = _read_last(target, version)
    version = _next_version(last, version)
    _check_folders(last, contents)
    pack, packed = manifest.make_pack(contents, pack_below)
    raw = manifest.encode(version, contents, pack, packed, extras, key)
    objects = {f"files/{content.sha256}": content for content in contents if content.path not in packed}
    if pack:
        objects[pack.path] = pack
    missing = {name: content for name, content in objects.items() if target.size(name) != content.size}
    content = from_bytes(manifest.NAME, raw)
    notes += _notes(last, extras, contents, key)
    return Plan(version, last, content, contents, packed, pack, objects, missing, notes, extras)


def _read_last(target, version):
    """-> (Manifest or None, notes)."""
    raw = target.read(manifest.NAME)
    if raw is None:  # it steps aside on servers that rename over nothing, and a cut can leave it there
        raws = [target.read(name) for name in target.names("") if re.fullmatch(_OLD_MANIFEST, name)]
    else:
        raws = [raw]
    try:
        return max(map(manifest.parse, raws), key=lambda found: found.version, default=None), []
    except ValueError as error:
        if version is None:
            raise Refused(
                f"the manifest on {target} is broken: {error}. Modules only go upwards: say which version this shall be "
                "with --version N, above all that were published."
            ) from error
        return None, [f"the manifest on {target} was broken ({error}) and is replaced"]


def _next_version(last, version):
    if last is None:
        return version or 1
    if version is not None and version <= last.version:
        raise SettingsError(
            f"--version {version} is not above {last.version}, which is published; modules only go upwards"
        )
    if version is None and last.version == manifest.MOST_VERSION:
        raise Refused(f"the published version is {last.version}, the highest there is; use another folder as TARGET")
    return version or last.version + 1


def _check_folders(last, contents):
    """A file does not give way to a folder: a module takes a set of renames, in which nothing is there in two shapes."""
    for path in last.files if last else ():
        if any(content.path.startswith(path + "/") for content in contents):
            raise Refused(
                f"{path} is a file on the modules and would become a folder. Publish an update without that folder and with "
                f"--delete {path} first."
            )


def _notes(last, extras, contents, key):
    """What a person may have overlooked. [text]"""
    if last is None:
        return []
    notes = []
    if last.signature and not key:
        notes.append("the last manifest was signed and this one is not: modules with an update.key will refuse it")
    if last.signature and key and not last.is_signed_with(key):
        notes.append("the last manifest was signed with another key, or changed by someone without yours")
    paths = {content.path for content in contents} | set(extras.get("delete", ()))
    gone = [path for path in last.files if path not in paths]
    if gone:
        notes.append(f"gone files stay on the modules that have them; remove them with --delete {gone[0]} and so on")
    for what, before in (("delete", last.delete), ("set", last.settings)):
        lost = [name for name in before if name not in paths and name not in extras.get("settings", {})]
        if lost:
            notes.append(
                f"the last manifest had --{what} for {', '.join(lost)}: modules that missed it will not get it any more"
            )
    return notes


def useless(target, objects):
    """Names of objects, and of temp names of objects, that the published manifest does not need."""
    names = target.names("") + [f"files/{name}" for name in target.names("files")]
    return [
        name
        for name in names
        if (re.fullmatch(_OBJECT, name) and name not in objects)
        or re.fullmatch(_LEFTOVER, name)
        or re.fullmatch(_OLD_MANIFEST, name)
    ]
