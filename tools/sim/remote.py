# The server's side, read with CPython's own ftplib: an independent witness of what is really there.
import ftplib
import hashlib
import socket
import ssl
from dataclasses import dataclass

_TIMEOUT_S = 20
_BLOCK_BYTES = 65536


@dataclass(frozen=True)
class Content:
    size: int
    sha256: str


class _ImplicitTls(ftplib.FTP_TLS):
    """TLS from the first byte on, which ftplib does not have by itself."""

    def connect(self, host, port):
        self.host, self.port = host, port
        plain = socket.create_connection((host, port), self.timeout)
        self.sock = self.context.wrap_socket(plain, server_hostname=host)
        self.af = self.sock.family
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        return self.welcome


def _client(tls):
    if tls in (None, "off"):
        return ftplib.FTP(timeout=_TIMEOUT_S, encoding="utf-8")
    context = ssl.create_default_context()
    context.check_hostname = False  # the module cannot verify either; test servers sign their own
    context.verify_mode = ssl.CERT_NONE
    client = _ImplicitTls if tls == "implicit" else ftplib.FTP_TLS
    return client(timeout=_TIMEOUT_S, encoding="utf-8", context=context)


class Remote:
    """A session for reading. Raises ftplib.all_errors (which holds OSError) where the server or the link fails."""

    def __init__(self, server):
        self._ftp = _client(server.tls)
        try:
            self._ftp.connect(server.host, server.port)
            self._ftp.login(server.user, server.password, server.account)
            if server.tls in ("explicit", "implicit"):
                self._ftp.prot_p()
            self._ftp.voidcmd("TYPE I")
        except BaseException:
            self._ftp.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ftp.close()

    def read(self, path):
        """Content of a file, or None when there is none."""
        digest, size = hashlib.sha256(), 0

        def take(block):
            nonlocal size
            size += len(block)
            digest.update(block)

        try:
            self._ftp.retrbinary(f"RETR {path}", take, _BLOCK_BYTES)
        except ftplib.error_perm as error:
            if str(error).startswith("550"):
                return None
            raise
        return Content(size, digest.hexdigest())

    def walk(self, folder):
        """Paths, relative to `folder`, of every file below it; none when the folder does not exist."""
        for name, is_folder in self._entries(folder):
            if is_folder:
                yield from (f"{name}/{below}" for below in self.walk(f"{folder}/{name}"))
            else:
                yield name

    def _entries(self, folder):
        try:
            entries = list(self._ftp.mlsd(folder))
        except ftplib.error_perm as error:
            if str(error).startswith("550"):
                return []
            return [(name, self._is_folder(f"{folder}/{name}")) for name in self._names(folder)]
        return sorted((name, facts["type"] == "dir") for name, facts in entries if facts["type"] in ("file", "dir"))

    def _names(self, folder):
        """Without MLSD (vsftpd): some servers answer NLST with paths, some with names, some with an error for none."""
        try:
            names = self._ftp.nlst(folder)
        except (ftplib.error_perm, ftplib.error_temp) as error:
            if not str(error).startswith(("450", "550")):
                raise
            return []
        return sorted({name.rpartition("/")[2] for name in names} - {"", ".", ".."})

    def _is_folder(self, path):
        home = self._ftp.pwd()
        try:
            self._ftp.cwd(path)
        except ftplib.error_perm:
            return False
        self._ftp.cwd(home)
        return True
