"""The configurations of examples/servers, run as they are: only ports, addresses and paths are put in place of theirs.

Folders, rights and accounts are made by the very commands that stand in docs/SERVERS.md; so this needs root.
"""

import os
import re
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.ftpd import daemons, servers
from tools.ftpd.install import CACHE

_CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = _CHECKOUT / "examples" / "servers"
PAGE = _CHECKOUT / "docs" / "SERVERS.md"

# Of the simulated module, as the page has it, and of a second one.
IMEI, NEIGHBOUR = "861234050012345", "861234050012352"
ACCOUNT, PASSWORD = "m" + IMEI, "long-and-random"
UID, READERS = 61001, 61003  # nobody has these numbers on this machine
_PUBLISHER, _NEIGHBOUR_UID, _MODULES = 61004, 61002, 61000

_TOP, _CERTIFICATE = "/srv/ferry", "/etc/ssl/private/ferry.pem"
_PASSIVE = (50000, 50999)
_NODES = (("a", "10.0.0.11", (50000, 50499)), ("b", "10.0.0.12", (50500, 50999)))


class DeployError(Exception):
    """An example or a command of the page lacks what was to be replaced, or does not run."""


@dataclass(frozen=True)
class _Place:
    """Where a configuration is put: what the modules see, everything else of the daemon, its address and ports."""

    root: Path
    work: Path
    host: str
    port: int
    passive: tuple
    certificate: Path


def _replaced(text, replacements, where):
    """`text` with the keys of `replacements` replaced at once; each of them has to be in it."""
    missing = [old for old in replacements if old not in text]
    if missing:
        raise DeployError(f"{where} has no {missing[0]!r}")
    longest_first = sorted(replacements, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: str(replacements[found[0]]), text)


def _write(name, place, replacements):
    """The example `name` in the work folder, with what differs from machine to machine replaced."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    target = place.work / name
    target.write_text(_replaced(text, replacements, name), encoding="utf-8")
    return target


def _run_block(head, replacements, programs=""):
    """Run the commands of the page's block whose first line is `# head`."""
    found = re.search(rf"```sh\n# {re.escape(head)}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    if not found:
        raise DeployError(f"{PAGE} has no block of commands that begins with '# {head}'")
    script = _replaced(found[1], replacements, f"'# {head}' in {PAGE}")
    environment = dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}")
    done = subprocess.run(["sh", "-e", "-c", script], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise DeployError(f"the commands of '# {head}' fail:\n{done.stdout}{done.stderr}")


def make_folders(root):
    """The folders of a fleet of two modules below `root`, which is what the modules see."""
    _run_block("the folders", {_TOP: root, "publisher": _PUBLISHER, "readers": READERS})
    _run_block("the folder of a module", {_TOP: root, "61001": UID, "readers": READERS})
    _run_block("the folder of a module", {_TOP: root, "61001": _NEIGHBOUR_UID, "readers": READERS, IMEI: NEIGHBOUR})


def _vsftpd(place):
    work = place.work
    (work / "passwd").write_text(
        "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
        f"{ACCOUNT}:x:{UID}:{_MODULES}::{place.root}:/usr/sbin/nologin\n"
    )
    (work / "shadow").write_text(f"{ACCOUNT}:{daemons.hashed(PASSWORD)}:19000:0:99999:7:::\n")
    (work / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (work / "pam.d").mkdir()
    (work / "pam.d" / "ferry").write_bytes((EXAMPLES / "ferry.pam").read_bytes())
    (work / "empty").mkdir(mode=0o555)
    replacements = {
        # The namespace in which it gets accounts of its own is no place for its sandbox.
        "listen_port=21": f"listen_port={place.port}\nbackground=NO\nseccomp_sandbox=NO",
        _TOP: place.root,
        _CERTIFICATE: place.certificate,
        "50000": place.passive[0],
        "50999": place.passive[1],
        "/var/log/vsftpd.log": work / "server.log",
        "/var/run/vsftpd/empty": work / "empty",
    }
    _write("vsftpd.conf", place, replacements)
    return daemons.in_own_accounts(work)


def _proftpd(place):
    unpacked, work = CACHE / "proftpd", place.work
    accounts = {"/etc/proftpd/modules.passwd": work / "users"}
    _run_block("an account in proftpd", {_TOP: place.root, **accounts}, unpacked / "usr/sbin")
    replacements = {
        "/usr/lib/proftpd": unpacked / "usr/lib/proftpd",
        # Several share this machine: nobody listens at an address that is not its own.
        "\nPort 21": f"\nDefaultAddress {place.host}\nSocketBindTight on\nPort {place.port}",
        _TOP: place.root,
        _CERTIFICATE: place.certificate,
        "50000 50999": "{} {}".format(*place.passive),
        **accounts,
        "/var/log/proftpd/proftpd.log": work / "server.log",
        "/var/log/proftpd/xferlog": work / "transfers.log",
        "/run/proftpd.pid": work / "pid",
        "/run/proftpd.scoreboard": work / "scoreboard",
    }
    return [str(unpacked / "usr/sbin/proftpd"), "-n", "-c", str(_write("proftpd.conf", place, replacements))]


def _pure_ftpd(place):
    unpacked, work = CACHE / "pure-ftpd", place.work
    accounts = {"/etc/pure-ftpd/ferry": work / "ferry"}
    _run_block("an account in pure-ftpd", {_TOP: place.root, **accounts}, unpacked / "usr/bin")
    replacements = {
        "0.0.0.0,21": f"{place.host},{place.port}",
        _TOP: place.root,
        _CERTIFICATE: place.certificate,
        "50000 50999": "{} {}".format(*place.passive),
        "/etc/pure-ftpd/ferry": work / "ferry",
        "/run/pure-ftpd.pid": work / "pid",
        "/var/log/pure-ftpd/transfer.log": work / "server.log",
    }
    return [str(unpacked / "usr/sbin/pure-ftpd"), str(_write("pure-ftpd.conf", place, replacements))]


def _haproxy(place, nodes):
    addresses = {}
    for (_, address, (first, last)), node in zip(_NODES, nodes, strict=True):
        addresses[f"{address}:21"] = f"{node.host}:{node.port}"
        addresses[f"{address} track"] = f"{node.host} track"
        addresses[f"bind :{first}-{last}"] = "bind {}:{}-{}".format(place.host, *node.passive)
    accounts = {"user haproxy": "user nobody", "group haproxy": "group nogroup"}  # the package is not installed
    config = _write("haproxy.cfg", place, {"bind :21": f"bind {place.host}:{place.port}", **accounts, **addresses})
    return [str(CACHE / "haproxy" / "usr/sbin/haproxy"), "-f", str(config)]


ARGV = {"vsftpd": _vsftpd, "proftpd": _proftpd, "pure-ftpd": _pure_ftpd}


@contextmanager
def _work_folder():
    """A folder into which a server that has become a module's user can look."""
    with tempfile.TemporaryDirectory(prefix="ferry-ftpd-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def _server(name, place):
    return servers.Server(
        name, place.host, place.port, ACCOUNT, PASSWORD, place.root, 0, place.certificate, place.work
    )


@contextmanager
def deployed(name):
    """Run server `name` as its example says, over the folders of a fleet; yields a Server, whose user is a module's account."""
    with _work_folder() as work, servers.free_block() as (port, passive):
        root = work / "srv"
        make_folders(root)
        place = _Place(root, work, "127.0.0.1", port, passive, servers.make_certificate(work))
        with servers.started(ARGV[name](place), _server(name, place)) as server:
            yield server


@contextmanager
def cluster():
    """Two proftpd over the same folders, HAProxy before them; yields (HAProxy as a Server, [the two])."""
    with _work_folder() as work, servers.free_block() as (port, passive):
        root = work / "srv"
        make_folders(root)
        certificate = servers.make_certificate(work)
        middle = (passive[0] + passive[1]) // 2
        ranges = ((passive[0], middle), (middle + 1, passive[1]))
        places = []
        # All on one machine: each has an address of its own, and the same ports as HAProxy.
        for (name, _, _), number, ports in zip(_NODES, (2, 3), ranges, strict=True):
            (work / name).mkdir()
            places.append(_Place(root, work / name, f"127.0.0.{number}", port, ports, certificate))
        front = _Place(root, work, "127.0.0.1", port, passive, certificate)
        with (
            servers.started(_proftpd(places[0]), _server("proftpd", places[0])) as first,
            servers.started(_proftpd(places[1]), _server("proftpd", places[1])) as second,
            servers.started(_haproxy(front, places), _server("haproxy", front)) as haproxy,
        ):
            yield haproxy, [first, second]
