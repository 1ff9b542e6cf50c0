# Downloads, folder way: what lies in a folder on the server appears in a folder on the module. Each file is written to the
# state folder of the target's mount, measured, entered in the ledger, and only then renamed into place.

import uhashlib

from app.errors import HALT, PARK, ConnectionClosed, Error, IntegrityError, PermReply, StorageError, TransportError
from app.proto.parse import parse_fact_size, parse_facts, parse_size
from app.sync.item import CONFLICT, SKIP, plan_download
from app.sync.records import CANCEL, GET_DONE, GET_INTENT, get_key, version_stamp
from app.sync.staging import clear_staged, settle, staged_path
from app.sync.rules import TEMP_SUFFIX, is_protected, mount_of, why_too_long, why_unsafe

BATCH = 32  # entries of a remote folder held at once; the folder is listed again for the next ones
DEPTH = 8
TRIES = 2
RESUME_BYTES = 16384  # a shorter partial is not worth going on with


OVERWRITES = "it would overwrite a file that has not been sent yet"


class Conflict(Exception):
    """The file here was changed while the new one travelled."""


class Remote:
    """An entry of a remote folder. `stamp` is what tells one version from another on server number `server`."""

    def __init__(self, name, is_folder, size, mark, server=0):
        self.name = name
        self.is_folder = is_folder
        self.size = size
        self.stamp = version_stamp(size, mark, server)


class Downloader:
    """Fetches through an open session. `is_local_safe(path, size)`: True if what lies at `path` may be overwritten."""

    def __init__(self, session, files, ledger, report, buffer, reserve_blocks, is_local_safe, why_wait):
        self._ftp = session
        self._files = files
        self._ledger = ledger
        self._report = report
        self._buffer = buffer
        self._reserve_blocks = reserve_blocks
        self._is_local_safe = is_local_safe
        self._why_wait = why_wait  # of app.budget
        self._free_blocks = None  # as far as known; statvfs walks the whole file system, so it is asked rarely

    def run(self, remote, local, depth=0):
        """Bring everything new below the folder `remote` to `local`. True if everything was looked at."""
        after = ""
        is_complete = True
        while True:
            batch, is_last = self._list(remote, after)
            for entry in batch:
                after = entry.name
                path = local.rstrip("/") + "/" + entry.name
                name = remote + "/" + entry.name
                reason = why_unsafe(entry.name) or why_too_long(name)
                if is_protected(path):
                    reason = reason or "the name is protected on the module"
                if reason:
                    self._report.skipped("down", name, reason)
                elif not entry.is_folder:
                    self._consider(entry, name, path)
                elif depth < DEPTH:
                    is_complete = self.run(name, path, depth + 1) and is_complete
                else:
                    self._report.skipped("down", name, "deeper than %d folders" % DEPTH)
            if is_last:
                return is_complete

    # --- what is there

    def _list(self, folder, after):
        """The first BATCH entries whose names sort behind `after`, and whether they are the last."""
        batch = _Batch(after, self._report, folder, self._ledger.server)
        if self._ftp.facts.mlsd:
            try:
                self._ftp.lines("MLSD " + folder, batch.take_facts)
                return batch.found, not batch.is_full
            except PermReply as e:
                if not self._ftp.is_open():  # it was the login that was refused
                    raise
                if e.code == 550:
                    return self._no_folder(folder, e)
                self._ftp.facts.mlsd = False
        try:
            self._ftp.lines("NLST " + folder, batch.take_name)
        except Error as e:
            if e.code not in (450, 550) or not self._ftp.is_open():
                raise
            return self._no_folder(folder, e)
        self._measure(folder, batch)
        return batch.found, not batch.is_full

    def _no_folder(self, folder, error):
        self._report.no_folder(folder, error)
        return [], True

    def _measure(self, folder, batch):
        """Without MLSD: ask SIZE and MDTM of every name in one flight. What has no size is taken for a folder."""
        names = [entry.name for entry in batch.found]
        commands = []
        for name in names:
            commands.append("SIZE %s/%s" % (folder, name))
            commands.append("MDTM %s/%s" % (folder, name))
        self._ftp.post(commands)
        for i, name in enumerate(names):
            code, size = self._ftp.reply()
            mark_code, mark = self._ftp.reply()
            if code == 213:
                mark = mark[4:] if mark_code == 213 else ""
                batch.found[i] = Remote(name, False, parse_size(size), mark, self._ledger.server)
            elif code in (500, 502, 504):  # it does not tell sizes: nothing here can be fetched
                batch.found[i] = Remote(name, False, -1, "")
            else:
                batch.found[i] = Remote(name, True, -1, "")

    # --- one file

    def _consider(self, entry, name, path):
        if entry.size < 0:
            self._report.skipped("down", name, "the server does not tell its size")
            return
        key = get_key(path)
        if self._report.is_parked(key, entry.stamp):
            return
        local_size = self._files.size(path)
        if local_size == -1:
            self._report.skipped("down", name, "a folder of that name is in the way")
            return
        got, local_size = self._settled(key, path, local_size)
        # What came from another server has a stamp that says nothing here: the size decides alone.
        stamp = got.stamp if got and self._ledger.is_of_other(got) else entry.stamp
        todo = plan_download(got, entry.size, stamp, local_size, lambda: self._is_local_safe(path, local_size))
        if todo == SKIP:
            return
        if todo == CONFLICT:
            self._report.skipped("down", name, OVERWRITES)
            return
        reason = self._why_wait(entry.size)
        if reason:
            self._report.waiting(name, reason)
        else:
            self._fetch(entry, name, path, key)

    def _settled(self, key, path, local_size):
        """The ledger's entry of `path`, and the size of what is there."""
        digest = b""
        if local_size is not None and self._ledger.under_way(key):
            digest = self._files.digest8(path, local_size, self._buffer)
        got, is_there = settle(self._files, self._ledger, path, local_size, digest)
        return got, local_size if is_there else None

    def _fetch(self, entry, name, path, key):
        error = None
        for _ in range(TRIES):
            try:
                self._fits(entry, path)
                digest = self._receive(entry, name, path)
                self._put_in_place(entry, path, key, digest)
                self._report.fetched(name, path, entry.size)
                return
            except Conflict as e:
                self._report.skipped("down", name, e.args[0])
                return
            except StorageError as e:
                self._free_blocks = None
                self._ftp.abandon_transfer()
                self._report.skipped("down", name, e.text(), e)
                return
            except IntegrityError as e:
                error = e
                self._ftp.abandon_transfer()
                self._report.retrying(name, e)
            except Error as e:
                if e.action == HALT or not self._ftp.is_open():
                    raise
                error = e
                break
        if isinstance(error, IntegrityError):
            error.action = PARK
        self._report.failed("down", name, key, entry.stamp, error)

    def _fits(self, entry, path):
        """StorageError if what is missing of the file and the reserve do not fit; the old copy stays until the new one is complete."""
        files = self._files
        staged = staged_path(path, entry.stamp)
        need = files.blocks_for(entry.size) - files.blocks_for(files.size(staged) or 0) + self._reserve_blocks
        if self._free_blocks is None or need > self._free_blocks:
            self._free_blocks = files.free_blocks(path)
        if need > self._free_blocks and clear_staged(files, mount_of(path), (staged,)):
            self._free_blocks = files.free_blocks(path)
        if need > self._free_blocks:
            raise StorageError(
                "needs %d blocks of flash with the reserve, %d are free" % (need, self._free_blocks),
                step="space",
                code=28,
            )

    def _receive(self, entry, name, path):
        """The file's bytes are in the staged file; returns their digest. Goes on with a partial of the same version.

        A link that dies leaves the partial for the next session; any other failure leaves nothing."""
        staged = staged_path(path, entry.stamp)
        self._files.make_folders(staged.rsplit("/", 1)[0])
        held = self._files.size(staged) or 0
        digest = uhashlib.sha256()
        offset = held if held and held == entry.size or RESUME_BYTES <= held < entry.size else 0
        if offset:
            try:
                self._files.digest(staged, offset, digest, self._buffer)
            except StorageError:  # FAT may lose the chain of a file that was cut: it cannot be gone on with
                self._files.remove(staged)
                offset = 0
                digest = uhashlib.sha256()
        if offset:
            if offset == entry.size:  # all of it was here when the link died
                return digest.digest()[:8]
        ftp = self._ftp
        ftp.post_transfer([], "RETR " + name, offset)
        if not ftp.open_data():
            offset = 0
            digest = uhashlib.sha256()
        self._report.file("down", name, entry.size)
        writer = self._files.writer(staged, offset)
        try:
            got = ftp.receive_blocks(writer.write, digest, self._report.progress, entry.size - offset)
            ftp.finish()
            if offset + got != entry.size:
                if offset + got < entry.size:
                    writer.keep()  # what arrived is right as far as it goes
                raise IntegrityError("%d of %d bytes arrived" % (offset + got, entry.size), verb="RETR")
            writer.close()
        except (TransportError, ConnectionClosed):
            writer.keep()
            raise
        finally:
            writer.abandon()
        return digest.digest()[:8]

    def _put_in_place(self, entry, path, key, digest):
        folder = path.rsplit("/", 1)[0]
        if self._files.size(folder) is None:
            self._files.make_folders(folder)
        staged = staged_path(path, entry.stamp)
        size = self._files.size(path)
        if size is not None and not self._is_local_safe(path, size):
            self._files.remove(staged)
            raise Conflict(OVERWRITES)
        if (
            size == entry.size and self._files.digest8(path, size, self._buffer) == digest
        ):  # the version is new, the content is not
            self._files.remove(staged)
        else:
            self._ledger.put(GET_INTENT, key, entry.size, digest, entry.stamp)
            self._ledger.flush()
            try:
                self._files.commit(staged, path, entry.size)
            except StorageError:
                self._ledger.put(CANCEL, key)  # what is staged may be gone without having been renamed
                raise
        self._ledger.put(GET_DONE, key, entry.size, digest, entry.stamp)
        self._free_blocks -= self._files.blocks_for(entry.size)


class _Batch:
    """Keeps the BATCH smallest names behind `after` of a listing of any length."""

    def __init__(self, after, report, folder, server):
        self._after = after
        self._server = server
        self._report = report
        self._folder = folder
        self.found = []
        self.is_full = False

    def take_facts(self, line):
        text = self._text(line)
        if text is None:
            return
        name, facts = parse_facts(text)
        kind = facts.get("type", "").lower()
        if kind in ("cdir", "pdir") or name in (".", "..") or name.endswith(TEMP_SUFFIX):
            return
        if kind in ("file", "dir"):
            mark = facts.get("modify", "")
            self._keep(name, lambda: Remote(name, kind == "dir", parse_fact_size(facts), mark, self._server))

    def take_name(self, line):
        text = self._text(line)
        if text is None:
            return
        name = text.rsplit("/", 1)[-1]
        if name in ("", ".", "..") or name.endswith(TEMP_SUFFIX):
            return
        reason = why_unsafe(name) or why_too_long(self._folder + "/" + name)
        if reason:  # before anything is asked about it
            self._report.skipped("down", self._folder + "/" + name, reason)
            return
        self._keep(name, lambda: Remote(name, False, -1, ""))

    def _text(self, line):
        self._report.alive()  # long listings take long, and a folder is listed again for each batch
        try:
            return str(line, "utf-8")
        except ValueError:  # a PC checks, the module does not
            self._report.skipped("down", self._folder, "a name in it is not UTF-8")
            return None

    def _keep(self, name, make):
        found = self.found
        if name <= self._after or (len(found) == BATCH and name >= found[-1].name):
            self.is_full = self.is_full or name > self._after
            return
        at = len(found)
        while at and found[at - 1].name > name:
            at -= 1
        found.insert(at, make())
        if len(found) > BATCH:
            found.pop()
            self.is_full = True
