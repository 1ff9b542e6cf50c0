# The folders on the server that are known to exist, so that MKD is sent once for each.

FOLDERS = 64  # kept in RAM


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
