# Where an update is put: a folder, or an FTP server by CPython's own ftplib. A name is there with all its bytes or not at all.
import contextlib
import ftplib
import hashlib
import io
import os
import socket
import ssl
from pathlib import Path

from tools import desktop
from tools.publish.contents import Refused
from tools.sim.settings import SettingsError, parse_server

desktop.install()

from app.sync.rules import temp_name  # noqa: E402  (needs the module's names first)

_TIMEOUT_S = 60
_BLOCK_BYTES = 65536


class _Reader:
    """Hashes what passes, and tells how much did."""

    def __init__(self, stream, tell):
        self._stream = stream
        self._tell = tell
        self.digest = hashlib.sha256()

    def read(self, size):
        block = self._stream.read(size)
        self.digest.update(block)
        self._tell(len(block))
        return block


class _Target:
    """Names are relative, with "/". Sub-classes have read, size, names, remove, _store and _rename."""

    def put(self, name, content, tell):
        """Temp name, size and content checked, renamed. `tell(count)` hears of every block."""
        temp = temp_name(name, bytes.fromhex(content.sha256))
        with content.open() as stream:
            reader = _Reader(stream, tell)
            self._store(temp, reader)
        if reader.digest.hexdigest() != content.sha256:
            self.remove(temp)
            raise Refused(f"{content.source} changed while it was sent. Run the same command again.")
        there = self.size(temp)
        if there != content.size:
            raise Refused(
                f"{temp} has {there} bytes on {self} instead of {content.size}. Look at the space there, then run the same "
                "command again."
            )
        self._rename(temp, name)


class FolderTarget(_Target):
    def __init__(self, root):
        self._root = Path(root)

    def __str__(self):
        return str(self._root)

    def read(self, name):
        """The bytes of a file, or None when there is none."""
        path = self._root / name
        return path.read_bytes() if path.exists() else None

    def size(self, name):
        path = self._root / name
        return path.stat().st_size if path.exists() else None

    def names(self, folder):
        path = self._root / folder
        return sorted(os.listdir(path)) if path.exists() else []

    def remove(self, name):
        (self._root / name).unlink()

    def _store(self, name, reader):
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as output:
            while block := reader.read(_BLOCK_BYTES):
                output.write(block)
            output.flush()
            os.fsync(output.fileno())

    def _rename(self, old, new):
        os.replace(self._root / old, self._root / new)


class FtpTarget(_Target):
    """On a session that is logged in. Raises ftplib.all_errors."""

    def __init__(self, ftp, folder, shown):
        self._ftp = ftp
        self._folder = folder
        self._shown = shown
        self._made = set()
        ftp.voidcmd("TYPE I")

    def __str__(self):
        return self._shown

    def read(self, name):
        if self.size(name) is None:
            return None
        output = io.BytesIO()
        self._ftp.retrbinary(f"RETR {self._path(name)}", output.write, _BLOCK_BYTES)
        return output.getvalue()

    def size(self, name):
        try:
            return self._ftp.size(self._path(name))
        except ftplib.error_perm as error:
            if str(error).startswith("550"):
                return None
            raise

    def names(self, folder):
        try:
            found = self._ftp.nlst(self._path(folder))
        except (ftplib.error_perm, ftplib.error_temp) as error:
            if not str(error).startswith(("450", "550")):  # what some servers say of an empty folder
                raise
            found = []
        self._ftp.voidcmd("TYPE I")  # nlst() leaves TYPE A behind, in which SIZE is refused or wrong
        return sorted({name.rpartition("/")[2] for name in found} - {"", ".", ".."})

    def remove(self, name):
        self._ftp.delete(self._path(name))

    def _store(self, name, reader):
        self._make_folders(self._path(name).rpartition("/")[0])
        self._ftp.storbinary(f"STOR {self._path(name)}", reader, _BLOCK_BYTES)

    def _rename(self, old, new):
        old, path = self._path(old), self._path(new)
        try:
            self._ftp.rename(old, path)
        except ftplib.error_perm:
            there = self.read(new)
            if there is None:
                raise
            self._replace(old, path, self._path(temp_name(new, hashlib.sha256(there).digest(), "old")))

    def _replace(self, old, path, aside):
        """For servers that rename over nothing: the old file steps aside, and comes back if that was not the reason."""
        self._ftp.rename(path, aside)
        try:
            self._ftp.rename(old, path)
        except ftplib.error_perm:
            self._ftp.rename(aside, path)
            raise
        self._ftp.delete(aside)

    def _make_folders(self, folder):
        if not folder or folder in self._made:
            return
        self._make_folders(folder.rpartition("/")[0])
        with contextlib.suppress(ftplib.error_perm):  # mostly it is there already; STOR says if it is not
            self._ftp.mkd(folder)
        self._made.add(folder)

    def _path(self, name):
        return "/".join(part for part in (self._folder, name) if part)


class _Tls(ftplib.FTP_TLS):
    """Data connections go on with the TLS session of the control connection, which most servers demand."""

    def ntransfercmd(self, cmd, rest=None):
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        return self.context.wrap_socket(data, server_hostname=self.host, session=self.sock.session), size


@contextlib.contextmanager
def open_target(text):
    """A folder, ftp:// or ftps:// (TLS by AUTH, certificates checked) -> the target. Raises SettingsError, ftplib.all_errors."""
    if "://" not in text:
        if Path(text).exists() and not Path(text).is_dir():
            raise SettingsError(f"TARGET {text} is a file; it must be a folder or ftp://user:password@host:port/path")
        yield FolderTarget(text)
        return
    with open_session(text, "TARGET") as (ftp, folder, shown):
        yield FtpTarget(ftp, folder, shown)


@contextlib.contextmanager
def open_session(text, name):
    """ftp:// or ftps:// -> (ftplib's session, logged in; the folder; the URL without secrets). `name` is the argument's.

    Raises SettingsError, ftplib.all_errors."""
    is_tls = text.startswith("ftps://")
    server = parse_server("ftp://" + text.removeprefix("ftps://") if is_tls else text)
    if not (server.user + server.password + server.path).isprintable():
        raise SettingsError(f"user, password and path of {name} must not hold control characters")
    if is_tls:
        ftp = _Tls(timeout=_TIMEOUT_S, encoding="utf-8", context=ssl.create_default_context())
    else:
        ftp = ftplib.FTP(timeout=_TIMEOUT_S, encoding="utf-8")
    with contextlib.closing(ftp):
        ftp.connect(server.host, server.port)
        ftp.login(server.user, server.password)
        if is_tls:
            ftp.prot_p()
        yield ftp, server.path, str(server).replace("ftp", "ftps", 1) if is_tls else str(server)


def link_advice(error):
    """What a person can do about an error of the link or the login; None where that is not what is wrong."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "If the server signs its own certificate, name that in SSL_CERT_FILE."
    if str(error).startswith("530"):
        return "Look at user and password in the URL; % @ : / in them are written %25 %40 %3A %2F."
    if isinstance(error, (ConnectionRefusedError, TimeoutError, socket.gaierror)):
        return "Look at host and TCP port in the URL, and whether the server runs."
    return None
