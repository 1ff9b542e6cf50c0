"""Real FTP servers on loopback: ``with running("vsftpd", root) as server: ...``.

Each server has a work folder of its own, one user and a free block of TCP ports (the first for control connections, the
others for data connections), and is ready when its greeting was read. It is stopped by process id, with every session
that it forked.
"""

import importlib.util
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from tools.ftpd import daemons, namespace
from tools.ftpd.install import missing_libraries, missing_parts

NAMES = ("vsftpd", "proftpd", "pure-ftpd", "pyftpdlib")
HAPROXY = "haproxy"  # stands in front of servers

START_TIMEOUT_S = 10
STOP_TIMEOUT_S = 5
# So much of a log goes into an error.
_LOG_BYTES = 2000

# Below the range from which Linux takes ports for outgoing connections.
_FIRST_PORT, _LAST_PORT, _BLOCK = 20480, 32704, 64

# What each server can be asked for; anything else is a mistake of the caller.
OPTIONS = {
    "vsftpd": {"implicit_tls", "require_ssl_reuse", "max_clients", "data_timeout_s", "accept_timeout_s", "disabled"},
    "proftpd": {"implicit_tls", "require_ssl_reuse", "max_clients", "data_timeout_s"},
    "pure-ftpd": {"max_clients"},
    "pyftpdlib": {"max_clients", "data_timeout_s", "disabled"},
}


class ServerError(Exception):
    """A server did not start or did not stop; the message ends with its log."""


@dataclass(frozen=True)
class Server:
    """A running server. `certificate` is the PEM it shows (None without TLS)."""

    name: str
    host: str
    port: int
    user: str
    password: str
    root: Path
    pid: int
    certificate: Path | None
    work: Path

    def log_text(self):
        """All that the server has said so far: its standard output and error, then its log files."""
        files = [self.work / "output.log", *sorted(self.work.glob("*.log"))]
        return "\n".join(path.read_text(errors="replace") for path in dict.fromkeys(files) if path.exists())


def _works(*command):
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True, check=False).returncode == 0


def _reason(name, tls):
    """Why `name` cannot run here, or None."""
    if (tls or name in ("vsftpd", "proftpd", "pure-ftpd")) and shutil.which("openssl") is None:
        return "needs the openssl command"
    if name == "pyftpdlib":
        modules = ["pyftpdlib"] + ["OpenSSL"] * tls
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        return f"no module {missing[0]}" if missing else None
    if missing_parts(name):
        return "not unpacked: run python -m tools.ftpd.install"
    if missing_libraries(name):
        return "lacks {}: run python -m tools.ftpd.install".format(", ".join(missing_libraries(name)))
    if os.geteuid() != 0:
        return "needs root, to change root and user"
    if name == "vsftpd" and not _works("unshare", "-m", "--propagation", "private", "true"):
        return "needs a mount namespace (unshare -m), for an account of its own"
    if name == "pure-ftpd" and not _works(sys.executable, namespace.__file__, "/tmp", "true"):
        return "needs a user namespace, because it refuses root as its user"
    return None


@cache
def _available(tls):
    return {name: _reason(name, tls) for name in (*NAMES, HAPROXY)}


def available(tls=False):
    """Name of a server, or HAPROXY -> None when it can run here (with TLS, if `tls`), else the reason why not."""
    return dict(_available(tls))


@contextmanager
def free_block(size=_BLOCK):
    """A block of loopback TCP ports nobody listens on: yields (control port, (first passive port, last)).

    The UDP port of the same number is held meanwhile. No server uses it; it tells other processes that run these tests
    to look elsewhere.
    """
    bases = list(range(_FIRST_PORT, _LAST_PORT - size + 1, _BLOCK))
    random.shuffle(bases)
    for base in bases:
        with ExitStack() as probes, socket.socket(type=socket.SOCK_DGRAM) as claim:
            try:
                claim.bind(("127.0.0.1", base))
                for port in range(base, base + size):
                    probe = probes.enter_context(socket.socket())
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            probes.close()
            yield base, (base + 1, base + size - 1)
            return
    raise ServerError(f"no free block of {size} TCP ports between {_FIRST_PORT} and {_LAST_PORT}")


def make_certificate(work):
    """A self-signed certificate for localhost and 127.0.0.1, and its key, in one PEM."""
    key, certificate, both = work / "key.pem", work / "certificate.pem", work / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command.split() + names + files, capture_output=True, check=True)
    both.write_text(key.read_text() + certificate.read_text())
    both.chmod(0o600)
    return both


def _embedded(setup):
    settings = setup.work / "settings.json"
    settings.write_text(json.dumps(asdict(setup), default=str))
    return [sys.executable, "-m", "tools.ftpd.embedded", str(settings)]


_ARGV = {"vsftpd": daemons.vsftpd, "proftpd": daemons.proftpd, "pure-ftpd": daemons.pure_ftpd, "pyftpdlib": _embedded}


def _read_greeting(server, implicit_tls):
    """True when the server greets (with implicit TLS: accepts, since it waits for the client then)."""
    try:
        with socket.create_connection((server.host, server.port), START_TIMEOUT_S) as probe:
            return implicit_tls or probe.recv(3) == b"220"
    except OSError:
        return False


def _wait_ready(process, server, implicit_tls):
    """Return when the greeting was read; raise ServerError when the process ends first or the time is up."""
    give_up = time.monotonic() + START_TIMEOUT_S
    while not _read_greeting(server, implicit_tls):
        # Nothing but the listening socket itself can tell, so it is asked again, 10 ms after the last refusal.
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            if time.monotonic() < give_up:
                continue
        log = server.log_text()[-_LOG_BYTES:]
        raise ServerError(f"{server.name} did not start (exit status {process.poll()}):\n{log}")


def _session_members(session_id):
    """Process ids whose session is `session_id`: what a daemon has forked, also after it is gone itself."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session_id and fields[0] not in "ZX":
            found.append(int(status.parent.name))
    return found


def descendants(parent):
    """Process ids of all that descend from a process. vsftpd's sessions leave the session of their parent."""
    parent_of = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] not in "ZX":
            parent_of[int(status.parent.name)] = int(fields[1])
    found = [parent]
    for ancestor in found:
        found += [pid for pid, above in parent_of.items() if above == ancestor]
    return found[1:]


def wait_for_sessions(server, before):
    """Return when the processes that serve sessions have ended, but for those of `before`, its descendants at an earlier time.

    Until then a server may still write what its sockets hold. pyftpdlib has no such processes."""
    for pid in set(descendants(server.pid)) - set(before):
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if not select.select([handle], [], [], STOP_TIMEOUT_S)[0]:
                raise ServerError(f"process {pid} of {server.name} still serves after {STOP_TIMEOUT_S} s")
        finally:
            os.close(handle)


def _kill_and_wait(pid):
    """Kill one process that is not our child, and wait until it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        if not select.select([handle], [], [], STOP_TIMEOUT_S)[0]:
            raise ServerError(f"process {pid} did not end within {STOP_TIMEOUT_S} s of being killed")
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _stop(process):
    """End the server and its sessions. The listener is held first, so that it forks no more while they are looked for."""
    process.send_signal(signal.SIGSTOP)
    sessions = descendants(process.pid)
    process.kill()
    process.wait(STOP_TIMEOUT_S)
    for pid in sessions:
        _kill_and_wait(pid)
    while members := _session_members(process.pid):
        for pid in members:
            _kill_and_wait(pid)


def crash(server):
    """End the server and every session of it at once, as if somebody had pulled its plug."""
    os.kill(server.pid, signal.SIGSTOP)
    for pid in [server.pid, *descendants(server.pid)]:
        os.kill(pid, signal.SIGKILL)


@contextmanager
def started(argv, server, implicit_tls=False):
    """Run a daemon, which stays in the foreground; yields `server` (its pid does not count yet) when it has greeted.

    Stops it and its sessions at the end."""
    with open(server.work / "output.log", "wb") as output:
        process = subprocess.Popen(
            argv,
            # vsftpd reports why it cannot start on descriptor 0.
            stdin=output,
            stdout=output,
            stderr=output,
            cwd=Path(__file__).resolve().parents[2],
            start_new_session=True,
        )
    try:
        server = replace(server, pid=process.pid)
        _wait_ready(process, server, implicit_tls)
        yield server
    finally:
        _stop(process)


@contextmanager
def running(name, root, tls=False, ports=_BLOCK, **options):
    """Run server `name` with `root` as what its one user sees; yields a Server. Stops it and its sessions at the end.

    It gets `ports` TCP ports, all but one of them for data connections.

    `options`, where OPTIONS lists them for the server: implicit_tls, require_ssl_reuse, max_clients, data_timeout_s
    (for a data connection on which nothing moves), accept_timeout_s (for one that does not come), disabled (verbs that it
    shall not know).
    """
    unknown = set(options) - OPTIONS[name]
    if unknown:
        raise ValueError("{} has no option {}".format(name, ", ".join(sorted(unknown))))
    reason = available(tls)[name]
    if reason:
        raise ServerError(f"{name}: {reason}")
    root = Path(root).resolve()
    with tempfile.TemporaryDirectory(prefix="ferry-ftpd-") as folder, free_block(ports) as (port, passive):
        work = Path(folder)
        certificate = make_certificate(work) if tls else None
        setup = daemons.Setup(root, work, port, passive, "ferry", "secret", certificate, **options)
        server = Server(name, "127.0.0.1", port, "ferry", "secret", root, 0, certificate, work)
        with started(_ARGV[name](setup), server, setup.implicit_tls) as ready:
            yield ready
