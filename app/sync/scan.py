# What lies in a folder of the module: paths and sizes, in the order of the names, a bounded batch of each folder at a time.

DEPTH = 8  # folders below the first; deeper ones are left out and said


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
