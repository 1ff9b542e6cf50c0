VERSION = "0.1.0"
running = None  # the Worker of this module, for the console at the REPL, which cannot be handed anything; only app/start.py sets it
config_lock = None  # where the worker has a thread of its own; see start.borrow_config()
