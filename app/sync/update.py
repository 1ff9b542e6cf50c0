# Updates by manifest: a set of files that comes whole or not at all. Fetched to the state folders, verified, entered in the
# ledger, then put in place by app/apply.py. docs/PROTOCOL.md, "An update".

import ubinascii
import uhashlib
import ustruct

from app.errors import PARK, ConfigError, Error, IntegrityError, PermReply, StorageError
from app.proto.parse import error_for, parse_size
from app.sync.folders import Folders
from app.sync.manifest import MANIFEST_BYTES, ManifestError, mounts_of, parse, why_not_here
from app.sync.records import GET_DONE, GET_INTENT, UPDATE, UPDATE_KEY, Entry, get_key, version_stamp
from app.sync.rules import STATE_FOLDER, is_own_code, mount_of
from app.sync.staging import clear_staged, staged_path

TRIES = 2  # of a file whose digest comes out wrong
GAP_BYTES = 16384  # of a pack that are read for nothing rather than asking again: three round trips cost as much
CONFIG = "/usr/config.json"
_FOLDER_BLOCKS = 2
_IN_PLACE = "version %d is in place"


class _Enough(Exception):
    """The rest of the pack is not needed."""


class Updater:
    """Fetches through an open session. `check_settings(values)` gives the new config.json as bytes, or raises ConfigError."""

    def __init__(self, session, files, ledger, report, buffer, config, outbox, seconds, apply, check_settings):
        self._ftp = session
        self._files = files
        self._ledger = ledger
        self._report = report
        self._buffer = buffer
        self._config = config
        self._outbox = outbox
        self._seconds = seconds  # since 1970, or None
        self._apply = apply  # the module app.apply
        self._check_settings = check_settings
        self._folder = config["update.from"].rstrip("/")

    def run(self):
        """Take what is new. Returns why the module has to be restarted for it, or "".

        Raises what ends the session; what is wrong with the update goes to the report, and nothing was changed by it."""
        journal = None
        if self._files.size(self._apply.JOURNAL) is not None:
            journal = self._apply.read(self._apply.JOURNAL)
        if journal:
            return self._finish(journal)
        name = self._folder + "/manifest"
        stamp, size = self._look(name)
        entry = self._ledger.find(UPDATE_KEY)
        seen = (stamp, self._seconds is None)  # when the clock has been set it is looked at again
        if stamp is None or (entry and entry.stamp == stamp) or self._report.is_parked(UPDATE_KEY, seen):
            return ""
        try:
            manifest = self._read(name, size)
            reason = self._why_not(manifest, entry.size if entry else 0)
            if reason:
                self._report.update(manifest["version"], reason)
                self._report.park(UPDATE_KEY, seen)
                return ""
            return self._take(manifest, stamp)
        except MemoryError:
            self._ftp.close()  # wherever it was
            error = ManifestError("too little memory for so many files", advice="publish fewer at a time")
            self._report.refused_update(name, UPDATE_KEY, seen, error)
        except Error as e:
            if not self._ftp.is_open():
                raise
            self._report.refused_update(name, UPDATE_KEY, seen, e)
        return ""

    def _finish(self, journal):
        """A set that was begun, and that the boot could not finish: planned anew it would lose what it has replaced already."""
        try:
            self._apply.run(journal)
        except OSError as e:
            self._report.trouble(_stuck(e))
            return ""
        return _IN_PLACE % journal["version"]

    # --- the manifest

    def _look(self, name):
        """(stamp of what the server has, its size); (None, 0) if there is no manifest."""
        ftp = self._ftp
        ftp.post(["SIZE " + name, "MDTM " + name])
        code, size = ftp.reply()
        mark_code, mark = ftp.reply()
        if code != 213:
            self._report.no_folder(name, error_for(code, size, "SIZE"))
            return None, 0
        size = parse_size(size)
        mark = mark[4:] if mark_code == 213 else ""
        return version_stamp(size, mark, self._ledger.server), size

    def _read(self, name, size):
        if size > MANIFEST_BYTES:
            raise ManifestError("a manifest of %d bytes; at most %d are allowed" % (size, MANIFEST_BYTES))
        ftp = self._ftp
        ftp.post_transfer([], "RETR " + name)
        ftp.open_data()
        blocks = []
        try:
            ftp.receive_blocks(blocks.append, None, None, size)
        except IntegrityError:
            ftp.abandon_transfer()
            raise
        ftp.finish()
        raw = b"".join(blocks)
        blocks = None
        if len(raw) != size:
            raise IntegrityError("%d of %d bytes of the manifest arrived" % (len(raw), size), verb="RETR")
        return parse(raw, self._config["update.key"])

    def _why_not(self, manifest, version):
        """None, or why this manifest changes nothing here. Raises ManifestError if it must not."""
        if manifest["version"] == version:
            return "it is in place"
        if manifest["version"] < version:
            raise ManifestError("version %d is older than the %d that is in place" % (manifest["version"], version))
        refused = self._apply.read(self._apply.REFUSED)
        if refused and refused.get("version") == manifest["version"]:
            raise ManifestError("version %d did not work here and was taken back" % manifest["version"])
        return why_not_here(manifest, self._outbox.device, self._seconds)

    # --- the set

    def _take(self, manifest, stamp):
        version = manifest["version"]
        text = b""
        if manifest["settings"]:
            try:
                text = self._check_settings(manifest["settings"])
            except ConfigError as e:
                raise ManifestError("its settings: " + "; ".join(e.problems))
            if self._files.size(CONFIG) == len(text) and self._files.read(CONFIG, len(text)) == text:
                text = b""  # a cut came between their coming into force and the ledger
        wanted = [entry for entry in manifest["files"] if not self._is_in_place(entry)]
        missing = [entry for entry in wanted if not self._is_staged(entry)]
        reason = self._outbox.why_wait(sum([entry["size"] for entry in missing]))
        if reason:
            self._report.update(version, "it waits: " + reason)
            return ""
        own = [entry for entry in wanted if is_own_code(entry["path"])]
        own += [path for path in manifest["delete"] if is_own_code(path) and self._files.size(path) is not None]
        is_trial = bool(text or own)
        self._check_room(wanted, missing, len(text), is_trial)
        self._fetch(manifest["pack"], [entry for entry in missing if "at" in entry])
        for entry in missing:
            if "at" not in entry:
                self._fetch(None, [entry])
        if missing:  # that takes long: what was changed here meanwhile must not be replaced
            for entry in wanted:
                self._is_in_place(entry)
        removed = [path for path in manifest["delete"] if self._may_remove(path)]
        moves = [[_staged(entry), entry["path"], ""] for entry in wanted] + [["", path, ""] for path in removed]
        if text:
            staged = self._apply.FOLDER + "config.part"
            self._files.replace(staged, text)
            moves.append([staged, CONFIG, ""])
        if is_trial:
            for i, move in enumerate(moves):
                move[2] = self._backup_path(move[1], i)
        self._ledger.flush()
        # Until the set is in place the old files are the ones that came from the server, from then on the new ones.
        self._ledger.write(self._records(wanted, GET_INTENT))
        if moves and not self._begin(version, moves, is_trial):
            return "version %d is to be put in place" % version  # by the boot; the next cycle finds everything there
        self._ledger.write(self._records(manifest["files"], GET_DONE))
        self._ledger.write([Entry(UPDATE, UPDATE_KEY, version, b"", stamp)])
        for mount in mounts_of(manifest):
            clear_staged(self._files, mount)
        self._report.updated(version, len(wanted), len(removed))
        return _IN_PLACE % version if is_trial else ""

    def _begin(self, version, moves, is_trial):
        """False if it stopped behind the point of no return."""
        journal = {"version": version, "moves": moves, "what": "update"}
        if is_trial:
            journal["trial_boots"] = self._config["update.trial_boots"]
        try:
            self._apply.begin(journal)
        except OSError as e:
            error = _stuck(e)
            if self._files.size(self._apply.JOURNAL) is None:
                raise error
            self._report.trouble(error)
            return False
        return True

    def _backup_path(self, path, number):
        return mount_of(path) + "/" + STATE_FOLDER + "/%d.old" % number

    def _records(self, entries, kind):
        """What comes from the server is no news to it: the next scan must not send it back."""
        for entry in entries:
            if not is_own_code(entry["path"]):
                digest = ubinascii.unhexlify(entry["sha256"])
                key, server = get_key(entry["path"]), self._ledger.server
                yield Entry(kind, key, entry["size"], digest[:8], _stamp(entry), server=server)

    def _is_in_place(self, entry):
        """True if the file is there already. Raises if what is there must not be replaced."""
        path = entry["path"]
        size = self._files.size(path)
        if size is None:
            return False
        if size < 0:
            raise ManifestError("%s: a folder of that name is in the way" % path)
        if size == entry["size"] and self._sha256(path, size) == entry["sha256"]:
            return True
        if not is_own_code(path) and not self._outbox.is_safe(path, size):
            raise StorageError("%s was changed here and has not been sent yet" % path, step="update")
        return False

    def _is_staged(self, entry):
        staged = _staged(entry)
        return self._files.size(staged) == entry["size"] and self._sha256(staged, entry["size"]) == entry["sha256"]

    def _sha256(self, path, size):
        digest = uhashlib.sha256()
        self._files.digest(path, size, digest, self._buffer)
        return str(ubinascii.hexlify(digest.digest()), "ascii")

    def _may_remove(self, path):
        """Only what Ferry put there, and nobody has changed since."""
        size = self._files.size(path)
        if size is None or size < 0:
            return False
        if is_own_code(path):
            return True
        entry = self._ledger.find(get_key(path))
        if entry and entry.is_of(size, self._files.digest8(path, size, self._buffer)):
            return True
        self._report.skipped("down", path, "the update wants it deleted, but it did not come from the server as it is")
        return False

    def _check_room(self, wanted, missing, more_bytes, is_trial):
        """The old files stay until the whole set lies ready; of what is copied aside there are two for a while."""
        files, need = self._files, {}

        def add(path, blocks):
            mount = mount_of(path)
            need[mount] = need.get(mount, self._config["storage.reserve_blocks"]) + blocks

        for folder in self._missing_folders(wanted):
            add(folder, _FOLDER_BLOCKS)
        for entry in wanted:
            path = entry["path"]
            if is_trial and path.rsplit("/", 1)[0] in self._apply.VITAL:
                add(path, files.blocks_for(files.size(path) or 0))
        for entry in missing:
            held = files.size(_staged(entry)) or 0
            add(entry["path"], files.blocks_for(entry["size"]) - files.blocks_for(held))
        if more_bytes:
            add(CONFIG, 2 * files.blocks_for(more_bytes))
        for mount in need:
            free = files.free_blocks(mount)
            if need[mount] > free and clear_staged(files, mount, [_staged(entry) for entry in wanted]):
                free = files.free_blocks(mount)
            if need[mount] > free:
                what = "the update needs %d blocks on %s with the reserve, %d are free" % (need[mount], mount, free)
                raise StorageError(what, step="space", code=28)

    def _missing_folders(self, wanted):
        """Folders to be made. One that cannot be, because a file has its name, would be met behind the point of no return."""
        found = set()
        for entry in wanted:
            for folder in Folders().missing(entry["path"]):
                size = self._files.size(folder)
                if size is None:
                    found.add(folder)
                elif size >= 0:
                    raise ManifestError("%s: a file is in the way" % folder)
        return found

    # --- bytes

    def _fetch(self, pack, entries):
        """Fetch entries: those of a pack in as few transfers as pay, or one that lies alone."""
        entries = sorted(entries, key=lambda entry: entry.get("at", 0))
        tries = 0
        while entries:
            run = _first_run(entries, self._held) if pack else entries[:1]
            name = pack["name"] if pack else "files/" + run[0]["sha256"]
            bad = self._receive(self._folder + "/" + name, run, (pack or run[0])["size"])
            if not bad:
                entries = entries[len(run) :]
                continue
            tries += 1
            if tries >= TRIES:
                error = IntegrityError("%s: its sha256 is wrong" % bad["path"], verb="RETR")
                error.action = PARK
                raise error
            entries = [entry for entry in entries if not self._is_staged(entry)]

    def _held(self, entry):
        """Bytes of an entry that a try before has left."""
        held = self._files.size(_staged(entry)) or 0
        return held if held < entry["size"] else 0

    def _receive(self, name, run, size):
        """One transfer, of a file of `size` bytes on the server; returns the first entry that came wrong, or None."""
        ftp = self._ftp
        self._files.make_folders(_staged(run[0]).rsplit("/", 1)[0])
        start = run[0].get("at", 0) + self._held(run[0])
        last = run[-1].get("at", 0) + run[-1]["size"]
        splitter = _Splitter(self._files, self._buffer, run, start, self._held(run[0]), size)
        self._report.file("down", name, last - start)
        try:
            ftp.post_transfer([], "RETR " + name, start)
            if not ftp.open_data():
                splitter.at = 0
            try:
                ftp.receive_blocks(splitter.write, None, self._report.progress)
                ftp.finish()
            except _Enough:
                ftp.abandon_transfer()
            splitter.end()
        except PermReply as e:
            if ftp.is_open():
                raise ManifestError("%s is not to be had: %s" % (name, e.text()), verb="RETR", code=e.code)
            raise
        finally:
            splitter.close()
        return splitter.bad


def _stuck(error):
    return StorageError("the update could not be put in place: %s" % error, step="apply")


def _stamp(entry):
    return ustruct.unpack(">I", ubinascii.unhexlify(entry["sha256"])[:4])[0]


def _staged(entry):
    return staged_path(entry["path"], _stamp(entry))


def _first_run(entries, held):
    """The entries from the first on that one transfer fetches: what lies between two of them is not worth a further one."""
    count = 1
    while count < len(entries):
        last, following = entries[count - 1], entries[count]
        gap = following["at"] + held(following) - last["at"] - last["size"]
        if gap > GAP_BYTES or held(following):  # a partial is gone on with at the beginning of a transfer only
            break
        count += 1
    return entries[:count]


class _Splitter:
    """Cuts what comes out of a pack of `size` bytes into its files. `run`: entries by offset; the first is gone on with behind
    `held` bytes."""

    def __init__(self, files, buffer, run, start, held, size):
        self._files = files
        self._buffer = buffer
        self._run = run
        self._next = 0
        self._held = held
        self._size = size
        self._writer = None
        self._digest = None
        self.at = start  # offset in the file on the server
        self.bad = None

    def write(self, block):
        done = 0
        while self._next < len(self._run):
            entry = self._run[self._next]
            begin = entry.get("at", 0)
            if not self._writer:
                first = begin + (self._held if self._next == 0 else 0)
                if self.at + len(block) - done < first or (self.at + len(block) - done == first and entry["size"]):
                    break  # all of it lies before the file
                done += max(0, first - self.at)
                self.at = max(self.at, first)
                self._open(entry, self.at - begin)
            n = min(len(block) - done, begin + entry["size"] - self.at)
            piece = block[done : done + n]
            if n:
                self._writer.write(piece)
                self._digest.update(piece)
            done += n
            self.at += n
            if self.at < begin + entry["size"]:
                return
            self._finish(entry)
        self.at += len(block) - done
        if self._next == len(self._run) and self.at != self._size:  # at its end it ends by itself
            raise _Enough()

    def _open(self, entry, offset):
        staged = _staged(entry)
        self._digest = uhashlib.sha256()
        if offset:
            self._files.digest(staged, offset, self._digest, self._buffer)
        self._writer = self._files.writer(staged, offset)

    def _finish(self, entry):
        self._writer.close()
        self._writer = None
        if str(ubinascii.hexlify(self._digest.digest()), "ascii") != entry["sha256"]:
            self._files.remove(_staged(entry))
            self.bad = self.bad or entry
        self._next += 1

    def end(self):
        """The server has sent all it has: empty files at the end need no bytes, others are missing theirs."""
        while self._next < len(self._run) and not self._run[self._next]["size"] and not self._writer:
            self._open(self._run[self._next], 0)
            self._finish(self._run[self._next])
        if self._next < len(self._run) and not self.bad:
            self.bad = self._run[self._next]

    def close(self):
        """What arrived of a file stays for the next try."""
        if self._writer:
            self._writer.keep()
            self._writer = None
