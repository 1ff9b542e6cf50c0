# What every Files port must do: app/platform/files.py on each file system, and tests/fakes.py. Each function gets a port and
# an empty folder of its own; it runs on MicroPython and on CPython (test_files_contract.py).
from app.errors import StorageError


def code_of(call, *args):
    """The error number with which a call fails, None if it does not."""
    try:
        call(*args)
    except StorageError as error:
        return error.code
    return None


def put(files, path, content):
    writer = files.writer(path)
    writer.write(content)
    writer.close()


def content_of(files, path):
    stream = files.open(path, "rb")
    try:
        return stream.read()
    finally:
        stream.close()


def equal(found, wanted):
    if found != wanted:
        raise AssertionError((found, wanted))


def size_tells_file_folder_and_nothing(files, top):
    put(files, top + "/a", b"12345")
    equal(files.size(top + "/a"), 5)
    equal(files.size(top), -1)
    equal(files.size(top + "/none"), None)
    equal(files.size(top + "/none/below"), None)
    equal(files.size(top + "/a/below a file"), None)


def folders_are_made_with_those_above_and_again(files, top):
    files.make_folders(top + "/x/y/z")
    files.make_folders(top + "/x/y/z")
    equal([files.size(top + "/x" + below) for below in ("", "/y", "/y/z")], [-1, -1, -1])


def entries_are_sorted_and_limited(files, top):
    for name in ("b", "a", "c", "Z", "a b"):
        put(files, top + "/" + name, name.encode())
    files.make_folders(top + "/folder")
    found = [(name, is_folder, None if is_folder else size) for name, is_folder, size in files.entries(top, "", 9)]
    wanted = [
        ("Z", False, 1),
        ("a", False, 1),
        ("a b", False, 3),
        ("b", False, 1),
        ("c", False, 1),
        ("folder", True, None),
    ]
    equal(found, wanted)
    equal([entry[0] for entry in files.entries(top, "", 2)], ["Z", "a"])
    equal([entry[0] for entry in files.entries(top, "a", 2)], ["a b", "b"])
    names = [entry[0] for entry in files.entries(top, "", 9)]
    names.reverse()
    equal([entry[0] for entry in files.entries(top, "", 9, True)], names)
    equal([entry[0] for entry in files.entries(top, names[1], 2, True)], names[2:4])
    equal(files.entries(top, "folder", 2), [])


def a_missing_folder_has_no_entries(files, top):
    equal(files.entries(top + "/none", "", 9), [])


def opening_what_is_missing_fails(files, top):
    equal(code_of(files.open, top + "/none", "rb"), 2)


def names_may_hold_anything(files, top):
    for name in ("grüße-日本.txt", "100% [x] #1", "n" * 200):
        put(files, top + "/" + name, b"x")
        equal(files.size(top + "/" + name), 1)
    equal(len(files.entries(top, "", 9)), 3)


def removing_is_done_once_and_missing_is_no_error(files, top):
    put(files, top + "/a", b"x")
    files.remove(top + "/a")
    equal(files.size(top + "/a"), None)
    files.remove(top + "/a")
    files.remove(top + "/none/below")


def rename_moves_and_replaces(files, top):
    put(files, top + "/new", b"new")
    put(files, top + "/old", b"old content")
    files.rename(top + "/new", top + "/old")
    equal(content_of(files, top + "/old"), b"new")
    equal(files.size(top + "/new"), None)


def rename_goes_between_folders(files, top):
    files.make_folders(top + "/one")
    files.make_folders(top + "/other")
    put(files, top + "/one/a", b"x")
    files.rename(top + "/one/a", top + "/other/b")
    equal((files.size(top + "/one/a"), files.size(top + "/other/b")), (None, 1))


def append_makes_and_adds(files, top):
    files.append(top + "/a", b"one")
    files.append(top + "/a", b" two" * 2000)
    equal(content_of(files, top + "/a"), b"one" + b" two" * 2000)


def a_writer_counts_and_keeps_what_it_wrote(files, top):
    writer = files.writer(top + "/a")
    for block in (b"x" * 5000, b"", memoryview(b"yz")):
        writer.write(block)
    equal(writer.size, 5002)
    writer.close()
    equal(content_of(files, top + "/a"), b"x" * 5000 + b"yz")
    writer.abandon()  # after close() it is over
    equal(files.size(top + "/a"), 5002)


def an_abandoned_writer_leaves_nothing(files, top):
    writer = files.writer(top + "/a")
    writer.write(b"x" * 5000)
    writer.abandon()
    writer.abandon()
    equal(files.size(top + "/a"), None)


def an_empty_file_is_a_file(files, top):
    files.writer(top + "/a").close()
    equal(files.size(top + "/a"), 0)
    equal(content_of(files, top + "/a"), b"")


def commit_replaces(files, top):
    put(files, top + "/old", b"old")
    put(files, top + "/a.part", b"new content")
    files.commit(top + "/a.part", top + "/old", 11)
    equal(content_of(files, top + "/old"), b"new content")
    equal(files.size(top + "/a.part"), None)


# --- of a real file system only


def a_file_is_continued(files, top):
    put(files, top + "/a", b"first ")
    writer = files.writer(top + "/a", 6)
    writer.write(b"second")
    writer.close()
    equal(content_of(files, top + "/a"), b"first second")


def what_a_link_cut_off_is_kept(files, top):
    writer = files.writer(top + "/a")
    writer.write(b"x" * 5000)
    writer.keep()
    equal(files.size(top + "/a"), 5000)


def commit_refuses_another_size_and_removes_it(files, top):
    put(files, top + "/old", b"old")
    put(files, top + "/a.part", b"new")
    equal(code_of(files.commit, top + "/a.part", top + "/old", 4), 28)
    equal(content_of(files, top + "/old"), b"old")
    equal(files.size(top + "/a.part"), None)


def rename_of_nothing_fails(files, top):
    equal(code_of(files.rename, top + "/none", top + "/b"), 2)


def empty_folders_can_be_removed_and_others_not(files, top):
    files.make_folders(top + "/x/y")
    if code_of(files.remove, top + "/x") is None:
        raise AssertionError("a folder that was not empty is gone")
    files.remove(top + "/x/y")
    files.remove(top + "/x")
    equal(files.size(top + "/x"), None)


def read_takes_small_files_only(files, top):
    put(files, top + "/a", b"12345")
    equal(files.read(top + "/a", 5), b"12345")
    equal(files.read(top + "/none", 5), None)
    for path, size in ((top + "/a", 4), (top, 9)):
        try:
            files.read(path, size)
        except StorageError:
            continue
        raise AssertionError("no StorageError")


def digest_reads_so_many_bytes(files, top):
    class Sum:
        def __init__(self):
            self.raw = b""

        def update(self, block):
            self.raw += bytes(block)

    put(files, top + "/a", b"0123456789" * 20)
    for size, wanted in ((200, 200), (33, 33), (0, 0), (300, 200)):
        found = Sum()
        equal(files.digest(top + "/a", size, found, bytearray(32)), wanted)
        equal(found.raw, (b"0123456789" * 20)[:wanted])


def a_full_flash_says_so_and_keeps_what_was_there(files, top):
    put(files, top + "/kept", b"kept")
    size = (files.free_blocks("/usr") + 6) * 4096
    writer = files.writer(top + "/big")
    found = None
    try:
        for _ in range(size // 4096):
            writer.write(b"x" * 4096)
        writer.close()
    except StorageError as error:
        found = error.code
    equal(found, 28)
    equal(files.size(top + "/big"), None)
    equal(content_of(files, top + "/kept"), b"kept")
    put(files, top + "/next", b"room again")


def an_append_without_room_is_told(files, top):
    files.append(top + "/log", b"first")
    put(files, top + "/filler", b"")
    filler = files.writer(top + "/filler")
    for _ in range(files.free_blocks("/usr") - 6):
        filler.write(b"x" * 4000)
    filler.close()
    found = None
    for _ in range(12):
        found = found or code_of(files.append, top + "/log", b"y" * 4096)
    equal(found, 28)
    equal(content_of(files, top + "/log")[:5], b"first")
    files.remove(top + "/filler")
    files.append(top + "/log", b"room again")


def what_a_file_will_take_is_never_too_few(files, top):
    before = files.free_blocks("/usr")
    put(files, top + "/a", b"x" * 20_000)
    taken = before - files.free_blocks("/usr")
    if taken > files.blocks_for(20_000):
        raise AssertionError(taken)
