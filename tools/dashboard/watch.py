# The fleet as it was at the last look: source, history and judgement together. A look that fails leaves the last one standing, and
# is told.
import ftplib
import json
import sqlite3
import threading
import time
from dataclasses import dataclass

from tools.dashboard import fleet
from tools.dashboard.history import digest_of
from tools.dashboard.source import Truncated
from tools.publish import manifest
from tools.publish.target import link_advice, open_target


@dataclass(frozen=True)
class Look:
    """What one look found. `trouble` says why the fleet is older than `at`, or what else is missing from the page."""

    fleet: fleet.Fleet
    read_at: float | None  # when the status files were read; None = never
    at: float
    trouble: tuple = ()


class Watch:
    """`look()` from one thread at a time; `last` and `past` from any."""

    def __init__(self, source, history, updates, limits, clock=time.time):
        self._source = source
        self._history = history
        self._updates = updates
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()  # around the history
        self._seen = history.first_seen() if history else {}
        self._files = []
        self._manifest = None
        self._read_at = None
        self.last = None

    def look(self, tell=lambda done, count: None):
        """Read what is new, judge, remember. -> Look. Raises nothing that a source, a server or a store may do."""
        trouble = []
        try:
            self._files = self._source.look(tell)
            self._read_at = self._clock()
        except (*ftplib.all_errors, Truncated) as error:
            trouble.append(f"{self._source}: {explained(error)}")
        if self._updates:
            try:
                self._manifest = read_manifest(self._updates)
            except (*ftplib.all_errors, ValueError) as error:
                shown = self._updates.rpartition("@")[2] if "://" in self._updates else self._updates
                trouble.append(f"--updates {shown}: {explained(error)}")
        now = self._clock()
        self._note(now)
        seen = {key: when for key, (_, when) in self._seen.items()}
        found = fleet.judge(self._files, seen, self._limits, self._manifest, now)
        trouble += self._remember(found, now)
        self.last = Look(found, self._read_at, now, tuple(trouble))
        return self.last

    def _note(self, now):
        """When each content was first there."""
        known, self._seen = self._seen, {}
        for file in self._files:
            digest = digest_of(file.raw)
            before = known.get(file.key)
            self._seen[file.key] = before if before and before[0] == digest else (digest, now)

    def _remember(self, found, now):
        if not self._history:
            return []
        try:
            with self._lock:
                self._history.add([row for row in found.rows if row.status], now)
        except sqlite3.Error as error:
            return [f"the history is not kept: {error}"]
        return []

    def past(self, key):
        """The statuses of one module that were seen, the newest first."""
        if not self._history:
            return []
        try:
            with self._lock:
                return self._history.of(key)
        except (sqlite3.Error, json.JSONDecodeError):
            return []  # look() tells of a store that does not work


def read_manifest(text):
    """The manifest of `tools publish` in a folder or on a server, as far as it matters here; None where there is none."""
    with open_target(text) as target:
        raw = target.read(manifest.NAME)
    if raw is None:
        return None
    found = manifest.parse(raw)
    body = json.loads(found.body)
    share, expires, devices = body.get("share", 100), body.get("expires", 0), body.get("devices", [])
    if type(share) is not int or type(expires) is not int or not isinstance(devices, list):
        raise ValueError("the manifest's share, expires or devices is not usable")
    return {"version": found.version, "share": share, "expires": expires, "devices": [str(name) for name in devices]}


def explained(error):
    """An error of the link or the server, with what a person can do about it."""
    text = str(error) or type(error).__name__
    advice = link_advice(error)
    return f"{text}. {advice}" if advice else text
