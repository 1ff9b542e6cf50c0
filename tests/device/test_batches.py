# Many small files as one tar (mode = batch).
import io
import tarfile

import pytest

from tests.device.ferry import DEVICE
from tests.device.ftpd import KILL

FILES = {f"{'sub/' if i % 3 else ''}f{i:03d}.txt": b"%d\n" % i * (i * 7) for i in range(50)}


@pytest.fixture
def outbox(ferry, ftpd):
    ferry.configure(upload={"from": "/usr/out", "to": "{device}/in", "mode": "batch", "after": "keep"})
    for name, content in FILES.items():
        ferry.put("out/" + name, content)
    return ferry


def batches(ftpd):
    """[{name: content}] of the tars that arrived, and nothing else lies there."""
    found = []
    for name, raw in sorted(ftpd.files(DEVICE).items()):
        assert name.startswith("in/batch-") and name.endswith(".tar"), name
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            found.append({member.name: tar.extractfile(member).read() for member in tar})
    return found


def test_fifty_files_are_one_tar(outbox, ftpd):
    boot = outbox.boot(2)
    assert batches(ftpd) == [FILES]
    assert [cycle["up_count"] for cycle in boot.cycles] == [50, 0]
    assert [cycle["ok"] for cycle in boot.cycles] == [True, True]


def test_seven_round_trips(outbox, ftpd):
    ftpd_folder = ftpd.root / DEVICE / "in"
    ftpd_folder.mkdir(parents=True)
    outbox.configure(
        upload={"from": "/usr/out", "to": "{device}/in", "mode": "batch"}, download={"from": "", "to": "/usr"}
    )
    boot = outbox.boot()
    assert boot.cycles[0]["round_trips"] <= 7, boot.text


def test_what_arrived_is_not_sent_again_and_what_changed_is(outbox, ftpd):
    outbox.sync()
    outbox.put("out/f001.txt", b"new")
    outbox.put("out/g.txt", b"g")
    outbox.sync()
    assert batches(ftpd)[1:] == [{"f001.txt": b"new", "g.txt": b"g"}]


def test_limits_make_several_tars(outbox, ftpd):
    outbox.configure(upload={"from": "/usr/out", "to": "{device}/in", "mode": "batch", "batch_files": 20})
    outbox.sync()
    found = batches(ftpd)
    assert [len(batch) for batch in found] == [20, 20, 10]
    assert {name: content for batch in found for name, content in batch.items()} == FILES


def test_delete_after_leaves_nothing_here(outbox, ftpd):
    outbox.configure(upload={"from": "/usr/out", "to": "{device}/in", "mode": "batch", "after": "delete"})
    outbox.sync()
    assert batches(ftpd) == [FILES]
    assert outbox.files() == {}


@pytest.mark.parametrize("at_bytes", [1, 20_000, 60_000])
def test_a_batch_that_was_cut_goes_again(outbox, ftpd, at_bytes):
    def on_data(moved, total):
        if moved == "up" and total >= at_bytes:
            ftpd.on_data = None
            return KILL
        return None

    ftpd.on_data = on_data
    outbox.boot()
    left = set(ftpd.files(DEVICE))
    assert not [name for name in left if not name.endswith(".part")]
    ftpd.restart()
    outbox.sync()
    for name in left:  # the module lost its power: nobody knows of it
        (ftpd.root / DEVICE / name).unlink(missing_ok=True)
    assert batches(ftpd) == [FILES]


@pytest.mark.parametrize("verb", ["RNFR", "RNTO"])
def test_a_cut_before_the_rename_costs_no_second_batch(outbox, ftpd, verb):
    seen = []

    def cut(command, argument, place):
        if command == verb and not seen:
            seen.append(argument)
            return KILL
        return None

    ftpd.on_command = cut
    outbox.boot()
    ftpd.restart()
    outbox.sync()
    assert batches(ftpd) == [FILES]


def test_cuts_again_and_again_do_not_fill_the_server_with_parts(outbox, ftpd):
    cuts = []

    def cut(command, argument, place):
        if command == "SIZE" and argument.endswith(".part") and len(cuts) < 3:
            cuts.append(argument)
            return "421 bye"
        return None

    ftpd.on_command = cut
    boot = outbox.boot(4)
    assert len(cuts) == 3
    assert boot.cycles[-1]["ok"], boot.text
    assert batches(ftpd) == [FILES]


def cut_at_rnto(outbox, ftpd):
    """Leave a batch on the server that is verified and has no name yet."""
    ftpd.on_command = lambda verb, argument, place: KILL if verb == "RNFR" else None
    outbox.boot()
    ftpd.on_command = None
    ftpd.restart()
    assert [name.endswith(".part") for name in ftpd.files(DEVICE)] == [True]


def test_a_batch_that_never_gets_its_name_goes_again_in_another(outbox, ftpd):
    cut_at_rnto(outbox, ftpd)
    ftpd.on_command = lambda verb, argument, place: "553 no" if verb == "RNTO" and argument.endswith("1.tar") else None
    boot = outbox.boot()
    assert boot.cycles[0]["ok"], boot.text
    assert batches(ftpd) == [FILES]


def test_files_of_a_batch_without_its_name_make_no_room(outbox, ftpd):
    outbox.configure(storage={"when_full": "drop", "low_blocks": 60_000})
    cut_at_rnto(outbox, ftpd)
    boot = outbox.boot(sim_status=0)
    assert boot.data("drop") == []
    assert outbox.files() == {"out/" + name: content for name, content in FILES.items()}


def test_a_batch_may_go_to_the_top_of_the_server(outbox, ftpd):
    outbox.configure(upload={"from": "/usr/out", "to": "", "mode": "batch"}, download={"from": ""})
    boot = outbox.boot(2)
    assert [cycle["up_count"] for cycle in boot.cycles] == [50, 0]
    assert [path.name.endswith(".tar") for path in ftpd.root.iterdir() if path.is_file()] == [True]
