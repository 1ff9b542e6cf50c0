"""How each of the three Debian daemons is told what to be: its files in a work folder, and its command line.

Each function takes a Setup and returns the argv that runs the daemon in the foreground. The FTP user is uid 0
everywhere: the root folder of a test belongs to whoever runs the tests, and with any other uid the daemon could not
overwrite what the test puts there.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.ftpd import namespace
from tools.ftpd.install import CACHE


@dataclass(frozen=True)
class Setup:
    """What a daemon needs to know. `certificate` is a PEM with key and certificate, or None for no TLS.

    `passive` is the first and the last TCP port for data connections. None elsewhere means: as the daemon has it.
    """

    root: Path
    work: Path
    port: int
    passive: tuple
    user: str
    password: str
    certificate: Path | None
    implicit_tls: bool = False
    require_ssl_reuse: bool = False
    max_clients: int | None = None
    data_timeout_s: int | None = None
    accept_timeout_s: int | None = None
    disabled: tuple = ()


def hashed(password):
    done = subprocess.run(["openssl", "passwd", "-6", password], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _yes(value):
    return "YES" if value else "NO"


def _config(lines):
    return "".join(f"{line}\n" for line in lines)


# The mounts live in a namespace of the daemon's own, so they end with it and nobody else sees them.
_VSFTPD_START = """
for name in passwd shadow group pam.d; do mount --bind "$1/$name" "/etc/$name" || exit 1; done
exec "$2" "$1/vsftpd.conf"
"""


def vsftpd(setup):
    work = setup.work
    (work / "passwd").write_text(
        f"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n{setup.user}:x:0:0::{setup.root}:/bin/sh\n"
    )
    (work / "shadow").write_text(f"{setup.user}:{hashed(setup.password)}:19000:0:99999:7:::\n")
    (work / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (work / "pam.d").mkdir()
    # nodelay: PAM would wait two seconds after a wrong password; vsftpd waits one of its own in any case.
    (work / "pam.d" / "vsftpd").write_text("auth required pam_unix.so nodelay\naccount required pam_unix.so\n")
    (work / "empty").mkdir(mode=0o555)
    lines = [
        "listen=YES",
        "listen_address=127.0.0.1",
        f"listen_port={setup.port}",
        "background=NO",
        "anonymous_enable=NO",
        "local_enable=YES",
        "write_enable=YES",
        "local_umask=022",
        f"local_root={setup.root}",
        "chroot_local_user=YES",
        "allow_writeable_chroot=YES",
        "check_shell=NO",
        "seccomp_sandbox=NO",
        "use_localtime=NO",
        "max_per_ip=0",
        f"secure_chroot_dir={work}/empty",
        f"pasv_min_port={setup.passive[0]}",
        f"pasv_max_port={setup.passive[1]}",
        "log_ftp_protocol=YES",
        "xferlog_enable=YES",
        f"vsftpd_log_file={work}/server.log",
    ]
    if setup.certificate:
        lines += [
            "ssl_enable=YES",
            f"rsa_cert_file={setup.certificate}",
            f"rsa_private_key_file={setup.certificate}",
            "force_local_data_ssl=NO",
            "force_local_logins_ssl=NO",
            "ssl_ciphers=HIGH",
            f"implicit_ssl={_yes(setup.implicit_tls)}",
            f"require_ssl_reuse={_yes(setup.require_ssl_reuse)}",
        ]
    if setup.max_clients is not None:
        lines.append(f"max_clients={setup.max_clients}")
    if setup.accept_timeout_s is not None:
        lines.append(f"accept_timeout={setup.accept_timeout_s}")
    if setup.data_timeout_s is not None:
        lines.append(f"data_connection_timeout={setup.data_timeout_s}")
    if setup.disabled:
        lines.append("cmds_denied={}".format(",".join(setup.disabled)))
    (work / "vsftpd.conf").write_text(_config(lines))
    return in_own_accounts(work)


def in_own_accounts(work):
    """The argv of vsftpd with vsftpd.conf, passwd, shadow, group and pam.d of a work folder."""
    program = CACHE / "vsftpd" / "usr/sbin/vsftpd"
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", _VSFTPD_START, "sh", str(work), str(program)]


def proftpd(setup):
    work, unpacked = setup.work, CACHE / "proftpd"
    users = work / "users"
    users.write_text(f"{setup.user}:{hashed(setup.password)}:0:0::{setup.root}:/bin/sh\n")
    users.chmod(0o600)
    lines = [
        f"ModulePath {unpacked}/usr/lib/proftpd",
        "ServerName Ferry",
        "ServerType standalone",
        "DefaultAddress 127.0.0.1",
        "UseIPv6 off",
        f"Port {setup.port}",
        f"PassivePorts {setup.passive[0]} {setup.passive[1]}",
        f"PidFile {work}/pid",
        f"ScoreboardFile {work}/scoreboard",
        f"SystemLog {work}/server.log",
        "TransferLog none",
        "WtmpLog off",
        "ControlsEngine off",
        "DelayEngine off",
        "UseReverseDNS off",
        "User nobody",
        "Group nogroup",
        "AuthPAM off",
        "AuthOrder mod_auth_file.c",
        f"AuthUserFile {users}",
        "RequireValidShell off",
        "RootLogin on",
        "UseFtpUsers off",
        "DefaultRoot ~",
        "Umask 022",
        "AllowOverwrite on",
        "AllowRetrieveRestart on",
        "AllowStoreRestart on",
    ]
    if setup.certificate:
        options = ["NoSessionReuseRequired"] * (not setup.require_ssl_reuse) + ["UseImplicitSSL"] * setup.implicit_tls
        lines += [
            "LoadModule mod_tls.c",
            "TLSEngine on",
            f"TLSLog {work}/tls.log",
            "TLSProtocol TLSv1.2 TLSv1.3",
            f"TLSECCertificateFile {setup.certificate}",
            f"TLSECCertificateKeyFile {setup.certificate}",
            f"TLSCACertificateFile {setup.certificate}",  # else each session reads all authorities of the system
            "TLSRequired off",
            "TLSVerifyClient off",
        ]
        lines += ["TLSOptions {}".format(" ".join(options))] * bool(options)
    if setup.max_clients is not None:
        lines.append(f"MaxClients {setup.max_clients}")
    if setup.data_timeout_s is not None:
        lines.append(f"TimeoutStalled {setup.data_timeout_s}")
    (work / "proftpd.conf").write_text(_config(lines))
    return [str(unpacked / "usr/sbin/proftpd"), "-n", "-c", str(work / "proftpd.conf")]


def pure_ftpd(setup):
    work, unpacked = setup.work, CACHE / "pure-ftpd"
    uid = namespace.USER_ID
    # The "/./" is where the chroot ends.
    (work / "users").write_text(f"{setup.user}:{hashed(setup.password)}:{uid}:{uid}::{setup.root}/./::::::::::::\n")
    (work / "run").mkdir()
    database = work / "users.pdb"
    make = [str(unpacked / "usr/bin/pure-pw"), "mkdb", str(database), "-f", str(work / "users")]
    subprocess.run(make, capture_output=True, check=True)
    argv = [sys.executable, namespace.__file__, str(work / "run")]
    argv += [str(unpacked / "usr/sbin/pure-ftpd"), "-4", "-A", "-E", "-H", "-S", f"127.0.0.1,{setup.port}"]
    argv += ["-p", f"{setup.passive[0]}:{setup.passive[1]}", "-l", f"puredb:{database}", "-L", "20000:8"]
    argv += ["-g", str(work / "pid"), "-O", f"clf:{work}/server.log"]
    if setup.certificate:
        argv += ["-Y", "1", "-2", str(setup.certificate)]
    if setup.max_clients is not None:
        argv += ["-c", str(setup.max_clients)]
    return argv
