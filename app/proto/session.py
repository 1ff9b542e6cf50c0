# A session that moves data: the control connection of control.py and one data connection at a time.
# FTP (client.py) puts ftplib's names on top of this; the sync stages use this alone. Knows nothing of files or of flash.

import gc

from app.errors import ADVICE, HALT, RETRY, Error, IntegrityError, ProtocolError, TransportError, number_of
from app.proto.control import TLS_CONTROL, TLS_OFF, Control
from app.proto.parse import error_for, parse227, parse229

BLOCK_BYTES = 4096  # a read of the data connection: three segments of 1360 bytes
SMALL_BLOCK_BYTES = 1024  # where the heap is nearly full: there is no room for more in one piece
PLENTY_BYTES = 131072  # of free heap
LINE_BYTES = 1000  # of a listing; longer lines are cut, so that nothing grows
LISTING_BYTES = 4194304  # 10,000 entries with the longest names; one that goes on after this never ends
RATE_WINDOW_MS = 60000
RATE_FLOOR_BYTES_S = 100  # slower than this for a minute is a stalled transfer; NB-IoT gives 3,000
PRELIMINARIES = 4  # 1xx replies before the final one; one is usual
DRAIN_S = 5  # for the reply that says why a data connection died


class Session(Control):
    """Control, and data connections. `own_address()` gives the module's address for active mode; None means passive."""

    def __init__(
        self, net, clock, timeout_s=15, facts=None, counts=None, log=None, tls=TLS_OFF, pin="", own_address=None
    ):
        Control.__init__(self, net, clock, timeout_s, facts, counts, log, tls, pin)
        self._own_address = own_address
        self._data = None
        self._listener = None
        self._opener = ""  # the command that opens the data connection of the transfer under way
        self._transfer = []  # the commands behind it
        self._has_begun = False
        self._early = ""  # the final reply, if it came before the data had ended
        self._preliminary = ""  # the 1xx reply of the last transfer
        # True: the address in a 227 is used; else always the control connection's (ftplib's name)
        self.trust_server_pasv_ipv4_address = False

    # --- opening

    def post_transfer(self, before, command, offset=0):
        """Post the commands `before`, then what opens a data connection for `command` (STOR, RETR, ...) at a restart offset."""
        self._transfer = ["REST %d" % offset, command] if offset else [command]
        self._opener = self._choose_opener()
        self.post(before + self._opening())

    def _opening(self):
        pret = [] if self.facts.no_pret else ["PRET " + self._transfer[-1]]
        # In active mode the command waits for PORT's reply: servers connect before they answer, and answer out of order.
        return pret + [self._opener] + ([] if self._listener else self._transfer)

    def _choose_opener(self):
        if not self._own_address:
            return "EPSV" if self.facts.epsv else "PASV"
        address = self._own_address()
        self._drop_listener()
        self._listener = self._net.listen(address, self.timeout)
        port = self._listener.port
        if ":" in address:
            return "EPRT |2|%s|%d|" % (address, port)
        return "PORT %s,%d,%d" % (address.replace(".", ","), port // 256, port % 256)

    def open_data(self):
        """The data connection of post_transfer(), whose `before` must have been answered. Data may flow at once.

        Returns True, or False if the server refused the restart offset: the transfer then is the whole file. What it says to
        the command itself is read by finish(). Falls back to PASV where EPSV is refused. Blocks for at most two time-outs."""
        self._has_begun = False
        self._early = ""
        if not self.facts.no_pret:
            self.reply()  # PRET's; the next one decides
        code, text = self.reply()
        if code >= 400:
            wants_pret = "PRET" in text and self.facts.no_pret  # drftpd wants to know what for
            is_epsv = self._opener == "EPSV" and not wants_pret
            if wants_pret:
                self.facts.no_pret = False
            elif is_epsv:
                self.facts.epsv = False
            if not self._listener:
                self._drop_transfer()
            if is_epsv:
                self._opener = "PASV"
            elif not wants_pret:
                self.close()  # concerns every file, so it is the fault of none
                error = error_for(code, text, self._opener.split(" ")[0])
                if error.action != HALT:
                    error.action = RETRY
                raise error
            self.post(self._opening())
            return self.open_data()
        if self._listener:
            self.post(self._transfer)
        else:
            self._connect_data(text)
        is_at_offset = True
        if len(self._transfer) > 1:
            is_at_offset = self._next()[0] == 350
        self._flush()  # in lock-step the command goes now
        if self._listener or self._has_private_data():
            self._read_preliminary()  # a server that refuses neither connects nor shakes hands
        if self._listener:
            self._accept_data()
        if self._has_private_data():
            self._wrap_data()
        return is_at_offset

    def _connect_data(self, text):
        verb = self._opener
        try:
            host, port = parse229(text, self._peer) if verb == "EPSV" else parse227(text)
        except ProtocolError:
            self.facts.epsv = False
            self.close()  # the server now waits for a data connection that nobody can open
            raise
        if not self.trust_server_pasv_ipv4_address:
            host = self._peer[0]
        self.counts.connections += 1
        self.counts.round_trips += 1
        try:
            self._data = self._net.connect(host, port, self.timeout)
        except OSError as e:
            self._raise_refusal()
            self.facts.epsv = False  # some firewalls let only the ports of PASV through
            self._data_failed(e, verb, "allow the server's passive port range in its firewall and NAT")
        self._is_asking = True

    def _raise_refusal(self):
        """A server may close its data port because it refuses the transfer. Then its reply is here, and the session goes on."""
        if self._unsent:
            return
        for _ in self._transfer:
            if self._reader.is_idle() and not self._control.is_ready():
                return
            verb = self._verb()
            code, text = self._next(DRAIN_S)
            if code >= 400 and verb != "REST":
                raise error_for(code, text, verb)

    def _accept_data(self):
        """Active mode: the server connects to us, from the address of the control connection and from nowhere else."""
        try:
            self._data = self._listener.accept(self._peer[0])
        except OSError as e:
            self._data_failed(e, "PORT", "the module's network does not let the server in: set server.mode to passive")
        self._drop_listener()
        self.counts.connections += 1
        self._is_asking = True

    def _has_private_data(self):
        return self._tls not in (TLS_OFF, TLS_CONTROL)

    def _wrap_data(self):
        try:
            self._data = self._net.wrap_tls(self._data, self._peer[2], self.timeout, False)
        except OSError as e:
            self._raise_cause(e, self._transfer[-1].split(" ")[0])
        self.counts.round_trips += 1

    def _data_failed(self, error, verb, advice):
        self.close()
        raise TransportError(number_of(error), verb=verb, step="data connection", advice=advice)

    def _drop_listener(self):
        if self._listener:
            self._listener.close()
            self._listener = None

    def _drop_transfer(self):
        """After a refused EPSV, PASV or PORT: in a flight the commands behind it are refused as well, and their replies read."""
        for _ in self._transfer:
            if self._unsent:
                self._unsent.pop()
                continue
            try:
                self.finish()
            except Error:
                pass  # refused for want of a data connection, as it should be

    def has_begun(self):
        """True once the server has said 1xx to the transfer under way, or to the last one."""
        return self._has_begun

    def wait_begun(self):
        """Return when the server has said 1xx to the transfer. Raises what it says in place of that, or that it says nothing."""
        if not self._has_begun:
            self._read_preliminary()
            self._is_asking = True  # the final reply is waited for as well

    # --- data

    def send_blocks(self, stream, size, buffer, digest=None, progress=None):
        """Send `size` bytes of `stream` over the data connection; returns the bytes sent, fewer if the stream ended early.

        `digest.update` and `progress(bytes so far)` get each block. Raises what the server said, else TransportError."""
        control = self._control
        if not self._has_begun and control.is_ready():  # most refusals are here by now; else they come at the end
            self._read_preliminary()
        view = memoryview(buffer)
        room = len(buffer)
        watch = RateWatch(self._clock)
        left = size
        blocks = 0
        readinto = stream.readinto
        send = self._data.send_some
        while left:
            n = readinto(buffer if left >= room else view[:left])
            if not n:
                break
            block = buffer if n == room else view[:n]
            if digest:
                digest.update(block)
            try:
                count = send(block)
            except OSError as e:
                self._raise_cause(e, "STOR")
            if count != n:
                self._send_rest(view[:n], count, watch, size - left)
            left -= n
            if progress:
                progress(size - left)
            blocks += 1
            if blocks & 3:  # the rest is for every fourth block
                continue
            if watch.is_stalled(size - left):
                self._stalled("STOR")
            if not self._has_begun and control.is_ready():
                self._read_preliminary()
        sent = size - left
        self.counts.sent_bytes += sent
        return sent

    def _send_rest(self, block, at, watch, before):
        """A block from `at` on, behind `before` bytes of the transfer."""
        try:
            while at < len(block):
                if watch.is_stalled(before + at):
                    self._stalled("STOR")
                at += self._data.send(block[at:])
        except OSError as e:
            self._raise_cause(e, "STOR")

    def receive_blocks(self, write, digest=None, progress=None, at_most=None, block_bytes=BLOCK_BYTES):
        """Pass the data connection to `write(block)` until it ends; returns the bytes received. Raises IntegrityError beyond
        `at_most` bytes, with the transfer still to be abandoned; TransportError, or what the server said, if the link dies."""
        if not self._has_begun:
            self._read_preliminary()
        watch = RateWatch(self._clock)
        got = blocks = 0
        size = min(block_bytes, _block_bytes())
        recv = self._data.recv
        while True:
            try:
                block = recv(size)
            except OSError as e:
                self._raise_cause(e, "RETR")
            if not block:
                break
            got += len(block)
            if at_most is not None and got > at_most:
                raise IntegrityError("more than the %d bytes that are due" % at_most, verb="RETR")
            write(block)
            if digest:
                digest.update(block)
            if progress:
                progress(got)
            blocks += 1
            if not blocks & 3 and watch.is_stalled(got):
                self._stalled("RETR")
        self.counts.received_bytes += got
        return got

    def _read_preliminary(self):
        """The 1xx reply, or the final one if that comes first: kept for finish(), or raised if it is negative."""
        verb = self._verb()
        code, text = self._next()
        self._has_begun = True
        self._preliminary = text
        if code >= 400:
            self.close_data()
            raise self._refusal(code, text, verb)
        if code >= 200:
            self._early = text

    def _stalled(self, verb):
        self.close()
        text = "stalled: fewer than %d bytes a second" % RATE_FLOOR_BYTES_S
        raise TransportError(110, text, verb=verb, step="data connection")

    def _raise_cause(self, error, verb):
        """A data connection that died: the server's final reply says why, if there is one; else it is the link."""
        if not self.is_open():
            raise error  # stalled
        number = number_of(error)
        try:
            self.finish(DRAIN_S)
        except (OSError, EOFError):
            pass  # no reply either: the first error is the one to tell
        self.close()
        raise TransportError(number, verb=verb, step="data connection")

    def close_data(self):
        """Close the data connection; for an upload this is the end of the file."""
        if self._data:
            self._data.close()
            self._data = None
        self._drop_listener()

    def finish(self, limit_s=0):
        """Close the data connection and read the final reply: its text. Raises negative ones. Not proof of anything: ask SIZE."""
        self.close_data()
        if self._early:
            text, self._early = self._early, ""
            return text
        verb = self._verb()
        for _ in range(PRELIMINARIES):
            code, text = self._next(limit_s)
            if code >= 200:
                break
            self._has_begun = True
        else:
            self.close()
            raise ProtocolError("only preliminary replies", verb=verb, code=code)
        if code >= 400:
            raise self._refusal(code, text, verb)
        return text

    def _refusal(self, code, text, verb):
        error = error_for(code, text, verb)
        if code == 425 and self._has_private_data():  # not the firewall: the connection was there
            error.advice = ADVICE[522]
        return error

    def abandon_transfer(self):
        """Break off the transfer under way, if there is one, so that the session can go on. Raises if it cannot."""
        if self._awaited or self._early:
            try:
                self.finish()
            except Error:
                if not self.is_open():
                    raise  # else the server says that it was broken off, as it should

    def lines(self, command, take, at_most=LISTING_BYTES):
        """Run a listing; `take(line)` gets each line as bytes, without its end, cut at LINE_BYTES. Returns the final reply.

        IntegrityError, and the session is over, beyond `at_most` bytes."""
        self.post_transfer([], command)
        self.open_data()
        if not self._has_begun:
            self._read_preliminary()
        splitter = _Lines(take)
        try:
            self.receive_blocks(splitter.write, at_most=at_most)
        except Exception:
            self.close()
            raise
        splitter.end()
        return self.finish()

    def close(self):
        """Close everything; never raises, never blocks. The session can be opened again."""
        self.close_data()
        Control.close(self)


def _block_bytes():
    """How much to read at once. A read that finds no memory may have lost what it read, so it must not come to that."""
    if hasattr(gc, "mem_free") and gc.mem_free() < PLENTY_BYTES:
        return SMALL_BLOCK_BYTES
    return BLOCK_BYTES


class RateWatch:
    """Notices a transfer that goes on, but too slowly to ever end."""

    def __init__(self, clock):
        self._clock = clock
        self._start_ms = clock.ticks_ms()
        self._counted = 0

    def is_stalled(self, done):
        now_ms = self._clock.ticks_ms()
        passed_ms = self._clock.ticks_diff(now_ms, self._start_ms)
        if passed_ms < RATE_WINDOW_MS:
            return False
        count, self._counted, self._start_ms = done - self._counted, done, now_ms
        return count * 1000 < RATE_FLOOR_BYTES_S * passed_ms


class _Lines:
    """Cuts blocks of data into lines."""

    def __init__(self, take):
        self._take = take
        self._rest = b""

    def write(self, block):
        start = 0
        while True:
            end = block.find(b"\n", start)
            piece = block[start:end] if end >= 0 else block[start:]
            self._rest += piece[: max(0, LINE_BYTES - len(self._rest))]
            if end < 0:
                return
            self._take(self._rest.rstrip(b"\r"))
            self._rest = b""
            start = end + 1

    def end(self):
        if self._rest:
            self._take(self._rest.rstrip(b"\r"))
