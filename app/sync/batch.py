# Many small files as one: a tar that is made while it is sent, over one data connection, verified and renamed like any file.
#
# Before its RNTO goes out the ledger says PUT_VERIFIED of the batch and PUT_DONE of its files, in one append: two block erases
# for all of them. A cut between the two is settled by what the server has; if it has neither name, the files are forgotten.

import uhashlib

from app.errors import LATER, PARK, Error, IntegrityError, StorageError
from app.proto.parse import error_for, parse_size
from app.sync.names import parse, render
from app.sync.records import BATCHED, CANCEL, PUT_DONE, PUT_VERIFIED, Entry, batch_key, put_key
from app.sync.rules import temp_name
from app.sync.tar import Tar, tar_size, why_untarable

LEFTOVERS = 8  # temp names that are remembered
_UNKNOWN = -2


class Batcher:
    """Sends through an open session, a batch at a time."""

    def __init__(self, session, files, ledger, report, buffer, folders, outbox, clock, leftovers):
        self._ftp = session
        self._files = files
        self._ledger = ledger
        self._report = report
        self._buffer = buffer
        self._folders = folders
        self._outbox = outbox
        self._clock = clock
        self._leftovers = leftovers  # temp names of batches that were cut in this boot; outlives the session

    def run(self, rule):
        """Send what is new of a rule. Raises what ends the session; what concerns a batch or a file goes to the report."""
        outbox = self._outbox
        folder = render(parse(rule["to"]), {"device": outbox.device, "imei": outbox.imei})
        folder += "/" if folder else ""
        key = batch_key(rule["from"], folder)
        self._settle(rule, key, folder)
        members = []
        for path, size, relative in outbox.files_of(rule):
            member = self._consider(rule, path, size, relative, folder)
            if not member:
                continue
            if members and (
                len(members) == rule["batch_files"] or tar_size([m[2] for m in members] + [size]) > rule["batch_bytes"]
            ):
                if not self._send(rule, members, key, folder):
                    return
                members = []
            members.append(member)
        if members:
            self._send(rule, members, key, folder)

    def _consider(self, rule, path, size, relative, folder):
        """A member of the next batch, (path, name, size, digest), or None."""
        remote = folder + relative
        reason = self._outbox.why_not(rule, path, size, remote) or why_untarable(relative)
        if reason:
            self._report.skipped("up", path, reason)
            return None
        digest = self._files.digest8(path, size, self._buffer)
        if digest is None or self._report.is_parked(put_key(path, remote), digest):
            return None
        done = self._ledger.find(put_key(path, remote))
        if done and done.is_of(size, digest):
            if rule["after"] != "keep":
                self._outbox.put_away(rule, path)
            return None
        if not self._outbox.is_settled(rule, path, digest) or self._outbox.must_wait(rule, path, size):
            return None
        return path, relative, size, digest

    # --- one batch

    def _name(self, folder, serial):
        return folder + "batch-%08d.tar" % serial

    def _send(self, rule, members, key, folder):
        """True if the next batch may be tried in this session."""
        ftp, ledger = self._ftp, self._ledger
        serial = ledger.next_serial()
        name = self._name(folder, serial)
        size = tar_size([member[2] for member in members])
        digest = uhashlib.sha256()
        for member in members:
            digest.update(member[3])
        digest = digest.digest()[:8]
        temp = temp_name(name, digest)
        missing = self._folders.missing(name)
        tar = Tar(self._files, members, self._clock.seconds() or 0)
        stale = self._leftovers[:]
        try:
            self._leftovers.append(temp)
            if len(self._leftovers) > LEFTOVERS:
                self._leftovers.pop(0)
            ftp.post_transfer(["DELE " + path for path in stale] + ["MKD " + path for path in missing], "STOR " + temp)
            for path in stale:
                ftp.reply()
                self._forget(path)
            for path in missing:
                self._folders.note(path, ftp.reply()[0])
            ftp.open_data()
            self._report.file("up", name, size)
            sent = ftp.send_blocks(tar, size, self._buffer, None, self._report.progress)
            ftp.finish()
            if tar.is_changed or sent != size:
                ftp.post(["DELE " + temp])
                ftp.reply()
                self._report.waiting(rule["from"], "a file changed while its batch was sent; it goes again")
                return False
            ftp.post(["SIZE " + temp])
            code, text = ftp.reply()
            found = parse_size(text) if code == 213 else _UNKNOWN
            if found != size:
                ftp.post(["DELE " + temp])
                ftp.reply()
                what = "the server holds %s of %d bytes" % (found if found >= 0 else "none", size)
                raise IntegrityError(what, verb="SIZE", code=code)
            self._note(members, folder, Entry(PUT_VERIFIED, key, size, digest, serial, server=ledger.server))
            self._forget(temp)  # from here on the ledger knows it
            self._rename(temp, name)
        except StorageError:  # in the middle of a transfer
            ftp.close()
            raise
        except Error as e:
            if not ftp.is_open():
                raise
            self._folders.forget()
            if e.action == PARK:
                e.action = LATER  # it is the fault of no single file
            self._report.failed("up", name, key, digest, e)
            return False
        finally:
            tar.close()
        ledger.put(CANCEL, key)
        for path, relative, size, digest in members:
            remote = folder + relative
            if rule["after"] != "keep" and self._files.digest8(path, size, self._buffer) == digest:
                if self._files.size(path) == size:
                    self._outbox.put_away(rule, path)
            self._report.sent(path, name + ":" + relative, size, put_key(path, remote))
        return True

    def _forget(self, temp):
        if temp in self._leftovers:
            self._leftovers.remove(temp)

    def _note(self, members, folder, batch):
        self._ledger.flush()
        self._ledger.write(self._records(members, folder, batch))

    def _records(self, members, folder, batch):
        """The batch first: files whose batch is not in the ledger must not be in it either."""
        yield batch
        for path, relative, size, digest in members:
            key = put_key(path, folder + relative)
            yield Entry(PUT_DONE, key, size, digest, batch.stamp, 0, BATCHED, batch.server)

    def _rename(self, temp, name):
        ftp = self._ftp
        ftp.post(["RNFR " + temp, "RNTO " + name])
        ftp.reply()
        code, text = ftp.reply()
        if not 200 <= code < 300:
            raise error_for(code, text, "RNTO")

    # --- after a cut

    def _settle(self, rule, key, folder):
        """A batch that was verified and perhaps not renamed. Where another server had it, it counts as not sent."""
        ledger = self._ledger
        elsewhere = ledger.begun_elsewhere(key)
        pending = elsewhere or ledger.under_way(key)
        if not pending:
            return
        if elsewhere:
            self._outbox.leave(pending.server, temp_name(self._name(folder, pending.stamp), pending.digest))
        elif pending.kind == PUT_VERIFIED and self._has_arrived(pending, folder):
            ledger.put(CANCEL, key)
            ledger.flush()
            return
        for path, _, relative in self._outbox.files_of(rule):
            member = put_key(path, folder + relative)
            entry = ledger.find(member)
            if entry and entry.flags == BATCHED and entry.stamp == pending.stamp:
                ledger.forget(member)
        ledger.put(CANCEL, key)
        ledger.flush()

    def _has_arrived(self, pending, folder):
        """Look what the server has of a batch. Neither name: perhaps it was taken away already, perhaps it never arrived."""
        ftp = self._ftp
        name = self._name(folder, pending.stamp)
        temp = temp_name(name, pending.digest)
        ftp.post(["SIZE " + temp, "SIZE " + name])
        sizes = []
        for _ in range(2):
            code, text = ftp.reply()
            sizes.append(parse_size(text) if code == 213 else _UNKNOWN)
        if sizes[0] == pending.size:
            try:
                self._rename(temp, name)
                return True
            except Error as e:  # it never gets its name: its files go again, in another batch
                if not ftp.is_open():
                    raise
                self._report.retrying(name, e)
                self._leftovers.append(temp)
        return sizes[1] == pending.size
