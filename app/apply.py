# A set of new files, put in place as one. Runs at boot before anything else of Ferry is loaded, because the set may hold Ferry
# itself; so it imports nothing of Ferry, and is written to work with whatever version stands beside it.
#
# The journal is written when every file of the set lies ready: from then on the set is the new one, and a boot finishes what a
# cut left open. Where Ferry's code or settings are in the set, what they replace is kept, and boots are counted: a set that does
# not confirm itself by a complete good cycle goes back the same way, and its version is refused from then on.

import ujson
import uos

FOLDER = "/usr/.ferry/"
JOURNAL = FOLDER + "apply"
TRIAL = FOLDER + "trial"
REFUSED = FOLDER + "refused"
# Without what lies here nobody could finish the work: it is copied aside, not moved. littlefs 2 hides the neighbours of a file
# whose move into another folder was cut, until something is changed; so nothing is ever moved out of these two.
VITAL = ("/usr", "/usr/app")
_COPY_BYTES = 1024


def exists(path):
    try:
        uos.stat(path)
        return True
    except OSError as e:
        if e.args[0] not in (2, 20):
            raise
        return False


def read(path):
    """The dict in a small file; None if there is none, or one that nobody can read."""
    if not exists(path):
        return None
    stream = open(path, "rb")
    try:
        found = ujson.loads(stream.read().decode())
    except ValueError:
        return None
    finally:
        stream.close()
    return found if isinstance(found, dict) else None


def write(path, data):
    """Replace a small file, whole or not at all. Raises OSError."""
    raw = ujson.dumps(data).encode()
    stream = open(path + ".part", "wb")
    try:
        stream.write(raw)
    finally:
        stream.close()
    _rename_whole(path + ".part", path, len(raw))


def _rename_whole(temp, path, size):
    if uos.stat(temp)[6] != size:  # after ENOSPC close() says nothing
        uos.remove(temp)
        raise OSError(28)
    uos.rename(temp, path)


def _copy(source, target):
    size = 0
    reader = open(source, "rb")
    try:
        writer = open(target + ".part", "wb")
        try:
            while True:
                block = reader.read(_COPY_BYTES)
                if not block:
                    break
                writer.write(block)
                size += len(block)
        finally:
            writer.close()
    finally:
        reader.close()
    _rename_whole(target + ".part", target, size)


def _remove(path):
    if exists(path):
        uos.remove(path)


def _make_folders(path):
    at = path.find("/", 1)
    while at > 0:
        if not exists(path[:at]):
            uos.mkdir(path[:at])
        at = path.find("/", at + 1)


def _move(source, target, backup):
    """One file: `source` to `target`, what was there to `backup`. An empty source removes, an empty backup keeps nothing."""
    if source and not exists(source):
        return  # done before the cut
    if backup and exists(target) and not exists(backup):
        if target.rsplit("/", 1)[0] in VITAL:
            _copy(target, backup)
        else:
            uos.rename(target, backup)
    if source:
        _make_folders(target)
        uos.rename(source, target)
    else:
        _remove(target)


def run(journal):
    """Put the set of the journal in place; the journal is on flash. Raises OSError; a further try goes on where it stopped."""
    for source, target, backup in journal["moves"]:
        _move(source, target, backup)
    if journal.get("trial_boots"):
        write(
            TRIAL,
            {
                "version": journal["version"],
                "boots": 0,
                "limit": journal["trial_boots"],
                "moves": journal["moves"],
            },
        )
    else:
        if journal.get("is_back"):
            write(REFUSED, {"version": journal["version"]})
        if journal.get("ends_trial"):
            _remove(TRIAL)
    uos.remove(JOURNAL)


def begin(journal):
    """The point of no return: every file of the set lies ready, and everything it replaces will be kept where that is asked."""
    for _, _, backup in journal["moves"]:
        if backup:
            _remove(backup)  # of a set that was confirmed and cut in its cleaning up
    write(JOURNAL, journal)
    run(journal)


def boot():
    """At every boot: finish what was cut; count the boots of a set on trial and take it back when it had its chances.

    Returns what happened, for the log, or ""."""
    told = ""
    journal = read(JOURNAL)
    if journal:
        run(journal)
        told = "finished the %s of version %d" % (journal["what"], journal["version"])
    trial = read(TRIAL)
    if trial:
        trial["boots"] += 1
        if trial["boots"] > trial["limit"]:
            go_back(trial)
            told = "version %d had %d boots without a good cycle: the old one is back" % (
                trial["version"],
                trial["limit"],
            )
        else:
            write(TRIAL, trial)
    return told


def go_back(trial):
    """Put everything back as it was before the set on trial, and refuse its version from now on."""
    kept, new = [], []
    for source, target, backup in trial["moves"]:
        if backup and exists(backup):
            kept.append([backup, target, ""])
        elif source:
            new.append(["", target, ""])
    # What was there comes back first: of app/apply.py and app/apply.mpy there must be one at any moment.
    _end_trial({"version": trial["version"], "moves": kept + new, "what": "return", "is_back": True})


def confirm():
    """The set on trial has proved itself: what it replaced may go."""
    trial = read(TRIAL)
    if trial:
        moves = [["", backup, ""] for _, _, backup in trial["moves"] if backup]
        _end_trial({"version": trial["version"], "moves": moves, "what": "confirmation"})


class Trial:
    """While a set is on trial. `cycles` is how many may fail in a row."""

    def __init__(self, cycles, log):
        self._cycles = cycles
        self._log = log
        self._failed = 0

    def failed(self):
        """A cycle failed: after some of them the old code and settings come back. Returns why to restart, or ""."""
        self._failed += 1
        if self._failed < self._cycles:
            return ""
        try:
            journal, trial = read(JOURNAL), read(TRIAL)
            if journal:  # begun and failed: planned anew it would take what is back already for new, and remove it
                run(journal)
            elif trial:
                go_back(trial)
        except OSError as e:  # tried again after the next failed cycle, which comes after its pause like any other
            self._log.warning("the update cannot be taken back: %s", e)
            return ""
        return "the update had %d failed cycles: the old one is back" % self._failed


def _end_trial(journal):
    journal["ends_trial"] = True
    write(JOURNAL, journal)
    run(journal)
