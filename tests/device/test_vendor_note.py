# The five methods of the vendor's FTP note, called as its sample program does: same names, arguments and results.
import pytest

from tests.device.ftpd import USER

CONTENTS = {
    "crlf.txt": b"one\r\ntwo\r\nthree",
    "lf.txt": b"one\ntwo\n",
    "binary.bin": bytes(range(256)) * 100,
    "empty.txt": b"",
}

PROGRAM = """
import usys
usys.path.append("/usr")
import checkNet
from ftp_manager import FtpManager

stage, state = checkNet.waitNetworkReady(30)
if stage == 3 and state == 1:
    client = FtpManager()
    print("connect:", client.connect("127.0.0.1", {port}))
    print("login:", client.login("{user}", "{password}"))
    {calls}
"""


@pytest.fixture
def note(ferry, ftpd):
    """Run the sample with these calls on `client`; -> {call: printed result} and Boot."""

    def run(*calls, password=ftpd.password, status=0):
        prints = "\n    ".join(f"print('> ', {call!r}, '=', client.{call}, sep='')" for call in calls)
        main = PROGRAM.format(port=ftpd.port, user=USER, password=password, calls=prints)
        boot = ferry.boot(main=main)
        assert boot.status == status, boot.text
        values = dict(line[2:].rsplit("=", 1) for line in boot.lines if line.startswith("> "))
        return values, boot

    return run


def test_connect_and_login_return_the_servers_replies(note):
    _, boot = note()
    assert any(line.startswith("connect: 220") for line in boot.lines)
    assert any(line.startswith("login: 230") for line in boot.lines)


def test_check_file_says_whether_usr_holds_it(note, ferry):
    ferry.put("here.txt", b"x")
    values, _ = note("check_file('here.txt')", "check_file('absent.txt')")
    assert values == {"check_file('here.txt')": "True", "check_file('absent.txt')": "False"}


@pytest.mark.parametrize("path", ["usr/", "/usr/"])
def test_uploads_are_byte_exact(note, ferry, ftpd, path):
    for name, content in CONTENTS.items():
        ferry.put(name, content)
    values, boot = note(*[f"upload_file('{path}', '{name}')" for name in CONTENTS])
    assert set(values.values()) == {"True"}, boot.text
    assert ftpd.files() == CONTENTS
    assert "Upload crlf.txt to FTP server success." in boot.text


@pytest.mark.parametrize("path", ["usr/", "/usr/"])
def test_downloads_are_byte_exact(note, ferry, ftpd, path):
    for name, content in CONTENTS.items():
        ftpd.put(name, content)
    values, boot = note(*[f"download_file('{path}', '{name}')" for name in CONTENTS])
    assert set(values.values()) == {"True"}, boot.text
    assert ferry.files() == CONTENTS
    assert "Download crlf.txt to device success." in boot.text


def test_a_download_of_what_is_not_there_leaves_the_old_file_and_goes_on(note, ferry, ftpd):
    ferry.put("a.txt", b"the good copy")
    ftpd.put("b.txt", b"b")
    values, boot = note("download_file('usr/', 'a.txt')", "download_file('usr/', 'b.txt')")
    assert values == {"download_file('usr/', 'a.txt')": "False", "download_file('usr/', 'b.txt')": "True"}, boot.text
    assert ferry.files() == {"a.txt": b"the good copy", "b.txt": b"b"}


def test_a_download_refused_behind_its_size_leaves_the_old_file_and_goes_on(note, ferry, ftpd):
    ferry.put("a.txt", b"the good copy")
    ftpd.put("a.txt", b"new")
    ftpd.put("b.txt", b"b")
    ftpd.on_command = lambda verb, argument, place: "550 no" if (verb, argument) == ("RETR", "a.txt") else None
    values, boot = note("download_file('usr/', 'a.txt')", "download_file('usr/', 'b.txt')")
    assert values == {"download_file('usr/', 'a.txt')": "False", "download_file('usr/', 'b.txt')": "True"}, boot.text
    assert ferry.files() == {"a.txt": b"the good copy", "b.txt": b"b"}


def test_an_upload_of_what_is_not_there_returns_false_and_goes_on(note, ferry, ftpd):
    ferry.put("b.txt", b"b")
    values, _ = note("upload_file('usr/', 'absent.txt')", "upload_file('usr/', 'b.txt')")
    assert values == {"upload_file('usr/', 'absent.txt')": "False", "upload_file('usr/', 'b.txt')": "True"}
    assert ftpd.files() == {"b.txt": b"b"}


def test_a_refused_upload_returns_false_and_leaves_the_servers_copy(note, ferry, ftpd):
    ferry.put("a.txt", b"new")
    ferry.put("b.txt", b"b")
    ftpd.put("a.txt", b"old")
    ftpd.on_command = lambda verb, argument, place: "553 no" if verb == "STOR" and "a.txt" in argument else None
    values, _ = note("upload_file('usr/', 'a.txt')", "upload_file('usr/', 'b.txt')")
    assert values == {"upload_file('usr/', 'a.txt')": "False", "upload_file('usr/', 'b.txt')": "True"}
    assert ftpd.files() == {"a.txt": b"old", "b.txt": b"b"}


def test_an_upload_replaces_and_no_reader_sees_half_of_it(note, ferry, ftpd):
    old, new = b"o" * 1000, b"n" * 300_000
    ftpd.put("a.bin", old)
    ferry.put("a.bin", new)
    seen = []
    ftpd.on_step = lambda: seen.append(ftpd.files().get("a.bin"))
    values, _ = note("upload_file('usr/', 'a.bin')")
    assert list(values.values()) == ["True"]
    assert all(content in (old, new) for content in seen)
    assert ftpd.files() == {"a.bin": new}


def test_a_connection_that_dies_returns_false_and_leaves_the_old_file(note, ferry, ftpd):
    ferry.put("a.bin", b"the good copy")
    ftpd.put("a.bin", b"n" * 300_000)

    def on_data(direction, total):
        if total > 100_000:
            ftpd.kill()

    ftpd.on_data = on_data
    values, boot = note("download_file('usr/', 'a.bin')", "download_file('usr/', 'a.bin')")
    assert set(values.values()) == {"False"}, boot.text
    assert ferry.files() == {"a.bin": b"the good copy"}


def test_a_wrong_password_is_raised_and_not_said(note, ferry):
    _, boot = note(password="wrong-horse", status=1)
    assert "AuthError" in boot.text
    assert "wrong-horse" not in boot.text
