# A made-up fleet: the status files that modules in all kinds of trouble would have sent, at a moment that is named.
import json
import os
import random
import time

IMEI = 861234050000000


def status(device, now, age_s=600, **more):
    """What a healthy module told `age_s` ago, as docs/PROTOCOL.md has it; `more` replaces keys of it."""
    told = {
        "format": 1,
        "device": device,
        "model": "EC600U",
        "firmware": "EC600UCNLBR03A01M08_OCPU_QPY",
        "version": "0.1.0",
        "server": "ftp.example.com:21",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - age_s)),
        "uptime_s": 86_400,
        "boots": 4,
        "bad_boots": 1,
        "power_on": "power key",
        "cycle": 97,
        "last_good": 96,
        "error": None,
        "parked": {"count": 0, "files": []},
        "queue": {"count": 0, "files": []},
        "update": {"version": 12, "note": "12: in place"},
        "ledger": "",
        "free_blocks": 31,
        "battery_mv": 3908,
        "signal": 24,
        "bytes_today": 412_000,
        "waited_for": "",
        "restarts": [],
    }
    return told | more


def error(kind, step, code, text, advice, cycle=97, count=5):
    return {"cycle": cycle, "count": count, "class": kind, "step": step, "code": code, "text": text, "advice": advice}


REFUSED = error(
    "TempReply", "STOR", 452, "452 Insufficient disk space.", "the server's disk or quota is full: make room there"
)
UNREACHED = error(
    "TransportError",
    "connect",
    0,
    "192.0.2.7:21: connection refused (error 111)",
    "check the link, server.host, server.port and the server's firewall",
    cycle=96,
    count=6,
)
DAY = 86_400

# What is wrong with some of them: name -> (age of the status in s, keys that differ)
TROUBLES = {
    "pump-07": (2 * DAY + 11_000, {"signal": 7, "battery_mv": 3480}),
    "pump-31": (5 * DAY, {"error": REFUSED}),
    "weir-02": (1_400, {"error": REFUSED, "queue": {"count": 9, "files": [["/usr/data/0412.csv", "later"]]}}),
    "weir-11": (
        700,
        {"bad_boots": 6, "boots": 61, "power_on": "watchdog", "restarts": ["no link for 1 h", "watchdog"]},
    ),
    "tank-03": (3_000, {"free_blocks": 3, "bytes_today": 91_000}),
    "cam-05": (
        2_100,
        {
            "parked": {"count": 3, "files": [["/usr/cam/shot?.jpg", "553 Illegal character in the name"]]},
            "free_blocks": 6,
        },
    ),
    "cam-06": (1_900, {"waited_for": "budget.day_bytes are used up", "bytes_today": 10_485_760}),
    "tank-09": (5_200, {"update": {"version": 11, "note": "12: taken back, 3 boots without a good cycle"}}),
    "pump-12": (9_000, {"time": None}),
    "weir-04": (3_600, {"error": UNREACHED, "last_good": 90, "cycle": 97}),
}


def write(folder, name, content, at):
    """`content` bytes, or a status; the file's time is `at`."""
    path = folder / f"{name}.json"
    raw = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False, indent=0).encode()
    path.write_bytes(raw)
    os.utime(path, (at, at))
    return path


def make(folder, count, now, with_trouble=True):
    """`count` modules; with trouble, the first of them are those above, and one has sent half a file."""
    dice = random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    troubled = dict(list(TROUBLES.items())[:count]) if with_trouble else {}
    for name, (age_s, more) in troubled.items():
        write(folder, name, status(name, now, age_s, **more), now - age_s)
    left = count - len(troubled)
    if with_trouble and left > 0:
        write(folder, "tank-14", json.dumps(status("tank-14", now)).encode()[:400], now - 400)
        left -= 1
    for number in range(left):
        name = f"{IMEI + 10 * number}"
        age_s = dice.randrange(60, 80_000)
        more = {
            "free_blocks": dice.randrange(12, 60),
            "signal": dice.randrange(10, 31),
            "bytes_today": dice.randrange(900_000),
        }
        write(folder, name, status(name, now, age_s, battery_mv=dice.randrange(3500, 4100), **more), now - age_s)


def live(folder, now, steps=30, step_s=14_400):
    """The days before `now`, one look's state at a time: yields the moment of each, for a history."""
    dice = random.Random(2)
    for step in range(steps, 0, -1):
        at = now - step * step_s
        for name, base in (("tank-03", 3), ("cam-05", 6)):
            blocks = base + step + dice.randrange(3)
            told = status(
                name,
                at,
                60,
                cycle=97 - step,
                free_blocks=blocks,
                bytes_today=dice.randrange(90_000),
                signal=dice.randrange(9, 28),
            )
            write(folder, name, told, at - 60)
        yield at
