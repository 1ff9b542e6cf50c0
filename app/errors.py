# Everything that can go wrong, one class for each answer to it. The class says what is done about it (`action`), the
# object says where it happened (`step`, `verb`), what was answered (`code`, `text`) and what a person can do (`advice`).
# Network errors are OSError and EOFError as well, as in ftplib; so there is one tree in meaning, not in inheritance.

RETRY = "retry"  # drop the session, back off, go on with what is missing
LATER = "later"  # the server asks for time: the same, nothing is wrong on our side
PARK = "park"  # this file never works as it is: report it, go on with the others
PAUSE = "pause"  # stop what needs space, go on with what frees it
HALT = "halt"  # only a person can help: probe slowly
LADDER = "ladder"  # the link itself is down

ADVICE = {
    331: "the server wants a password: set server.password",
    332: "the server wants an account (ACCT): set server.account",
    421: "the server is busy or shutting down; Ferry tries again later",
    425: "the data connection did not open: allow the server's passive port range in its firewall",
    426: "the data connection broke; Ferry goes on where it stopped",
    430: "check server.user and server.password",
    450: "the file is in use on the server; Ferry tries again later",
    451: "the server had a local error; look at its log",
    452: "the server's disk or quota is full: make room there",
    500: "the server does not know this command",
    502: "the server does not offer this command",
    503: "the server wants another order of commands",
    521: "the server wants encrypted data: set server.tls",
    522: "the server wants TLS session reuse, which no module can do: turn it off there (vsftpd: require_ssl_reuse=NO;"
    " proftpd: TLSOptions NoSessionReuseRequired)",
    530: "check server.user and server.password",
    532: "the server wants an account for storing files: set server.account",
    534: "the server refuses this security mechanism: change server.tls",
    550: "the name does not exist on the server, or the account may not touch it",
    552: "the server's quota is full: make room there",
    553: "the server does not allow this name, or the account may not write there",
}


def _note(error, verb, step, code, advice):
    error.verb = verb
    error.step = step
    error.code = code
    if advice:
        error.advice = advice
    elif code in ADVICE:
        error.advice = ADVICE[code]


def _describe(error):
    """One line: class, where, what."""
    where = error.verb or error.step
    return "%s%s: %s" % (type(error).__name__, " in " + where if where else "", error.text())


class Error(Exception):
    """An answer of the server, or a finding of ours, that stops one thing. `args[0]` is the text, as in ftplib."""

    action = RETRY
    advice = "look at the server's log"

    def __init__(self, text="", verb="", step="", code=0, advice=""):
        super().__init__(text)
        _note(self, verb, step, code, advice)

    def text(self):
        return self.args[0] if self.args else ""

    __str__ = _describe


class UnexpectedReply(Error):
    """A positive reply where another one was due (ftplib's error_reply)."""


class TempReply(Error):
    """4xx, 530 with "too many": the server asks for time (ftplib's error_temp)."""

    action = LATER
    advice = "the server asks to try again later"


class PermReply(Error):
    """5xx: refused for good (ftplib's error_perm)."""

    action = PARK
    advice = "the server refuses this; look at the account's rights there"


class AuthError(PermReply):
    """The server refuses user or password. Not hammered: wrong passwords get accounts locked."""

    action = HALT
    advice = "check server.user and server.password"


class ProtocolError(Error):
    """What came is not FTP, or more than FTP allows (ftplib's error_proto)."""

    advice = "is server.host:server.port really an FTP server? a proxy or another service may answer there"


class IntegrityError(Error):
    """The size or the digest on the other side differs from what was sent."""

    advice = "something on the way or on the server changes files; if it stays, look at the server's log and disk"


class StorageError(Error):
    """The module's flash is full or fails. `code` is the error number (28 = full)."""

    action = PAUSE
    advice = "make room in the flash: remove files, or upload with after = delete"


class LinkError(Error):
    """No SIM, not registered, no data call."""

    action = LADDER
    advice = "check SIM card, antenna and APN"


class Fault(Error):
    """A fault in the program, or too little memory. What lasts is cured by a restart, if by anything."""

    advice = "a fault in Ferry; please report the traceback"


class ConfigError(Error):
    """config.json is not usable; `problems` lists every line of what is wrong."""

    action = HALT
    advice = "correct config.json and restart the module"

    def __init__(self, problems):
        super().__init__("\n".join(problems), step="config")
        self.problems = problems


class TransportError(OSError):
    """Name look-up, connect, time-out, reset. `args[0]` is the error number (110 = timed out)."""

    action = RETRY
    advice = "check the link, server.host, server.port and the server's firewall"

    def __init__(self, number, text="", verb="", step="", advice=""):
        super().__init__(number, text)
        _note(self, verb, step, 0, advice)

    def text(self):
        number = self.args[0] if self.args else 0
        return "%s (error %s)" % (self.args[1] or ERROR_NAMES.get(number, "failed"), number)

    __str__ = _describe


class ConnectionClosed(EOFError):
    """The server ended the control connection where a reply was due."""

    action = RETRY
    advice = "the server or something on the way closed the connection; Ferry goes on where it stopped"

    def __init__(self, text="the server closed the connection", verb="", step=""):
        super().__init__(text)
        _note(self, verb, step, 0, "")

    def text(self):
        return self.args[0]

    __str__ = _describe


# The numbers that sockets and files raise on the module, in words.
ERROR_NAMES = {
    2: "no such file",
    9: "socket is closed",
    11: "timed out",
    17: "exists already",
    20: "not a folder",
    21: "is a folder",
    28: "flash is full",
    39: "folder is not empty",
    103: "connection aborted",
    104: "connection reset",
    107: "not connected",
    110: "timed out",
    111: "connection refused",
    113: "host unreachable",
    128: "connection closed by the stack",
}

# What Ferry raises itself; anything else that arrives is a fault in the program.
KNOWN = (Error, TransportError, ConnectionClosed)


def number_of(error):
    """The error number of an OSError, 0 where it has none (`errno` does not exist on the module)."""
    if not error.args:
        return 0
    if error.args[0] == "timed out":  # CPython's socket time-out has no number
        return 110
    return error.args[0] if isinstance(error.args[0], int) else 0
