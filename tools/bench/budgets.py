# The budgets of docs/DESIGN.md, section 10, that a bench can hold its own numbers against.
# On any of the four servers; tests/servers holds them there.
from tools import sizes
from tools.bench import jobs

_FILES = len(jobs.BY_KEY["first"].files)
FIRST_TRIPS, NEXT_TRIPS = 7, 3
FIRST_BYTES, NEXT_BYTES = 1100, 450  # on the wire beside the payload
IDLE_TRIPS, IDLE_BYTES = 3, 700
BATCH_TRIPS, TAR = 7, 1.3  # on the wire for each byte of the files: a tar has 512 bytes and the padding for each
RESUME_TRIPS = FIRST_TRIPS + 1
LOG_TRIPS, LOG_BYTES = 6, 1000
UPDATE_TRIPS, UPDATE_BYTES = 12, 5000
LARGE_BYTES = sum(map(len, jobs.BY_KEY["large"].files.values()))
SENT_AGAIN = 0.02

# Job: (round trips, bytes on the wire beside the payload, block erases or None)
_JOBS = {
    "idle": (IDLE_TRIPS, IDLE_BYTES, 0),
    "first": (FIRST_TRIPS + NEXT_TRIPS * (_FILES - 1), FIRST_BYTES + NEXT_BYTES * (_FILES - 1), 2 * _FILES),
    "batch": (BATCH_TRIPS, round(jobs.BY_KEY["batch"].payload * (TAR - 1)), 2),
    "large": (FIRST_TRIPS, FIRST_BYTES, 4),
    "resume": (RESUME_TRIPS, FIRST_BYTES + round(SENT_AGAIN * LARGE_BYTES), 6),
    "log": (LOG_TRIPS, LOG_BYTES, 2),
    "update": (UPDATE_TRIPS, UPDATE_BYTES, None),
    **{job.key: (IDLE_TRIPS, IDLE_BYTES, 0) for job in jobs.JOBS if job.kind == "sync"},
}


def broken(result):
    """[what is over its budget] of a result as cli.py makes it."""
    told = []
    for row in result["rows"]:
        if row["client"] == "Ferry":
            told += _of_job(row)
    for what, used, most in (
        (".py", result["flash"]["py_bytes"], sizes.PY_BUDGET),
        (".mpy", result["flash"]["mpy_bytes"] or 0, sizes.MPY_BUDGET),
    ):
        if used > most:
            told.append(f"flash as {what}: {used:,} bytes, {most:,} are allowed")
    return told


def _of_job(row):
    job = jobs.BY_KEY[row["job"]]
    trips, more_bytes, erases = _JOBS[job.key]
    used = row["up_bytes"] + row["down_bytes"] - job.payload
    limits = [("round trips", row["turns"], trips), ("bytes beside the payload", used, more_bytes)]
    if erases is not None and row.get("erases") is not None:
        limits.append(("block erases", row["erases"], erases))
    return [f"{job.title}: {found:,} {what}, {most:,} are allowed" for what, found, most in limits if found > most]
