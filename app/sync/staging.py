# The flash beside the ledger: where a download is written before it is renamed, and what a cut between the two means; room in
# the flash of a module that fills it while nobody listens. That works without a link.

import ubinascii
import ustruct

from app.sync.records import CANCEL, get_key
from app.sync.rules import STATE_FOLDER, TEMP_SUFFIX, mount_of

_NAMES = 32  # held at once
_CHOSEN = 16  # files to be removed in one look at the folders


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


def clear_staged(files, mount, keep=()):
    """Remove what is staged on a mount, but for the paths in `keep`: partials of versions that are gone. True if there were any."""
    folder = mount + "/" + STATE_FOLDER
    after = ""
    found = False
    while True:
        batch = files.entries(folder, after, _NAMES)
        for name, is_folder, _ in batch:
            after = name
            path = folder + "/" + name
            if not is_folder and name.endswith(TEMP_SUFFIX) and path not in keep:
                files.remove(path)
                found = True
        if len(batch) < _NAMES:
            return found


def make_room(files, mount, low_blocks, candidates, report):
    """Remove files until `low_blocks` of the mount are free: what has arrived on the server first, the oldest first; what was
    never sent only where the rule allows it, and that is told. `candidates(mount)` yields the Candidates there.

    Raises StorageError. Reads every file there, but only when there is too little room."""
    free = files.free_blocks(mount)
    for is_sent in (True, False):
        while free < low_blocks:
            batch = _choose(candidates(mount), is_sent)
            if not batch:
                break
            for found in batch:
                files.remove(found.path)
                report.dropped(found.path, found.size, is_sent)
                free += files.blocks_for(found.size)
                if free >= low_blocks:
                    return


def _choose(candidates, is_sent):
    """The _CHOSEN oldest that arrived, or the first by name that did not and may be dropped all the same."""
    chosen = []
    for found in candidates:
        if found.size == 0 or (found.age is not None) != is_sent or not (is_sent or found.may_drop_unsent):
            continue
        at = len(chosen)
        while at and is_sent and chosen[at - 1].age > found.age:
            at -= 1
        chosen.insert(at, found)
        if len(chosen) > _CHOSEN:
            chosen.pop()
    return chosen
