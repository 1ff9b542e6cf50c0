# Publishing to real FTP servers: what arrives, what is not sent twice, and what a person is told when it does not work.
import contextlib
import ftplib
import json
import shutil

import pytest

from tests.ftpd.fixtures import ftpd, ftpd_server, require  # noqa: F401  (fixtures)
from tests.tools.reader import read_manifest, read_update
from tools.ftpd.servers import running
from tools.publish import manifest, plan
from tools.publish.contents import from_bytes
from tools.publish.target import FtpTarget

LARGE = bytes(range(256)) * 400
FILES = {"a.txt": b"a\r\n", "b.txt": b"b", "deep/large.bin": LARGE}
ON_MODULE = {f"/usr/{name}": content for name, content in FILES.items()}


@pytest.fixture
def source(tmp_path, fill):
    return fill(tmp_path / "source", FILES)


def url(server, path="fleet/site updates", scheme="ftp"):
    return f"{scheme}://{server.user}:{server.password}@{server.host}:{server.port}/{path}"


def published(call, *args):
    result = call("publish", *args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_server_ends_up_with_the_whole_update_and_gets_nothing_twice(call, source, ftpd, fill):  # noqa: F811
    target = ftpd.root / "fleet" / "site updates"
    assert len(published(call, source, url(ftpd))["objects_to_upload"]) == 2
    assert read_update(target) == ON_MODULE
    assert published(call, source, url(ftpd))["objects_to_upload"] == []
    assert read_manifest(target)["version"] == 2
    fill(source, {"a.txt": b"A"})
    said = published(call, source, url(ftpd), "--prune")
    assert (len(said["objects_to_upload"]), len(said["pruned"])) == (1, 1)
    assert read_update(target) == {**ON_MODULE, "/usr/a.txt": b"A"}
    assert len([path for path in target.rglob("*") if path.is_file()]) == 3


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running("pyftpdlib", tmp_path_factory.mktemp("root")) as server:
        yield server


def test_dry_run_leaves_the_server_alone(call, source, server):
    assert published(call, source, url(server), "--dry-run")["objects_to_upload"]
    assert list(server.root.iterdir()) == []


def test_wrong_password_is_not_printed_and_answered_with_advice(call, source, server):
    result = call("publish", source, f"ftp://ferry:hush%40@127.0.0.1:{server.port}/x")
    assert result.exit_code == 1
    assert "user and password" in result.output
    assert "hush" not in result.output


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("http://h/x", "only ftp://"),
        ("ftp://h:99999/x", "1 to 65535"),
        ("ftp://h/a%0Ab", "control characters"),
    ],
)
def test_wrong_url_is_wrong_usage(call, source, target, said):
    result = call("publish", source, target)
    assert (result.exit_code, said in result.output) == (2, True)


def test_server_that_is_not_there_is_answered_with_advice(call, source):
    result = call("publish", source, "ftp://u:p@127.0.0.1:1/x")
    assert (result.exit_code, "TCP port" in result.output) == (1, True)


@pytest.mark.parametrize(
    ("name", "options"),
    [("vsftpd", {"require_ssl_reuse": True}), ("proftpd", {"require_ssl_reuse": True}), ("pyftpdlib", {})],
)
def test_tls_with_a_certificate_that_is_named_and_not_with_another(call, tmp_path, fill, monkeypatch, name, options):
    require(name, tls=True)
    files = {**FILES, "empty": b""}
    source = fill(tmp_path / "source", files)
    (tmp_path / "root").mkdir()
    with running(name, tmp_path / "root", tls=True, **options) as server:
        target = url(server, "site", "ftps")
        result = call("publish", source, target, "--pack-below", 0)
        assert (result.exit_code, "SSL_CERT_FILE" in result.output) == (1, True)
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        said = published(call, source, target, "--pack-below", 0)
        assert said["target"] == f"ftps://{server.host}:{server.port}/site"
        assert read_update(server.root / "site") == {f"/usr/{path}": raw for path, raw in files.items()}


class _NoOverwrite(ftplib.FTP):
    """As servers are that rename over nothing; the link may break at the n-th rename."""

    renames_left = 99
    refused = 0

    def rename(self, old, new):
        self.renames_left -= 1
        if self.renames_left < 0:
            raise EOFError
        is_there = new.rpartition("/")[2] in self.nlst(new.rpartition("/")[0])
        self.voidcmd("TYPE I")
        if is_there:
            self.refused += 1
            raise ftplib.error_perm("550 it exists")
        return super().rename(old, new)


@contextlib.contextmanager
def _no_overwrite(server, renames=99):
    with _NoOverwrite(timeout=10) as ftp:
        ftp.renames_left = renames
        ftp.connect(server.host, server.port)
        ftp.login(server.user, server.password)
        yield FtpTarget(ftp, "strict", "the server"), ftp


def _publish(target):
    made = plan.make(target, [from_bytes("/usr/a", b"a")], None, {}, None, 0)
    for name, content in made.missing.items():
        target.put(name, content, lambda _: None)
    target.put(manifest.NAME, made.manifest, lambda _: None)
    return made.version


def test_manifest_is_replaced_where_a_rename_replaces_nothing_and_a_cut_does_not_forget_the_version(server):
    folder = server.root / "strict"
    try:
        for version in (1, 2):
            with _no_overwrite(server) as (target, ftp):
                assert _publish(target) == version
                assert ftp.refused == version - 1
        assert not list(folder.glob("*.part"))
        with _no_overwrite(server, renames=2) as (target, _), pytest.raises(EOFError):
            _publish(target)
        assert not (folder / "manifest").exists()
        with _no_overwrite(server) as (target, _):
            assert _publish(target) == 3
        assert read_manifest(folder)["version"] == 3
    finally:
        shutil.rmtree(folder)
