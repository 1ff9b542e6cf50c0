# The server that a fleet is let loose on: one of the daemons that the tests run, in a process of its own, or somebody's own
# server; and what it costs the machine.
import contextlib
import ftplib
import os
import tempfile
from pathlib import Path

import psutil

from tools.sim.settings import Server, SettingsError

DAEMONS = ("vsftpd", "proftpd", "pure-ftpd", "pyftpdlib")
MOST_SESSIONS = 5000  # that a daemon is told to serve at one time; as they come it is 50 to 2000
_PORTS = 2048
_TIMEOUT_S = 20
_SAMPLE = 20  # session processes whose memory is looked at


@contextlib.contextmanager
def daemon(name, tls):
    """Start one; -> (Server, process id). Raises SettingsError where it cannot run here."""
    if os.name == "nt":
        raise SettingsError("--daemon does not run on Windows; name a server of your own: --server URL")
    from tools.ftpd import servers  # which needs what Windows does not have

    reason = servers.available(tls != "off")[name]
    if reason:
        raise SettingsError(f"{name} cannot run here: {reason}")
    with tempfile.TemporaryDirectory(prefix="ferry-fleet-") as folder:
        (Path(folder) / "updates").mkdir()  # where modules look, with the settings as they come
        options = {"max_clients": MOST_SESSIONS, "ports": _PORTS, "tls": tls != "off"}
        try:
            with servers.running(name, Path(folder), **options) as run:
                yield Server(run.host, run.port, run.user, run.password, tls=tls), run.pid
        except servers.ServerError as error:
            raise SettingsError(str(error)) from error


@contextlib.contextmanager
def session(server):
    """A plain session, logged in. Raises ftplib.all_errors."""
    with ftplib.FTP(timeout=_TIMEOUT_S) as client:
        client.connect(server.host, server.port)
        client.login(server.user, server.password, server.account)
        yield client


def make_folders(server, folders):
    """Make folders, level by level, where they are not there yet. Raises ftplib.all_errors."""
    made = set()
    with session(server) as client:
        for folder in folders:
            levels = folder.split("/")
            for depth in range(1, len(levels) + 1):
                path = "/".join(levels[:depth])
                if path not in made:
                    with contextlib.suppress(ftplib.error_perm):  # it is there
                        client.mkd(path)
                    made.add(path)


class Cost:
    """CPU time and memory of a process and of all that it starts. Sessions that have ended count where the system tells of them
    (Linux)."""

    def __init__(self, pid):
        try:
            self._process = psutil.Process(pid)
        except psutil.Error as error:
            raise SettingsError(f"there is no process {pid} to look at: {error}") from error

    def seconds(self):
        """CPU time so far."""
        return sum(_seconds(process) for process in [self._process, *self._sessions()])

    def session_kib(self):
        """Memory that a session has for itself, of some of those that there are now; None where a session is no process."""
        found = []
        for process in self._sessions()[-_SAMPLE:]:
            with contextlib.suppress(psutil.Error):
                found.append(process.memory_full_info().uss / 1024)
        return sum(found) / len(found) if found else None

    def _sessions(self):
        try:
            return self._process.children(recursive=True)
        except psutil.NoSuchProcess as error:
            raise SettingsError(f"the server has ended: {error}") from error


def _seconds(process):
    try:
        times = process.cpu_times()
    except psutil.Error:  # it has ended just now: its parent has its time
        return 0.0
    return times.user + times.system + times.children_user + times.children_system
