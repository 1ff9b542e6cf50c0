# The work that everybody is given, and how little it could cost.
import random
from dataclasses import dataclass, field

KIB = 1024
CUT = 0.6  # of a file, where its link dies
_noise = random.Random(8).randbytes


@dataclass(frozen=True)
class Job:
    """`floor`: round trips of FTP in stream mode over one session with all commands in flights, greeting not waited for, nothing
    proved. `proof`: what the size behind the last byte, and a rename that waits for it, add. `payload`: bytes that have to move.

    A session is 2 (connect, a flight), each transfer 2 more (connect of the data connection, data until the last reply) and a
    flight of its own unless it is the first."""

    key: str
    title: str
    floor: int
    proof: int
    payload: int
    files: dict = field(default_factory=dict)  # name: content
    kind: str = ""
    is_quick: bool = True


def _transfers(count):
    return 1 + 3 * count


def _binaries(count, size, prefix=""):
    return {f"{prefix}{number:04}.bin": _noise(size) for number in range(count)}


def _lines(size):
    """Whole lines of 16 bytes, as a logger writes them."""
    return b"".join(b"%07d;%07d\n" % (i, i * i % 10_000_000) for i in range(size // 16))


def _sum(files):
    return sum(map(len, files.values()))


_FIFTY = _binaries(50, 2 * KIB)
_LARGE = {"large.bin": _noise(1024 * KIB)}
_GROWN = {"log.csv": _lines(202 * KIB)}
LOG_BEFORE = 200 * KIB
_MANY = list(_binaries(5000, 64).items())
_UPDATE = {**_binaries(20, 4 * KIB), "big.bin": _noise(256 * KIB)}

JOBS = (
    Job("idle", "idle check, nothing new", 2, 0, 0, {"manifest": _lines(400)}, "check"),
    Job("first", "50 files of 2 KiB, one by one", _transfers(50), 2, _sum(_FIFTY), _FIFTY, "send"),
    Job("batch", "50 files of 2 KiB, as a batch", _transfers(1), 2, _sum(_FIFTY), _FIFTY, "batch"),
    Job("large", "1 MiB", _transfers(1), 2, _sum(_LARGE), _LARGE, "send"),
    Job("resume", "the same, cut at 60 %: the rest", 1 + _transfers(1), 2, round((1 - CUT) * _sum(_LARGE)), _LARGE, "resume"),
    Job("log", "a log of 200 KiB that grew by 2 KiB", _transfers(1), 1, 2 * KIB, _GROWN, "grow"),
    Job("update", "an update: 20 files of 4 KiB, one of 256 KiB", _transfers(3), 0, _sum(_UPDATE), _UPDATE, "fetch"),
    *(
        Job(f"unchanged{count}", f"{count:,} files, none changed", 2, 0, 0, dict(_MANY[:count]), "sync", count <= 100)
        for count in (10, 100, 1000, 5000)
    ),
)
BY_KEY = {job.key: job for job in JOBS}
