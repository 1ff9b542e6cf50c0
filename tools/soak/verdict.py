# At the end of a soak: is every file there once, whole, and was nothing sent or fetched twice; does the memory grow?
import hashlib
from collections import Counter

from tools.sim.module import IMEI
from tools.soak.content import content, is_some_version

WARM_UP_CYCLES = 50  # of each boot: modules are loaded, lists fill
LEAST_CYCLES = 150  # behind them: the index of the ledger fills and is emptied in less
MOST_BYTES_PER_CYCLE = 8  # of growth: a leaked object takes 32 at least
MOST_OPEN_FILES = 1  # the ledger's, which is read again and again
_EXAMPLES = 8


def problems(bench):
    """-> [text], empty when all is as promised."""
    local = _tree(bench.root / "usr")
    remote = _tree(bench.site.folder)
    sent = {name.removeprefix(IMEI + "/"): data for name, data in remote.items() if name.startswith(IMEI + "/")}
    found = ["\n".join([f"behind cycle {cycle}:", *lines]) for cycle, lines in bench.tally.tracebacks]
    for name, versions in bench.made.items():
        version = max(versions)
        if name.startswith("out/") and name in local:
            found.append(f"{name} was not sent")
        elif sent.get(name) != content(name, version, versions[version]):
            found.append(f"{name} on the server is {'another' if name in sent else 'missing'}")
    for name, data in local.items():
        if name.startswith(("data/", "log/")) and sent.get(name) != data:
            found.append(f"{name} is another here than on the server")
    for name, data in remote.items():
        if name.startswith("updates/") and local.get("in/" + name.removeprefix("updates/")) != data:
            found.append(f"{name} is another on the server than here")
    found += _strangers(bench, local, sent)
    found += _twice(bench)
    return found[:_EXAMPLES] + ([f"and {len(found) - _EXAMPLES} more"] if len(found) > _EXAMPLES else [])


def _tree(folder):
    """{name: bytes} of every file below it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def leftovers(bench):
    """Temp names on the server: of small files that were cut and changed before the next cycle."""
    return sum(1 for _ in (bench.site.folder / IMEI).rglob("*.part"))


def _strangers(bench, local, sent):
    """A file that the power took from the application before it could tell of it is one of its own all the same."""
    return [
        f"{name} on the server comes from nowhere"
        for name, data in sent.items()
        if name not in bench.made
        and name not in local
        and not name.endswith(".part")
        and not (name.startswith("out/") and is_some_version(name, data))
    ]


def _twice(bench):
    versions = Counter()
    for name, sizes in bench.made.items():
        for version, size in sizes.items():
            versions[f"{IMEI}/{name}", hashlib.sha256(content(name, version, size)).hexdigest()] += 1
    found = [
        f"{name} arrived {count} times with the same content"
        for (name, digest), count in bench.site.arrived.items()
        if count > max(1, versions[name, digest])
    ]
    return found + [
        f"updates/{name} came {count} times in {bench.site.published[name]} versions"
        for name, count in bench.downs.items()
        if count > bench.site.published[name]
    ]


def growth(memory):
    """Bytes of heap per cycle: the slope of a line through the samples of all boots that were long enough, each at a level of
    its own. None if there was no such boot."""
    above = below = 0
    for samples in memory:
        samples = [point for point in samples if point[0] - samples[0][0] >= WARM_UP_CYCLES]
        if not samples or samples[-1][0] - samples[0][0] < LEAST_CYCLES:
            continue
        middle = sum(cycle for cycle, _ in samples) / len(samples)
        above += sum((cycle - middle) * used for cycle, used in samples)
        below += sum((cycle - middle) ** 2 for cycle, _ in samples)
    return above / below if below else None


def held(bench):
    """What the module must not hold behind a cycle. -> [text]"""
    found = []
    if bench.tally.most_sockets:
        found.append(f"{bench.tally.most_sockets} sockets were open behind a cycle")
    if bench.tally.most_open_files > MOST_OPEN_FILES:
        found.append(f"{bench.tally.most_open_files} files were open behind a cycle")
    slope = growth(bench.memory)
    if slope is not None and slope > MOST_BYTES_PER_CYCLE:
        found.append(f"the memory grows by {slope:.1f} bytes a cycle")
    return found
