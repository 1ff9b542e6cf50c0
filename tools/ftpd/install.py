"""Fetch the three Debian FTP daemons, and HAProxy, and unpack them below .cache/servers: ``python -m tools.ftpd.install``.

The packages conflict with each other, so they are unpacked and never installed; only the libraries that they link are
installed, by apt. Safe to run again: what is there already is left alone.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "servers"

# Program -> (packages unpacked into its folder, the programs that must then be found in it).
PACKAGES = {
    "vsftpd": (("vsftpd",), ("usr/sbin/vsftpd",)),
    "proftpd": (("proftpd-core", "proftpd-mod-crypto"), ("usr/sbin/proftpd", "usr/lib/proftpd/mod_tls.so")),
    "pure-ftpd": (("pure-ftpd",), ("usr/sbin/pure-ftpd", "usr/bin/pure-pw")),
    "haproxy": (("haproxy",), ("usr/sbin/haproxy",)),
}


class InstallError(Exception):
    """The daemons could not be fetched or made to run; the message says which command failed and how."""


def missing_parts(name):
    """Programs of server `name` that are not unpacked."""
    return [part for part in PACKAGES[name][1] if not (CACHE / name / part).exists()]


def missing_libraries(name):
    """Shared libraries that the programs of `name` link and the system lacks."""
    found = set()
    for part in PACKAGES[name][1]:
        listing = subprocess.run(["ldd", str(CACHE / name / part)], capture_output=True, text=True, check=False).stdout
        found.update(line.split()[0] for line in listing.splitlines() if "not found" in line)
    return sorted(found)


def _run(*command, cwd=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InstallError("{}: {}".format(" ".join(command), (done.stderr or done.stdout).strip()))
    return done.stdout


class _Apt:
    """apt, which refreshes its package lists once, and only when a first try without that has failed."""

    def __init__(self):
        self._updated = False

    def run(self, *command, cwd=None):
        try:
            return _run(*command, cwd=cwd)
        except InstallError:
            if self._updated:
                raise
            self._updated = True
            _run("apt-get", "update")
            return _run(*command, cwd=cwd)


def _unpack(name, apt):
    """Unpack the packages of `name`, and keep beside them the list of libraries they ask for."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        # apt downloads as its own user, which must be able to write here.
        os.chmod(work, 0o777)
        apt.run("apt-get", "download", *PACKAGES[name][0], cwd=work)
        wanted = set()
        for package in sorted(Path(work).glob("*.deb")):
            _run("dpkg", "-x", str(package), str(Path(work) / "tree"))
            for entry in _run("dpkg-deb", "-f", str(package), "Depends").split(","):
                wanted.add(entry.split("|")[0].split()[0])
        tree = Path(work) / "tree"
        (tree / "libraries").write_text("\n".join(sorted(n for n in wanted if n.startswith("lib"))))
        shutil.rmtree(CACHE / name, ignore_errors=True)
        tree.rename(CACHE / name)


def _install_libraries(name, apt):
    wanted = (CACHE / name / "libraries").read_text().split()
    if os.geteuid() != 0:
        raise InstallError("not root; as root: apt-get install {}".format(" ".join(wanted)))
    apt.run("apt-get", "install", "-y", "--no-install-recommends", *wanted)


def install(say=print):
    """Make all of them ready; `say` hears one line for each. Raises InstallError."""
    apt = _Apt()
    for name in PACKAGES:
        did = []
        if missing_parts(name):
            _unpack(name, apt)
            did.append("unpacked")
        libraries = missing_libraries(name)
        if libraries:
            _install_libraries(name, apt)
            did.append("installed its libraries")
        if missing_parts(name) or missing_libraries(name):
            raise InstallError("{} lacks {}".format(name, ", ".join(missing_parts(name) + missing_libraries(name))))
        say(f"{name:10} {' and '.join(did) or 'was ready'}")


def main():
    tools = [tool for tool in ("apt-get", "dpkg", "dpkg-deb", "ldd") if shutil.which(tool) is None]
    try:
        if tools:
            raise InstallError("needs a Debian system; not found: {}".format(", ".join(tools)))
        install()
    except (InstallError, OSError) as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
