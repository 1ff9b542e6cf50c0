# Room in the flash of a module that fills it while nobody listens: what has arrived on the server goes first, the oldest
# first; what was never sent goes only where the rule allows it, and is told. Works without a link.

BATCH = 16  # files chosen in one look at the folders


def make_room(files, mount, low_blocks, candidates, report):
    """Remove files until `low_blocks` of the mount are free. `candidates(mount)` yields the Candidates there.

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
    """The BATCH oldest that arrived, or the first by name that did not and may be dropped all the same."""
    chosen = []
    for found in candidates:
        if found.size == 0 or (found.age is not None) != is_sent or not (is_sent or found.may_drop_unsent):
            continue
        at = len(chosen)
        while at and is_sent and chosen[at - 1].age > found.age:
            at -= 1
        chosen.insert(at, found)
        if len(chosen) > BATCH:
            chosen.pop()
    return chosen
