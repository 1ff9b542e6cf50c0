# The control connection: flights of commands, replies in order, the login. Knows nothing of data connections and files.
#
# A flight is several commands in one write. post() takes commands, reply() gives the reply of the oldest one that has none.
# For a server that cannot take flights (Facts.flights) post() keeps the commands and reply() sends one at a time: the
# caller does not see the difference. Nothing is ever sent while a transfer runs: servers answer that in four ways, all bad.

from app.errors import AuthError, ConnectionClosed, Error, ProtocolError, TempReply, TransportError, number_of
from app.proto.parse import error_for
from app.proto.reply import ReplyReader

RECV_BYTES = 256  # one read of the control connection; a flight of ten short replies fits
COMMAND_BYTES = 600  # longest command: a path of 512 bytes and its verb; longer is a fault, not a name
PROBE_S = 5  # for a reply that should be here already
DRIP_FACTOR = 2  # a reply that keeps dripping may take this many time-outs

# What a positive reply to a verb must be; anything else positive means that replies and commands are out of step.
_DUE = {"EPSV": 229, "PASV": 227, "SIZE": 213, "MDTM": 213, "RNFR": 350, "REST": 350}

_SECRET = ("PASS", "ACCT")  # whose argument nobody may see
SECRET_CHARS = 4  # a shorter one is a part of many words, and what the server says would be lost

# "Too many connections" and the like come as 530 too. They pass; a wrong password does not.
_TLS_WORDS = ("tls", "ssl", "encrypt", "cleartext", "use auth")
_BUSY_WORDS = ("too many", "maximum", "limit", "busy", "try again", "later", "overload")

TLS_OFF, TLS_EXPLICIT, TLS_IMPLICIT, TLS_CONTROL = TLS_MODES = ("off", "explicit", "implicit", "control-only")


_FACTS = ("flights", "epsv", "mlsd", "appe", "no_pret")  # the order is that of the bits in the ledger


class Facts:
    """What is known of one server; outlives the session. True until the server shows otherwise."""

    def __init__(self):
        self.flights = True  # takes several commands in one write
        self.epsv = True
        self.mlsd = True
        self.appe = True  # and it goes on where it should
        self.no_pret = True  # EPSV and PASV work without PRET before them

    def flags(self):
        """What was found missing, as bits for the ledger; 0 = nothing."""
        missing = 0
        for i, name in enumerate(_FACTS):
            if not getattr(self, name):
                missing |= 1 << i
        return missing

    def set_flags(self, missing):
        for i, name in enumerate(_FACTS):
            setattr(self, name, not missing & 1 << i)


class Counts:
    """What a session has cost."""

    def __init__(self):
        self.commands = 0
        self.connections = 0
        self.round_trips = 0  # waits for the server: a connect, or a flight until its last reply
        self.sent_bytes = 0
        self.received_bytes = 0


class Control:
    """`net` opens connections (app.platform.sockets.Net); `tls` is one of TLS_MODES, `pin` the server certificate's SHA-256."""

    def __init__(self, net, clock, timeout_s=15, facts=None, counts=None, log=None, tls=TLS_OFF, pin=""):
        self._net = net
        self._clock = clock
        self.timeout = timeout_s
        self.facts = facts or Facts()
        self.counts = counts or Counts()
        self._log = log
        self._tls = tls
        self._pin = pin
        self._control = None
        self._reader = None
        self._unsent = []  # commands that wait: for the next flush, or (lock-step) for their turn
        self._awaited = []  # verbs that were sent and have no reply yet
        self._flight_count = 0  # commands in the last write
        self._is_asking = False  # something was sent since the last wait: the next wait is a round trip
        self._login = False  # the replies of the login are still to be read
        self._secret = ""  # of the last PASS or ACCT: there are servers that repeat what they do not like
        self._greeted_in = False
        self._question = ""
        self.answer = (0, "")  # to the question of the login
        self._peer = None
        self.welcome = ""
        self.login_reply = ""

    # --- opening

    def open(self, host, port, is_early=False):
        """Connect and read the greeting; returns it. With `is_early` the greeting is read with the login's replies instead.

        Blocks for at most a time-out for each address of the name (four) and two more, with TLS four. Raises TransportError,
        ConnectionClosed, what the server says."""
        self.close()
        self._reader = ReplyReader()
        self.counts.connections += 1
        self.counts.round_trips += 1
        self._control = self._net.connect(host, port, self.timeout)
        self._peer = (self._control.address or host, port, host)
        if self._tls == TLS_IMPLICIT:
            self._wrap_control()
        self._is_asking = True
        self._awaited.append("greeting")
        if not is_early or self._tls in (TLS_EXPLICIT, TLS_CONTROL):
            self._greet()
        return self.welcome

    def _greet(self):
        code, text = self._next()
        if code == 120:  # "ready in n minutes": the real greeting follows
            code, text = self._next()
        if code not in (220, 230):
            self.close()
            raise error_for(code, text, "greeting")
        self.welcome = text
        self._greeted_in = code == 230
        if self._tls in (TLS_EXPLICIT, TLS_CONTROL):
            self.start_tls()

    def start_tls(self):
        """AUTH TLS (RFC 4217). Nothing that came in clear is used behind it; there is no way back to clear text."""
        self.post(["AUTH TLS"])
        code, text = self._next()
        if code not in (234, 334):
            self.close()
            error = error_for(code, text, "AUTH")
            error.advice = "the server refuses TLS: switch it on there, or set server.tls to off and send in clear"
            raise error
        if not self._reader.is_idle():
            self.close()
            raise ProtocolError("the server, or somebody on the way, sent more in clear behind AUTH", verb="AUTH")
        self._wrap_control()

    def _wrap_control(self):
        try:
            self._control = self._net.wrap_tls(self._control, self._peer[2], self.timeout, True)
            if self._pin:
                self._check_pin(self._control.fingerprint())
        except OSError as e:
            self.close()
            raise e if isinstance(e, TransportError) else TransportError(number_of(e), verb="TLS", step="control")
        self.counts.round_trips += 1
        self._reader = ReplyReader()

    def _check_pin(self, found):
        if found != self._pin.lower().replace(":", ""):
            self.close()
            what = (
                "the server's certificate has SHA-256 " + found
                if found
                else "the firmware does not show the server's certificate"
            )
            raise AuthError(
                what, verb="TLS", advice="compare it with server.tls_pin; do not log in before they are the same"
            )

    def is_open(self):
        return self._control is not None

    # --- flights

    def post(self, commands):
        """Take commands for the server; they go out in one write at the next reply(). Raises ValueError for CR, LF, NUL."""
        for command in commands:
            for c in "\r\n\0":
                if c in command:
                    raise ValueError("a command must not hold CR, LF or NUL: " + command.split(" ")[0][:20])
            if len(command.encode()) > COMMAND_BYTES:
                raise ValueError("a command of more than %d bytes: %s" % (COMMAND_BYTES, command.split(" ")[0][:20]))
        self._unsent.extend(commands)

    def reply(self):
        """(code, text) of the oldest command without one. 421 and everything that ends the session is raised."""
        self.settle()
        return self._next()

    def push(self):
        """Send what is posted, and do not wait."""
        self._flush()

    def settle(self):
        """Send what is posted and read the replies of the login, if they are still due."""
        if self._login:
            self._finish_login()

    def demand(self):
        """The text of a positive reply (1xx to 3xx); a negative one is raised."""
        self.settle()
        verb = self._verb()
        code, text = self._next()
        if code >= 400:
            raise error_for(code, text, verb)
        return text

    def _verb(self):
        """The verb whose reply comes next."""
        return self._awaited[0] if self._awaited else self._unsent[0].split(" ")[0] if self._unsent else ""

    def _next(self, limit_s=0):
        self._flush()
        verb = self._verb()
        code, text = self._read(verb, limit_s or self.timeout)
        if self._awaited and (code >= 200 or verb in _DUE):
            self._awaited.pop(0)
        if verb.upper() in _SECRET and len(self._secret) >= SECRET_CHARS:
            text = text[:4] + text[4:].replace(self._secret, "***")
        if self._log:
            self._log.debug("< %s", text)
        if code == 421:
            self.close()
            raise TempReply(text, verb=verb, code=code, advice=self._tls_advice(text))
        due = _DUE.get(verb, 0)
        if due and code < 400 and code != due:
            if verb == "EPSV" and not self.facts.flights:  # one at a time nothing is out of step: it cannot EPSV
                self.facts.epsv = False
            self._out_of_step(verb)
            raise ProtocolError("%s answered with %s" % (verb, text), verb=verb, code=code)
        return code, text

    def _flush(self):
        """Send what waits: all of it, or in lock-step the first if nothing is awaited."""
        if not self._unsent:
            return
        if self._control is None:
            raise ConnectionClosed("the session is closed")
        count = len(self._unsent) if self.facts.flights else 1
        if count == 1 and self._awaited and not self.facts.flights:
            return
        raw = b""
        for command in self._unsent[:count]:
            verb = command.split(" ")[0]
            self._awaited.append(verb)
            if verb.upper() in _SECRET:
                self._secret = command[5:]
                if self._log:
                    self._log.debug("> %s ***", verb)
            elif self._log:
                self._log.debug("> %s", command)
            raw += command.encode() + b"\r\n"
        del self._unsent[:count]
        self._flight_count = count
        self.counts.commands += count
        self.counts.sent_bytes += len(raw)
        self._is_asking = True
        try:
            at = 0
            while at < len(raw):
                at += self._control.send(raw[at:] if at else raw)
        except OSError as e:
            verb = self._awaited[0]
            self.close()
            raise TransportError(number_of(e), verb=verb, step="control")

    def _read(self, verb, limit_s):
        """The next reply. One time-out of silence ends it, and so do DRIP_FACTOR time-outs of a reply that does not end."""
        reader = self._reader
        found = reader.next() if reader else None
        if found:
            return found
        if self._control is None:
            raise ConnectionClosed("the session is closed", verb=verb)
        if self._is_asking:
            self.counts.round_trips += 1
            self._is_asking = False
        start = self._clock.ticks_ms()
        try:
            self._control.set_timeout(limit_s)
            while not found:
                data = self._control.recv(RECV_BYTES)
                if not data:
                    raise ConnectionClosed(verb=verb)
                self.counts.received_bytes += len(data)
                reader.feed(data)
                found = reader.next()
                if not found and self._clock.ticks_diff(self._clock.ticks_ms(), start) > DRIP_FACTOR * 1000 * limit_s:
                    raise OSError(110)
        except OSError as e:
            number = number_of(e)
            if number in (11, 110) and self._flight_count > 1:
                self._probe()
            self.close()
            raise TransportError(number, verb=verb, step="control")
        except (EOFError, ProtocolError) as e:
            e.verb = verb
            self.close()
            raise
        return found

    def _probe(self):
        """A flight got too few replies. If the server is alive, it is one that cannot take flights; else the link is gone."""
        try:
            self._control.set_timeout(PROBE_S)
            self._control.send(b"NOOP\r\n")
            if self._control.recv(RECV_BYTES):
                self._out_of_step("a flight")
        except OSError:
            pass  # the link is gone: the time-out that brought us here is raised by the caller

    def _out_of_step(self, what):
        if self.facts.flights and self._log:
            self._log.warning("%s got replies out of step: one command at a time for this server from now on", what)
        self.facts.flights = False
        self.close()

    # --- login

    def start_login(self, user, password, account="", question=""):
        """Put the login and TYPE I in front of the next flight. Its replies are read and judged when that is answered.

        `question` is one more command behind them, whose reply then is in `answer` and decides about nothing.

        With an `account` for ACCT the login is done at once, a command at a time: what follows it depends on the answers."""
        user = user or "anonymous"
        if user == "anonymous" and password in ("", "-"):
            password += "anonymous@"
        flight = []
        if account:
            self._login_slowly(user, password, account)
        else:
            flight = ["USER " + user, "PASS " + password]
        level = self._protection()
        if level:
            flight += ["PBSZ 0", "PROT " + level]
        self.post(flight + ["TYPE I"] + ([question] if question else []))
        self._question = question
        self._login = "TYPE" if account else True

    def _protection(self):
        """The argument of the login's PROT; "" = there is none."""
        return {TLS_OFF: "", TLS_CONTROL: "C"}.get(self._tls, "P")

    def _login_slowly(self, user, password, account):
        if self._awaited:
            self._greet()
        self.post(["USER " + user])
        code, text = self._next()
        for verb, due, secret in (("PASS", 331, password), ("ACCT", 332, account)):
            if code == due:
                self.post([verb + " " + secret])
                code, text = self._next()
        if not 200 <= code < 300:
            self._refuse_login(code, text, "ACCT")
        self.login_reply = text

    def _finish_login(self):
        stage, self._login = self._login, False
        if stage is True:
            self._flush()
            if self._awaited and self._awaited[0] == "greeting":
                self._greet()
            self._judge_password()
        if self._protection():
            self._next()  # PBSZ: refused by some, needed by some
            code, text = self._next()
            if code != 200:
                self._refuse_protection(code, text)
        code, text = self._next()
        if code != 200:
            self._out_of_step("the login")
            raise ProtocolError(text, verb="TYPE", code=code)
        if self._question:
            self.answer = self._next()

    def _judge_password(self):
        code, text = self._next()
        if code >= 400 and not self._greeted_in:
            self._refuse_login(code, text, "USER")
        if code == 332:  # what it says to PASS tells less
            self._refuse_login(code, text, "USER")
        self.login_reply = self.welcome if self._greeted_in else text
        is_in = self._greeted_in or code in (200, 230, 232)
        code, text = self._next()
        if is_in and code in (500, 502, 503):
            return  # logged in before PASS, which then may be refused
        if not 200 <= code < 300:
            self._refuse_login(code, text, "PASS")
        self.login_reply = text

    def _refuse_login(self, code, text, verb):
        if self.facts.flights:
            self._count_replies()
        self.close()
        lower = text.lower()
        if 400 <= code < 500 and code != 430:
            raise TempReply(text, verb=verb, code=code)
        for word in _BUSY_WORDS:
            if word in lower:
                raise TempReply(
                    text,
                    verb=verb,
                    code=code,
                    advice="the server has too many sessions: raise its limit, or poll less often",
                )
        if code < 400 and code != 332:
            raise ProtocolError(text, verb=verb, code=code)
        raise AuthError(text, verb=verb, code=code, advice=self._tls_advice(text))

    def _tls_advice(self, text):
        """What to say where the server's refusal sounds as if it wanted TLS, else ""."""
        lower = text.lower()
        if self._tls == TLS_OFF:
            for word in _TLS_WORDS:
                if word in lower:
                    return "the server wants TLS: set server.tls to explicit"
        return ""

    def _count_replies(self):
        """A server that lost a command of the flight seems to refuse the login: then there is a reply too few."""
        try:
            while self._awaited:
                self._next(PROBE_S)
        except (Error, OSError, EOFError):
            pass  # refused one by one, or hung up on, as servers do; what counts is whether _probe() found it alive
        if not self.facts.flights:
            raise ProtocolError("replies are missing", verb="USER")

    def _refuse_protection(self, code, text):
        self.close()
        raise AuthError(
            text, verb="PROT", code=code, advice="the server refuses this protection of data: change server.tls"
        )

    # --- end

    def say_goodbye(self):
        """QUIT without waiting for its reply, then close: costs no round trip."""
        if self._control and not self._awaited:
            try:
                self._control.send(b"QUIT\r\n")
                self.counts.commands += 1
                self.counts.sent_bytes += 6
            except OSError:
                pass  # it was a courtesy; the session ends either way
        self.close()

    def close(self):
        """Close the connection; never raises, never blocks. It can be opened again."""
        if self._control:
            self._control.close()
            self._control = None
        self._unsent = []
        self._awaited = []
        self._login = False
