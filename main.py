# Boot: make /usr importable, finish an update, load the settings, build the platform, run. The firmware runs this file as
# __main__. A bad config.json is told in full and the module stays answerable at the REPL. Ctrl-C always gets through.

import gc

import uos
import usys

# Collect early and often while modules are compiled: the heap stays in one piece, and a third of it is saved.
gc.threshold(8192)
if "/usr" not in usys.path:
    usys.path.append("/usr")

CONFIG = "/usr/config.json"


def finish_update():
    """Before anything else of Ferry is loaded: put in place what a cut left half done. Returns what happened, or ""."""
    try:
        uos.remove("/usr/.ferry/none")  # any change makes littlefs 2 settle a rename that was cut; until then it hides names
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


def new_settings(files, values):
    """config.json with `values` set, as bytes; raises ConfigError. The memory that it takes is given back."""
    from app.config import FROM_AFAR, TEXT_BYTES
    from app.errors import ConfigError
    from app.settings import changed

    try:
        foreign = [key for key in values if key not in FROM_AFAR]
        if foreign:
            raise ConfigError(["%s: not to be set from afar" % key for key in foreign])
        return changed(files.read(CONFIG, TEXT_BYTES), values)
    finally:
        usys.modules.pop("app.settings", None)
        forget_config()


def load_config(files, log):
    """The settings, or None after every problem was told."""
    from app.config import TEXT_BYTES, parse
    from app.errors import ConfigError, StorageError

    try:
        raw = files.read(CONFIG, TEXT_BYTES)
        if raw is None:
            raise ConfigError(["config.json is missing: copy it to /usr and fill in server.host"])
        return parse(raw)
    except ConfigError as e:
        for problem in e.problems:
            log.error("%s", problem)
        log.error("Ferry does not start; %s", e.advice)
    except StorageError as e:
        log.error("config.json cannot be read: %s", e)
    return None


def forget_config():
    """Give the memory of app.config back: 10 kB of texts that are needed again only when a setting is changed."""
    import app

    module = usys.modules.pop("app.config", None)
    for name in dir(module):  # a forgotten pointer on the stack could keep the module, but not what was in it
        setattr(module, name, None)
    del app.config


def build(config, files, clock, log):
    """The manager on the real module."""
    from app.platform import quec
    from app.platform.sockets import Net
    from ftp_manager import FtpManager

    quec.seed()
    def check_settings(values):
        return new_settings(files, values)

    return FtpManager(
        config,
        files,
        Net(quec.randint),
        clock,
        quec.Link(),
        log,
        quec.randint,
        quec.imei,
        quec.restart,
        check_settings,
    )


def main():
    told = finish_update()
    from app import VERSION
    from app.log import Log
    from app.platform.clock import Clock
    from app.platform.files import Files

    clock = Clock()
    files = Files()
    log = Log(clock)
    log.info("Ferry %s", VERSION)
    if told:
        log.warning("%s", told)
    config = load_config(files, log)
    if config:
        forget_config()
        log.set_level(config["log.level"])
        log.set_secrets([config["server.password"], config["server.account"], config["update.key"]])
        manager = build(config, files, clock, log)
        gc.collect()
        gc.threshold(max(4096, gc.mem_free() // 8))  # the tighter, the sooner: garbage between what lives leaves only crumbs
        manager.run()


if __name__ == "__main__":
    main()
