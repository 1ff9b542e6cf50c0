# Ferry at the REPL: `from usr import ferry as f`, then f.help(). The same name works beside a running Ferry and at a fresh
# REPL, where main.py did not run and nothing of Ferry can be imported by its own name yet.

import gc

import usys

if "/usr" not in usys.path:  # main.py did not run
    gc.threshold(8192)  # as there: what is compiled leaves the heap in one piece
    usys.path.append("/usr")

from app.console import check, files, get, help, log, pause, restart, resume, set, status, sync
