# Where a download is written before it is renamed, and what a cut between the two means.

import ubinascii
import ustruct

from app.sync.records import CANCEL, get_key
from app.sync.rules import STATE_FOLDER, TEMP_SUFFIX, mount_of

_BATCH = 32  # names held at once


def staged_path(path, stamp):
    """Where a version of `path` is written before it is renamed: on the same mount; the name tells path and version."""
    name = str(ubinascii.hexlify(get_key(path) + ustruct.pack(">I", stamp)), "ascii")
    return mount_of(path) + "/" + STATE_FOLDER + "/" + name + TEMP_SUFFIX


def settle(files, ledger, path, size, digest):
    """The ledger's entry of the download at `path`, or None, and whether the file there may stay. `size` and `digest` are of
    what lies there (any digest where nothing is under way): they say on which side of its rename a cut left an intent."""
    key = get_key(path)
    pending = ledger.under_way(key)
    staged = staged_path(path, pending.stamp) if pending else ""
    if not pending:
        return ledger.find(key), True
    if files.size(staged) is None:  # the rename took place
        return ledger.settle_get(key, pending.size, pending.digest), True
    if not pending.is_of(size, digest):
        return ledger.find(key), True
    # FAT was cut in the middle of the rename: both names stand for the same clusters, and both must go.
    files.remove(path)
    files.remove(staged)
    ledger.put(CANCEL, key)
    return ledger.find(key), False


def clear_staged(files, mount):
    """Remove what is left in the state folder of a mount when everything was fetched: partials of versions that are gone."""
    folder = mount + "/" + STATE_FOLDER
    after = ""
    while True:
        batch = files.entries(folder, after, _BATCH)
        for name, is_folder, _ in batch:
            after = name
            if not is_folder and name.endswith(TEMP_SUFFIX):
                files.remove(folder + "/" + name)
        if len(batch) < _BATCH:
            return
