# Every job for a client on the PC, and whether both sides hold the same bytes afterwards.
import contextlib
import io
import shutil
import tarfile
import tempfile
from pathlib import Path

from tools.bench import jobs
from tools.bench.peers import PeerError
from tools.ftpd.faults import DATA, Fault
from tools.ftpd.servers import descendants, wait_for_sessions

_BATCH = "batch.tar"


def can(peer, job):
    count = 1 if job.kind == "batch" else len(job.files)
    return {"batch": "send", "grow": "resume"}.get(job.kind, job.kind) in peer.verbs and count >= peer.least_files


def run(stage, peer, job, link):
    """-> (Measured, "" or what is wrong with the result). Raises PeerError."""
    stage.clear()
    with tempfile.TemporaryDirectory(prefix="ferry-bench-") as name:
        folder = Path(name)
        out, down = folder / "out", folder / "down"
        out.mkdir()
        down.mkdir()
        return _KINDS[job.kind](stage, peer, job, link, out, down)


def tar_of(files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def unpacked(content):
    """{name: bytes} of a tar, or nothing if it is none."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
    except (tarfile.TarError, OSError):
        return {}


def put(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)


def read(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def differ(wanted, found):
    """What is wrong with `found`, or ""."""
    missing = len(wanted.keys() - found.keys())
    changed = sum(found[name] != content for name, content in wanted.items() if name in found)
    more = len(found.keys() - wanted.keys())
    told = [f"{count} {what}" for count, what in ((changed, "changed"), (missing, "missing"), (more, "too many")) if count]
    return f"of {len(wanted)}: {', '.join(told)}" if told else ""


def cut_of(job):
    """The fault that kills the link in the middle of the one file of a job."""
    (content,) = job.files.values()
    return Fault(DATA, "rst", after_bytes=int(jobs.CUT * len(content)), is_link=True, stays=True)


def _check(stage, peer, job, link, _out, down):
    put(stage.fleet, job.files)
    peer.check(stage.proxy.port, down)
    with stage.measure(link) as found:
        peer.check(stage.proxy.port, down)
    return found, differ(job.files, read(down))


def _send(stage, peer, job, link, out, _down):
    put(out, job.files)
    with stage.measure(link) as found:
        peer.send(stage.proxy.port, sorted(out.iterdir()))
    return found, differ(job.files, stage.stored())


def _batch(stage, peer, job, link, out, _down):
    put(out, {_BATCH: tar_of(job.files)})
    with stage.measure(link) as found:
        peer.send(stage.proxy.port, [out / _BATCH])
    return found, differ(job.files, unpacked(stage.stored().get(_BATCH, b"")))


def _resume(stage, peer, job, link, out, _down):
    put(out, job.files)
    (file,) = out.iterdir()
    before = descendants(stage.server.pid)
    stage.proxy.set_faults(cut_of(job))
    with contextlib.suppress(PeerError, OSError, EOFError):  # as it should be
        peer.send(stage.proxy.port, [file])
    stage.proxy.clear_faults()
    wait_for_sessions(stage.server, before)
    with stage.measure(link) as found:
        peer.resume(stage.proxy.port, file)
    return found, differ(job.files, stage.stored())


def _grow(stage, peer, job, link, out, _down):
    put(out, job.files)
    (file,) = out.iterdir()
    put(stage.inbox, {file.name: job.files[file.name][: jobs.LOG_BEFORE]})
    with stage.measure(link) as found:
        peer.resume(stage.proxy.port, file)
    return found, differ(job.files, stage.stored())


def _fetch(stage, peer, job, link, _out, down):
    put(stage.fleet, job.files)
    with stage.measure(link) as found:
        peer.fetch(stage.proxy.port, list(job.files), down)
    return found, differ(job.files, read(down))


def _sync(stage, peer, job, link, out, _down):
    put(out, job.files)
    for path in out.iterdir():
        shutil.copy2(path, stage.inbox / path.name)  # with its time, as those who set times would have left it
    with stage.measure(link) as found:
        peer.sync(stage.proxy.port, out)
    wrong = differ(job.files, stage.stored())
    again_bytes = found.counts.data_up_bytes
    return found, wrong or (f"{again_bytes} bytes were sent again" if again_bytes else "")


_KINDS = {
    "check": _check,
    "send": _send,
    "batch": _batch,
    "resume": _resume,
    "grow": _grow,
    "fetch": _fetch,
    "sync": _sync,
}

