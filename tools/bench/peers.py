# What people use today, each as its own manual would have it used: the tools of Debian, CPython's ftplib, and the way of the
# vendor's FTP note. None of them is asked for what it does not have.
import ftplib
import os
import re
import shutil
import subprocess
import tempfile

from tools.bench.stage import FLEET, INBOX

PATIENCE_S = 120
_MANIFEST = "manifest"


class PeerError(Exception):
    """A peer did not do its job; the text is what it said."""


class Peer:
    """The verbs: check (is the manifest on the server the one in `folder`), send (files), resume (one file that was cut or
    has grown), fetch (names of the fleet's files into `folder`), sync (a folder that was sent). One that it cannot do is not
    in `verbs`. A verb gets the TCP port of the proxy."""

    name = ""
    verbs = ()
    program = None  # on the PATH; None: it is always there
    package = ""
    is_parallel = False  # several sessions at once
    least_files = 1  # for which it makes a difference
    version_option = "--version"

    def __init__(self, user, password):
        self._user, self._password = user, password

    def missing(self):
        """Why it cannot be measured, or ""."""
        if self.program and not shutil.which(self.program):
            return f"{self.program} is not installed (apt-get install {self.package})"
        return ""

    def version(self):
        if not self.program:
            return "of Python {}.{}".format(*_python())
        done = _run([self.program, self.version_option], check=False)
        found = re.search(r"\d+\.\d+(\.\d+)?", done)
        return found[0] if found else ""


def _python():
    import sys

    return sys.version_info[:2]


def _run(command, check=True):
    """What it printed. It finds neither settings nor a memory of its own from other runs."""
    with tempfile.TemporaryDirectory(prefix="ferry-peer-") as home:
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": home, "RCLONE_CONFIG": os.devnull}
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PeerError(f"{command[0]} did not end within {PATIENCE_S} s") from error
    text = done.stdout.decode("utf-8", "replace").strip()
    if check and done.returncode:
        raise PeerError(f"{command[0]}: exit status {done.returncode}: {text[-200:]}")
    return text


class Lftp(Peer):
    name, program, package = "lftp", "lftp", "lftp"
    verbs = ("check", "send", "resume", "fetch", "sync")
    _mirror = "mirror"

    def _do(self, port, script):
        login = f"open -u {self._user},{self._password} -p {port} 127.0.0.1"
        _run(["lftp", "-c", f"set cmd:fail-exit yes; set net:max-retries 1; set net:reconnect-interval-base 1; {login}; {script}"])

    def check(self, port, folder):
        self._do(port, f"mirror --only-newer --include-glob={_MANIFEST} {FLEET} {folder}")

    def send(self, port, files):
        self._do(port, f"mput -O {INBOX} {' '.join(map(str, files))}")

    def resume(self, port, file):
        self._do(port, f"put -c -O {INBOX} {file}")

    def fetch(self, port, names, folder):
        self._do(port, f"{self._mirror} {FLEET} {folder}")

    def sync(self, port, folder):
        self._do(port, f"{self._mirror} -R --only-newer {folder} {INBOX}")


class LftpParallel(Lftp):
    """Four sessions at once, where there are several files, and no question for the time of each."""

    name = "lftp x4"
    verbs = ("send", "fetch")
    is_parallel = True
    least_files = 2
    _mirror = "set ftp:use-mdtm no; mirror --parallel=4"

    def send(self, port, files):
        self._do(port, f"{self._mirror} -R {files[0].parent} {INBOX}")


class Curl(Peer):
    name, program, package = "curl", "curl", "curl"
    verbs = ("check", "send", "resume", "fetch")

    def _do(self, port, *options):
        # --disable: no .curlrc. One that is asked for several files keeps its session.
        _run(["curl", "--disable", "-sS", "-u", f"{self._user}:{self._password}", *map(str, options)])

    def _url(self, port, folder, name=""):
        return f"ftp://127.0.0.1:{port}/{folder}/{name}"

    def check(self, port, folder):
        local = folder / _MANIFEST
        only_newer = ["-z", local] if local.exists() else []
        self._do(port, "-R", *only_newer, "-o", local, self._url(port, FLEET, _MANIFEST))

    def send(self, port, files):
        self._do(port, "-T", "{" + ",".join(map(str, files)) + "}", self._url(port, INBOX))

    def resume(self, port, file):
        self._do(port, "-C", "-", "-T", file, self._url(port, INBOX))

    def fetch(self, port, names, folder):
        self._do(port, "--output-dir", folder, "--remote-name-all", *(self._url(port, FLEET, name) for name in names))


class Ncftp(Peer):
    name, program, package = "ncftp", "ncftpput", "ncftp"
    verbs = ("check", "send", "resume", "fetch", "sync")
    version_option = "--help"

    def version(self):
        found = re.search(r"NcFTPPut (\S+)", _run([self.program], check=False))
        return found[1] if found else ""

    def _do(self, program, port, *options):
        _run([program, "-V", "-u", self._user, "-p", self._password, "-P", *map(str, (port, *options))])

    def check(self, port, folder):
        self._do("ncftpget", port, "127.0.0.1", folder, f"{FLEET}/{_MANIFEST}")

    def send(self, port, files):
        self._do("ncftpput", port, "127.0.0.1", INBOX, *files)

    def resume(self, port, file):
        """By its manual. It then sends the whole file behind what is there, unless it is told -s, not to use sendfile()."""
        self._do("ncftpput", port, "-z", "127.0.0.1", INBOX, file)

    def fetch(self, port, names, folder):
        self._do("ncftpget", port, "127.0.0.1", folder, *(f"{FLEET}/{name}" for name in names))

    def sync(self, port, folder):
        self._do("ncftpput", port, "-z", "127.0.0.1", INBOX, *sorted(folder.iterdir()))


class Rclone(Peer):
    """As it comes: four transfers at once. It has no resume."""

    name, program, package = "rclone", "rclone", "rclone"
    is_parallel = True
    verbs = ("check", "send", "resume", "fetch", "sync")

    def _do(self, port, *options):
        password = _run(["rclone", "obscure", self._password])
        access = ["--ftp-host", "127.0.0.1", "--ftp-port", port, "--ftp-user", self._user, "--ftp-pass", password]
        # It complains that it cannot set the files' times, and does its work.
        _run(["rclone", *map(str, (*access, "--retries", "1", "--low-level-retries", "1", *options))])

    def check(self, port, folder):
        self._do(port, "copy", "--include", _MANIFEST, f":ftp:{FLEET}", folder)

    def send(self, port, files):
        self._do(port, "copy", files[0].parent, f":ftp:{INBOX}")

    def resume(self, port, file):
        self._do(port, "copy", file, f":ftp:{INBOX}")

    def fetch(self, port, names, folder):
        self._do(port, "copy", f":ftp:{FLEET}", folder)

    def sync(self, port, folder):
        self._do(port, "copy", folder, f":ftp:{INBOX}")


class Ftplib(Peer):
    """A program over CPython's ftplib that is written with care, but trusts the 226 and knows no temp names."""

    name = "ftplib"
    verbs = ("check", "send", "resume", "fetch", "sync")

    def __init__(self, user, password):
        super().__init__(user, password)
        self._known = ""

    def _open(self, port):
        ftp = ftplib.FTP(timeout=PATIENCE_S)
        ftp.connect("127.0.0.1", port)
        ftp.login(self._user, self._password)
        return ftp

    def check(self, port, folder):
        name = f"{FLEET}/{_MANIFEST}"
        with self._open(port) as ftp:
            ftp.voidcmd("TYPE I")
            now = f"{ftp.sendcmd('MDTM ' + name)} {ftp.size(name)}"
            if now != self._known:
                self._fetch(ftp, _MANIFEST, folder)
            self._known = now

    def send(self, port, files):
        with self._open(port) as ftp:
            for file in files:
                self._store(ftp, file)

    def _store(self, ftp, file, rest=None):
        with file.open("rb") as stream:
            stream.seek(rest or 0)
            ftp.storbinary(f"STOR {INBOX}/{file.name}", stream, rest=rest)

    def resume(self, port, file):
        with self._open(port) as ftp:
            ftp.voidcmd("TYPE I")
            self._store(ftp, file, ftp.size(f"{INBOX}/{file.name}"))

    def fetch(self, port, names, folder):
        with self._open(port) as ftp:
            for name in names:
                self._fetch(ftp, name, folder)

    def _fetch(self, ftp, name, folder):
        with (folder / name).open("wb") as target:
            ftp.retrbinary(f"RETR {FLEET}/{name}", target.write)

    def sync(self, port, folder):
        """Asks for the size of every file: not every server has MLSD, and LIST has no format."""
        with self._open(port) as ftp:
            ftp.voidcmd("TYPE I")
            for file in sorted(folder.iterdir()):
                if ftp.size(f"{INBOX}/{file.name}") != file.stat().st_size:
                    self._store(ftp, file)


class Note(Ftplib):
    """The way of the vendor's FTP note, in our own words: connect, log in, a file at a time by lines, believe the 226."""

    name = "vendor's note"
    verbs = ("check", "send", "resume", "fetch")

    def check(self, port, folder):
        self.fetch(port, [_MANIFEST], folder)

    def send(self, port, files):
        with self._open(port) as ftp:
            for file in files:
                with file.open("rb") as stream:
                    self._believe(ftp.storlines(f"STOR {INBOX}/{file.name}", stream))

    def resume(self, port, file):
        self.send(port, [file])

    def fetch(self, port, names, folder):
        with self._open(port) as ftp:
            for name in names:
                path = f"{ftp.pwd().rstrip('/')}/{FLEET}/{name}"
                with (folder / name).open("w", encoding="latin-1", newline="") as target:
                    ftp.encoding = "latin-1"
                    self._believe(ftp.retrlines("RETR " + path, target.write))

    @staticmethod
    def _believe(reply):
        if not reply.startswith("226"):
            raise PeerError(reply)


FTP_ERRORS = ftplib.all_errors  # what those that are programs over ftplib raise; OSError, EOFError among them
PEERS = (Lftp, LftpParallel, Curl, Ncftp, Rclone, Ftplib, Note)


def make(server):
    """-> [Peer] for a server's one user."""
    return [peer(server.user, server.password) for peer in PEERS]


