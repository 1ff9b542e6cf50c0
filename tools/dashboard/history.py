# What the dashboard has seen of each module, kept in a small SQLite file, with a bound. Losing it loses the past, nothing else: a
# store that does not open or is full is told, and the dashboard goes on without.
import contextlib
import hashlib
import json
import sqlite3

KEPT = 100  # statuses of each module; the oldest go first
KEPT_S = 400 * 86400  # of modules that are not heard of any more
_KEYS = ("time", "boots", "cycle", "last_good", "free_blocks", "battery_mv", "signal", "bytes_today")
_BUSY_S = 5
_TABLES = """
CREATE TABLE IF NOT EXISTS status (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL, file TEXT NOT NULL, digest BLOB NOT NULL,
    seen REAL NOT NULL, heard REAL NOT NULL, entry TEXT NOT NULL, UNIQUE (source, file, digest));
CREATE INDEX IF NOT EXISTS of_file ON status (source, file, id);
"""


class History:
    """Of one source. Raises sqlite3.Error. One thread at a time."""

    def __init__(self, path, source):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
        self._source = source
        with contextlib.closing(self._base.cursor()) as cursor:
            cursor.executescript(_TABLES)

    def close(self):
        self._base.close()

    def add(self, rows, now):
        """Enter the statuses that are new; `rows` of fleet.Row, with a status; `now` in seconds since 1970."""
        with self._base:
            for row in rows:
                values = (self._source, row.key, digest_of(row.raw), now, row.heard, json.dumps(entry_of(row.status)))
                added = self._base.execute(
                    "INSERT OR IGNORE INTO status (source, file, digest, seen, heard, entry) VALUES (?, ?, ?, ?, ?, ?)",
                    values,
                )
                if added.rowcount:
                    self._base.execute(
                        "DELETE FROM status WHERE source = ?1 AND file = ?2 AND id <= "
                        "(SELECT id FROM status WHERE source = ?1 AND file = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)",
                        (self._source, row.key, KEPT),
                    )
            self._base.execute("DELETE FROM status WHERE seen < ?", (now - KEPT_S,))

    def first_seen(self):
        """{key of a file: (digest, when its newest status was first seen)}"""
        found = self._base.execute(
            "SELECT file, digest, seen FROM status WHERE id IN (SELECT MAX(id) FROM status WHERE source = ? GROUP BY file)",
            (self._source,),
        )
        return {file: (digest, seen) for file, digest, seen in found}

    def of(self, file):
        """What is known of one module, the newest first: [{"heard", ...}]"""
        found = self._base.execute(
            "SELECT heard, entry FROM status WHERE source = ? AND file = ? ORDER BY id DESC", (self._source, file)
        )
        return [{"heard": heard} | json.loads(entry) for heard, entry in found]


def digest_of(raw):
    """What tells one status from another."""
    return hashlib.sha256(raw).digest()[:16]


def entry_of(status):
    """What is kept of a status: numbers, and what was wrong."""
    error = status["error"]
    entry = {key: status[key] for key in _KEYS}
    return entry | {
        "error": f"{error['class']} in {error['step']}: {error['text']}" if error else "",
        "has_failed": is_failing(status),
        "update": status["update"]["version"],
        "parked": status["parked"]["count"],
    }


def is_failing(status):
    """Whether the cycle that told it failed (docs/PROTOCOL.md, `error`)."""
    return bool(status["error"]) and status["error"]["cycle"] == status["cycle"]
