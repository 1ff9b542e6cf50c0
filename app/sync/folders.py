# Folders: what lies in those of the module, in the order of the names, a bounded batch of each at a time; which of the server's
# are known to exist, so that MKD is sent once for each.

DEPTH = 8  # folders below the first; deeper ones are left out and said
FOLDERS = 64  # of the server kept in RAM


def walk(files, folder, is_skipped, on_deep, depth=0, is_reverse=False):
    """Yield (path, size in bytes) of every file below `folder`, by name; with `is_reverse` the greatest name first.

    `is_skipped(path)` is asked before a file is told or a folder entered; `on_deep(path)` hears of folders too deep to enter.
    Raises StorageError. No folder of the file system is left open between two results."""
    after = ""
    while True:
        limit = files.entry_limit()
        batch = files.entries(folder, after, limit, is_reverse)
        for name, is_folder, size in batch:
            path = folder.rstrip("/") + "/" + name
            if is_skipped(path):
                continue
            if not is_folder:
                yield path, size
            elif depth < DEPTH:
                for found in walk(files, path, is_skipped, on_deep, depth + 1, is_reverse):
                    yield found
            else:
                on_deep(path)
        if len(batch) < limit:
            return
        after = batch[-1][0]


class Folders:
    """Outlives the session."""

    def __init__(self):
        self._known = set()

    def missing(self, remote):
        """The folders above `remote` that are not known to exist, outermost first."""
        found = []
        at = remote.find("/", 1)
        while at > 0:
            if remote[:at] not in self._known:
                found.append(remote[:at])
            at = remote.find("/", at + 1)
        return found

    def note(self, folder, code):
        """Take what the server said to MKD. A refusal may mean that it exists: what counts is whether STOR works."""
        if code < 300 or code in (521, 550):
            if len(self._known) >= FOLDERS:
                self._known.clear()
            self._known.add(folder)

    def has(self, remote):
        """True if the folder of `remote` is believed to exist."""
        return (remote.rsplit("/", 1)[0] if "/" in remote else "") in self._known

    def forget(self):
        """Somebody may have removed one."""
        self._known.clear()
