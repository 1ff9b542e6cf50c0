import pytest

from app.sync.folders import DEPTH, walk
from tests.fakes import MemoryFiles

BATCH = 32


class Watching(MemoryFiles):
    """Notes what was listed, and how much at once."""

    def __init__(self, *paths):
        super().__init__()
        self.store = {path: b"x" * i for i, path in enumerate(paths)}
        self.listed = []
        self.largest = 0

    def entry_limit(self):
        return BATCH

    def entries(self, folder, after, limit, is_reverse=False):
        found = super().entries(folder, after, limit, is_reverse)
        self.listed.append(folder)
        self.largest = max(self.largest, len(found))
        return found


def found_in(files, folder="/usr", is_skipped=lambda path: False):
    deep = []
    return list(walk(files, folder, is_skipped, deep.append)), deep


def test_paths_and_sizes_in_the_order_of_the_names():
    files = Watching("/usr/b", "/usr/a", "/usr/sub/c")
    assert found_in(files)[0] == [("/usr/a", 1), ("/usr/b", 0), ("/usr/sub/c", 2)]


@pytest.mark.parametrize("folder", ["/usr", "/usr/"])
def test_slash_behind_the_folder_changes_nothing(folder):
    assert found_in(Watching("/usr/a"), folder)[0] == [("/usr/a", 0)]


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH, 3 * BATCH + 1])
def test_every_file_once_whatever_the_batches(count):
    paths = [f"/usr/{i:04d}" for i in range(count)]
    files = Watching(*reversed(paths))
    assert [path for path, _ in found_in(files)[0]] == paths
    assert files.largest <= BATCH


def test_skipped_file_is_not_told_and_skipped_folder_not_entered():
    files = Watching("/usr/a", "/usr/app/x", "/usr/b")
    found, _ = found_in(files, is_skipped=lambda path: path in ("/usr/app", "/usr/b"))
    assert [path for path, _ in found] == ["/usr/a"]
    assert files.listed == ["/usr"]


def test_folders_are_entered_down_to_the_depth_and_deeper_ones_are_said():
    deepest = "/usr" + "".join(f"/d{i}" for i in range(DEPTH))
    files = Watching(deepest + "/in", deepest + "/too/deep/out")
    found, deep = found_in(files)
    assert [path for path, _ in found] == [deepest + "/in"]
    assert deep == [deepest + "/too"]


def test_files_removed_between_two_results_do_not_hide_others():
    paths = [f"/usr/{i:04d}" for i in range(3 * BATCH)]
    files = Watching(*paths)
    seen = []
    for path, _ in walk(files, "/usr", lambda path: False, None):
        seen.append(path)
        del files.store[path]
    assert seen == paths


def test_reverse_is_by_name_from_the_greatest_down():
    files = Watching(*[f"/usr/{i:02d}" for i in range(70)], "/usr/sub/a", "/usr/sub/b")
    there = list(walk(files, "/usr", lambda path: False, None, 0, True))
    assert [path for path, _ in there] == ["/usr/sub/b", "/usr/sub/a", *[f"/usr/{i:02d}" for i in reversed(range(70))]]


def test_missing_folder_has_no_files():
    assert found_in(Watching(), "/usr/none") == ([], [])
