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


def main():
    told = finish_update()
    from app.start import start

    start(told)


if __name__ == "__main__":
    main()
