"""What the module is doing when the power goes. Each scenario: what is in step already (`before`), what came since (`then`)."""

import random
from dataclasses import dataclass, field

DEVICE = "m1"


def noise(seed, size):
    return random.Random(seed).randbytes(size)


@dataclass(frozen=True)
class Scenario:
    """Files are {path: content}; those of the module below /usr, those of the server below its root."""

    before: dict = field(default_factory=dict)
    before_server: dict = field(default_factory=dict)
    then: dict = field(default_factory=dict)
    then_server: dict = field(default_factory=dict)
    mode: str = "whole"
    after: str = "keep"
    stale_records: int = 0
    free_blocks: int = 0  # 0: as many as there are
    unfetched: tuple = ()  # what lies on the server and has no room on the module
    low_blocks: int = 0  # 0: nothing is dropped to make room
    dropped: tuple = ()  # what goes for it

    def config(self, port):
        return {
            "device": {"id": DEVICE},
            "server": {"host": "127.0.0.1", "port": port, "user": "base", "password": "x", "timeout_s": 5},
            "upload": {"from": "/usr", "to": "{device}", "mode": self.mode, "after": self.after},
            "download": {"from": "updates", "to": "/usr"},
            "schedule": {"every_s": 10, "jitter_s": 0},
            "storage": {"when_full": "drop" if self.low_blocks else "keep", "low_blocks": self.low_blocks},
        }

    def fetched(self, files):
        return {name.removeprefix("updates/"): content for name, content in files.items() if name not in self.unfetched}

    def module_files(self):
        """{path below /usr: content} when everything is in step."""
        sent = {**self.before, **self.then}
        kept = {name: sent[name] for name in sent if self.after == "keep" and name not in self.dropped}
        return {**kept, **self.fetched({**self.before_server, **self.then_server})}

    def server_files(self):
        sent = {f"{DEVICE}/{name}": content for name, content in {**self.before, **self.then}.items()}
        return {**sent, **self.before_server, **self.then_server}

    def versions(self, name):
        """Every content that may ever be seen under a name of the module."""
        sources = (self.before, self.then, self.fetched(self.before_server), self.fetched(self.then_server))
        return [files[name] for files in sources if name in files]


_SMALL = {
    "data/a.txt": b"first\n",
    "data/b.bin": noise(1, 300),
    "data/c.bin": noise(2, 4096),
    "data/empty": b"",
    "data/e.bin": noise(3, 10_000),
}

_LINES = b"".join(b"%05d;%05d\n" % (i, i * 7) for i in range(2000))  # of 12 bytes each

SCENARIOS = {
    "several-uploads": Scenario(then=_SMALL),
    "large-upload": Scenario(then={"big.bin": noise(4, 70_000), "small.txt": b"beside it"}),
    "rewritten": Scenario(
        before={"same-size.txt": b"old content", "grown.log": noise(5, 5000), "kept.txt": b"stays"},
        then={"same-size.txt": b"new content", "grown.log": noise(5, 9000)},
    ),
    "rewritten-large": Scenario(
        before={"grown.bin": noise(17, 35_000), "same-size.bin": noise(18, 40_000)},
        then={"grown.bin": noise(19, 45_000), "same-size.bin": noise(30, 40_000)},
    ),
    "deleted-after": Scenario(then=_SMALL, after="delete"),
    "several-downloads": Scenario(
        then_server={
            "updates/a.txt": b"first\n",
            "updates/deep/er/b.bin": noise(6, 6000),
            "updates/empty": b"",
            "updates/z.bin": noise(7, 40_000),
        }
    ),
    "replacing-downloads": Scenario(
        before_server={"updates/a.txt": b"version 1", "updates/b.bin": noise(8, 9000)},
        then_server={"updates/a.txt": b"version two", "updates/b.bin": noise(9, 20_000)},
    ),
    "both-ways-and-compaction": Scenario(
        before={"old.txt": b"in step", "older.bin": noise(10, 2000)},
        before_server={"updates/u.txt": b"in step too"},
        then={"new.txt": b"goes up", "new2.bin": noise(11, 5000)},
        then_server={"updates/v.bin": noise(12, 5000)},
        stale_records=232,  # some of the appends under way makes them too many
    ),
    "full-flash": Scenario(
        before={"old.txt": b"in step"},
        then={"new.txt": b"goes up", "new2.bin": noise(13, 3000)},
        then_server={"updates/too-big.bin": noise(14, 30_000)},
        free_blocks=5,
        unfetched=("updates/too-big.bin",),
    ),
    "full-flash-drop": Scenario(
        before={"a-old.bin": noise(15, 20_000), "b-old.txt": b"in step"},
        then={"new.txt": b"goes up", "new2.bin": noise(16, 3000)},
        free_blocks=5,
        low_blocks=7,
        dropped=("a-old.bin",),
    ),
    "grown-logs": Scenario(
        before={"data.csv": _LINES[:3000], "deep/er/other.log": _LINES[:12]},
        then={"data.csv": _LINES[:24_000], "deep/er/other.log": _LINES[:4800], "new.log": _LINES[:600]},
        mode="append",
    ),
    "batches": Scenario(before={"data/b.bin": b"older", "old.txt": b"in step"}, then=_SMALL, mode="batch"),
    "batches-deleted-after": Scenario(then=_SMALL, mode="batch", after="delete"),
}
