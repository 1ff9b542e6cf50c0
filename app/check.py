# Every hop from the SIM card to a file on the server, walked in order and told in a line each: for a person in front of a
# module that sends nothing. Loaded when it is asked for, and given back afterwards.

import gc

import uhashlib
import usys

from app.errors import KNOWN, Error, IntegrityError, TransportError
from app.log import Log
from app.sync.names import render, whole

LIST_BYTES = 4096  # of a listing; that the data flow is seen by then
TEXT_BYTES = 160  # of a server's reply in a line
OPENING = ("look-up", "connect", "greeting", "TLS", "login", "data connection")
STORING = ("upload", "size", "rename", "delete")
UPDATES = "updates"
LOADED = ("app.platform.hops", "app.platform.states", "app.sync.testfile")  # for this alone

_NO_GREETING = "what listens there is no plain FTP server: check server.port; does it want server.tls = implicit?"
_NO_TLS = "does server.tls fit the port? implicit is TLS from the first byte (often 990), explicit begins in clear (21)"
_FAULT = "a fault in Ferry; please report this line"


class _Ear(Log):
    """Collects errors in place of printing them."""

    def __init__(self, clock):
        Log.__init__(self, clock)
        self.heard = []

    def _write(self, level, text, args):
        if level == 3:
            self.heard.append(self.redact(text % args))


class _Told:
    """The lines. A step returns what is good to know, with advice beside it if that only matters sometimes, or raises.

    What a server said goes through `redact`; our own words do not, because a short password may be a part of them."""

    def __init__(self, out, redact):
        self._out = out
        self.redact = redact
        self.wrong_count = 0

    def line(self, mark, hop, text, advice=""):
        self._out("%-5s %-16s %s" % (mark, hop, text.replace("\n", " ")[:TEXT_BYTES]))
        if advice:
            self.more(advice)

    def more(self, text):
        self._out("      " + text)

    def skipped(self, hops, why="not tried"):
        for hop in hops:
            self.line("-", hop, why)

    def wrong(self, hop, text, advice):
        self.wrong_count += 1
        self.line("WRONG", hop, text, advice)

    def step(self, hop, step, *args):
        """True if the hop works."""
        try:
            found = step(*args)
        except KNOWN as e:
            self.wrong(hop, self.redact(e.text()), e.advice)
            return False
        except Exception as e:  # whatever it is, the other hops are walked
            gc.collect()
            self.wrong(hop, "%s: %s" % (type(e).__name__, e), _FAULT)
            return False
        if isinstance(found, tuple):
            self.line("note", hop, found[0], found[1])
        else:
            self.line("ok", hop, found)
        return True

    def steps(self, steps):
        """One after the other, until one fails: those behind it are not tried."""
        for i, (hop, step) in enumerate(steps):
            if not self.step(hop, step):
                self.skipped([later for later, _ in steps[i + 1 :]])
                return False
        return True


class _Server:
    """Look-up, connect, greeting, TLS, login, data connection, a test file, the manifest."""

    def __init__(self, config, server, device, imei, told, net, clock, link, look_up):
        self._config = config
        self._server = server
        self._told = told
        self._net = net
        self._clock = clock
        self._link = link
        self._look_up = look_up
        self._values = {"device": device, "imei": imei}
        self._digest = uhashlib.sha256(("%s %d" % (device, clock.ticks_ms())).encode()).digest()
        self._session = None
        self._facts = None
        self._counts = None
        self._error = None  # of opening
        self._failed = ""  # the hop where it happened

    def walk(self):
        """Walk all hops; returns what they cost, app.proto.control.Counts."""
        from app.proto.control import Counts, Facts

        self._counts = Counts()
        self._facts = Facts()
        self._facts.flights = False  # one command at a time: each reply belongs to its hop
        told = self._told
        steps = [(hop, lambda hop=hop: self._opened(hop)) for hop in self._order()]
        try:
            is_open = told.steps(steps + [("login", self._login), ("data connection", self._data)])
            folders = self._folders()
            if not folders:
                told.skipped(STORING, "upload.from is empty")
            for folder in folders:
                if is_open and self._is_alive():
                    self._store(folder)
                else:
                    told.skipped(STORING)
            if not self._config["update.from"]:
                told.skipped((UPDATES,), "update.from is empty")
            elif self._is_alive():
                told.step(UPDATES, self._updates)
            else:
                told.skipped((UPDATES,))
        finally:
            if self._session:
                self._session.say_goodbye()
        return self._counts

    # --- opening

    def _order(self):
        """The hops of opening as they follow each other here."""
        if self._server["tls"] == "implicit":
            return "look-up", "connect", "TLS", "greeting"
        return "look-up", "connect", "greeting", "TLS"

    def _open(self):
        from app.proto.session import Session

        server = self._server
        session = self._session = Session(
            self._net,
            self._clock,
            server["timeout_s"],
            self._facts,
            self._counts,
            None,
            server["tls"],
            server["tls_pin"],
            (lambda: server["active_host"] or self._link.address()) if server["mode"] == "active" else None,
        )
        session.open(server["host"], server["port"])

    def _opened(self, hop):
        """The first hop opens, and all of them tell how far that got."""
        if self._session is None:
            try:
                self._open()
            except KNOWN as e:
                self._error, self._failed = e, self._hop_of(e)
        if hop == self._failed:
            self._advise(hop)
            raise self._error
        server = self._server
        if hop == "look-up":
            return self._look_up(server["host"], server["port"])
        if hop == "connect":
            return "port %d" % server["port"]
        if hop == "greeting":
            return self._told.redact(self._session.welcome)
        return "off, as server.tls says" if server["tls"] == "off" else server["tls"]

    def _hop_of(self, error):
        if error.step in ("dns", "connect"):
            return "look-up" if error.step == "dns" else "connect"
        if self._server["tls"] == "implicit":
            return "TLS" if error.verb == "TLS" else "greeting"
        return "TLS" if self._session.welcome else "greeting"

    def _advise(self, hop):
        """What the class of an error cannot know: at which hop it means what."""
        error = self._error
        if not isinstance(error, TransportError):
            return
        if hop not in ("look-up", "connect"):
            error.advice = _NO_TLS if hop == "TLS" else _NO_GREETING

    def _login(self):
        server = self._server
        self._session.start_login(server["user"], server["password"], server["account"])
        self._session.settle()
        return "as " + (server["user"] or "anonymous")

    def _is_alive(self):
        return self._session is not None and self._session.is_open()

    # --- the data connection

    def _data(self):
        try:
            return self._list()
        except KNOWN as e:
            if self._is_alive() or self._facts.epsv or self._server["mode"] == "active":
                raise
            why = e
        self._open()  # some firewalls let only the ports of PASV through; Ferry finds that out by itself
        self._login()
        self._list()
        return "by PASV only; EPSV: " + self._told.redact(why.text()), why.advice

    def _list(self):
        """A listing of the folder that counts; of the first one there is where that is missing or may not be listed."""
        folder = (self._folders() + [self._config["download.from"]])[0].rstrip("/")
        text = "active" if self._server["mode"] == "active" else "passive"
        for command in ("NLST " + folder, "NLST") if folder else ("NLST",):
            refusal = self._refusal(command)
            if not refusal:
                break
            text += "; " + refusal
        return text

    def _refusal(self, command):
        """ "" if the listing came, or the beginning of it; or why this folder has none."""
        session = self._session
        session.post_transfer([], command)
        try:
            session.open_data()
            session.receive_blocks(len, at_most=LIST_BYTES)
            session.finish()
        except IntegrityError:
            session.abandon_transfer()  # more names than are needed to see that they come
        except Error as e:
            if not session.is_open() or e.code not in (450, 550):
                raise
            return self._told.redact(e.text())
        return ""

    # --- the test file

    def _folders(self):
        """Where uploads go, as far as it is the same for all files of a rule; each ends in "/" or is empty."""
        found = []
        for rule in self._config["upload"]:
            if rule["from"]:
                text = ""
                for i, piece in enumerate(whole(rule["to"])):
                    if i % 2 and piece not in self._values:
                        break
                    text += self._values[piece] if i % 2 else piece
                folder = render([text[: text.rfind("/") + 1]], {})
                if folder and folder != "/":
                    folder += "/"
                if folder not in found:
                    found.append(folder)
        return found

    def _store(self, folder):
        from app.sync.testfile import TestFile

        TestFile(self._session, self._told, folder, self._digest, self._server["verify"] == "size").walk()

    # --- updates

    def _updates(self):
        folder = self._config["update.from"].rstrip("/")
        self._session.post(["SIZE " + folder + "/manifest"])
        code, text = self._session.reply()
        if code != 213:
            return self._told.redact(
                text
            ), "no manifest in %s: nothing is published there yet, or update.from is wrong" % folder
        if self._config["update.key"]:
            return "a manifest; signatures are checked"
        return "a manifest; unsigned ones are taken, update.key is empty"


def check(worker=None, out=print):
    """Walk every hop and tell each in a line to `out`; True if nothing is wrong. With a `worker` its settings count, else config.json.

    Blocks for some seconds, and for some time-outs where something is wrong. Raises nothing but KeyboardInterrupt."""
    threshold = gc.threshold() if hasattr(gc, "threshold") else 0
    try:
        if threshold:
            gc.threshold(8192)  # what is compiled now must not leave the heap in pieces
        return _check(worker, out)
    except Exception as e:
        gc.collect()
        out("WRONG %-16s %s: %s" % ("check", type(e).__name__, e))
        return False
    finally:
        _forget()
        if threshold:
            gc.threshold(threshold)


def _forget():
    """Give the memory of what was loaded for this back. Their package holds them as well."""
    for name in LOADED:
        if usys.modules.pop(name, None):
            dot = name.rfind(".")
            setattr(usys.modules[name[:dot]], name[dot + 1 :], None)
    gc.collect()


def _check(worker, out):
    from app import running
    from app.platform.clock import Clock
    from app.platform.files import Files
    from app.start import load_config

    clock, files = Clock(), Files()
    if running and running.is_running:
        worker = running  # whose watchdog must not be stopped
    ear = _Ear(clock)
    told = _Told(out, ear.redact)
    config = worker._config if worker and not worker.has_new_settings else load_config(files, ear)

    from app.platform import quec
    from app.platform.hops import Module, look_up
    from app.platform.sockets import Net

    link = quec.Link()
    imei = quec.Power().imei()
    device = config and (config["device.id"] or imei)
    if config is None:
        told.wrong("settings", ear.heard[0], ear.heard[-1])
        for text in ear.heard[1:-1]:
            told.more(text)
    elif not device:
        told.wrong("settings", "the modem does not tell its IMEI", "set device.id, or restart the module")
    else:
        told.line("ok", "settings", "device " + device)
    module = Module(config, told, files, clock, link)
    is_up = module.link()
    trips = 0
    for server in config["servers"] if device else ():
        out("server %s:%d" % (server["host"], server["port"]))
        ear.set_secrets([server["password"], server["account"], config["update.key"]])
        if is_up:
            walk = _Server(config, server, device, imei, told, Net(quec.randint), clock, link, look_up)
            trips += walk.walk().round_trips
        else:
            told.skipped(OPENING + STORING + (UPDATES,))
    if not device:
        told.skipped(OPENING + STORING + (UPDATES,))
    module.rest(worker is not None and worker.is_running)
    out("%d wrong" % told.wrong_count if told.wrong_count else "all is well, after %d round trips" % trips)
    return not told.wrong_count
