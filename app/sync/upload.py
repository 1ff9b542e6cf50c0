# Uploads: transfer, verify, commit, with some files in hand so that each costs three round trips:
#
#     RNFR a, RNTO a, SIZE b.part, EPSV, STOR c.part    one write
#
# a was verified and gets its final name, b's bytes have arrived and are measured, c's bytes go. RNTO of a file never shares a
# flight with the SIZE that decides about it. Before RNTO goes out the ledger says PUT_VERIFIED; DONE rides with the next append.
# An append costs two block erases, however many records: small files that were verified wait for each other and share one.
#
# Methods that wait for the server are generators, and yield when all is sent and nothing is left but to wait: alternate() lets
# two sessions wait side by side.

import uhashlib
import uio

from app.errors import (
    HALT,
    PARK,
    ConnectionClosed,
    Error,
    IntegrityError,
    PermReply,
    StorageError,
    TempReply,
    TransportError,
)
from app.proto.parse import error_for, parse_size
from app.sync.item import RESUME_BYTES
from app.sync.records import ALL_SENT, CANCEL, FORGET, LOCKED, PUT_DONE, PUT_INTENT, PUT_VERIFIED, UNLIKE

TRIES = 2  # of a file whose size comes out wrong; then it is parked
VERIFIED = 4  # files that get their final names in one flight, behind one append; after a power cut as many may go again
MARKER_SUFFIX = ".ok"
NUMBERS = 9  # names that are tried where another file has the name
STALE_TEMPS = 4  # of so many attempts the temp names are removed: each cut may have kept a DELE from the server
_UNKNOWN = -2  # SIZE was not answered with a number


class Uploader:
    """Sends files through an open session. `report` hears file(), progress, sent(), skipped(), failed(); see ftp_manager.Report."""

    def __init__(self, session, files, ledger, report, buffer, folders, put_away, verify="size", left=()):
        self._ftp = session
        self._files = files
        self._ledger = ledger
        self._report = report
        self._buffer = buffer
        self._put_away = put_away  # (rule, path): what becomes of a file that has arrived
        self._folders = folders
        self._has_proof = verify == "size"  # False: neither SIZE nor rename, for write-only drop boxes
        self._has_marker = verify == "marker"
        self._arrived = None  # Upload whose bytes are on the server, size not known yet
        self._verified = []  # Uploads that were measured and wait for their final names
        # Commands for the next flight whose replies do not matter. `left`: temp names from when we were here last
        self._chores = ["DELE " + temp for temp in left]
        self._again = []  # Uploads that start over in this run
        self._has_sent = False  # a file, in this session

    def run(self, uploads):
        """Send `uploads` (an iterable, which may be shared); the last ones stay in hand, see finish(). A generator.

        Raises what ends the session; what concerns one file goes to the report."""
        for upload in uploads:
            yield from self._step(upload)
            yield from self._repeat()

    def finish(self):
        """Bring everything in hand to its end. A generator."""
        while self._arrived or self._verified or self._chores:
            yield from self._step(None)
            yield from self._repeat()
        if self._has_sent and self._ledger.waiting_count(PUT_DONE) > 1:  # that one has arrived may be known in RAM only, but not of several
            self._save()

    def _repeat(self):
        while self._again:
            yield from self._step(self._again.pop())

    # --- one flight

    def _step(self, upload):
        verified = []
        if len(self._verified) >= VERIFIED or (self._must_note(upload) if upload else not self._arrived):
            verified, self._verified = self._verified, []
        arrived, self._arrived = self._arrived, None
        steps = [(command, None, None) for command in self._chores]
        self._chores = []
        for done in verified:
            if done.is_refused:
                steps.append(("SIZE " + done.remote, self._on_taken, done))
                continue
            if done.is_taken:
                steps.append(("RNFR " + done.remote, None, None))
                steps.append(("RNTO " + done.aside(), None, None))
            steps.append(("RNFR " + done.temp(), self._on_rnfr, done))
            steps.append(("RNTO " + done.remote, self._on_rnto, done))
        if arrived:
            steps.append(("SIZE " + arrived.temp(), self._on_size, arrived))
        if upload and not upload.is_ours:
            yield from self._look_first(steps, upload, [other.remote for other in [arrived] + verified + self._again if other])
            return
        if upload and upload.pending:
            if upload.is_resumable():
                yield from self._resume(steps, upload)
                return
            yield from self._replace_temp(steps, upload, upload.pending)
            verified = steps = []
        is_due = bool(verified) and self._ledger.waiting_count(PUT_VERIFIED) > 0
        if upload:
            yield from self._store(steps, upload, is_due)
        else:
            if is_due:
                self._save()
            yield from self._fly(steps)

    def _must_note(self, upload):
        """True if what is to be done with `upload` begins with an append."""
        return upload.size >= RESUME_BYTES or upload.named or upload.pending or not upload.is_ours

    def _fly(self, steps):
        """Post the flight and hand each reply to its handler. What is left to be posted behind it goes in the same write."""
        self._ftp.post([command for command, _, _ in steps])
        yield from self._settle(steps)

    def _settle(self, steps):
        self._ftp.push()
        yield
        for command, handler, upload in steps:
            code, text = self._ftp.reply()
            if handler:
                handler(upload, code, text)
            elif command.startswith("MKD "):
                self._folders.note(command[4:], code)

    # --- what the replies mean

    def _on_rnfr(self, upload, code, text):
        upload.is_there = code == 350

    def _on_rnto(self, upload, code, text):
        if 200 <= code < 300:
            self._commit(upload)
            if upload.is_taken:
                self._chores.append("DELE " + upload.aside())
        elif not upload.is_there:  # the server removed the temp name after all
            self._start_over(upload, IntegrityError("the temp name is gone: " + text, verb="RNFR", code=code))
        elif code >= 500 and not upload.is_taken:  # it may be a server that does not rename over an existing file
            upload.is_refused = error_for(code, text, "RNTO")
            self._verified.append(upload)
        else:
            if upload.is_taken:  # back to where it was: the old file is better than none
                self._chores += ["RNFR " + upload.aside(), "RNTO " + upload.remote]
            self._give_up(upload, error_for(code, text, "RNTO"))

    def _on_taken(self, upload, code, text):
        """A file has the name: it steps aside. A folder has no size, and stays where it is."""
        error, upload.is_refused = upload.is_refused, None
        if code == 213 and upload.may_replace:
            upload.is_taken = True
            self._verified.append(upload)
        elif code == 213:  # somebody took the name since it was asked for
            upload.is_ours = False
            self._start_over(upload, error)
        else:
            self._give_up(upload, error)

    def _on_size(self, upload, code, text):
        found = parse_size(text) if code == 213 else _UNKNOWN
        if found == upload.size:
            self._verify(upload)
        elif found == _UNKNOWN and code in (500, 502, 504):
            self._give_up(
                upload,
                PermReply(
                    text,
                    verb="SIZE",
                    code=code,
                    advice="the server cannot tell sizes, so nothing can be verified there",
                ),
            )
        else:
            if upload.offset:
                self._ftp.facts.appe = False
            what = "the server holds %s of %d bytes" % (found if found >= 0 else "none", upload.size)
            self._start_over(upload, IntegrityError(what, verb="SIZE", code=code))

    def _verify(self, upload):
        """The server has all of it under its temp name. On flash before RNTO goes out; until then a link that dies costs no byte."""
        if not upload.is_unlike:
            self._note(PUT_VERIFIED, upload)
        self._verified.append(upload)

    def _note(self, kind, upload, flags=0):
        self._ledger.put(
            kind, upload.key, upload.size, upload.digest, upload.serial, upload.attempt, upload.flags(flags)
        )

    def _start_over(self, upload, error):
        upload.tries += 1
        if upload.tries >= TRIES:
            self._give_up(upload, error)
            return
        self._report.retrying(upload.path, error)
        self._chores.append("DELE " + upload.temp())
        self._ledger.put(CANCEL, upload.key)
        upload.next_attempt()
        self._again.append(upload)

    def _give_up(self, upload, error, has_temp=True):
        """This file is over for this run: parked if the error says so, else it goes again in a later cycle."""
        if has_temp:
            self._chores.append("DELE " + upload.temp())
        self._ledger.put(CANCEL, upload.key)
        if isinstance(error, IntegrityError):
            error.action = PARK
        self._report.failed("up", upload.path, upload.key, upload.digest, error)

    def _commit(self, upload):
        """The server has the file under its final name."""
        if upload.rule["after"] != "keep" and self._is_unchanged(upload) and self._put_away(upload.rule, upload.path):
            self._ledger.put(FORGET, upload.key)
        else:
            self._ledger.put(PUT_DONE, upload.key, upload.size, upload.digest, upload.serial, 0, upload.flags())
        if upload.named:
            self._ledger.put(FORGET, upload.named)
        self._has_sent = True
        self._report.sent(upload.path, upload.remote, upload.size, upload.key)

    def _is_unchanged(self, upload):
        """A file that was rewritten while it travelled must not be deleted."""
        if self._files.size(upload.path) != upload.size:
            return False
        return self._files.digest8(upload.path, upload.size, self._buffer) == upload.digest

    # --- bytes

    def _store(self, steps, upload, is_due):
        """Fly `steps` with the transfer of `upload` behind them. `is_due`: they need what the ledger has waiting."""
        if self._has_marker:  # that of an older version
            steps.append(("DELE " + upload.remote + MARKER_SUFFIX, None, None))
        steps.extend([("MKD " + folder, None, None) for folder in self._folders.missing(upload.remote)])
        upload.is_unlike = False
        self._note(PUT_INTENT, upload)
        # Alone, the intent of a small file is not worth two erases, unless its name would be another one.
        is_large = upload.size >= RESUME_BYTES
        asks = is_large and self._has_proof and not (is_due or upload.named or self._ledger.is_crowded())
        if asks:
            steps.append(("SIZE " + upload.remote, self._on_older_size, upload))
        elif is_large or is_due or upload.named:
            self._save()
        try:
            stream = self._files.open(upload.path, "rb")
        except StorageError as e:
            yield from self._fly(steps)
            self._give_up(upload, e)
            return
        try:
            yield from self._transfer(steps, upload, stream, asks)
        finally:
            stream.close()

    def _on_older_size(self, upload, code, text):
        upload.is_unlike = code == 550 or code == 213 and parse_size(text) != upload.size

    def _transfer(self, steps, upload, stream, asks):
        """`asks`: the size under the final name is asked in this flight. If it is another one the intent says so, and after a cut
        tells as much as PUT_VERIFIED would: that needs no append of its own."""
        ftp = self._ftp
        # Never REST before STOR: there are servers that fill with zeros up to there, and then the size is right.
        command = "APPE " if upload.offset else "STOR "
        name = upload.temp() if self._has_proof else upload.remote
        ftp.post_transfer([s[0] for s in steps], command + name)
        yield from self._settle(steps)
        if asks:
            if upload.is_unlike:
                self._note(PUT_INTENT, upload, UNLIKE)
            self._save()  # before the bytes
            upload.is_unlike = upload.is_unlike and not self._ledger.waiting_count()
        try:
            sent = yield from self._send(upload, stream)
        except Error as e:
            if not ftp.is_open():
                raise
            self._refused(upload, e)
            return
        except (TransportError, ConnectionClosed, GeneratorExit):  # the last: the other session died
            self._note_cut(upload)
            raise
        if not sent:
            self._chores.append("DELE " + name)
            self._ledger.put(CANCEL, upload.key)
            self._report.skipped("up", upload.path, "it changed while it was sent; it goes again in the next cycle")
        elif self._has_proof:
            self._arrived = upload
        else:
            self._commit(upload)

    def _note_cut(self, upload):
        """The link died under a transfer: note what the next session must know. Goes to flash with the next append."""
        flags = 0
        if not self._ftp.has_begun():
            # No 150: perhaps the server holds the partial locked for a session that it believes alive. Then a fresh name.
            flags = LOCKED if upload.offset else 0
        elif upload.is_sent:
            flags = ALL_SENT  # only the final reply is missing: the size is asked, however small the file is
        self._note(PUT_INTENT, upload, flags)

    def _send(self, upload, stream):
        """The bytes from upload.offset on; True if what went is what the scan saw."""
        ftp = self._ftp
        ftp.open_data()
        self._report.file("up", upload.path, upload.size)
        digest = uhashlib.sha256()
        if upload.offset:
            self._files.digest(upload.path, upload.offset, digest, self._buffer)
            stream.seek(upload.offset)
        sent = ftp.send_blocks(stream, upload.size - upload.offset, self._buffer, digest, self._report.progress)
        upload.is_sent = upload.offset + sent == upload.size and digest.digest()[:8] == upload.digest
        ftp.close_data()
        yield
        try:
            ftp.finish()
        except TempReply as e:
            if e.code not in (426, 451) or not ftp.is_open():
                raise
            # All bytes went: the size decides. With TLS servers miss the end that the firmware's TLS does not send.
        if upload.is_sent and self._has_marker:
            self._mark(upload.remote, str(upload.size).encode())
        return upload.is_sent

    def _mark(self, name, size):
        """Tell the readers of a drop box that a file is whole."""
        ftp = self._ftp
        ftp.post_transfer([], "STOR " + name + MARKER_SUFFIX)
        ftp.open_data()
        ftp.send_blocks(uio.BytesIO(size), len(size), self._buffer)
        ftp.finish()

    def _refused(self, upload, error):
        if error.action == HALT:
            raise error
        if upload.offset and error.code not in (425, 426, 452, 552):  # it may still take the whole file
            self._ftp.facts.appe = False
            self._folders.forget()
            self._start_over(upload, error)
            return
        if error.code in (550, 553, 450, 451) and self._folders.has(upload.remote) and upload.tries == 0:
            self._folders.forget()  # somebody may have removed the folder
            upload.tries += 1
            upload.offset = 0
            self._again.append(upload)
            return
        self._give_up(upload, error, self._ftp.has_begun())

    # --- another file of that name

    def _look_first(self, steps, upload, in_hand):
        """Ask whether the name is taken, and by the rule take another one or leave the file where it is. The names of files
        `in_hand` are not there yet, and taken all the same."""
        numbers = range(NUMBERS + 1) if upload.rule["on_conflict"] == "suffix" else (0,)
        free = []
        errors = []

        def note(number):
            def take(_, code, text):
                if code == 550:
                    if upload.wanted(number) not in in_hand:
                        free.append(number)
                elif code != 213:  # it does not tell
                    errors.append(error_for(code, text, "SIZE"))

            return take

        steps.extend([("SIZE " + upload.wanted(number), note(number), upload) for number in numbers])
        self._save()
        yield from self._fly(steps)
        if errors:
            self._report.failed("up", upload.path, upload.key, upload.digest, errors[0])
        elif free:
            upload.take_number(free[0])
            upload.is_ours = True
            self._again.append(upload)
        else:
            advice = "upload.on_conflict says what to do: overwrite, or suffix"
            error = PermReply("the server has another file of that name", verb="SIZE", advice=advice)
            self._report.failed("up", upload.path, upload.key, upload.digest, error)

    # --- going on after a cut

    def _resume(self, steps, upload):
        """Ask what the server has of a file that was under way, then finish it with as few bytes as possible."""
        pending, upload.pending = upload.pending, None
        answers = {}

        def note(name):
            def take(_, code, text):
                answers[name] = parse_size(text) if code == 213 else _UNKNOWN

            return take

        steps.append(("SIZE " + upload.temp(), note("temp"), upload))
        steps.append(("SIZE " + upload.remote, note("final"), upload))
        self._save()
        yield from self._fly(steps)
        held = answers["temp"]
        if held == upload.size:
            self._verify(upload)
        elif held == _UNKNOWN and pending.may_be_renamed() and answers["final"] == upload.size:
            self._commit(upload)  # the rename took place and only its record was lost
        else:
            if RESUME_BYTES <= held < upload.size and self._ftp.facts.appe:
                upload.offset = held
            else:
                yield from self._replace_temp([], upload, pending)
            self._again.append(upload)

    def _replace_temp(self, steps, upload, pending):
        """What the cut left on the server under a temp name is of no use: remove it, and do not write to it, it may be locked.

        It is gone before the ledger names its successor: a second cut between the two would leave it there for good."""
        upload.pending = None
        for attempt in range(max(0, pending.attempt - STALE_TEMPS + 1), pending.attempt + 1):
            steps.append(("DELE " + upload.stale_temp(attempt, pending.digest), None, None))
        self._save()
        yield from self._fly(steps)
        upload.next_attempt(pending.attempt)

    def _save(self):
        """Bring the ledger to flash. A full flash does not stop uploads, they are what makes room: after a cut some may go again."""
        try:
            self._ledger.flush()
        except StorageError as e:
            self._report.trouble(e)


def alternate(*runs):
    """Let them go on in turn until all have ended: each waits for its server while the other works. If one raises, all are over."""
    left = list(runs)
    try:
        while left:
            for run in list(left):
                try:
                    next(run)
                except StopIteration:
                    left.remove(run)
    finally:
        for run in left:
            run.close()
