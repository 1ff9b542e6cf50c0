# What the dashboard remembers: every status once, the newest first, bounded; and that losing it loses nothing else.
import sqlite3

import pytest

from tests.browser.fleet import UNREACHED, status
from tools.dashboard import history as module
from tools.dashboard.fleet import Limits, Row
from tools.dashboard.history import History
from tools.dashboard.source import FolderSource
from tools.dashboard.watch import Watch

NOW = 1_795_000_000


def row(number, key="m", **more):
    return Row(key, "m.json", "m", b"%d" % number, status("m", NOW, cycle=number, **more), NOW + number)


@pytest.fixture
def store(tmp_path):
    found = History(tmp_path / "deep" / "h.sqlite3", "here")
    yield found
    found.close()


def cycles(store, key="m"):
    return [entry["cycle"] for entry in store.of(key)]


def test_each_status_is_kept_once_and_the_newest_comes_first(store):
    for number in (1, 1, 2, 2, 3):
        store.add([row(number)], NOW)
    assert cycles(store) == [3, 2, 1]
    assert store.of("other") == []


def test_what_is_kept_are_numbers_and_what_was_wrong(store):
    store.add([row(7, error=UNREACHED)], NOW)
    (entry,) = store.of("m")
    assert (entry["heard"], entry["free_blocks"], entry["update"]) == (NOW + 7, 31, 12)
    assert entry["error"] == "TransportError in connect: 192.0.2.7:21: connection refused (error 111)"
    assert entry["has_failed"] is False


def test_of_each_module_the_oldest_go_when_there_are_too_many(store, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 3)
    for number in range(1, 8):
        store.add([row(number), row(number, "other")], NOW)
    assert cycles(store) == cycles(store, "other") == [7, 6, 5]


def test_modules_that_are_not_heard_of_any_more_go_at_last(store):
    store.add([row(1)], NOW)
    store.add([], NOW + module.KEPT_S)
    assert cycles(store) == [1]
    store.add([], NOW + module.KEPT_S + 1)
    assert cycles(store) == []


def test_it_is_there_again_after_a_restart_and_other_folders_have_their_own(tmp_path):
    path = tmp_path / "h.sqlite3"
    for source in ("a", "b", "a"):
        store = History(path, source)
        store.add([row({"a": 1, "b": 2}[source])], NOW)
        store.close()
    store = History(path, "a")
    assert cycles(store) == [1]
    assert list(store.first_seen()) == ["m"]
    store.close()


def test_a_file_that_is_no_store_is_an_error_of_sqlite(tmp_path):
    (tmp_path / "h").write_bytes(b"no database" * 1000)
    with pytest.raises(sqlite3.Error):
        History(tmp_path / "h", "here")


class _Full(History):
    def add(self, rows, now):
        raise sqlite3.OperationalError("database or disk is full")


def test_a_store_that_is_full_takes_the_past_away_and_nothing_else(tmp_path):
    folder = tmp_path / "status"
    folder.mkdir()
    (folder / "m.json").write_bytes(b'{"format": 1, "device": "m"}')
    store = _Full(tmp_path / "h", "here")
    look = Watch(FolderSource(folder), store, None, Limits(1, 1, 0)).look()
    store.close()
    assert [found.device for found in look.fleet.rows] == ["m"]
    assert look.trouble == ("the history is not kept: database or disk is full",)
