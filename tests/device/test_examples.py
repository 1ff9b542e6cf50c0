# The settings in examples/ do what is said beside them, as they are there; only the server is filled in.
import json
import re

import pytest
from click.testing import CliRunner

from tests.device.ftpd import USER
from tools.device_files import ROOT
from tools.publish.cli import publish

EXAMPLES = ROOT / "examples"
IMEI = "861234050012345"  # of the simulated module
NO_LINK = {"sim_status": 0}
UPDATE_HEAP = "320k"  # the code for updates is compiled while all the rest is loaded
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40


@pytest.fixture
def example(ferry, ftpd):
    """example(name): the module has its settings and the server's address; -> them."""

    def example(name):
        ferry.config = json.loads((EXAMPLES / name / "config.json").read_text(encoding="utf-8"))
        ferry.configure(server={"host": "127.0.0.1", "port": ftpd.port, "user": USER, "password": ftpd.password})
        return ferry.config

    return example


def test_each_example_is_run_here_and_is_linked():
    names = {path.parent.name for path in EXAMPLES.glob("*/config.json")}  # servers/: tests/servers/test_server_examples.py
    assert names == {"data-logger", "camera", "fleet"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in names:
        assert f"(examples/{name}/README.md)" in readme


def test_data_logger(example, ferry, ftpd):
    example("data-logger")
    ferry.put("logs/data.csv", b"1;20.5\n2;20.6\n3;2")
    ferry.put("logs/notes.txt", b"stays here")
    ferry.sync()
    assert ftpd.files(IMEI) == {"data.csv": b"1;20.5\n2;20.6\n"}
    ferry.put("logs/data.csv", b"1;20.5\n2;20.6\n3;20.7\n")
    ferry.sync(2)
    assert ftpd.files(IMEI) == {"data.csv": b"1;20.5\n2;20.6\n3;20.7\n"}
    assert ftpd.moved["up"] == len(b"1;20.5\n2;20.6\n3;20.7\n")


def test_camera_sends_the_newest_first_and_keeps_none(example, ferry, ftpd):
    limit = example("camera")["upload"]["cycle_files"]
    photos = {f"photos/{number:06}.jpg": JPEG + b"%d" % number for number in range(limit + 5)}
    for name, content in photos.items():
        ferry.put(name, content)
    ferry.put("photos/000999.jpg.part", JPEG)
    boot = ferry.sync()
    assert boot.up == sorted("/usr/" + name for name in photos)[5:]
    ferry.sync()
    assert sorted(ferry.files()) == ["photos/000999.jpg.part"]
    arrived = ftpd.files(IMEI)
    assert sorted(arrived.values()) == sorted(photos.values())
    for name in arrived:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d-\d{8}-0000\d\d\.jpg", name)


def test_camera_before_the_time_is_known(example, ferry, ftpd):
    example("camera")
    ferry.put("photos/000001.jpg", JPEG)
    ferry.sync(epoch_s=0)
    (name,) = ftpd.files(IMEI)
    assert re.fullmatch(r"no-clock/no-clock-\d{8}-000001\.jpg", name)


def test_camera_goes_on_when_the_flash_is_full_of_unsent_pictures(example, ferry, ftpd):
    low_blocks = example("camera")["storage"]["low_blocks"]
    for number in range(10):
        ferry.put(f"photos/{number:06}.jpg", JPEG)  # three blocks each
    ferry.boot(**NO_LINK)  # the firmware's own file and the ledger are there
    boot = ferry.boot(flash_blocks=ferry.blocks() + low_blocks - 5, **NO_LINK)
    assert sorted(boot.skipped) == ["/usr/photos/000000.jpg", "/usr/photos/000001.jpg"]
    ferry.sync()
    assert len(ftpd.files(IMEI)) == 8


def test_fleet_takes_what_was_signed_with_its_key_and_nothing_else(example, ferry, ftpd, tmp_path):
    key = example("fleet")["update"]["key"]
    ferry.heap = UPDATE_HEAP
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a.txt").write_bytes(b"first")
    (tmp_path / "update.key").write_text(key + "\n")
    (ftpd.root / "fleet").mkdir()

    def publish_site(*options):
        done = CliRunner().invoke(publish, [str(tmp_path / "site"), str(ftpd.root / "fleet"), *options])
        assert done.exit_code == 0, done.output

    publish_site("--key-file", str(tmp_path / "update.key"))
    ferry.put("data/measured.txt", b"12")
    ferry.sync()
    assert ferry.files() == {"a.txt": b"first", "data/measured.txt": b"12"}
    sent = ftpd.files("modules")
    assert json.loads(sent.pop(f"status/{IMEI}.json"))["update"]["note"] == "1: in place"
    assert sent == {IMEI + "/measured.txt": b"12"}

    (tmp_path / "site" / "a.txt").write_bytes(b"forged")
    publish_site()
    boot = ferry.boot()
    assert "fleet/manifest" in boot.skipped
    assert ferry.files()["a.txt"] == b"first"
