# Which of the ledger's records are of which server.
import pytest

from app.sync import records
from app.sync.ledger import Ledger
from app.sync.records import (
    GET_DONE,
    GET_INTENT,
    LOCKED,
    PUT_DONE,
    PUT_INTENT,
    PUT_VERIFIED,
    SERVER,
    decode,
    encode,
    get_key,
    log_key,
    name_key,
    put_key,
    version_stamp,
)
from app.sync.servers import number_servers
from tests.fakes import MemoryFiles

PATH = "/usr/.ferry/ledger"
DIGEST = b"12345678"
KEY = put_key("/usr/a", "m1/a")


def server(host, port=21, user="u"):
    return {"host": host, "port": port, "user": user, "password": "p"}


A, B, C, D, E = (server(host) for host in "abcde")


@pytest.fixture
def files():
    return MemoryFiles()


def boot(files, *servers):
    """(ledger, numbers) of a module that has these servers in its settings."""
    ledger = Ledger(files, PATH)
    ledger.load()
    numbers = number_servers(ledger, servers)
    ledger.flush()
    return ledger, numbers


def begin(files, kind, servers, at=0, **record):
    """A module that has such a record with one of its servers, and was switched off."""
    ledger, numbers = boot(files, *servers)
    ledger.server = numbers[at]
    ledger.put(kind, KEY, 5, DIGEST, 7, **record)
    ledger.flush()


def test_servers_have_numbers_in_the_order_in_which_they_are_seen(files):
    assert boot(files, A, B)[1] == [0, 1]
    assert boot(files, A, B, C)[1] == [0, 1, 2]


def test_a_server_keeps_its_number_wherever_it_stands(files):
    boot(files, A, B, C)
    assert boot(files, C, A, B)[1] == [2, 0, 1]
    assert boot(files, B)[1] == [1]
    assert boot(files, B, A)[1] == [1, 0]


def test_numbers_survive_a_compaction(files):
    ledger, _ = boot(files, A, B)
    ledger.compact()
    assert boot(files, B, A)[1] == [1, 0]


def test_the_same_servers_again_write_nothing(files):
    boot(files, A, B)
    written = dict(files.store)
    boot(files, B, A)
    assert files.store == written


@pytest.mark.parametrize("same", [server("A"), {**A, "password": "new"}])
def test_case_of_the_host_and_password_make_no_other_server(files, same):
    boot(files, B, A)
    assert boot(files, same)[1] == [1]


@pytest.mark.parametrize("other", [server("a", 22), server("a", user="v")])
def test_port_and_user_make_another_server(files, other):
    assert boot(files, A, other)[1] == [0, 1]


def test_a_new_server_takes_the_number_of_one_that_is_gone(files):
    boot(files, A, B)
    assert boot(files, C, B)[1] == [0, 1]
    assert boot(files, D, E, C, B)[1] == [2, 3, 0, 1]
    assert boot(files, A, D, E, B)[1] == [0, 2, 3, 1]


def test_no_mark_is_the_one_of_a_free_number(monkeypatch):
    monkeypatch.setattr(records, "digest8", lambda text: bytes(8))
    assert records.server_mark("a", 21, "u") == 1


def test_ledger_goes_with_the_first_server(files):
    ledger, _ = boot(files, A, B)
    ledger, _ = boot(files, B, A)
    assert (ledger.server, ledger.servers) == (1, [1, 0])


# --- records


@pytest.mark.parametrize("kind", [PUT_INTENT, PUT_VERIFIED, PUT_DONE, GET_INTENT, GET_DONE])
@pytest.mark.parametrize("at", [0, 1])
def test_a_record_of_a_file_remembers_its_server(files, kind, at):
    begin(files, kind, [A, B], at, flags=0x92 | 1)
    ledger, _ = boot(files, B, A)
    found = ledger.pending.get(KEY) or ledger.find(KEY)
    assert (found.kind, found.server, found.flags) == (kind, at, 0x93)


def test_what_is_known_of_a_server_is_no_record_of_a_file(files):
    ledger, numbers = boot(files, A, B)
    ledger.server = numbers[1]
    ledger.put(SERVER, KEY, flags=0x2D)
    found = ledger.find(KEY)
    assert decode(encode(found, 1, 1), 1, 1).flags == 0x2D


def test_records_of_the_first_server_are_the_bytes_that_they_always_were():
    ledger = Ledger(MemoryFiles(), PATH)
    ledger.put(PUT_DONE, KEY, 5, DIGEST, 7, 2, 0x31)
    body = bytes([PUT_DONE, 0x31, 0, 2]) + KEY + b"\0\0\0\5" + DIGEST + b"\0\0\0\7"
    assert encode(ledger.find(KEY), 1, 1)[:28] == body
    assert log_key("/usr/a", "a", 0) == log_key("/usr/a", "a")
    assert len({log_key("/usr/a", "a", n) for n in range(4)} | {name_key("/usr/a", "a", n) for n in range(4)}) == 8


def test_versions_of_two_servers_have_different_stamps():
    assert len({version_stamp(5, "20240229120000", number) for number in range(4)}) == 4


# --- what was begun elsewhere


@pytest.mark.parametrize("kind", [PUT_INTENT, PUT_VERIFIED])
def test_an_upload_under_way_with_another_server_is_not_under_way_here(files, kind):
    begin(files, kind, [A, B])
    ledger, numbers = boot(files, A, B)
    assert ledger.under_way(KEY).kind == kind
    assert ledger.begun_elsewhere(KEY) is None
    ledger.server = numbers[1]
    assert ledger.under_way(KEY) is None
    assert ledger.begun_elsewhere(KEY).kind == kind


def test_a_download_that_was_being_renamed_is_settled_whatever_the_server_is(files):
    key = get_key("/usr/a")
    ledger, numbers = boot(files, A, B)
    ledger.put(GET_INTENT, key, 5, DIGEST, 7)
    ledger.server = numbers[1]
    found = ledger.settle_get(key, 5, DIGEST)
    assert (found.kind, found.server) == (GET_DONE, 0)
    assert ledger.begun_elsewhere(key) is None


def test_uploads_under_way_with_a_server_that_was_replaced_are_void(files):
    begin(files, PUT_VERIFIED, [A, B], flags=0x31)
    for _ in range(2):
        ledger, _ = boot(files, C, B)
        pending = ledger.under_way(KEY)
        assert (pending.kind, pending.stamp, pending.flags) == (PUT_INTENT, 7, 0x30 | LOCKED)


@pytest.mark.parametrize("servers", [[A], [B, A], [A, C], [B, A, C, D]])
def test_uploads_under_way_with_a_server_that_is_still_there_are_not_void(files, servers):
    begin(files, PUT_VERIFIED, [A, B])
    ledger, numbers = boot(files, *servers)
    ledger.server = numbers[servers.index(A)]
    assert ledger.under_way(KEY).kind == PUT_VERIFIED


def test_an_upload_under_way_from_before_the_servers_had_numbers_is_of_the_first(files):
    ledger = Ledger(files, PATH)
    ledger.load()
    ledger.put(PUT_VERIFIED, KEY, 5, DIGEST, 7)
    ledger.flush()
    ledger, numbers = boot(files, A, B)
    assert ledger.under_way(KEY).is_of(5, DIGEST)
    ledger.server = numbers[1]
    assert ledger.under_way(KEY) is None


def test_only_servers_of_the_settings_are_others(files):
    begin(files, GET_DONE, [A, B])
    for servers, is_of_other in (([A, B], False), ([B, A], True), ([B], False)):
        ledger, _ = boot(files, *servers)
        assert ledger.is_of_other(ledger.find(KEY)) == is_of_other
