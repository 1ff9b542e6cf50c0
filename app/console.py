# Ferry for people at the REPL: `from usr import ferry as f`, then f.help(). Runs on the REPL's thread beside the worker's: it
# sets the worker's flags and reads with objects of its own. It prints and returns nothing: the REPL would print that again.

import gc

import usys

import app
from app.errors import ConfigError, StorageError

_HELP = """f.status()            what Ferry does, and what is wrong
f.sync()              a cycle now
f.check()             walks every hop to the server and says what is wrong
f.files()             what was sent, what goes, what waits
f.get()               all settings; f.get("server.host") one, f.get("server") a section
f.set("server.host", "ftp.example.com")    change one; counts from the next cycle on
f.log()               the last lines of the log; f.log("last") those before the last restart
f.pause() f.resume()  no cycles for a while
f.restart()           restart the module"""
_NOT_RUNNING = "Ferry does not run. Ctrl-D starts it, f.restart() restarts the module."
_ASKED = "asked for at the REPL"


def _worker():
    """The Worker that runs beside the REPL, or None."""
    worker = app.running
    return worker if worker and worker.is_running else None


def _show(function, *args):
    """Call what reads the flash; what a person can mend is a line, and no traceback."""
    gc.collect()
    try:
        function(*args)
    except ConfigError as e:
        for problem in e.problems:
            print(problem)
    except StorageError as e:
        print("%s; %s" % (e, e.advice))
    finally:
        for name in ("look", "keys", "check"):  # their memory is given back
            usys.modules.pop("app." + name, None)
            setattr(app, name, None)
        gc.collect()


def help():
    """Print what there is."""
    print(_HELP)


def status():
    """Print what Ferry does now and what is wrong. Without a running Ferry: what the flash knows."""
    from app.look import show_status

    worker = _worker()
    if worker is None:
        print(_NOT_RUNNING)
    _show(show_status, worker)


def files():
    """Print which files were sent, go, wait or are parked. Reads them all, as a cycle does: it may take a while."""
    from app.look import show_files

    _show(show_files, _worker())


def get(key=""):
    """Print a setting, a section, or all of them."""
    from app.keys import show

    _show(show, key)


def set(key, value):
    """Check a setting and write it to config.json, which is replaced as a whole; prints what was and what is."""
    from app.keys import change

    _show(change, key, value, _worker())


def check():
    """Walk every hop to the server and print what is wrong. Blocks for up to some minutes."""
    from app.check import check as walk

    _show(walk, _worker())


def sync():
    """Let a cycle begin at once. Where Ferry does not run, one cycle runs here: blocks for as long as the transfers take."""
    worker = _worker()
    if worker:
        worker.sync()
        print("A cycle begins within a second, or after the one that is under way: f.status(), f.log()")
    else:
        _show(_sync_here)


def _sync_here():
    from app import apply
    from app.start import make

    trial = apply.read(apply.TRIAL)
    if apply.exists(apply.JOURNAL) or trial and not trial["boots"]:  # a good cycle of the old code must not confirm it
        print("An update is in place and waits for a restart: f.restart()")
        return
    worker = make()
    if worker is None:
        return
    result = worker.manager.run_cycle()
    if result.ok:
        print("ok: %d sent, %d fetched, %d skipped" % (result.up_count, result.down_count, result.skip_count))
    else:
        print("failed: %s; %s" % (result.error_text, result.error.advice))
    if worker.manager.restart_reason:
        print("%s: f.restart()" % worker.manager.restart_reason)


def log(which=""):
    """Print the last lines of the log; with "last" those before the last restart, if there was an error in them."""
    worker = _worker()
    if worker and which != "last":
        for line in worker.log.lines():
            print(line)
    else:
        _show(_old_log)


def _old_log():
    from app.platform.files import Files
    from app.worker import last_restarts

    reasons, lines = last_restarts(Files())
    for line in lines:
        print(line)
    if reasons:
        print("restart after %s" % reasons[-1])
    if not lines:
        print("No log was kept: it is when it holds an error at a restart.")


def pause():
    """Let no further cycle begin until resume(), sync() or a restart."""
    worker = _worker()
    if worker:
        worker.is_paused = True
    print("Paused: f.resume() goes on, and so does a restart." if worker else _NOT_RUNNING)


def resume():
    """The opposite of pause()."""
    worker = _worker()
    if worker:
        worker.is_paused = False
    print("Cycles come as the schedule wants them." if worker else _NOT_RUNNING)


def restart():
    """Restart the module; Ferry ends its cycle before and notes the reason."""
    worker = _worker()
    if worker:
        worker.wanted_restart = _ASKED
        print("The module restarts as soon as Ferry rests.")
    else:
        _show(_restart_here)


def _restart_here():
    from app.platform.files import Files
    from app.platform.quec import Power
    from app.worker import last_restarts, note_restart

    try:
        files = Files()
        note_restart(files, _ASKED, last_restarts(files)[1])  # the log that is kept stays
    finally:
        Power().restart()
