"""app.ftp is what people who know ftplib expect: both run side by side against the same server, and answer the same."""

import contextlib
import ftplib
import inspect
import io

import pytest

import app.ftp
from tests.ftpd.fixtures import require
from tests.ftpd.sane import Sane
from tests.world import client
from tools.ftpd.servers import running

BODY = bytes(range(256)) * 100
TEXT = b"one\ntwo\r\nthree"

# Public names of ftplib.FTP that app.ftp.FTP does not have, and why.
LEFT_OUT = {
    "putline": "internal of ftplib: putcmd() sends a command",
    "getline": "internal of ftplib: getresp() reads a reply",
    "getmultiline": "internal of ftplib: getresp() reads a reply",
    "sanitize": "internal of ftplib: the log hides passwords",
    "maxline": "limits are constants, with their reasons, in app/proto",
    "file": "the control connection is not a file",
    "sock": "the control connection is private",
    "ccc": "to go back to clear text is what FTP_TLS never does",
    "ssl_version": "the firmware decides",
}

# Attributes of the class in ftplib, of each object here.
OF_THE_OBJECT = {"debugging", "host", "passiveserver", "port", "trust_server_pasv_ipv4_address", "welcome"}

# Arguments that differ on purpose.
OTHER_ARGUMENTS = {
    "mlsd": "facts=() in place of [], which is the same for the caller",
    "retrbinary": "a smaller block",
    "storbinary": "a smaller block",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    require("pyftpdlib")
    with running("pyftpdlib", tmp_path_factory.mktemp("habits")) as found:
        yield found


class Theirs:
    """ftplib and its errors."""

    errors = ftplib

    @staticmethod
    def make(host="", port=0):
        ftp = ftplib.FTP(timeout=5)
        if host:
            ftp.connect(host, port)
        return ftp


class Ours:
    """app.ftp and its errors."""

    errors = app.ftp

    @staticmethod
    def make(host="", port=0):
        ftp = app.ftp.FTP(timeout=5)
        if host:
            ftp.connect(host, port)
        return ftp


class TheirsTls(Theirs):
    @staticmethod
    def make(host="", port=0):
        ftp = ftplib.FTP_TLS(timeout=5)
        ftp.connect(host, port)
        return ftp


class OursTls(Ours):
    @staticmethod
    def make(host="", port=0):
        ftp = app.ftp.FTP_TLS(timeout=5)
        ftp.connect(host, port)
        return ftp


def fill(root):
    """The same tree before each run."""
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (root / "d").mkdir()
    (root / "empty").mkdir()
    (root / "a").write_bytes(BODY)
    (root / "d" / "text").write_bytes(TEXT)


def run(side, server, call, login=True):
    """What `call` gives or raises, and the tree that it leaves on the server."""
    fill(server.root)
    ftp = side.make(server.host, server.port)
    try:
        if login:
            ftp.login(server.user, server.password)
        try:
            outcome = call(ftp)
        except (*side.errors.all_errors, ValueError) as error:
            outcome = (kind(side, error), str(error.args[0])[:3] if isinstance(error, reply_errors(side)) else "")
    finally:
        ftp.close()
    tree = {str(path.relative_to(server.root)): path.read_bytes() for path in server.root.rglob("*") if path.is_file()}
    return outcome, tree


def reply_errors(side):
    return (side.errors.error_reply, side.errors.error_temp, side.errors.error_perm)


def kind(side, error):
    for name in ("error_reply", "error_temp", "error_perm", "error_proto"):
        if isinstance(error, getattr(side.errors, name)):
            return name
    if isinstance(error, side.errors.Error):
        return "Error"
    return next(known.__name__ for known in (EOFError, OSError, ValueError) if isinstance(error, known))


def retrieved(command, rest=None):
    def call(ftp):
        got = []
        text = ftp.retrbinary(command, got.append, rest=rest)
        return text, b"".join(got)

    return call


def lines_of(command):
    def call(ftp):
        got = []
        return ftp.retrlines(command, got.append), got

    return call


def stored(command, body, **options):
    return lambda ftp: ftp.storbinary(command, io.BytesIO(body), **options)


def with_callback(ftp):
    sizes = []
    ftp.storbinary("STOR b", io.BytesIO(BODY), 1000, lambda block: sizes.append(len(block)))
    return sizes


def lines_with_callback(ftp):
    got = []
    return ftp.storlines("STOR t", io.BytesIO(TEXT), got.append), got


def listed(ftp, *arguments):
    got = []
    ftp.dir(*arguments, got.append)
    return got


def transfer_by_hand(ftp):
    ftp.voidcmd("TYPE I")
    data, size = ftp.ntransfercmd("RETR a")
    got = b""
    while block := data.recv(8192):
        got += block
    data.close()
    return size, got, ftp.voidresp()


def asked_step_by_step(ftp):
    ftp.putcmd("NOOP")
    ftp.putcmd("PWD")
    return ftp.getresp(), ftp.voidresp(), ftp.lastresp


def stop(_):
    raise ValueError


def stopped_by_its_callback(ftp):
    with contextlib.suppress(ValueError):
        ftp.storbinary("STOR b", io.BytesIO(b"x"), callback=stop)
    return ftp.lastresp[0], ftp.voidresp()


def stored_by_hand(ftp):
    ftp.voidcmd("TYPE I")
    data = ftp.transfercmd("STOR new")
    data.sendall(BODY)
    data.close()
    return ftp.voidresp()


def sizes_of_blocks(ftp):
    sizes = []
    ftp.retrbinary("RETR a", lambda block: sizes.append(len(block)), 1000)
    return max(sizes), sum(sizes)


def by_its_attribute(ftp):
    ftp.passiveserver = False
    return ftp.nlst("d")


CALLS = {
    "getwelcome": lambda ftp: ftp.getwelcome(),
    "pwd": lambda ftp: ftp.pwd(),
    "cwd": lambda ftp: (ftp.cwd("d"), ftp.pwd()),
    "cwd to nothing": lambda ftp: (ftp.cwd(""), ftp.pwd()),
    "cwd ..": lambda ftp: (ftp.cwd("d"), ftp.cwd(".."), ftp.pwd()),
    "cwd missing": lambda ftp: ftp.cwd("missing"),
    "size": lambda ftp: (ftp.voidcmd("TYPE I"), ftp.size("a"))[1],  # we would say TYPE I ourselves
    "size missing": lambda ftp: (ftp.voidcmd("TYPE I"), ftp.size("missing")),
    "mkd": lambda ftp: (ftp.mkd("new"), ftp.mkd('quo"te')),
    "mkd existing": lambda ftp: ftp.mkd("d"),
    "rmd": lambda ftp: ftp.rmd("empty"),
    "rmd missing": lambda ftp: ftp.rmd("missing"),
    "delete": lambda ftp: ftp.delete("a"),
    "delete missing": lambda ftp: ftp.delete("missing"),
    "rename": lambda ftp: ftp.rename("a", "d/b"),
    "rename missing": lambda ftp: ftp.rename("missing", "b"),
    "nlst": lambda ftp: sorted(ftp.nlst()),
    "nlst of a folder": lambda ftp: ftp.nlst("d"),
    "nlst of an empty folder": lambda ftp: ftp.nlst("empty"),
    "nlst missing": lambda ftp: ftp.nlst("missing"),
    "dir": lambda ftp: listed(ftp),
    "dir of a folder": lambda ftp: listed(ftp, "d"),
    "mlsd": lambda ftp: sorted((name, facts["type"], facts.get("size")) for name, facts in ftp.mlsd()),
    "mlsd of a folder": lambda ftp: [name for name, _ in ftp.mlsd("d")],
    "mlsd with facts": lambda ftp: [(name, sorted(facts)) for name, facts in ftp.mlsd("d", ["size", "type"])],
    "mlsd missing": lambda ftp: list(ftp.mlsd("missing")),
    "retrbinary": retrieved("RETR a"),
    "retrbinary with rest": retrieved("RETR a", rest=1000),
    "retrbinary with rest as text": retrieved("RETR a", rest="1000"),
    "retrbinary missing": retrieved("RETR missing"),
    "retrlines": lines_of("RETR d/text"),
    "retrlines of a listing": lines_of("NLST d"),
    "storbinary": stored("STOR new", BODY),
    "storbinary of nothing": stored("STOR new", b""),
    "storbinary with rest": stored("STOR a", b"tail", rest=100),
    "storbinary appends": stored("APPE a", b"tail"),
    "storbinary into a missing folder": stored("STOR missing/new", BODY),
    "storbinary with callback": with_callback,
    "storlines": lines_with_callback,
    "storlines of odd ends": lambda ftp: ftp.storlines("STOR t", io.BytesIO(b"a\r\r\n\rb\n\n\r\nc\r")),
    "storlines of too long a line": lambda ftp: ftp.storlines("STOR t", io.BytesIO(bytes(8193))),
    "storlines of the longest line": lambda ftp: ftp.storlines("STOR t", io.BytesIO(b"x" * 8190 + b"\r\n")),
    "retrbinary in blocks": sizes_of_blocks,
    "storbinary that its callback stops": stopped_by_its_callback,
    "lastresp": lambda ftp: (ftp.cwd("d"), ftp.lastresp, ftp.mkd("new"), ftp.lastresp),
    "transfercmd up": stored_by_hand,
    "abort of nothing": lambda ftp: ftp.abort(),
    "ntransfercmd": transfer_by_hand,
    "transfercmd missing": lambda ftp: ftp.transfercmd("RETR missing"),
    "sendcmd": lambda ftp: (ftp.sendcmd("NOOP"), ftp.sendcmd("RNFR a")),
    "sendcmd refused": lambda ftp: ftp.sendcmd("NONSENSE"),
    "voidcmd": lambda ftp: ftp.voidcmd("NOOP"),
    "voidcmd with 3xx": lambda ftp: ftp.voidcmd("RNFR a"),
    "putcmd": asked_step_by_step,
    "line end in a name": lambda ftp: ftp.delete("a\r\nDELE d/text"),
    "acct": lambda ftp: ftp.acct("x"),
    "set_pasv": lambda ftp: (ftp.set_pasv(False), ftp.set_pasv(True), ftp.nlst("d"))[2],
    "active": lambda ftp: (ftp.set_pasv(False), ftp.nlst("d"))[1],
    "active by its attribute": by_its_attribute,
    "makepasv": lambda ftp: ftp.makepasv()[0],
    "quit": lambda ftp: ftp.quit(),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_has_the_same_outcome(server, name):
    assert run(Ours, server, CALLS[name]) == run(Theirs, server, CALLS[name])


LOGINS = {
    "login": lambda ftp: ftp.login("ferry", "secret"),
    "wrong password": lambda ftp: ftp.login("ferry", "wrong"),
    "unknown user": lambda ftp: ftp.login("nobody", "x"),
    "anonymous": lambda ftp: ftp.login(),
    "anonymous by name": lambda ftp: ftp.login("anonymous"),
    "a command before the login": lambda ftp: ftp.pwd(),
}


@pytest.mark.parametrize("name", LOGINS)
def test_a_login_has_the_same_outcome(server, name):
    assert run(Ours, server, LOGINS[name], login=False) == run(Theirs, server, LOGINS[name], login=False)


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory):
    require("pyftpdlib", tls=True)
    with running("pyftpdlib", tmp_path_factory.mktemp("tls_habits"), tls=True) as found:
        yield found


TLS_CALLS = {
    "login protects the control connection": lambda ftp: ftp.login("ferry", "secret"),
    "auth": lambda ftp: ftp.auth()[:3],
    "auth and login": lambda ftp: (ftp.auth()[:3], ftp.login("ferry", "secret"))[1],
    "auth twice": lambda ftp: (ftp.auth(), ftp.auth()),
    "prot_p": lambda ftp: (ftp.login("ferry", "secret"), ftp.prot_p(), ftp.nlst("d")),
    "prot_c": lambda ftp: (ftp.login("ferry", "secret"), ftp.prot_p(), ftp.prot_c(), ftp.nlst("d")),
    "clear data": lambda ftp: (ftp.login("ferry", "secret"), ftp.nlst("d")),
    "prot_p and a file": lambda ftp: (ftp.login("ferry", "secret"), ftp.prot_p(), retrieved("RETR a")(ftp)),
    "prot_p and a file up": lambda ftp: (ftp.login("ferry", "secret"), ftp.prot_p(), stored("STOR b", BODY)(ftp)),
    "not secure": lambda ftp: (ftp.login("ferry", "secret", secure=False), ftp.nlst("d")),
}


@pytest.mark.parametrize("name", TLS_CALLS)
def test_a_call_over_tls_has_the_same_outcome(tls_server, name):
    assert run(OursTls, tls_server, TLS_CALLS[name], False) == run(TheirsTls, tls_server, TLS_CALLS[name], False)


def test_what_was_protected_is_protected_after_a_reconnect(tls_server, capsys):
    fill(tls_server.root)
    ftp = OursTls.make(tls_server.host, tls_server.port)
    ftp.set_debuglevel(1)
    for _ in range(2):
        ftp.login("ferry", "secret")
        ftp.prot_p()
        ftp.close()
        ftp.connect()
    ftp.login("ferry", "secret")
    assert ftp.nlst("d")
    ftp.close()
    said = [line[2:].split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("> ")]
    assert said[:5] == ["AUTH", "USER", "PASS", "TYPE", "PBSZ"]  # PROT is the caller's to send
    assert said[-9:] == ["AUTH", "USER", "PASS", "PBSZ", "PROT", "TYPE", "TYPE", "EPSV", "NLST"]


@pytest.mark.parametrize("side", [Ours, Theirs])
def test_with_says_quit_and_closes(server, side):
    with side.make(server.host, server.port) as ftp:
        ftp.login(server.user, server.password)
    with pytest.raises((*side.errors.all_errors, AttributeError)):
        ftp.pwd()


@pytest.mark.parametrize("has_read", [True, False])
@pytest.mark.parametrize("verb", ["STOR new", "RETR a"])
def test_abort_leaves_the_session_usable(ftpd, verb, has_read):
    """Servers answer with one reply or two, in four ways; ftplib reads one, and is out of step from then on."""
    (ftpd.root / "a").write_bytes(bytes(1_000_000))
    with Ours.make(ftpd.host, ftpd.port) as ftp:
        ftp.login(ftpd.user, ftpd.password)
        data = ftp.transfercmd(verb)
        if has_read:
            data.recv(10) if verb == "RETR a" else data.sendall(b"a part")
        assert ftp.abort()[:3] in ("225", "226", "426")
        assert ftp.voidcmd("NOOP")
        assert ftp.size("a") == 1_000_000
        assert ftp.nlst()


def test_abort_that_the_server_does_not_know_is_error_proto():
    with Sane() as server, client(server) as ftp, pytest.raises(app.ftp.error_proto):
        ftp.abort()


def test_a_download_that_its_callback_stops_leaves_no_data_connection_open(server):
    with Ours.make(server.host, server.port) as ftp:
        (server.root / "a").write_bytes(BODY)
        ftp.login(server.user, server.password)
        data = []
        ntransfercmd = ftp.ntransfercmd
        ftp.ntransfercmd = lambda cmd, rest: data.append(ntransfercmd(cmd, rest)) or data[0]
        with pytest.raises(ValueError):
            ftp.retrbinary("RETR a", stop)
        assert data[0][0]._sock.fileno() == -1
        ftp.close()


@pytest.mark.parametrize("timeout", [0, None])
def test_there_is_always_a_time_out(server, timeout):
    with pytest.raises(ValueError, match="timeout"):
        app.ftp.FTP(timeout=timeout).connect(server.host, server.port)


def test_what_a_module_cannot_do_is_refused_and_not_ignored(server):
    with pytest.raises(ValueError, match="source_address"):
        Ours.make().connect(server.host, server.port, source_address=("127.0.0.1", 0))
    with pytest.raises(ValueError, match="encoding"):
        app.ftp.FTP(encoding="latin-1").connect(server.host, server.port)
    assert app.ftp.FTP(encoding="utf-8").encoding == ftplib.FTP().encoding == "utf-8"


@pytest.mark.parametrize("side", [Ours, Theirs])
def test_with_tells_of_a_quit_that_is_refused_and_closes_all_the_same(side):
    with (
        Sane(override={"QUIT": b"500 Stay.\r\n"}) as server,
        pytest.raises(side.errors.error_perm),
        side.make(server.host, server.port) as ftp,
    ):
        pass
    with pytest.raises((*side.errors.all_errors, AttributeError)):
        ftp.voidcmd("NOOP")


@pytest.mark.parametrize("side", [Ours, Theirs])
def test_with_does_not_mind_a_server_that_has_hung_up(side):
    with Sane(override={"QUIT": lambda session, _: session.hang_up()}) as server:
        with side.make(server.host, server.port) as ftp:
            pass
        assert server.verbs()[-1] == "QUIT"
    with pytest.raises((*side.errors.all_errors, AttributeError)):
        ftp.voidcmd("NOOP")


@pytest.mark.parametrize("side", [Ours, Theirs])
def test_nobody_there_is_an_oserror(server, side):
    with pytest.raises(OSError):
        side.make("127.0.0.1", 1)


@pytest.mark.parametrize("side", [Ours, Theirs])
def test_debug_prints_no_password(server, side, capsys):
    ftp = side.make(server.host, server.port)
    ftp.set_debuglevel(1)
    ftp.login(server.user, server.password)
    ftp.close()
    printed = capsys.readouterr().out
    assert "PASS" in printed and server.password not in printed


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("name", ["FTP", "FTP_TLS"])
def test_every_public_name_is_there_or_left_out_for_a_reason(name):
    missing = public(getattr(ftplib, name)) - public(getattr(app.ftp, name))
    assert missing - OF_THE_OBJECT - set(LEFT_OUT) == set()


def test_the_constructor_takes_what_ftplib_takes():
    ours, theirs = (list(inspect.signature(kind.__init__).parameters.values()) for kind in (app.ftp.FTP, ftplib.FTP))
    assert [(p.name, p.kind) for p in ours[: len(theirs)]] == [(p.name, p.kind) for p in theirs]
    assert all(p.kind == p.KEYWORD_ONLY for p in ours[len(theirs) :])


@pytest.mark.parametrize("name", sorted(OF_THE_OBJECT))
def test_attributes_of_the_object_are_there(name):
    assert hasattr(Ours.make(), name)


def test_nothing_is_listed_as_left_out_that_is_there():
    assert set(LEFT_OUT) <= public(ftplib.FTP_TLS)
    assert not set(LEFT_OUT) & public(app.ftp.FTP_TLS)


def methods():
    return [name for name in public(ftplib.FTP) & public(app.ftp.FTP) if inspect.isfunction(getattr(ftplib.FTP, name))]


@pytest.mark.parametrize("name", sorted(methods()))
def test_arguments_have_the_same_names_and_defaults(name):
    ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (app.ftp.FTP, ftplib.FTP))
    assert (ours == theirs) != (name in OTHER_ARGUMENTS)


@pytest.mark.parametrize("name", ftplib.__all__)
def test_what_ftplib_exports_is_exported(name):
    assert hasattr(app.ftp, name)


def test_the_errors_form_the_same_tree():
    assert set(app.ftp.all_errors) >= {app.ftp.Error, OSError, EOFError}
    for name in ("error_reply", "error_temp", "error_perm", "error_proto"):
        assert issubclass(getattr(app.ftp, name), app.ftp.Error)


@pytest.mark.parametrize("name", ["parse150", "parse227", "parse229", "parse257"])
def test_the_parsers_have_the_names_of_ftplib(name):
    assert callable(getattr(app.ftp, name)) and callable(getattr(ftplib, name))
