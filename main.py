# Boot: make /usr importable, finish an update, start. The firmware runs this file as __main__. As little as can be: a version
# of it that does not run cannot be taken back.

import gc

import uos
import usys

# Collect early and often while modules are compiled: the heap stays in one piece, and a third of it is saved.
gc.threshold(8192)
if "/usr" not in usys.path:
    usys.path.append("/usr")


def finish_update():
    """Before anything else of Ferry is loaded: put in place what a cut left half done. Returns what happened, or ""."""
    try:
        uos.remove(
            "/usr/.ferry/none"
        )  # any change makes littlefs 2 settle a rename that was cut; until then it hides names
    except OSError:
        pass  # there is no such file, and on lfs1 nothing to settle
    for name in ("apply", "trial"):
        try:
            uos.stat("/usr/.ferry/" + name)
        except OSError:
            continue
        from app import apply

        try:
            return apply.boot()
        except OSError as e:
            return "an update could not be finished: error %s" % e.args[0]
    return ""


def is_on_trial():
    try:
        uos.stat("/usr/.ferry/trial")
        return True
    except OSError:
        return False


def main():
    told = finish_update()
    try:
        from app.start import start

        is_up = start(told)
    except Exception as e:
        if not is_on_trial():
            raise
        usys.print_exception(e)
        is_up = False
    if not is_up and is_on_trial():  # each boot is one of its chances; without any the old version would never come back
        from misc import Power

        Power.powerRestart()


if __name__ == "__main__":
    main()
