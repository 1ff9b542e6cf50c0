# Plays the firmware up to its REPL: `micropython boot_repl.py WORLD.json TOOLS_SIM MAIN`, then /usr/main.py unless MAIN is "skip", then
# the REPL beside what main.py started. The watchdog's events are kept in /events, for whoever judges.
import sys

sys.path.insert(0, sys.argv[2])
import io
import os

import boot


def note(kind: str, data: object = ()) -> None:
    if kind.startswith("watchdog"):
        with io.open("/events", "a") as stream:
            stream.write("%s %s\n" % (kind, data))


boot.emit = note
if sys.argv[3] == "skip":
    boot.run_main = lambda scope: 0
status = boot.main()
if status == boot.STATUS_CTRL_C:
    sys.exit(status)
os.putenv("MICROPYINSPECT", "1")
