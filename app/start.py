# From the settings to a running worker: builds the platform, hands it to those who need it, and starts them.

import gc

import usys

import app
from app import VERSION
from app.errors import ConfigError, StorageError
from app.log import Log
from app.platform.clock import Clock
from app.platform.files import Files

CONFIG = "/usr/config.json"


def new_settings(files, values):
    """config.json with `values` set by an update, as bytes; raises ConfigError. The memory that it takes is given back."""
    borrow_config()
    try:
        from app.config import FROM_AFAR, TEXT_BYTES
        from app.settings import changed

        foreign = [key for key in values if key not in FROM_AFAR]
        if foreign:
            raise ConfigError(["%s: not to be set from afar" % key for key in foreign])
        return changed(files.read(CONFIG, TEXT_BYTES), values)
    finally:
        forget_config()


def load_config(files, log):
    """The settings, or None after every problem was told."""
    borrow_config()
    try:
        from app.config import TEXT_BYTES, parse

        raw = files.read(CONFIG, TEXT_BYTES)
        if raw is None:
            raise ConfigError(["config.json is missing: copy it to /usr and fill in server.host"])
        config = parse(raw)
    except ConfigError as e:
        for problem in e.problems:
            log.error("%s", problem)
        log.error("these settings are not taken; %s", e.advice)
        return None
    except StorageError as e:
        log.error("config.json cannot be read: %s", e)
        return None
    finally:
        forget_config()
    log.set_level(config["log.level"])
    secrets = [server[name] for server in config["servers"] for name in ("password", "account")]
    log.set_secrets(secrets + [config["update.key"]])
    return config


def borrow_config():
    """From here to forget_config() app.config and app.settings are this thread's alone: worker and console both load them, and
    throw them away. Blocks while the other has them."""
    if app.config_lock:
        app.config_lock.acquire()


def forget_config():
    """Give the memory of app.config back: 10 kB of texts that are needed again only when a setting is changed."""
    try:
        for name in ("settings", "config"):
            module = usys.modules.pop("app." + name, None)
            # A forgotten pointer on the stack could keep the module, but not what was in it.
            for key in dir(module) if module else ():
                setattr(module, key, None)
            setattr(app, name, None)
    finally:
        if app.config_lock:
            app.config_lock.release()


def build(config, files, clock, log):
    """A Worker on the real module, not running yet."""
    from app.platform import quec
    from app.platform.sockets import Net
    from app.worker import Worker
    from ftp_manager import FtpManager

    quec.seed()
    net, link, power = Net(quec.randint), quec.Link(), quec.Power()
    files.feed = power.feed

    def check_settings(values):
        return new_settings(files, values)

    def reload():
        return load_config(files, log)

    manager = FtpManager(config, files, net, clock, link, log, quec.randint, power, check_settings)
    return Worker(manager, config, files, net, clock, link, power, log, quec.randint, reload)


def make(told=""):
    """A Worker with the settings of this module, or None if they are bad, which is told. So is `told`, what the boot has to tell."""
    clock, files = Clock(), Files()
    log = Log(clock)
    log.info("Ferry %s", VERSION)
    if told:
        log.warning("%s", told)
    for path in (CONFIG, "/usr/.ferry/restarts"):
        try:
            files.remove(path + ".part")  # of a change, or the reason of a restart, that was cut; here nobody writes one
        except StorageError as e:
            log.warning("%s", e)
    config = load_config(files, log)
    if config is None:
        log.error("Ferry does not start")
    return config and build(config, files, clock, log)


def start(told=""):
    """Start the worker as the settings want it. In a thread: returns at once, and the REPL is free. Else blocks until it is stopped.

    False if it cannot start, which is told."""
    worker = app.running = make(told)
    if worker is None:
        return False
    worker.prepare()
    gc.collect()
    # The tighter, the sooner: garbage between what lives leaves only crumbs.
    gc.threshold(max(4096, gc.mem_free() // 8))
    if worker.wants_thread():
        from app.platform.quec import new_lock, start_thread

        app.config_lock = new_lock()
        try:
            start_thread(worker.run_guarded)
            return True
        except (OSError, MemoryError, RuntimeError) as e:
            worker.log.warning("no thread, the REPL is blocked: %s", e)
    worker.run_guarded()
    return True
