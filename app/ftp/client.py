# FTP and FTP_TLS: ftplib's names, arguments, results and exceptions on top of Session, for people and code that know ftplib.
# Works on the module and on CPython. Different from ftplib: time-outs always apply (15 s unless given), a transfer that
# stalls or is shorter than the server announced is an error.

from app.errors import Error, IntegrityError, ProtocolError, UnexpectedReply
from app.proto.control import TLS_CONTROL, TLS_EXPLICIT, TLS_OFF
from app.proto.parse import error_for, parse150, parse227, parse229, parse257, parse_facts, parse_size
from app.proto.session import RateWatch, Session

FTP_PORT = 21
BLOCK_BYTES = 4096
LINE_BYTES = 8192  # longest line of text that storlines sends, as in ftplib


class FTP(Session):
    """A client for one server. Every method that talks blocks for at most a few time-outs and raises `all_errors`."""

    def __init__(
        self,
        host="",
        user="",
        passwd="",
        acct="",
        timeout=15,
        source_address=None,
        *,
        encoding="utf-8",
        net=None,
        clock=None
    ):
        """Connects if `host` is given and logs in if `user` is. `timeout` in seconds: 5, 10, 15 or 20 on the module.

        `source_address` and `encoding` are there for ftplib's sake. `net` and `clock` replace the real ones (see app/platform)."""
        if net is None:
            from app.platform.sockets import Net

            net = Net()
        if clock is None:
            from app.platform.clock import Clock

            clock = Clock()
        Session.__init__(self, net, clock, timeout, tls=TLS_OFF)
        self.host = host
        self.port = FTP_PORT
        self.encoding = encoding
        self.source_address = source_address
        self.passiveserver = True
        self.debugging = 0
        self.lastresp = ""
        self._type = ""
        if host:
            self.connect(host)
            if user:
                self.login(user, passwd, acct)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if error is None and self.is_open():
                self.quit()
        except (OSError, EOFError):
            pass  # it was a courtesy; the session ends either way
        finally:
            self.close()

    # --- session

    def connect(self, host="", port=0, timeout=-999, source_address=None):
        """Connect to host (default: the constructor's) and TCP port (21); returns the greeting.

        ValueError for what a module cannot do: no time-out, a source_address (a socket is bound to the data call), an
        encoding that is not UTF-8."""
        self.host = host or self.host
        self.port = port or self.port
        if timeout != -999:
            self.timeout = timeout
        if not self.timeout or source_address or self.source_address or self.encoding.lower() != "utf-8":
            raise ValueError("timeout must be seconds, encoding utf-8, source_address None")
        self._type = ""
        return self.open(self.host, self.port)

    def getwelcome(self):
        """The greeting."""
        return self.welcome

    def login(self, user="", passwd="", acct=""):
        """Log in, anonymously without arguments, and set TYPE I; returns the server's reply. AuthError if it refuses."""
        self.start_login(user, passwd, acct)
        self.settle()
        self._type = "TYPE I"
        return self.login_reply

    def set_debuglevel(self, level):
        """0: silent; 1 or more: commands and replies are printed, without the password."""
        self.debugging = level
        self._log = _Printer() if level else None

    debug = set_debuglevel

    def set_pasv(self, val):
        """True: the server waits for the data connection (default). False: we do; see `active_host`."""
        self.passiveserver = val

    active_host = ""  # the own address for active mode; a module cannot ask its sockets

    def _choose_opener(self):
        self._own_address = None if self.passiveserver else lambda: self.active_host or "127.0.0.1"
        return Session._choose_opener(self)

    def quit(self):
        """QUIT, wait for the reply, close."""
        text = self.voidcmd("QUIT")
        self.close()
        return text

    # --- commands

    def _next(self, limit_s=0):
        code, text = Session._next(self, limit_s)
        self.lastresp = text[:3]
        return code, text

    def putcmd(self, line):
        """Send one command; getresp() or voidresp() reads its reply."""
        self.post([line])
        self._flush()

    def getresp(self):
        """The next reply, 1xx to 3xx; error_temp, error_perm, error_proto for others."""
        verb = self._verb()
        code, text = self.reply()
        if not 100 <= code < 400:
            raise error_for(code, text, verb)
        return text

    def voidresp(self):
        """The next reply, which must be 2xx; error_reply for 1xx and 3xx."""
        verb = self._verb()
        text = self.getresp()
        if text[0] != "2":
            raise UnexpectedReply(text, verb=verb, code=int(text[:3]))
        return text

    def sendcmd(self, cmd):
        """Send a command; returns its reply (1xx to 3xx)."""
        self.post([cmd])
        return self.getresp()

    def voidcmd(self, cmd):
        """Send a command that must be answered with 2xx; returns the reply."""
        self.post([cmd])
        return self.voidresp()

    def acct(self, password):
        """ACCT."""
        return self.voidcmd("ACCT " + password)

    def abort(self):
        """ABOR: ends the transfer under way; returns the reply, 225, 226 or 426. error_proto for others."""
        self.close_data()
        self.putcmd("ABOR")
        found = ""
        code = 0
        while code != 225 and (self._awaited or self._unsent):  # 225: there was none, and it gets no reply of its own
            code, text = self._next()
            if code in (225, 226, 426):
                found = text
            elif code < 200 and self._has_begun:  # pure-ftpd ends some transfers so
                self._awaited = self._awaited[1:]
        self._awaited = []
        if not found:
            raise ProtocolError(text, verb="ABOR", code=code)
        return found

    def noop(self):
        """NOOP."""
        return self.voidcmd("NOOP")

    def syst(self):
        """SYST: the reply, such as "215 UNIX Type: L8"."""
        return self.voidcmd("SYST")

    def feat(self):
        """FEAT (RFC 2389): the features as a list of texts; [] where the server has none. A hint, no promise."""
        self.post(["FEAT"])
        code, text = self.reply()
        if code in (500, 502):
            return []
        if not 200 <= code < 300:
            raise error_for(code, text, "FEAT")
        return [line.strip() for line in text.split("\n")[1:-1]]

    def rename(self, fromname, toname):
        """RNFR, RNTO; returns the last reply."""
        text = self.sendcmd("RNFR " + fromname)
        if text[0] != "3":
            raise UnexpectedReply(text, verb="RNFR", code=int(text[:3]))
        return self.voidcmd("RNTO " + toname)

    def delete(self, filename):
        """DELE; returns the reply."""
        return self.voidcmd("DELE " + filename)

    def cwd(self, dirname):
        """CWD; ".." is CDUP. Returns the reply."""
        if dirname == "..":
            return self.cdup()
        return self.voidcmd("CWD " + (dirname or "."))

    def cdup(self):
        """CDUP, or CWD .. where the server does not know it."""
        self.post(["CDUP"])
        code, text = self.reply()
        if code in (500, 502):
            return self.voidcmd("CWD ..")
        if not 200 <= code < 300:
            raise error_for(code, text, "CDUP")
        return text

    def pwd(self):
        """The current folder's name."""
        text = self.voidcmd("PWD")
        return parse257(text) if text[:3] == "257" else ""

    def mkd(self, dirname):
        """MKD; returns the new folder's name as the server tells it, "" if it does not."""
        text = self.voidcmd("MKD " + dirname)
        return parse257(text) if text[:3] == "257" else ""

    def rmd(self, dirname):
        """RMD; returns the reply."""
        return self.voidcmd("RMD " + dirname)

    def size(self, filename):
        """Bytes of a file on the server (RFC 3659), asked in TYPE I."""
        self._set_type("TYPE I")
        return parse_size(self.sendcmd("SIZE " + filename))

    def mdtm(self, filename):
        """The server's modification time as it tells it, "20260131235959.123": an opaque text."""
        return self.sendcmd("MDTM " + filename)[4:].strip()

    # --- listings

    def nlst(self, *args):
        """The names in a folder. error_perm where the server answers an empty folder with 550."""
        names = []
        self.retrlines(_joined("NLST", args), names.append)
        return names

    def dir(self, *args):
        """LIST as the server prints it, to the last argument if that is a function, else to the console."""
        take = print
        if args and callable(args[-1]):
            take, args = args[-1], args[:-1]
        self.retrlines(_joined("LIST", args), take)

    def mlsd(self, path="", facts=()):
        """MLSD (RFC 3659): an iterator of (name, {fact: value}); `facts` are asked for with OPTS MLST. Holds all lines."""
        if facts:
            self.sendcmd("OPTS MLST " + ";".join(facts) + ";")
        lines = []
        self.retrlines("MLSD " + path if path else "MLSD", lines.append)
        for line in lines:
            yield parse_facts(line)

    # --- transfers

    def makepasv(self):
        """EPSV or PASV; returns the data connection's (host, TCP port)."""
        if self.facts.epsv:
            self.post(["EPSV"])
            code, text = self.reply()
            if code < 400:
                return parse229(text, self._peer)
            self.facts.epsv = False
        host, port = parse227(self.sendcmd("PASV"))
        return (host if self.trust_server_pasv_ipv4_address else self._peer[0]), port

    def makeport(self):
        """Active mode: listen and tell the server where (PORT or EPRT); returns the listener."""
        self.passiveserver = False
        self.voidcmd(self._choose_opener())
        return self._listener

    def sendport(self, host, port):
        """PORT (RFC 959)."""
        return self.voidcmd("PORT %s,%d,%d" % (host.replace(".", ","), port // 256, port % 256))

    def sendeprt(self, host, port):
        """EPRT (RFC 2428)."""
        return self.voidcmd("EPRT |%d|%s|%d|" % (2 if ":" in host else 1, host, port))

    def ntransfercmd(self, cmd, rest=None):
        """Begin a transfer: (data connection, announced bytes or None). Close it, then voidresp()."""
        self.post_transfer([], cmd, int(rest or 0))
        if not self.open_data():
            self._drop_transfer_of_refused_rest(cmd)
        if not self._has_begun:  # with TLS it was waited for
            self._read_preliminary()
        text = self._preliminary
        if self._early:
            text = self.finish()
            raise UnexpectedReply(text, verb=cmd.split(" ")[0], code=int(text[:3]))
        return self._data, parse150(text) if text[:3] == "150" else None

    def _drop_transfer_of_refused_rest(self, cmd):
        # ftplib's REST raises; going on from 0 behind the caller's back would spoil his file
        self.abandon_transfer()
        raise error_for(502, "502 the server refuses REST", "REST")

    def transfercmd(self, cmd, rest=None):
        """Begin a transfer; returns the data connection."""
        return self.ntransfercmd(cmd, rest)[0]

    def retrbinary(self, cmd, callback, blocksize=BLOCK_BYTES, rest=None):
        """RETR as it is, byte for byte, from offset `rest`: `callback(block)` gets it. Returns the final reply.

        IntegrityError if fewer bytes came than the server announced."""
        self._set_type("TYPE I")
        size = self.ntransfercmd(cmd, rest)[1]
        try:
            got = self.receive_blocks(callback, block_bytes=blocksize)
        finally:
            self.close_data()
        text = self.finish()
        if size is not None and got < size - int(rest or 0):
            raise IntegrityError("%d of %d bytes arrived" % (got, size), verb="RETR")
        return text

    def storbinary(self, cmd, fp, blocksize=BLOCK_BYTES, callback=None, rest=None):
        """Send the rest of the open file `fp` byte for byte. `callback(block)` gets each block. Returns the final reply."""
        self._set_type("TYPE I")
        self.ntransfercmd(cmd, rest)
        return self._send_all(lambda: fp.read(blocksize), callback)

    def retrlines(self, cmd, callback=None):
        """A listing or text in TYPE A: `callback(line)` gets each line without its end, which is lost: not for files.

        Lines are cut at 1,000 bytes. Returns the final reply."""
        self._set_type("TYPE A")
        take = callback or print
        return self.lines(cmd, lambda raw: take(_text(raw)), None)

    def storlines(self, cmd, fp, callback=None):
        """Send the lines of the open binary file `fp` in TYPE A, each ending in CRLF whatever it ended in: not for files.

        Error for a line of more than LINE_BYTES."""

        def line():
            found = fp.readline(LINE_BYTES + 1)
            if len(found) > LINE_BYTES:
                raise Error("a line of more than %d bytes" % LINE_BYTES, verb="STOR")
            if not found or found[-2:] == b"\r\n":
                return found
            return (found[:-1] if found[-1:] in (b"\r", b"\n") else found) + b"\r\n"

        self._set_type("TYPE A")
        self.ntransfercmd(cmd)
        return self._send_all(line, callback)

    def _send_all(self, read, callback):
        """Send what `read()` gives until it gives nothing; returns the final reply."""
        watch = RateWatch(self._clock)
        sent = 0
        try:
            while True:
                block = read()
                if not block:
                    return self.finish()
                self._send_rest(memoryview(block), 0, watch, sent)
                sent += len(block)
                if callback:
                    callback(block)
        finally:
            self.close_data()

    def _set_type(self, command):
        if self._type != command:
            self.voidcmd(command)
            self._type = command


class FTP_TLS(FTP):
    """FTP over TLS (RFC 4217): login() protects the control connection first; prot_p() the data connections too. Once on,
    both are on again after connect().

    The firmware verifies no certificate; `fingerprint()` tells whom one talks to."""

    def login(self, user="", passwd="", acct="", secure=True):
        """auth() first, unless it was done or `secure` is False."""
        if secure and self._tls == TLS_OFF:
            self.auth()
        return FTP.login(self, user, passwd, acct)

    def auth(self):
        """AUTH TLS; returns the reply. From here on the control connection is encrypted, data stays clear until prot_p()."""
        if self._tls != TLS_OFF:
            raise ValueError("TLS is on already")
        self.start_tls()
        self._tls = TLS_CONTROL
        return "234 AUTH TLS"

    def _protection(self):
        return "P" if self._tls == TLS_EXPLICIT else ""  # C is where every session begins

    def prot_p(self):
        """Encrypt data connections too."""
        self.voidcmd("PBSZ 0")
        text = self.voidcmd("PROT P")
        self._tls = TLS_EXPLICIT
        return text

    def prot_c(self):
        """Clear data connections."""
        text = self.voidcmd("PROT C")
        self._tls = TLS_CONTROL
        return text

    def fingerprint(self):
        """SHA-256 of the server's certificate in hex, "" where the firmware does not show it."""
        return self._control.fingerprint()


def _joined(verb, args):
    return " ".join([verb] + [a for a in args if a])


def _text(raw):
    try:
        return str(raw, "utf-8")
    except ValueError:
        return "".join([chr(b) if b < 128 else "?" for b in raw])


class _Printer:
    """The log of set_debuglevel."""

    def debug(self, text, *args):
        print(text % args)

    warning = debug
