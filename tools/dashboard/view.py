# What a person or a program gets to see of a look: rows for --json, the page, one module's details.
import datetime
import json
from pathlib import Path

from tools.dashboard import fleet
from tools.web.page import Page

_PAST_IN_FILE = 24  # statuses of each module's history in --out; served, all that are kept
_LEVELS = {fleet.BAD: "bad", fleet.WARN: "warn", fleet.NOTE: "note", fleet.GOOD: "good"}
_OWN_CLOCK = "the module's clock"
_COLUMNS = (
    {"name": "state", "title": "State", "sort": "state"},
    {"name": "name", "title": "Module", "sort": "name"},
    {"name": "what", "title": "What is wrong, and what to do", "sort": ""},
    {"name": "heard", "title": "Heard", "sort": "heard"},
    {"name": "flash", "title": "Free", "sort": "flash"},
    {"name": "today", "title": "Today", "sort": "today"},
    {"name": "update", "title": "Update", "sort": "update"},
)


def as_rows(look):
    """What --json prints of each module, the worst first."""
    return [_row(row, look.at) for row in look.fleet.rows]


def as_json(look, source):
    kinds = {kind: look.fleet.count(kind) for kind in fleet.KINDS}
    return {
        "source": str(source),
        "read_at": iso(look.read_at),
        "trouble": list(look.trouble),
        "hint": look.fleet.hint,
        "newest_update": look.fleet.newest,
        "counts": {"modules": len(look.fleet.rows), "ok": look.fleet.ok_count, **kinds},
        "modules": as_rows(look),
    }


def _row(row, now):
    told = row.status or {}
    return {
        "id": row.key,
        "file": row.file,
        "device": row.device,
        "state": _first(row),
        "level": _LEVELS[row.level],
        "troubles": [{"kind": trouble.kind, "what": trouble.what, "do": trouble.do} for trouble in row.troubles],
        "heard": iso(row.heard),
        "heard_by": row.heard_by,
        "age_s": None if row.heard is None else max(0, round(now - row.heard)),
        "free_blocks": told.get("free_blocks"),
        "bytes_today": told.get("bytes_today"),
        "update_version": told.get("update", {}).get("version", 0),
        "parked_count": told.get("parked", {}).get("count", 0),
        "status": row.status,
    }


def _first(row):
    """The trouble that counts; a note alone is none."""
    return next((kind for kind in fleet.KINDS if kind in row.kinds and fleet.KINDS[kind].level > fleet.NOTE), "ok")


class FleetPage:
    """The page of one dashboard. `every_s` None: a file that stands for itself, with everybody's details in it."""

    def __init__(self, source, limits, history, every_s=None):
        self._fixed = {
            "source": str(source),
            "every_s": every_s,
            "history": history,
            "overdue_s": limits.overdue_s,
            "low_blocks": limits.low_blocks,
            "day_bytes": limits.day_bytes,
            "own_clock": _OWN_CLOCK,
            "columns": _COLUMNS,
        }
        self._page = Page(
            Path(__file__).parent / "web",
            "page",
            connects=every_s is not None,
            iso=lambda seconds: iso(seconds) or "never",
            span=fleet.span,
            bytes=short_bytes,
        )
        self.policy = self._page.policy

    def render(self, look, details=None):
        kinds = {kind: _shown(kind, known) for kind, known in fleet.KINDS.items()}
        rows = [self._page_row(row, data) for row, data in zip(look.fleet.rows, as_rows(look), strict=True)]
        tiles = [
            {**_shown("", fleet.Kind("modules", "≡", fleet.GOOD, "all of them")), "count": len(rows), "level": "all"}
        ]
        tiles += [{**shown, "count": look.fleet.count(kind)} for kind, shown in kinds.items()]
        tiles.append({**_shown("ok", fleet.OK), "count": look.fleet.ok_count})
        return self._page.render(
            **self._fixed,
            rows=rows,
            tiles=tiles,
            kinds=kinds,
            banners=[*look.trouble, *([look.fleet.hint] if look.fleet.hint else [])],
            read_at=look.read_at,
            newest=look.fleet.newest,
            newest_from=look.fleet.newest_from,
            trouble_count=len(rows) - look.fleet.ok_count,
            details=details,
        )

    def _page_row(self, row, data):
        state = fleet.KINDS.get(data["state"], fleet.OK)
        kinds = row.kinds + (["ok"] if row.level <= fleet.NOTE else [])
        return {
            **data,
            "label": state.label,
            "sign": state.sign,
            "level": _LEVELS[state.level],
            "heard_s": row.heard,
            "kinds": kinds,
            "troubles": ordered(row),
            "model": row.status["model"] if row.status else "",
        }


def ordered(row):
    """Its troubles, the one that counts first."""
    return sorted(row.troubles, key=lambda trouble: list(fleet.KINDS).index(trouble.kind))


def _shown(kind, known):
    return {
        "kind": kind,
        "label": known.label,
        "sign": known.sign,
        "level": _LEVELS[known.level],
        "meaning": known.meaning,
    }


def detail(row, past):
    """One module's details, for the page's script."""
    troubles = [
        {"label": fleet.KINDS[trouble.kind].label, "what": trouble.what, "do": trouble.do} for trouble in ordered(row)
    ]
    facts = _facts(row) if row.status else []
    return {
        "file": row.file,
        "troubles": troubles,
        "status": row.status,
        "facts": facts,
        "history": past,
        "log_request": f"{row.file.removesuffix('.json')}.logreq",
    }


def details(watch):
    """Of all modules, for a page that stands for itself."""
    return {row.key: detail(row, watch.past(row.key)[:_PAST_IN_FILE]) for row in watch.last.fleet.rows}


def _facts(row):
    """[(name, text)]: what a status tells beside its errors."""
    told = row.status
    good = f"the last good one before it: {told['last_good'] or 'none since the boot'}"
    facts = [
        ("heard", f"{iso(row.heard)}, by {row.heard_by}"),
        ("its clock", told["time"] or "not set"),
        ("model", told["model"]),
        ("firmware", told["firmware"]),
        ("Ferry", told["version"]),
        ("server", told["server"]),
        ("up", "" if told["uptime_s"] is None else fleet.span(max(0, told["uptime_s"]))),
        ("started by", told["power_on"]),
        ("boots", f"{told['boots']}, {told['bad_boots']} in a row without a good cycle"),
        ("cycle", f"{told['cycle']}; {good}"),
        (
            "update",
            f"{told['update']['version'] or 'none'}"
            + (f" ({told['update']['note']})" if told["update"]["note"] else ""),
        ),
        ("free in /usr", "" if told["free_blocks"] is None else f"{told['free_blocks']} blocks of 4 KiB"),
        ("on the air today", "" if told["bytes_today"] is None else f"{told['bytes_today']:,} bytes"),
        ("battery", "" if told["battery_mv"] is None else f"{told['battery_mv']} mV"),
        ("signal", "" if told["signal"] is None else f"{told['signal']} of 31"),
        ("waited for", told["waited_for"]),
    ]
    return [(name, text) for name, text in facts if text]


def iso(seconds):
    """2026-11-22T14:05:09Z, None for None; for what no calendar has, the number."""
    if seconds is None:
        return None
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return str(int(seconds))


def short_bytes(count):
    """412 kB, 1.2 MB; a dash for None."""
    if count is None:
        return "\N{EN DASH}"
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if abs(count) >= size:
            return f"{count / size:.{1 if abs(count) < 10 * size else 0}f} {unit}"
    return f"{count} B"


def to_json(value):
    return json.dumps(value, ensure_ascii=False)
