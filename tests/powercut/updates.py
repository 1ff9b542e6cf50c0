"""Updates by manifest that are under way when the power goes. Version 1 is in place (`first`), version 2 lies on the server."""

import hashlib
import json
from dataclasses import dataclass, field

from tests.powercut.scenarios import DEVICE, noise
from tools import desktop
from tools.device_files import ROOT, device_files

desktop.install()

from app.settings import changed  # noqa: E402  (needs the module's names first)

USER = "flashed"  # the one account: it stands in the module's config.json
_PACK_BELOW = 16_384


def published(version, files, delete=(), settings=()):
    """{name on the server: content} of an update. `files` is {path below /usr: content}."""
    entries, pack, objects = [], b"", {}
    for path, content in sorted(files.items()):
        digest = hashlib.sha256(content).hexdigest()
        entries.append({"path": "/usr/" + path, "size": len(content), "sha256": digest})
        if len(content) < _PACK_BELOW:
            entries[-1]["at"] = len(pack)
            pack += content
        else:
            objects[f"updates/files/{digest}"] = content
    data = {"version": version, "files": entries, "pack": {"name": f"pack{version}", "size": len(pack)}}
    data.update(delete=["/usr/" + path for path in delete], settings=dict(settings))
    manifest = b"FERRY1 -\n" + json.dumps(data).encode()
    return {**objects, f"updates/pack{version}": pack, "updates/manifest": manifest}


@dataclass(frozen=True)
class Update:
    first: dict = field(default_factory=dict)  # {path below /usr: content}
    second: dict = field(default_factory=dict)
    delete: tuple = ()
    settings: dict = field(default_factory=dict)
    old_code: dict = field(default_factory=dict)  # on the module beside Ferry's own
    is_bad: bool = False  # version 2 does not run
    is_by_hand: bool = False  # nothing comes from the server: `settings` are changed at the REPL, behind the first cycle of a boot

    stale_records = free_blocks = 0

    def config(self, port):
        return {
            "device": {"id": DEVICE},
            "server": {"host": "127.0.0.1", "port": port, "user": USER, "password": "x", "timeout_s": 5},
            "upload": {"from": "/usr", "to": "{device}"},
            "download": {"from": ""},
            "update": {"from": "" if self.is_by_hand else "updates"},
            "schedule": {"every_s": 10, "jitter_s": 0, "first_s": 0},
            "link": {"hold_s": 0},
        }

    def flashed(self, port):
        """{path below /usr: content} as the module leaves the factory."""
        code = {path.as_posix(): (ROOT / path).read_bytes() for path in device_files()}
        return {**code, **self.old_code, **_OWN, "config.json": json.dumps(self.config(port)).encode()}

    def old(self, port):
        return {**self.flashed(port), **self.first}

    def new(self, port):
        files = {**self.old(port), **self.second}
        if self.settings:
            files["config.json"] = changed(files["config.json"], self.settings)
        return {path: content for path, content in files.items() if path not in self.delete}

    @property
    def before_server(self):
        return {} if self.is_by_hand else published(1, self.first)

    @property
    def then_server(self):
        return {} if self.is_by_hand else published(2, self.second, self.delete, self.settings)

    def server_files(self):
        return {**self.before_server, **self.then_server, **{f"{DEVICE}/{name}": raw for name, raw in _OWN.items()}}


_OWN = {"data/own.txt": b"the module's own"}


def _code(path, more):
    return {path: (ROOT / path).read_bytes() + more}


_NEW_CODE = {
    **_code("main.py", b"# version 2\n"),
    **_code("app/__init__.py", b"NEW = 1\n"),
    **_code("app/apply.py", b"# version 2\n"),
    **_code("app/sync/folders.py", b"# version 2\n"),
    "app/added.py": b"X = 1\n",
}

UPDATES = {
    "update-of-files": Update(
        first={
            "site/a.txt": b"version 1",
            "site/b.bin": noise(20, 6000),
            "site/gone.txt": b"goes",
            "big.bin": noise(21, 20_000),
        },
        second={
            "site/a.txt": b"version two",
            "site/b.bin": noise(22, 7000),
            "site/new": b"",
            "big.bin": noise(23, 30_000),
        },
        delete=("site/gone.txt",),
    ),
    "update-of-settings": Update(settings={"schedule.every_s": 77}),
    "settings-by-hand": Update(settings={"schedule.every_s": 77}, is_by_hand=True),
    "update-of-code": Update(second=_NEW_CODE, delete=("app/retired.py",), old_code={"app/retired.py": b"X = 1\n"}),
    "update-of-all": Update(
        first={"site/a.txt": b"version 1"},
        second={"site/a.txt": b"version two", **_code("app/sync/folders.py", b"# version 2\n")},
        settings={"schedule.every_s": 77},
    ),
    "update-that-does-not-run": Update(
        second={**_NEW_CODE, "app/sync/upload.py": b"raise ValueError('this does not work')\n"},
        delete=("app/retired.py",),
        old_code={"app/retired.py": b"X = 1\n"},
        is_bad=True,
    ),
}
