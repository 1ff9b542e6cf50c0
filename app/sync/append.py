# Files that grow: only the new bytes go, to the same file on the server. What was sent is known by its size and digest; a log
# that was rotated, cut short or rewritten, and a file on the server that somebody else changed, begin a new file there.

import uhashlib

from app.errors import LATER, PARK, Error, IntegrityError, PermReply, StorageError
from app.proto.parse import error_for, parse_size
from app.sync.names import render, with_number
from app.sync.records import PUT_DONE, PUT_INTENT, log_key, name_key

TRIES = 2  # of a file in one cycle: the second under a new name
LOOK_BYTES = 256  # from the end, for the last end of a line: a larger block may find no room in the heap
_MISSING = -1


class _Log:
    """A file that grows. `start`: bytes that the server has for sure; `end`: bytes that it is to have."""

    def __init__(self, path, key, generation, serial):
        self.path = path
        self.key = key
        self.generation = generation  # number of the file on the server, of those that this one has had
        self.serial = serial
        self.start = 0
        self.reach = 0  # up to here the server may have it, from a try that was cut
        self.end = 0
        self.digest = b""  # of the bytes up to `end`
        self.remote = ""


class Appender:
    """Sends through an open session. One file at a time; its size is asked in the flight of the next one."""

    def __init__(self, session, files, ledger, report, buffer, folders, outbox):
        self._ftp = session
        self._files = files
        self._ledger = ledger
        self._report = report
        self._buffer = buffer
        self._folders = folders
        self._outbox = outbox
        self._arrived = None  # _Log whose bytes are on the server, size not known yet

    def run(self, rule):
        """Send what is new in all files of a rule. Raises what ends the session; what concerns one file goes to the report."""
        for path, size, relative in self._outbox.files_of(rule):
            for _ in range(TRIES):
                log = self._plan(rule, path, size, relative)
                if not log or self._send(log):
                    break
        if self._arrived:
            self._ftp.post(["SIZE " + self._arrived.remote])
            self._judge()

    # --- what is new

    def _plan(self, rule, path, size, relative):
        """A _Log, or None if there is nothing to send."""
        outbox, ledger = self._outbox, self._ledger
        pieces, values, remote = outbox.target(rule, relative)
        reason = outbox.why_not(rule, path, size, remote)
        if reason:
            self._report.skipped("up", path, reason)
            return None
        self._keep_others(path, remote)
        key = log_key(path, remote, ledger.server)
        done, pending = ledger.find(key), ledger.under_way(key)
        log = _Log(path, key, done.attempt if done else 0, done.stamp if done else 0)
        if done and done.size:
            if not self._is_prefix(path, done, size):
                self._begin_again(log)
            else:
                log.start = log.reach = done.size
        if pending and pending.attempt == log.generation and self._is_prefix(path, pending, size):
            log.reach = max(log.start, pending.size)
            log.serial = pending.stamp
        log.end = max(log.reach, self._end_of_lines(path, log.start, size) if rule["whole_lines"] else size)
        if log.end == log.start:
            return None
        log.digest = self._files.digest8(path, log.end, self._buffer)
        if log.digest is None or self._report.is_parked(key, log.digest):
            return None
        if outbox.must_wait(rule, path, log.end - log.start):
            return None
        log.serial = log.serial or ledger.next_serial()
        if "{" in remote:
            named = name_key(path, remote, ledger.server)
            same = b"%8d" % (log.generation % 100000000)  # one name for the life of the file there
            passing = outbox.passing(rule, pieces, named, same, log.serial)
            if passing is None:
                self._report.waiting(path, "the clock is not set, and its name holds date or time")
                return None
            values.update(passing)
        log.remote = with_number(render(pieces, values), log.generation)
        return log

    def _keep_others(self, path, remote):
        """What other servers have of it counts when we are back there: it is asked for, so that it is not taken for gone."""
        ledger = self._ledger
        for server in ledger.servers:
            if server != ledger.server:
                ledger.find(log_key(path, remote, server))
                ledger.under_way(log_key(path, remote, server))
                ledger.find(name_key(path, remote, server))

    def _is_prefix(self, path, entry, size):
        """True if the file still begins with what the entry is of."""
        return entry.size <= size and self._files.digest8(path, entry.size, self._buffer) == entry.digest

    def _begin_again(self, log):
        """The file here, or the one on the server, is another one now: all of it goes, to a new file there."""
        log.generation = (log.generation + 1) % 65536
        log.start = log.reach = 0
        log.serial = self._ledger.next_serial()
        self._ledger.put(PUT_DONE, log.key, 0, b"", log.serial, log.generation)

    def _end_of_lines(self, path, start, size):
        """Where the last whole line between two places ends; `start` if none does."""
        stream = self._files.open(path, "rb")
        try:
            while size > start:
                at = max(start, size - LOOK_BYTES)
                stream.seek(at)
                found = stream.read(size - at).rfind(b"\n")
                if found >= 0:
                    return at + found + 1
                size = at
        except OSError:
            raise StorageError("read " + path, step="read")
        finally:
            stream.close()
        return start

    # --- sending

    def _send(self, log):
        """True if the file is done with for this cycle, False if it is to be planned once more."""
        ftp = self._ftp
        try:
            stream = self._files.open(log.path, "rb")
        except StorageError as e:
            self._fail(log, e)
            return True
        try:
            self._ledger.put(PUT_INTENT, log.key, log.end, log.digest, log.serial, log.generation)
            try:
                self._ledger.flush()
            except StorageError as e:  # a full flash: after a cut it would go again, to a new file
                self._report.trouble(e)
            digest = uhashlib.sha256()  # of what is there already: read now, while no data connection waits
            self._files.digest(log.path, log.start, digest, self._buffer)
            at = self._ask(log)
            if not log.start <= at <= log.reach and at != _MISSING:
                self._leave()
                what = "the server holds %d bytes of %s, not %d" % (at, log.remote, log.start)
                self._report.retrying(log.path, IntegrityError(what, verb="SIZE"))
                self._begin_again(log)
                return False
            if at != log.start:  # a part of what was cut is there, or nothing at all
                digest = uhashlib.sha256()
                self._files.digest(log.path, max(0, at), digest, self._buffer)
            self._transfer(log, stream, max(0, at), digest)
        except StorageError:  # in the middle of a transfer
            ftp.close()
            raise
        except Error as e:
            if not ftp.is_open():
                raise
            if e.verb == "APPE" and e.code in (500, 501, 502, 504):
                ftp.facts.appe = False
                return False
            self._folders.forget()
            self._fail(log, e)
        finally:
            stream.close()
        return True

    def _ask(self, log):
        """Bytes that the server holds, or _MISSING; the transfer is posted behind the question where that can do no harm."""
        ftp = self._ftp
        folders = self._folders.missing(log.remote)
        before = ["SIZE " + self._arrived.remote] if self._arrived else []
        before += ["MKD " + folder for folder in folders] + ["SIZE " + log.remote]
        if ftp.facts.appe:  # to append nothing changes nothing
            ftp.post_transfer(before, "APPE " + log.remote)
        else:
            ftp.post(before)
        if self._arrived:
            self._judge()
        for folder in folders:
            self._folders.note(folder, ftp.reply()[0])
        code, text = ftp.reply()
        if code in (500, 502, 504):
            self._leave()
            advice = "the server cannot tell sizes: send the file with mode = whole"
            raise PermReply(text, verb="SIZE", code=code, advice=advice)
        if 400 <= code < 500:
            self._leave()
            raise error_for(code, text, "SIZE")
        return parse_size(text) if code == 213 else _MISSING

    def _leave(self):
        """End the transfer that was posted behind a question, without a byte."""
        ftp = self._ftp
        if ftp.is_open() and ftp.facts.appe:
            try:
                ftp.open_data()
                ftp.finish()
            except Error:
                if not ftp.is_open():
                    raise

    def _transfer(self, log, stream, at, digest):
        ftp = self._ftp
        if not ftp.facts.appe:
            self._check_rest(at)
            ftp.post_transfer([], "STOR " + log.remote, at)
        if not ftp.open_data():
            ftp.close()
            raise self._no_way()
        if (
            at < log.reach
        ):  # a session that a cut left behind may keep the file locked: bytes sent into that arrive after others
            ftp.wait_begun()
        self._report.file("up", log.path, log.end - at)
        stream.seek(at)
        ftp.send_blocks(stream, log.end - at, self._buffer, digest, self._report.progress)
        ftp.finish()
        if digest.digest()[:8] != log.digest:
            self._begin_again(log)
            self._report.waiting(log.path, "it changed while it was sent; it goes again, to a new file")
        else:
            self._arrived = log

    def _check_rest(self, at):
        """STOR goes only where REST works: alone it writes the end of the log over its beginning. A round trip more."""
        if at:
            self._ftp.post(["REST %d" % at])
            if self._ftp.reply()[0] != 350:
                raise self._no_way()

    def _no_way(self):
        return PermReply("neither APPE nor REST works there", verb="REST", advice="send the file with mode = whole")

    def _judge(self):
        """The size on the server decides whether the last one has arrived."""
        log, self._arrived = self._arrived, None
        code, text = self._ftp.reply()
        size = parse_size(text) if code == 213 else _MISSING
        if size == log.end:
            self._ledger.put(PUT_DONE, log.key, log.end, log.digest, log.serial, log.generation)
            self._report.sent(log.path, log.remote, log.end - log.start, log.key)
            return
        error = IntegrityError("the server answers %s, not %d bytes" % (text, log.end), verb="SIZE", code=code)
        if log.start <= size < log.end:
            error.action = LATER  # cut short; the intent is on record, and the next cycle goes on from there
        else:
            error.action = (
                PARK  # until it has grown: a server that never has the right size must not get all of it in each cycle
            )
            self._begin_again(log)
        self._report.failed("up", log.path, log.key, log.digest, error)

    def _fail(self, log, error):
        self._report.failed("up", log.path, log.key, log.digest, error)
