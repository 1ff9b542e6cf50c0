"""check() against servers where one hop is wrong: exactly that line says so, with what to do, and nothing stays on the server."""

import contextlib
import importlib
import socket
import sys
import types

import pytest

from app.check import check
from app.errors import ADVICE
from app.platform import sockets
from app.proto.session import Session
from tests.ftpd.fixtures import require
from tests.ftpd.sane import Sane
from tests.world import FAST, FastNet
from tools.device_files import ROOT
from tools.ftpd.faults import CONTROL, DATA, Fault
from tools.ftpd.proxy import Proxy
from tools.ftpd.servers import NAMES, OPTIONS, running

MARKS = ("ok", "WRONG", "note", "-")
OPENING = ["look-up", "connect", "greeting", "TLS", "login", "data connection"]
STORING = ["upload", "size", "rename", "delete"]
HOPS = [
    *["settings", "SIM", "registration", "data call", "signal"],
    *OPENING,
    *STORING,
    *["updates", "flash /usr", "clock", "watchdog"],
]
SECRET = "4711-word"
NEVER_SENT = ["updates"]  # where update.from is empty


def _log_in(session, password):
    session.is_logged_in = password == SECRET
    session.send(b"230 Logged in.\r\n" if session.is_logged_in else b"530 Login incorrect.\r\n")


def sane(override=(), **more):
    """A Sane server whose password is nothing that a line of check() may hold by chance."""
    return Sane(override={"PASS": _log_in, **dict(override)}, **more)


class Found:
    """What check() said: `marks` hop -> mark, `order` of the hops, `advice` hop -> the line below."""

    def __init__(self, is_well, lines):
        self.is_well = is_well
        self.text = "\n".join(lines)
        self.end = lines[-1]
        self.order, self.marks, self.said, self.advice = [], {}, {}, {}
        for line in lines:
            mark, hop = line[:6].rstrip(), line[6:22].rstrip()
            if mark in MARKS:
                self.order.append(hop)
                self.marks[hop], self.said[hop] = mark, line[23:]
            elif not mark and self.order:
                self.advice.setdefault(self.order[-1], line.strip())

    def lines_of(self, hop):
        """The marks of a hop that comes several times."""
        return [line[:6].rstrip() for line in self.text.split("\n") if line[6:22].rstrip() == hop]

    def having(self, *marks):
        return [hop for hop in self.order if self.marks[hop] in marks]


SHIMS = ("checkNet", "dataCall", "machine", "misc", "modem", "net", "pm", "sim", "utime")


@pytest.fixture
def firmware(monkeypatch):
    """The simulated firmware's modules under CPython; its sockets are the host's own. -> name -> module"""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    shims = {name: importlib.import_module("qpycom_stubs." + name) for name in SHIMS}
    monkeypatch.setattr(importlib.import_module("qpycom_stubs._world"), "tell", lambda *_: None)
    for name, module in {**shims, "usocket": socket}.items():
        monkeypatch.setitem(sys.modules, name, module)
    yield shims
    for name in ("app.platform.quec", "app.platform.hops"):  # made with these, and for nobody else
        sys.modules.pop(name, None)


@pytest.fixture
def walk(world, firmware, monkeypatch):
    """Call it with a server and settings, to get what check() finds out about them."""
    monkeypatch.setattr(sockets, "Net", lambda _: FastNet(FAST))

    def run(server, settings=(), servers=()):
        lines = []
        worker = world.worker(server, {"server.password": SECRET, "upload.to": "{device}", **dict(settings)})
        if servers:
            (own,) = worker._config["servers"]
            worker._config["servers"] = [dict(own, host=other.host, port=other.port) for other in servers]
        found = Found(check(worker, lines.append), lines)
        assert found.is_well == (not found.having("WRONG")), found.text
        return found

    return run


def test_all_is_well_where_nothing_is_wrong(walk):
    with sane(files={"m1/a": b"1"}) as server:
        found = walk(server)
    assert found.is_well, found.text
    assert found.order == HOPS
    assert found.having("ok") == [hop for hop in HOPS if hop not in NEVER_SENT]
    assert server.files == {"m1/a": b"1"}
    assert server.folders == set()
    assert server.commands[-1] == "QUIT"


def test_the_file_is_never_under_a_name_that_readers_take(walk):
    with sane() as server:
        walk(server)
    names = [line.split(" ", 1)[1] for line in server.commands if line.split(" ")[0] in ("STOR", "RNTO")]
    assert len(names) == 2
    assert all(name.startswith("m1/") and name.endswith(".part") for name in names)


# --- one hop wrong: what the server does, the hop, words of its line and of its advice, what is not tried for it

REFUSE = b"550 Permission denied.\r\n"
CASES = {
    "not an FTP server": (
        {"": b"SSH-2.0-OpenSSH_9.2\r\n"},
        "greeting",
        "not a reply",
        "really an FTP server",
        OPENING[3:],
    ),
    "a server that is full": ({"": b"421 Too many users.\r\n"}, "greeting", "421", ADVICE[421], OPENING[3:]),
    "TLS is demanded": (
        {"USER": b"530 TLS required.\r\n"},
        "login",
        "TLS required",
        "set server.tls to explicit",
        OPENING[5:],
    ),
    "a captive portal": (
        {"": b"HTTP/1.1 302 Found\r\n"},
        "greeting",
        "not a reply",
        "a proxy or another service",
        OPENING[3:],
    ),
    "no account": ({"PASS": b"530 Login incorrect.\r\n"}, "login", "Login incorrect", "server.password", OPENING[5:]),
    "no data port is left": (
        {"NLST": b"425 No ports left.\r\n", "EPSV": [None]},
        "data connection",
        "425",
        "passive port range",
        [],
    ),
    "the folder cannot be written": (
        {"STOR": b"553 Not here.\r\n"},
        "upload",
        "553",
        "may not write there",
        STORING[1:],
    ),
    "the quota is full": ({"STOR": b"552 Quota.\r\n"}, "upload", "552", "quota is full", STORING[1:]),
    "no SIZE": ({"SIZE": b"502 What?\r\n"}, "size", "502", "server.verify", []),
    "another size": ({"SIZE": b"213 7\r\n"}, "size", "7 of 2048 bytes", "changes files", []),
    "no rename": ({"RNFR": REFUSE}, "rename", "550", ADVICE[550], []),
    "no rename at its end": ({"RNTO": b"553 No.\r\n"}, "rename", "553", ADVICE[553], []),
}


@pytest.mark.parametrize("name", CASES)
def test_trap_60_one_hop_is_wrong_and_only_that_is_called_so(name, walk):
    override, hop, words, advice, untried = CASES[name]
    with sane(override=override) as server:
        found = walk(server)
    assert found.having("WRONG") == [hop], found.text
    assert words in found.said[hop]
    assert advice in found.advice[hop]
    if hop in OPENING:
        untried = untried + STORING
    assert found.having("-") == [*untried, *NEVER_SENT], found.text
    assert server.files == {}
    assert server.folders == set()
    assert "left on the server" not in found.text


def test_a_file_that_cannot_be_deleted_is_named(walk):
    with sane(override={"DELE": REFUSE}) as server:
        found = walk(server)
    assert found.having("WRONG") == ["delete"]
    assert found.advice["delete"] == ADVICE[550]
    (name,) = server.files
    assert "left on the server: " + name in found.text


def test_what_a_full_disk_took_is_removed(walk):
    def take_half(session, argument):
        session.send(b"150 Go ahead.\r\n")
        session.files[argument] = session.receive_data()[:1000]
        session.send(b"552 Quota exceeded.\r\n")

    with sane(override={"STOR": take_half}) as server:
        found = walk(server)
    assert found.having("WRONG") == ["upload"]
    assert server.files == {}
    assert server.folders == set()


def test_a_fault_of_ours_in_mid_upload_leaves_nothing_either(walk, monkeypatch):
    monkeypatch.setattr(Session, "send_blocks", _raise(MemoryError()))
    with sane() as server:
        found = walk(server)
    assert found.having("WRONG") == ["upload"], found.text
    assert "please report" in found.advice["upload"]
    assert server.files == {}
    assert server.folders == set()


def test_of_a_long_listing_only_the_beginning_is_taken(walk):
    with sane(files={f"m1/file {i:04d}.txt": b"1" for i in range(20_000)}) as server:
        found = walk(server)
        assert found.is_well, found.text
        assert len(server.files) == 20_000


def test_a_drop_box_is_not_asked_for_what_it_does_not_allow(walk):
    with sane(override={"SIZE": REFUSE, "RNFR": REFUSE, "DELE": REFUSE}) as server:
        found = walk(server, {"server.verify": "none"})
    assert found.is_well, found.text
    assert found.marks["upload"] == "ok"
    assert found.having("note") == ["delete"]
    assert found.having("-") == ["size", "rename", *NEVER_SENT]
    (name,) = server.files
    assert "left on the server: " + name in found.text


def test_several_faults_are_told_at_once(walk, firmware, monkeypatch):
    override = {"SIZE": b"502 What?\r\n", "RNFR": REFUSE, "DELE": REFUSE}
    with sane(override=override) as server:
        monkeypatch.setattr(firmware["machine"], "WDT", _raise(OSError(5)))
        found = walk(server)
    assert found.having("WRONG") == ["size", "rename", "delete", "watchdog"]
    assert "OSError" in found.said["watchdog"]


def _raise(error):
    def fail(*_):
        raise error

    return fail


# --- the way to the server


def test_a_name_without_an_address(walk, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", _raise(OSError(-2)))
    found = walk(types.SimpleNamespace(host="not..a.name", port=21))
    assert found.having("WRONG") == ["look-up"]
    assert "no address for not..a.name" in found.said["look-up"]
    assert "DNS servers" in found.advice["look-up"]
    assert found.having("-") == [*OPENING[1:], *STORING, *NEVER_SENT]


@pytest.fixture
def refused_port():
    """A TCP port of loopback where nobody listens."""
    with socket.socket() as taken:  # bound and not listening: nobody else gets it
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_port_where_nobody_listens(walk, refused_port):
    found = walk(types.SimpleNamespace(host="127.0.0.1", port=refused_port))
    assert found.having("WRONG") == ["connect"]
    assert "connection refused" in found.said["connect"]
    assert "is the FTP server running" in found.advice["connect"]
    assert found.having("-") == [*OPENING[2:], *STORING, *NEVER_SENT]


@pytest.fixture
def dropping_port():
    """A TCP port of loopback where a connect gets no answer, as behind a firewall: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = stack.enter_context(socket.socket())
        waiting.connect(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_port_that_a_firewall_drops(walk, dropping_port):
    found = walk(types.SimpleNamespace(host="127.0.0.1", port=dropping_port))
    assert found.having("WRONG") == ["connect"]
    assert "no answer" in found.said["connect"]
    assert "firewall" in found.advice["connect"]


def test_a_port_that_takes_the_connection_and_says_nothing(walk):
    with sane(override={"": lambda session, _: session.silence()}) as server:
        found = walk(server)
    assert found.having("WRONG") == ["greeting"]
    assert "timed out" in found.said["greeting"]
    assert "server.tls = implicit" in found.advice["greeting"]


def _blocked(reply):
    """An override for EPSV or PASV that names a port where nobody listens."""

    def answer(session, _argument):
        session.open_data()
        port = session.listener.getsockname()[1]
        session.close_data_port()
        session.send(reply % divmod(port, 256) if reply.count(b"%") == 2 else reply % port)

    return answer


NO_EPSV_PORT = _blocked(b"229 Extended (|||%d|)\r\n")
NO_PASV_PORT = _blocked(b"227 Passive (127,0,0,1,%d,%d).\r\n")


def test_trap_60_a_way_that_lets_no_data_port_through_is_found_at_that_hop(walk):
    with sane(override={"EPSV": NO_EPSV_PORT, "PASV": NO_PASV_PORT}) as server:
        found = walk(server)
    assert found.having("WRONG") == ["data connection"]
    assert "passive port range in its firewall" in found.advice["data connection"]
    assert found.marks["login"] == "ok"
    assert found.having("-") == [*STORING, *NEVER_SENT]
    assert server.folders == set()


def test_trap_60_a_firewall_that_knows_only_pasv_is_worth_a_note(walk):
    with sane(override={"EPSV": NO_EPSV_PORT}) as server:
        found = walk(server)
    assert found.is_well, found.text
    assert found.having("note") == ["data connection"]
    assert found.said["data connection"].startswith("by PASV only")
    assert server.files == {}


def test_trap_60_a_way_that_rewrites_the_address_in_a_227_does_no_harm(walk):
    def rewritten(session, _argument):
        session.open_data()
        session.send(b"227 Passive (10,64,0,1,%P1,P2%).\r\n")

    with sane(override={"EPSV": b"502 No.\r\n", "PASV": rewritten}) as server:
        found = walk(server)
    assert found.is_well, found.text


def test_trap_60_a_way_that_lets_nobody_in_is_found_in_active_mode(walk):
    def nobody_comes(session, _argument):
        session.send(b"200 PORT, but nothing gets through.\r\n")

    with sane(override={"PORT": nobody_comes, "NLST": b"150 \r\n"}) as server:
        found = walk(server, {"server.mode": "active", "server.active_host": "127.0.0.1"})
    assert found.having("WRONG") == ["data connection"], found.text
    assert "set server.mode to passive" in found.advice["data connection"]


def test_a_data_path_that_falls_silent(walk):
    with sane() as server, Proxy(server.host, server.port) as proxy:
        proxy.set_faults(Fault(DATA, "silence", after_bytes=1000, nth=None))
        found = walk(types.SimpleNamespace(host=proxy.host, port=proxy.port))
    assert found.having("WRONG") == ["upload"], found.text
    assert found.having("-") == [*STORING[1:], *NEVER_SENT]


@pytest.mark.parametrize("verb", ["STOR", "SIZE", "RNTO"])
def test_a_session_that_is_cut_ends_the_walk_of_the_server_alone(walk, verb):
    with sane() as server, Proxy(server.host, server.port) as proxy:
        proxy.set_faults(Fault(CONTROL, "rst", verb=verb))
        found = walk(types.SimpleNamespace(host=proxy.host, port=proxy.port))
    hop = {"STOR": "upload", "SIZE": "size", "RNTO": "rename"}[verb]
    assert found.having("WRONG") == [hop], found.text
    assert found.having("-") == [*STORING[STORING.index(hop) + 1 :], *NEVER_SENT]
    assert "left on the server: m1/" in found.text
    assert found.marks["watchdog"] == "ok"


def test_each_of_several_servers_is_walked(walk, refused_port):
    gone = types.SimpleNamespace(host="127.0.0.1", port=refused_port)
    with sane() as first, sane(override={"STOR": REFUSE}) as last:
        found = walk(first, servers=[first, gone, last])
    assert not found.is_well
    assert found.lines_of("connect") == ["ok", "WRONG", "ok"]
    assert found.lines_of("upload") == ["ok", "-", "WRONG"]
    assert found.lines_of("SIM") == found.lines_of("clock") == ["ok"]
    assert found.end == "2 wrong"


# --- real servers, from a module under MicroPython

BOOT = """
import usys
usys.path.append("/usr")
from app.check import check
print("check says", check())
"""


def at_the_prompt(module, **world):
    boot = module.boot(main=BOOT, **world)
    assert boot.lines[-1].startswith("check says "), boot.text
    return Found(boot.lines[-1] == "check says True", boot.lines[:-1])


def _listed(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_each_server_passes_and_keeps_nothing(ftpd, flashed, tell):
    found = at_the_prompt(flashed(ftpd))
    assert found.having("ok") == [hop for hop in HOPS if hop not in NEVER_SENT], found.text
    assert _listed(ftpd.root) == []
    tell(f"check() against {ftpd.name}: {found.end}")


@pytest.mark.parametrize("tls", ["explicit", "implicit", "control-only"])
@pytest.mark.parametrize("name", NAMES)
def test_each_server_passes_with_tls(name, tls, tmp_path, flashed):
    require(name, tls=True)
    options = {"implicit_tls": True} if tls == "implicit" else {}
    if not set(options) <= OPTIONS[name]:
        pytest.skip("cannot begin with TLS")
    root = tmp_path / "server"
    root.mkdir()
    with running(name, root, tls=True, **options) as server:
        found = at_the_prompt(flashed(server, tls=tls))
        assert found.is_well, found.text
        assert found.said["TLS"] == tls
    assert _listed(root) == []


@pytest.mark.parametrize("name", ["vsftpd", "proftpd"])
def test_a_server_that_wants_session_reuse_is_named_with_the_cure(name, tmp_path, flashed):
    require(name, tls=True)
    root = tmp_path / "server"
    root.mkdir()
    with running(name, root, tls=True, require_ssl_reuse=True) as server:
        found = at_the_prompt(flashed(server, tls="explicit"))
    assert found.having("WRONG") == ["data connection"], found.text
    assert found.having("-") == [*STORING, *NEVER_SENT]
    assert {"vsftpd": "require_ssl_reuse=NO", "proftpd": "NoSessionReuseRequired"}[name] in found.advice[
        "data connection"
    ]
    assert _listed(root) == []


def test_tls_where_the_server_has_none(tmp_path, flashed):
    with sane() as server:
        server.password = SECRET
        module = flashed(server, tls="explicit", user="u")
        found = at_the_prompt(module)
        assert found.having("WRONG") == ["TLS"], found.text
        assert "server.tls to off" in found.advice["TLS"]
        module.configure(server={"tls": "implicit"})
        found = at_the_prompt(module, speed=10)
        assert found.having("WRONG") == ["TLS"], found.text
        assert found.marks["greeting"] == "-"
        assert "does server.tls fit the port?" in found.advice["TLS"]
