# All measurements, in the order in which they are made. What comes out is plain data: JSON as it stands.
import tempfile
from contextlib import ExitStack, contextmanager

from app import VERSION
from tools import sizes
from tools.bench import ferry, jobs, links, pc, peers
from tools.bench.stage import Stage
from tools.ftpd import servers
from tools.ftpd.proxy import Proxy
from tools.sim import child

# One way, in ms: so that the proxy sees the order of events that a far client sees. Parallel sessions need more than a client
# takes for itself. Where one session puts nothing but questions, one by one and by thousands, there is no order to be seen.
DELAY_MS, PARALLEL_DELAY_MS, QUICK_DELAY_MS = 10, 40, 2

# What is waited for in real time on an emulated link, to see whether the computed times are right.
CHECK_LINK = "cat1"
CHECK_JOBS = ("idle", "large", "log", "update")
CHECK_CLIENTS = (ferry.NAME, "lftp", "curl")


@contextmanager
def stage(server_name):
    with tempfile.TemporaryDirectory(prefix="ferry-bench-") as root, ExitStack() as stack:
        server = stack.enter_context(servers.running(server_name, root))
        yield Stage(server, stack.enter_context(Proxy(server.host, server.port)))


def bench(server_name, is_quick, tell):
    """-> result. `tell(share, text)` hears how far it is. Raises ServerError, FerryError."""
    work = [job for job in jobs.JOBS if job.is_quick or not is_quick]
    with stage(server_name) as made:
        everybody = peers.make(made.server)
        present = [peer for peer in everybody if not peer.missing()]
        result = {
            "version": VERSION,
            "is_quick": is_quick,
            "server": server_name,
            "interpreter": child.find_interpreter(None, ferry.HEAP).name,
            "heap": ferry.HEAP,
            "peers": {peer.name: peer.version() for peer in present},
            "missing": {peer.name: peer.missing() for peer in everybody if peer.missing()},
            "floors": {job.key: {"turns": job.floor, "proof": job.proof, "payload": job.payload} for job in work},
            "rows": [],
            "computed": [],
            "flash": flash_bytes(),
        }
        more = 0 if is_quick else 2 * sum(job.is_quick for job in work) + len(CHECK_CLIENTS)
        steps = _Steps(tell, len(work) * (1 + len(present)) + more)
        result["rows"] = _ferry_rows(made, work, is_quick, steps)
        for peer in present:
            result["rows"] += _peer_rows(made, peer, work, is_quick, steps)
        if not is_quick:
            result["computed"] = _check_times(made, present, steps)
    _add_ratios(result["rows"])
    return result


def flash_bytes():
    rows = sizes.measure()
    compiled = None if rows[0][2] is None else sum(row[2] for row in rows)
    return {"py_bytes": sum(row[1] for row in rows), "mpy_bytes": compiled}


class _Steps:
    def __init__(self, tell, count):
        self._tell, self._count, self._done = tell, count, 0

    def next(self, client, text):
        self._tell(self._done / self._count, f"{client}: {text}")
        self._done += 1


def ferry_row(module, job, link, sessions=1):
    """A row of a result for Ferry. Raises FerryError."""
    return _row(ferry.NAME if sessions == 1 else ferry.TWO, job, *module.run(job, link, sessions))


def _ferry_rows(made, work, is_quick, steps):
    rows = []
    with ferry.Ferry(made) as module:
        for job in work:
            steps.next(ferry.NAME, job.title)
            row = ferry_row(module, job, _link(job, False, is_quick))
            rows.append(row)
            if job.kind == "send" and len(job.files) > 1:
                rows.append(ferry_row(module, job, _link(job, True, is_quick), sessions=2))
            if is_quick or not job.is_quick:  # what large folders need of the heap is measured by `tools memory`
                continue
            steps.next(ferry.NAME, f"{job.title}, heap")
            row["import_bytes"], row["live_bytes"] = module.heap(job)
            steps.next(ferry.NAME, f"{job.title}, erases")
            row["erases"] = module.erases(job)
    return rows


def _peer_rows(made, peer, work, is_quick, steps):
    rows = []
    for job in work:
        steps.next(peer.name, job.title)
        if not pc.can(peer, job):
            continue
        try:
            rows.append(_row(peer.name, job, *pc.run(made, peer, job, _link(job, peer.is_parallel, is_quick))))
        except (peers.PeerError, *peers.FTP_ERRORS) as error:
            made.proxy.clear_faults()
            rows.append({"job": job.key, "client": peer.name, "wrong": f"failed: {error}"})
    return rows


def _link(job, is_parallel, is_quick):
    if job.kind == "sync" and not job.is_quick and not is_parallel:
        return 0, 0
    return (QUICK_DELAY_MS if is_quick else PARALLEL_DELAY_MS if is_parallel else DELAY_MS), 0


def _row(client, job, found, wrong):
    counts = found.counts
    return {
        "job": job.key,
        "client": client,
        "turns": found.turns,
        "commands": sum(counts.commands.values()),
        "connections": counts.control_connections + counts.data_connections,
        **{name: getattr(counts, name) for name in ("up_bytes", "down_bytes", "data_up_bytes", "data_down_bytes")},
        "wrong": wrong,
    }


def _add_ratios(rows):
    """How long it takes, on each link, as a multiple of what Ferry takes."""
    ours = {row["job"]: row for row in rows if row["client"] == ferry.NAME}
    for row in rows:
        if "turns" in row:
            row["times"] = {link: round(_seconds(link, row) / _seconds(link, ours[row["job"]]), 2) for link in links.NAMES}


def _seconds(link, row):
    return links.seconds(link, row["turns"], row["up_bytes"], row["down_bytes"])


def _check_times(made, present, steps):
    """[the time that some jobs really take on the emulated link, beside the computed one]"""
    link = links.rtt_s(CHECK_LINK) * 500, links.up_bytes_s(CHECK_LINK)
    rows = []
    with ferry.Ferry(made) as module:
        for client in [ferry.NAME, *(peer for peer in present if peer.name in CHECK_CLIENTS)]:
            name = client if client == ferry.NAME else client.name
            steps.next(name, f"real time on {links.NAMES[CHECK_LINK]}")
            for key in CHECK_JOBS:
                job = jobs.BY_KEY[key]
                found, _ = module.run(job, link) if client == ferry.NAME else pc.run(made, client, job, link)
                # The proxy has one rate for both ways: that of the way up.
                computed_s = found.turns * links.rtt_s(CHECK_LINK) + found.counts.wire_bytes / link[1]
                rows.append(
                    {"client": name, "job": key, "measured_s": round(found.elapsed_s, 2), "computed_s": round(computed_s, 2)}
                )
    return rows
