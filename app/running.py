# The worker that runs on this module, for the console at the REPL, which cannot be handed anything. The one piece of
# module-level state; only app/start.py sets it.

worker = None
