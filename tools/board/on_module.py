# What `python -m tools flash` defines at the module's REPL for as long as it works there. Runs on the firmware's MicroPython: the
# dialect of the device code, no name that it does not have. Answers are one line each, between two marks: other threads print too.
import gc

import ubinascii
import uhashlib
import ujson
import uos
import usys

_STATE = "/usr/.ferry"
_APP = "/usr/app"
_FOLDER = 0x4000


class Board:
    def __init__(self):
        self._file = None
        self._path = ""
        self._dog = None
        self._buffer = bytearray(1024)

    def _tell(self, data):
        print("\x1e" + ujson.dumps(data) + "\x1f")

    def _ask(self, function):
        """What a firmware may not have, or answers with -1."""
        try:
            found = function()
        except Exception:
            return ""
        return found if isinstance(found, str) else ""

    def _entries(self, folder):
        """[(name, is folder, size)]; the iterator is run to its end, as littlefs needs it."""
        try:
            return [(entry[0], entry[1] == _FOLDER, entry[3]) for entry in uos.ilistdir(folder)]
        except OSError:
            return []

    def _tree(self, folder, files, folders):
        for name, is_folder, size in self._entries(folder):
            path = folder + "/" + name
            if is_folder:
                folders.append(path)
                self._tree(path, files, folders)
            else:
                files.append((path, size))

    def _worker(self):
        app = usys.modules.get("app")
        worker = getattr(app, "running", None)
        return worker if worker and worker.is_running else None

    def about(self):
        def model():
            import modem

            return modem.getDevModel()

        def firmware():
            import modem

            return modem.getDevFwVersion()

        implementation = usys.implementation
        space = uos.statvfs("/usr")
        self._tell(
            {
                "model": self._ask(model),
                "firmware": self._ask(firmware),
                "python": ".".join([str(part) for part in implementation[1][:3]]),
                "mpy": getattr(implementation, "mpy", getattr(implementation, "_mpy", 0)),
                "block_bytes": space[0],
                "block_count": space[2],
                "free_blocks": space[3],
                "is_running": self._worker() is not None,
            }
        )

    def look(self):
        """Ferry's files as they are here: a line for each, then the rest."""
        files, folders = [], []
        for name, is_folder, size in self._entries("/usr"):
            if is_folder:
                folders.append("/usr/" + name)
            else:
                files.append(("/usr/" + name, size))
        self._tree(_APP, files, folders)
        names = [entry[0] for entry in self._entries("/usr") if not entry[1]]
        for path, size in files:
            if path.startswith(_APP + "/") or self._is_code(path) or path == "/usr/config.json":
                self._tell(["file", path, size, self._digest(path)])
        for name, _, size in self._entries(_STATE):
            if name.startswith("flash-"):
                path = _STATE + "/" + name
                self._tell(["staged", path, size, self._digest(path)])
        trial = self._json(_STATE + "/trial")
        journal = self._json(_STATE + "/apply")
        self._tell(
            [
                "rest",
                {
                    "folders": folders,
                    "names": names,
                    "is_ferry_boot": self._is_ferry_boot(),
                    "backups": [move[2] for move in trial["moves"] if move[2]] if trial else [],
                    "has_journal": journal is not None,
                },
            ]
        )

    def _is_code(self, path):
        return path.rsplit(".", 1)[-1] in ("py", "mpy")

    def _json(self, path):
        try:
            stream = open(path, "rb")
        except OSError:
            return None
        try:
            return ujson.loads(stream.read().decode())
        except ValueError:
            return None
        finally:
            stream.close()

    def _is_ferry_boot(self):
        """True if main.py finishes a set that was cut."""
        try:
            stream = open("/usr/main.py", "rb")
        except OSError:
            return False
        try:
            return stream.read().find(b'"/usr/.ferry/"') >= 0
        finally:
            stream.close()

    def _digest(self, path):
        self._feed()
        digest = uhashlib.sha256()
        view = memoryview(self._buffer)
        stream = open(path, "rb")
        try:
            while True:
                count = stream.readinto(self._buffer)
                if not count:
                    break
                digest.update(view[:count])
        finally:
            stream.close()
        return str(ubinascii.hexlify(digest.digest()), "ascii")

    # --- the app

    def stop(self, limit_s):
        """Let Ferry's worker end its cycle; tells whether it is still at it after so long."""
        import utime

        worker = self._worker()
        if worker:
            worker.is_stopped = True
        for _ in range(limit_s * 10):
            if not (worker and worker.is_running):
                break
            self._feed()
            utime.sleep_ms(100)
        self._tell(bool(worker and worker.is_running))

    def guard(self, period_s):
        """From now on the module restarts by itself when nobody calls for so long: the cable may be gone."""
        try:
            from machine import WDT

            self._dog = WDT(period_s)
        except Exception:
            self._dog = None
        self._tell(bool(self._dog))

    def _feed(self):
        if self._dog:
            self._dog.feed()

    def release(self):
        if self._dog:
            self._dog.stop()
        self._dog = None

    # --- files

    def _failed(self, error):
        self.drop()
        self._tell({"error": error.args[0] if error.args else 0})

    def drop(self):
        """What was begun and will not be ended."""
        if self._file:
            self._file.close()
            self._file = None
            self._remove(self._path)

    def _remove(self, path):
        try:
            uos.remove(path)
        except OSError:
            pass

    def _make_folders(self, path):
        at = path.find("/", 1)
        while at > 0:
            try:
                uos.mkdir(path[:at])
            except OSError as e:
                if e.args[0] not in (1, 17) and at > 4:  # the mount itself is there
                    raise
            at = path.find("/", at + 1)

    def begin(self, path):
        self.drop()
        self._feed()
        try:
            self._make_folders(path)
            self._file = open(path, "wb")
            self._path = path
            self._tell({})
        except OSError as e:
            self._failed(e)

    def write(self, text):
        self._feed()
        try:
            self._file.write(ubinascii.a2b_base64(text))
            self._tell({})
        except OSError as e:
            self._failed(e)

    def end(self):
        """Tells size and digest of what is on flash."""
        try:
            self._file.close()
            self._file = None
            self._tell({"size": uos.stat(self._path)[6], "sha256": self._digest(self._path)})
        except OSError as e:
            self._failed(e)

    def remove(self, paths):
        for path in paths:
            self._feed()
            self._remove(path)
        self._tell({})

    def count(self, keep):
        """How many files a wipe would remove, and their bytes."""
        files = []
        self._tree("/usr", files, [])
        files = [size for path, size in files if not self._is_kept(path, keep)]
        self._tell({"files": len(files), "bytes": sum(files)})

    def _is_kept(self, path, keep):
        for kept in keep:
            if path == kept or path.startswith(kept + "/"):
                return True
        return False

    def wipe(self, keep):
        files, folders = [], []
        self._tree("/usr", files, folders)
        files.sort(key=lambda entry: entry[0] != "/usr/main.py")  # first: without it a cut leaves a quiet REPL
        for path, _ in files:
            self._feed()
            if not self._is_kept(path, keep):
                self._remove(path)
        for path in sorted(folders, reverse=True):
            if not self._is_kept(path, keep):
                self._remove(path)
        self._tell({})

    def place(self, source, target):
        self._feed()
        try:
            self._make_folders(target)
            uos.rename(source, target)
            self._tell({})
        except OSError as e:
            self._failed(e)

    # --- the set

    def _apply_module(self):
        gc.collect()
        if "/usr" not in usys.path:
            usys.path.append("/usr")
        from app import apply

        return apply

    def finish(self):
        """Put in place what a boot would have put in place: a set that was cut."""
        try:
            apply = self._apply_module()
            journal = apply.read(apply.JOURNAL)
            if journal:
                apply.run(journal)
            self._tell({})
        except OSError as e:
            self._failed(e)

    def apply(self, path):
        """The journal at `path` becomes the journal: behind that a boot finishes it, whatever happens here."""
        self._feed()
        try:
            apply = self._apply_module()
            apply.begin(apply.read(path))
            self._remove(path)
            self._tell({})
        except OSError as e:
            self._failed(e)


_board = Board()
