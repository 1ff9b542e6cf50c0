# The log: one line per event on the console and the last lines in RAM. Nothing goes to flash here: a line per append
# would cost two block erases. Secrets are replaced before a line is printed or kept.

LEVELS = ("debug", "info", "warning", "error")
RING_BYTES = 3072  # some 40 lines as they usually are, and no more memory where they are long
LINE_BYTES = 240  # longer lines are cut: an error text may quote a server that talks a lot


class Log:
    """Levelled log. `clock.ticks_ms()` gives the time stamp, `out(line)` takes the finished line."""

    def __init__(self, clock, level="info", out=print):
        self._clock = clock
        self._out = out
        self._ring = []
        self._ring_bytes = 0
        self._secrets = ()
        self.has_errors = False
        self.set_level(level)

    def set_level(self, level):
        self._threshold = LEVELS.index(level)

    def set_secrets(self, secrets):
        """Texts that are never shown; empty ones are left out."""
        self._secrets = tuple(s for s in secrets if s)

    def lines(self):
        """The last lines, oldest first."""
        return list(self._ring)

    def debug(self, text, *args):
        self._write(0, text, args)

    def info(self, text, *args):
        self._write(1, text, args)

    def warning(self, text, *args):
        self._write(2, text, args)

    def error(self, text, *args):
        self._write(3, text, args)

    def trace(self, error):
        """The traceback of a fault in the program, line by line."""
        import uio
        import usys

        stream = uio.StringIO()
        usys.print_exception(error, stream)
        for line in stream.getvalue().split("\n"):
            if line:
                self.error("%s", line)

    def redact(self, text):
        """The text without the secrets, which a server may have repeated."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _write(self, level, text, args):
        if level < self._threshold:
            return
        if args:
            text = text % args
        text = self.redact(text)
        line = "%9.3f %-7s %s" % (self._clock.ticks_ms() / 1000, LEVELS[level], text[:LINE_BYTES])
        self._ring.append(line)
        self._ring_bytes += len(line)
        while self._ring_bytes > RING_BYTES:
            self._ring_bytes -= len(self._ring.pop(0))
        self.has_errors = self.has_errors or level == 3
        self._out(line)
