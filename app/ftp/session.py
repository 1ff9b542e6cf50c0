# The control connection and one data connection: flights of commands, replies in order, blocks of data.
# FTP (client.py) puts ftplib's names on top of this; the sync stages use this alone. Knows nothing of files or of flash.
#
# A flight is several commands in one write. post() takes commands, reply() gives the reply of the oldest one that has none.
# For a server that cannot take flights (Facts.flights) post() keeps the commands and reply() sends one at a time: the
# caller does not see the difference. Nothing is ever sent while a transfer runs: servers answer that in four ways, all bad.

from app.errors import AuthError, ConnectionClosed, Error, IntegrityError, ProtocolError, TempReply, TransportError, number_of
from app.ftp.parse import error_for, parse227, parse229
from app.ftp.reply import ReplyReader

RECV_BYTES = 512  # one read of the control connection; a flight of 20 short replies fits
BLOCK_BYTES = 4096  # a read of the data connection: three segments of 1360 bytes
COMMAND_BYTES = 600  # longest command: a path of 512 bytes and its verb; longer is a fault, not a name
RATE_WINDOW_MS = 60000
RATE_FLOOR_BYTES_S = 50  # slower than this for a minute is a stalled transfer; NB-IoT gives 3,000
PRELIMINARIES = 4  # 1xx replies before the final one; one is usual

# What a positive reply to a verb must be; anything else positive means that replies and commands are out of step.
_DUE = {"EPSV": 229, "PASV": 227, "SIZE": 213, "MDTM": 213, "RNFR": 350, "REST": 350}

# "Too many connections" and the like come as 530 too. They pass; a wrong password does not.
_BUSY_WORDS = ("too many", "maximum", "limit", "busy", "try again", "later", "overload")


class Facts:
    """What is known of one server; outlives the session."""

    def __init__(self):
        self.flights = True  # takes several commands in one write
        self.epsv = True
        self.mlsd = True
        self.rest_stor = True  # REST before STOR goes on where it should


class Counts:
    """What a session has cost."""

    def __init__(self):
        self.commands = 0
        self.connections = 0
        self.round_trips = 0  # waits for the server: a connect, or a flight until its last reply
        self.sent_bytes = 0
        self.received_bytes = 0


class Session:
    """`net.connect(host, port, timeout_s)` gives a connection with recv, send, set_timeout and close."""

    def __init__(self, net, clock, timeout_s=15, facts=None, counts=None, log=None):
        self._net = net
        self._clock = clock
        self.timeout = timeout_s
        self.facts = facts or Facts()
        self.counts = counts or Counts()
        self._log = log
        self._control = None
        self._data = None
        self._reader = None
        self.welcome = ""
        self._unsent = []  # commands that wait: for the next flush, or (lock-step) for their turn
        self._awaited = []  # verbs that were sent and have no reply yet
        self._is_asking = False  # something was sent since the last wait: the next wait is a round trip
        self._login = None  # (account, greeting was 230) while the login's replies are still to be read
        self._peer = None
        self._greeted_in = False
        self._transfer = []  # the commands behind EPSV or PASV
        self._has_begun = False
        self.login_reply = ""
        self.trust_server_address = False

    # --- control connection

    def open(self, host, port):
        """Connect and read the greeting; returns it. Blocks for at most two time-outs. Raises TransportError and replies."""
        self.close()
        self._reader = ReplyReader()
        self._peer = (host, port)
        self.counts.connections += 1
        self.counts.round_trips += 1
        self._control = self._net.connect(host, port, self.timeout)
        self._peer = (self._control.address or host, port)
        self._is_asking = True
        self._awaited.append("greeting")
        code, text = self.reply()
        if code == 120:  # "ready in n minutes": the real greeting follows
            code, text = self.reply()
        if code not in (220, 230):
            self.close()
            raise error_for(code, text, "greeting")
        self.welcome = text
        self._greeted_in = code == 230
        return text

    def is_open(self):
        return self._control is not None

    def post(self, commands):
        """Take commands for the server; they go out in one write at the next reply(). Raises ValueError for CR, LF, NUL."""
        for command in commands:
            for c in "\r\n\0":
                if c in command:
                    raise ValueError("a command must not hold CR, LF or NUL: " + command.split(" ")[0])
            if len(command.encode()) > COMMAND_BYTES:
                raise ValueError("a command of more than %d bytes: %s" % (COMMAND_BYTES, command[:40]))
        self._unsent.extend(commands)

    def reply(self):
        """(code, text) of the oldest command without one. 421 and everything that ends the session is raised."""
        if self._login:
            self._finish_login()
        return self._next()

    def _next(self, limit_s=0):
        self._flush()
        verb = self._awaited[0] if self._awaited else "?"
        code, text = self._read(verb, limit_s)
        if code >= 200 and self._awaited:
            self._awaited.pop(0)
        if self._log:
            self._log.debug("< %s", text)
        if code == 421:
            self.close()
            raise TempReply(text, verb=verb, code=code)
        due = _DUE.get(verb, 0)
        if due and 200 <= code < 400 and code != due:
            self._out_of_step(verb)
            raise ProtocolError("%s answered with %s" % (verb, text), verb=verb, code=code)
        return code, text

    def settle(self):
        """Send what is posted and read what is awaited, the login's replies too; for a cycle that has nothing else to say."""
        if self._login:
            self._finish_login()

    def demand(self):
        """The text of a positive reply (1xx to 3xx); a negative one is raised."""
        verb = self._awaited[0] if self._awaited else self._unsent[0].split(" ")[0] if self._unsent else ""
        code, text = self.reply()
        if code >= 400:
            raise error_for(code, text, verb)
        return text

    def _flush(self):
        """Send what waits: all of it, or in lock-step the first if nothing is awaited."""
        if not self._unsent:
            return
        if self._control is None:
            raise ConnectionClosed("the session is closed")
        if self.facts.flights:
            count = len(self._unsent)
        elif self._awaited:
            return
        else:
            count = 1
        raw = b""
        for command in self._unsent[:count]:
            verb = command.split(" ")[0]
            self._awaited.append(verb)
            if self._log:
                self._log.debug("> %s", "PASS ***" if verb == "PASS" else command)
            raw += command.encode() + b"\r\n"
        del self._unsent[:count]
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

    def _read(self, verb, limit_s=0):
        """The next reply. One time-out of silence ends it, and so does twice that for a reply that drips."""
        reader = self._reader
        found = reader.next()
        if found:
            return found
        if self._control is None:
            raise ConnectionClosed("the session is closed", verb=verb)
        limit_s = limit_s or self.timeout
        self._control.set_timeout(limit_s)
        start = self._clock.ticks_ms()
        if self._is_asking:
            self.counts.round_trips += 1
            self._is_asking = False
        try:
            while True:
                data = self._control.recv(RECV_BYTES)
                if not data:
                    raise ConnectionClosed(verb=verb)
                self.counts.received_bytes += len(data)
                reader.feed(data)
                found = reader.next()
                if found:
                    return found
                if self._clock.ticks_diff(self._clock.ticks_ms(), start) > 2000 * limit_s:
                    raise TransportError(110, "the reply does not end", verb=verb, step="control")
        except OSError as e:
            if isinstance(e, TransportError):
                self.close()
                raise
            number = number_of(e)
            if number in (11, 110) and len(self._awaited) > 1:
                self._probe()
            self.close()
            raise TransportError(number, verb=verb, step="control")
        except (EOFError, ProtocolError):
            self.close()
            raise

    def _probe(self):
        """A flight got too few replies. If the server is alive, it is one that cannot take flights; else the link is gone."""
        try:
            self._control.set_timeout(5)
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

    def start_login(self, user, password, account=""):
        """Put USER, PASS and TYPE I in front of the next flight. Their replies are read and judged when it is answered."""
        if not user:
            user, password = "anonymous", password or "anonymous@"
        self._login = (account, self._greeted_in)
        self.post(["USER " + user, "PASS " + password, "TYPE I"])

    def _finish_login(self):
        account, greeted_in = self._login
        self._login = None
        code, text = self._next()
        if code >= 400 and not greeted_in:
            self._refuse_login(code, text, "USER")
        is_in = greeted_in or code in (200, 230, 232)
        code, text = self._next()
        if code == 332:
            self._acct(account, text)
        elif code >= 400 and not (is_in and code in (500, 502, 503)):  # logged in before PASS: it may be refused
            self._refuse_login(code, text, "PASS")
        elif 100 <= code < 200 or (300 <= code < 400):
            self.close()
            raise ProtocolError(text, verb="PASS", code=code)
        self.login_reply = text
        code, text = self._next()
        if code != 200:
            self.close()
            raise error_for(code, text, "TYPE")

    def _acct(self, account, text):
        # The rest of the flight was refused by a server that still waits for ACCT; such servers are rare: start over.
        self.close()
        raise AuthError(text, verb="PASS", code=332, advice="the server wants an account, which Ferry does not send")

    def _refuse_login(self, code, text, verb):
        self.close()
        lower = text.lower()
        if code < 500:
            raise TempReply(text, verb=verb, code=code) if code != 430 else AuthError(text, verb=verb, code=code)
        for word in _BUSY_WORDS:
            if word in lower:
                raise TempReply(text, verb=verb, code=code, advice="the server has too many sessions; raise its limit or poll less")
        raise AuthError(text, verb=verb, code=code)

    # --- data connection

    def passive_verb(self):
        """The command that opens a data connection on this server."""
        return "EPSV" if self.facts.epsv else "PASV"

    def post_transfer(self, before, command, offset=0):
        """Post the commands `before`, then what opens a data connection for `command` (STOR, RETR, ...) at a restart offset."""
        self._transfer = ["REST %d" % offset, command] if offset else [command]
        self.post(before + [self.passive_verb()] + self._transfer)

    def open_data(self):
        """The data connection of post_transfer(), whose `before` must have been answered. Data may flow at once.

        Returns True, or False if the server refused the restart offset: the transfer then is the whole file. What it says to
        the command itself is read by finish(). Falls back to PASV where EPSV is refused. Blocks for at most two time-outs."""
        verb = self.passive_verb()
        code, text = self.reply()
        if code >= 400:
            self._drop_transfer()
            if verb != "EPSV":
                raise error_for(code, text, verb)
            self.facts.epsv = False
            self.post([self.passive_verb()] + self._transfer)
            return self.open_data()
        try:
            host, port = parse229(text, self._peer) if verb == "EPSV" else parse227(text)
        except ProtocolError:
            self.facts.epsv = False
            self.close()  # the server now waits for a data connection that nobody can open
            raise
        if not self.trust_server_address:
            host = self._peer[0]
        self._connect_data(verb, host, port)
        is_at_offset = True
        if len(self._transfer) > 1:
            is_at_offset = self.reply()[0] == 350
        self._has_begun = False
        self._flush()  # in lock-step the command goes now
        return is_at_offset

    def _connect_data(self, verb, host, port):
        self.counts.connections += 1
        self.counts.round_trips += 1
        try:
            self._data = self._net.connect(host, port, self.timeout)
        except OSError as e:
            if verb == "EPSV":
                self.facts.epsv = False  # some firewalls let only the ports of PASV through
            self.close()
            raise TransportError(
                number_of(e),
                verb=verb,
                step="data connection",
                advice="allow the server's passive port range in its firewall and NAT",
            )
        self._is_asking = True

    def has_begun(self):
        """True once the server has said 1xx to the transfer under way, or to the last one."""
        return self._has_begun

    def _drop_transfer(self):
        """After a refused EPSV or PASV: in a flight the commands behind it are refused as well, and their replies read."""
        for _ in self._transfer:
            if self._unsent:
                self._unsent.pop()
                continue
            try:
                self.finish()
            except Error:
                pass  # refused for want of a data connection, as it should be

    def send_blocks(self, stream, size, buffer, digest=None, progress=None):
        """Send `size` bytes of `stream` over the data connection; returns the bytes sent, fewer if the stream ended early.

        `digest.update` and `progress(bytes so far)` get each block. Raises what the server said, else TransportError."""
        view = memoryview(buffer)
        room = len(buffer)
        clock = self._clock
        start, counted = clock.ticks_ms(), 0
        sent = 0
        send = self._data.send
        try:
            while sent < size:
                n = stream.readinto(buffer if size - sent >= room else view[: size - sent])
                if not n:
                    break
                block = view[:n]
                if digest:
                    digest.update(block)
                at = send(block)
                while at < n:
                    at += send(block[at:])
                sent += n
                if progress:
                    progress(sent)
                now = clock.ticks_ms()
                if clock.ticks_diff(now, start) > RATE_WINDOW_MS:
                    self._check_rate(sent - counted)
                    start, counted = now, sent
        except OSError as e:
            self._raise_cause(e, "STOR")
        self.counts.sent_bytes += sent
        return sent

    def receive_blocks(self, write, digest=None, progress=None, at_most=None):
        """Pass the data connection to `write(block)` until it ends; returns the bytes received. More than `at_most` is refused."""
        clock = self._clock
        start, counted = clock.ticks_ms(), 0
        got = 0
        recv = self._data.recv
        if self._is_asking:
            self.counts.round_trips += 1
            self._is_asking = False
        while True:
            try:
                block = recv(BLOCK_BYTES)
            except OSError as e:
                self._raise_cause(e, "RETR")
            if not block:
                break
            got += len(block)
            if at_most is not None and got > at_most:
                raise IntegrityError("more than the %d bytes that were announced" % at_most, verb="RETR")
            write(block)
            if digest:
                digest.update(block)
            if progress:
                progress(got)
            now = clock.ticks_ms()
            if clock.ticks_diff(now, start) > RATE_WINDOW_MS:
                self._check_rate(got - counted)
                start, counted = now, got
        self.counts.received_bytes += got
        return got

    def _check_rate(self, count):
        if count * 1000 < RATE_FLOOR_BYTES_S * RATE_WINDOW_MS:
            self.close()
            raise TransportError(110, "stalled: fewer than %d bytes a second" % RATE_FLOOR_BYTES_S, step="data connection")

    def _raise_cause(self, error, verb):
        """A data connection that died: the server's final reply says why, if there is one; else it is the link."""
        self.close_data()
        number = number_of(error)
        try:
            self.finish(5)
        except OSError:
            pass  # no reply either: the first error is the one to tell
        except EOFError:
            pass
        self.close()
        raise TransportError(number, verb=verb, step="data connection")

    def close_data(self):
        if self._data:
            self._data.close()
            self._data = None

    def finish(self, limit_s=0):
        """Close the data connection and read the final reply: its text. Raises negative ones. Not proof of anything: ask SIZE."""
        self.close_data()
        verb = self._awaited[0] if self._awaited else ""
        for _ in range(PRELIMINARIES):
            code, text = self._next(limit_s)
            if code >= 200:
                break
            self._has_begun = True
        else:
            self.close()
            raise ProtocolError("only preliminary replies", code=code)
        if code >= 400:
            raise error_for(code, text, verb)
        return text

    def abandon_transfer(self):
        """Break off the transfer under way, if there is one, so that the session can go on. Raises if it cannot."""
        if self._awaited:
            try:
                self.finish()
            except Error:
                if not self.is_open():
                    raise  # else the server says that it was broken off, as it should

    def lines(self, command, take):
        """Run a listing; `take(line)` gets each line as bytes, cut at 1,000 bytes. Returns the final reply's text."""
        self.post_transfer([], command)
        self.open_data()
        splitter = _Lines(take)
        try:
            self.receive_blocks(splitter.write)
        except Exception:
            self.close()
            raise
        splitter.end()
        return self.finish()

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
        """Close both connections; never raises, never blocks. The session can be opened again."""
        self.close_data()
        if self._control:
            self._control.close()
            self._control = None
        self._unsent = []
        self._awaited = []
        self._login = None


class _Lines:
    """Cuts blocks of data into lines; a line longer than LINE_BYTES is cut, so that nothing grows."""

    LINE_BYTES = 1000

    def __init__(self, take):
        self._take = take
        self._rest = b""

    def write(self, block):
        start = 0
        while True:
            end = block.find(b"\n", start)
            piece = block[start:end] if end >= 0 else block[start:]
            self._rest += piece[: max(0, self.LINE_BYTES - len(self._rest))]
            if end < 0:
                return
            self._take(self._rest.rstrip(b"\r"))
            self._rest = b""
            start = end + 1

    def end(self):
        if self._rest:
            self._take(self._rest.rstrip(b"\r"))
