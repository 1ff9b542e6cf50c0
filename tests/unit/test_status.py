# The JSON of the status: its order, its bounds, and what is in it whatever the texts are.
import json

import pytest

from app.config import parse
from app.errors import PermReply, StorageError, TempReply
from app.log import Log
from app.proto.control import Counts
from app.sync.report import PARKED, SHOWN, Report
from app.sync.status import STATUS_BYTES, Status
from tests.fakes import FakeClock, MemoryFiles
from tests.world import Mains, UpLink

KEYS = [
    *(
        "format",
        "device",
        "model",
        "firmware",
        "version",
        "server",
        "time",
        "uptime_s",
        "boots",
        "bad_boots",
        "power_on",
    ),
    *("cycle", "last_good", "error", "parked", "queue", "update", "ledger", "free_blocks", "battery_mv", "signal"),
    *("bytes_today", "waited_for", "restarts"),
]
KNOWN = {
    "device": "pump-7",
    "cycles": 12,
    "boots": 3,
    "bad_boots": 0,
    "last_good": 11,
    "update": "",
    "ledger": "",
    "uptime_s": 86400,
    "bytes_today": 4711,
    "waited_for": "",
}


class SetClock(FakeClock):
    def seconds(self):
        return 1795356976


class Flash(MemoryFiles):
    """A flash that knows how full it is, and whose other files may be unreadable."""

    def __init__(self):
        super().__init__()
        self.looks = 0
        self.is_broken = False

    def free_blocks(self, path):
        self.looks += 1
        if self.is_broken:
            raise StorageError("statvfs /usr: error 5", step="statvfs", code=5)
        return 41

    def read(self, path, at_most):
        if self.is_broken:
            raise StorageError("read: error 5", step="read", code=5)
        return self.store.get(path)


class EmptyLedger:
    def find(self, key):
        return None


class Outbox:
    device = imei = "pump-7"


@pytest.fixture
def log():
    return Log(FakeClock(), out=lambda line: None)


@pytest.fixture
def report(log):
    report = Report(log, lambda kind, data: None, lambda: None)
    report.begin(12, Counts())
    return report


@pytest.fixture
def flash():
    return Flash()


@pytest.fixture
def make(log, report, flash):
    """The status as text, of a module that knows `known`."""

    def text(clock=None, power=None, link=None, server="ftp.example.com:21", **known):
        config = parse(b'{"server": {"host": "h"}, "status": {"to": "status/{device}.json"}}')
        ports = (link or UpLink(), power or Mains(), clock or FakeClock(), bytearray(512), Outbox())
        status = Status(config, flash, EmptyLedger(), report, log, *ports)
        status.question(server)
        return status._status_text({**KNOWN, **known})

    return text


def park(report, count, path="/usr/data/%d", text="553 no"):
    for i in range(count):
        report.failed("up", path % i, b"key%d" % i, b"version1", PermReply(text, verb="STOR", code=553))


def test_keys_are_in_their_order_and_a_line_each(make):
    text = make()
    assert list(json.loads(text)) == KEYS
    assert [line.lstrip("{").split('"')[1] for line in text.splitlines()] == KEYS
    assert text.endswith("}\n")


def test_what_is_known_is_told(make):
    told = json.loads(make(SetClock()))
    assert told["time"] == "2026-11-22T14:16:16Z"
    assert (told["device"], told["cycle"], told["last_good"]) == ("pump-7", 12, 11)
    assert (told["model"], told["battery_mv"], told["free_blocks"]) == ("EC600U", 3812, 41)
    assert told["update"] == {"version": 0, "note": ""}
    assert told["parked"] == told["queue"] == {"count": 0, "files": []}
    assert (told["server"], told["restarts"]) == ("ftp.example.com:21", [])


def test_what_is_not_known_is_null(make, flash):
    class Deaf(UpLink):
        def signal(self):
            return None

    class Odd(Mains):
        def on_reason(self):
            return "unknown"

        def battery_mv(self):
            return None

    flash.is_broken = True
    told = json.loads(make(power=Odd(), link=Deaf()))
    assert told["time"] is told["signal"] is told["battery_mv"] is told["free_blocks"] is told["error"] is None
    assert told["power_on"] == "unknown"
    assert told["restarts"] == ["StorageError in read: read: error 5"]


def test_the_flash_is_asked_once_however_often_the_texts_are_cut(make, report, flash):
    park(report, PARKED, "/usr/" + "x" * 400 + "%d")
    make()
    assert flash.looks == 1


def test_the_first_parked_files_are_told_and_all_of_them_counted(make, report):
    park(report, PARKED)
    told = json.loads(make())["parked"]
    assert told["count"] == PARKED
    assert told["files"] == [[f"/usr/data/{i}", "553 no"] for i in range(SHOWN)]


@pytest.mark.parametrize("letter", ["x", "é", "数", "😀", '"', "\\", "\x07", "\x7f"])
def test_long_names_and_reasons_are_cut_to_a_bounded_size(make, report, flash, letter):
    long = letter * 400
    park(report, PARKED, long + "%d", long)
    for _ in range(PARKED):
        report.waiting(long, long)
    report.fail(TempReply(long, verb=long, code=450, advice=long))
    flash.store["/usr/.ferry/restarts"] = "\n".join([long] * 4).encode()
    known = dict.fromkeys(("device", "update", "ledger", "server", "waited_for"), long)
    raw = make(**known, uptime_s=10**10, bytes_today=10**12, boots=10**9).encode()
    assert len(raw) <= STATUS_BYTES
    told = json.loads(raw)
    shown = letter if letter.isprintable() else "?"
    assert set(told["parked"]["files"][0][0]) == {shown}
    assert len(told["parked"]["files"]) == len(told["queue"]["files"]) == SHOWN


def test_short_texts_are_whole_where_there_is_room(make, report):
    report.waiting("/usr/data/ü.txt", "the clock is not set, and its name holds date or time")
    told = json.loads(make())["queue"]
    assert told == {
        "count": 1,
        "files": [["/usr/data/ü.txt", "the clock is not set, and its name holds date or time"]],
    }


def test_secrets_are_in_no_text(make, log, report, flash):
    log.set_secrets(["hunter2"])
    park(report, 1, "/usr/hunter2/%d", "553 hunter2")
    report.waiting("/usr/hunter2", "hunter2")
    report.fail(TempReply("450 hunter2", verb="STOR", code=450, advice="hunter2"))
    flash.store["/usr/.ferry/restarts"] = b"boot 1: hunter2"
    text = make(update="hunter2", ledger="hunter2", waited_for="hunter2", server="hunter2", device="hunter2")
    assert "hunter2" not in text
    assert "***" in json.loads(text)["error"]["text"]
