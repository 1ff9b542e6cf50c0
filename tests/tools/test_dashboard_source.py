# The folder of the status files as it may really be, on a disk and on the servers that people have.
import os
import time

import pytest

from tests.browser.fleet import status, write
from tests.ftpd.fixtures import ftpd, ftpd_server, require  # noqa: F401  (fixtures)
from tools.dashboard.source import FolderSource, FtpSource, Truncated, open_source, parse_time
from tools.dashboard.status import MOST_BYTES
from tools.ftpd.servers import running
from tools.sim.settings import SettingsError

NOW = 1_795_000_000
ODD = b"caf\xe9.json"  # no UTF-8


def look(source):
    return {file.name: file for file in source.look(lambda done, count: None)}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "status"
    path.mkdir()
    write(path, "m", status("m", NOW), NOW)
    return path


def test_only_json_files_count(folder):
    for name in ("m.log", "m.logreq", "00000001.m.json.part"):
        (folder / name).touch()
    assert list(look(FolderSource(folder))) == ["m.json"]


def test_what_is_no_regular_readable_small_file_is_told_and_hides_nothing(folder, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    (folder / "link.json").symlink_to(secret)
    (folder / "folder.json").mkdir()
    (folder / "huge.json").write_bytes(b" " * (MOST_BYTES + 1))
    os.mkfifo(folder / "fifo.json")
    found = look(FolderSource(folder))
    assert {name: bool(file.problem) for name, file in found.items()} == {
        "m.json": False,
        **dict.fromkeys(("link.json", "folder.json", "huge.json", "fifo.json"), True),
    }
    assert "16,385 bytes" in found["huge.json"].problem
    assert found["m.json"].modified == NOW


def test_a_name_of_any_bytes_has_a_key_of_harmless_ones(folder):
    with open(os.path.join(os.fsencode(folder), ODD), "wb") as stream:
        stream.write(b"{}")
    (odd,) = (file for name, file in look(FolderSource(folder)).items() if name != "m.json")
    assert odd.raw == b"{}"
    assert len(odd.key) == 16
    assert odd.key.isalnum()


def test_what_has_not_changed_is_not_read_again_and_what_has_is(folder):
    source = FolderSource(folder)
    first = look(source)["m.json"]
    assert look(source)["m.json"] is first
    write(folder, "m", status("m", NOW, cycle=98), NOW)  # the same time
    assert look(source)["m.json"].raw != first.raw
    (folder / "m.json").unlink()
    assert look(source) == {}


def test_a_folder_that_went_is_an_error_and_not_an_empty_fleet(folder):
    source = FolderSource(folder)
    (folder / "m.json").unlink()
    folder.rmdir()
    with pytest.raises(OSError, match="No such file"):
        look(source)


def test_more_files_than_are_read_are_told(folder, monkeypatch):
    monkeypatch.setattr("tools.dashboard.source.MOST_FILES", 2)
    for number in range(2):
        write(folder, f"m{number}", b"{}", NOW)
    with pytest.raises(Truncated, match="divide the fleet"):
        look(FolderSource(folder))


@pytest.mark.parametrize(("text", "said"), [("/nowhere/at/all", "does not exist"), (__file__, "is a file")])
def test_from_that_is_no_folder(text, said):
    with pytest.raises(SettingsError, match=said):
        open_source(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20261118110640", NOW), ("20261118110640.123", NOW), ("", None), ("2026", None), ("x" * 14, None)],
)
def test_time_of_a_server(text, seconds):
    assert parse_time(text) == seconds


def url(server, path="status", scheme="ftp"):
    return f"{scheme}://{server.user}:{server.password}@{server.host}:{server.port}/{path}"


@pytest.fixture
def served(ftpd):  # noqa: F811
    folder = ftpd.root / "status"
    folder.mkdir()
    write(folder, "m", status("m", NOW), NOW)
    write(folder, "huge", b" " * 100_000, NOW)
    (folder / "m.log").touch()
    return ftpd, folder


def test_every_server_gives_the_files_and_their_times(served):
    ftpd, folder = served  # noqa: F811
    source = FtpSource(url(ftpd))
    found = look(source)
    assert list(found) == ["huge.json", "m.json"]
    assert found["m.json"].raw == (folder / "m.json").read_bytes()
    assert found["m.json"].modified == NOW
    assert "100,000 bytes" in found["huge.json"].problem
    assert look(source)["m.json"] is found["m.json"]
    write(folder, "m", status("m", NOW + 60, cycle=98), NOW + 60)
    assert look(source)["m.json"].raw == (folder / "m.json").read_bytes()


def test_every_server_with_an_empty_folder_is_an_empty_fleet_and_without_one_an_error(ftpd):  # noqa: F811
    (ftpd.root / "status").mkdir()
    assert look(FtpSource(url(ftpd))) == {}
    with pytest.raises(Exception, match="550"):
        look(FtpSource(url(ftpd, "elsewhere")))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A server without MLSD, SIZE and MDTM."""
    with running("pyftpdlib", tmp_path_factory.mktemp("bare"), disabled=["MLSD", "SIZE", "MDTM"]) as server:
        yield server


def test_a_server_that_tells_neither_times_nor_sizes_is_read_each_time_and_no_further_than_allowed(bare):
    folder = bare.root / "status"
    folder.mkdir()
    write(folder, "m", status("m", NOW), NOW)
    write(folder, "huge", b" " * 3_000_000, NOW)
    source = FtpSource(url(bare))
    found = look(source)
    assert (found["m.json"].modified, found["m.json"].stamp) == (None, "")
    assert len(found["huge.json"].raw) == MOST_BYTES + 1
    write(folder, "m", status("m", NOW, cycle=98), NOW)
    assert look(source)["m.json"].raw == (folder / "m.json").read_bytes()


def test_a_file_that_the_server_does_not_give_is_told(bare):
    folder = bare.root / "folders"
    (folder / "m.json").mkdir(parents=True)
    (file,) = look(FtpSource(url(bare, "folders"))).values()
    assert "the server does not give it: 550" in file.problem


def test_a_name_that_is_no_utf8_on_a_server_hides_no_other(tmp_path):
    require("pure-ftpd")
    with running("pure-ftpd", tmp_path) as server:
        with open(os.path.join(os.fsencode(server.root), ODD), "wb") as stream:
            stream.write(b"{}")
        write(server.root, "grün", status("m", NOW), NOW)
        found = look(FtpSource(url(server, "")))
        assert [(len(file.raw) > 0, file.problem) for file in found.values()] == [(True, "")] * 2
        assert "grün.json" in found


def test_over_tls_also_where_the_server_wants_its_session_again(tmp_path, monkeypatch):
    require("vsftpd", tls=True)
    with running("vsftpd", tmp_path, tls=True, require_ssl_reuse=True) as server:
        (server.root / "status").mkdir()
        write(server.root / "status", "m", status("m", NOW), NOW)
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        (file,) = look(FtpSource(url(server, scheme="ftps"))).values()
        assert (file.raw[:1], file.modified) == (b"{", NOW)


def test_a_url_is_shown_without_its_secrets():
    assert str(FtpSource("ftps://me:p@ss@host:21/status")) == "ftps://host:21/status"


def test_a_thousand_files_are_looked_at_again_in_a_moment(folder):
    for number in range(1000):
        write(folder, f"m{number}", status(f"m{number}", NOW), NOW)
    source = FolderSource(folder)
    look(source)
    start = time.process_time()
    assert len(look(source)) == 1001
    assert time.process_time() - start < 2
