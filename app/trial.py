# An update of code or settings on trial: it is confirmed by a complete good cycle, or taken back (docs/DESIGN.md, section 7).

TRIAL = "/usr/.ferry/trial"


class Trial:
    """`cycles` is how many may fail in a row."""

    def __init__(self, cycles, log):
        self._cycles = cycles
        self._log = log
        self._failed = 0
        self.is_on = False

    def confirm(self):
        """A complete good cycle: what runs now may stay. Raises OSError."""
        if not self.is_on:
            return
        from app import apply

        apply.confirm()
        self.is_on = False
        self._log.info("the update is confirmed")

    def failed(self):
        """A cycle failed: after some of them the old code and settings come back. Returns why to restart, or ""."""
        if not self.is_on:
            return ""
        self._failed += 1
        if self._failed < self._cycles:
            return ""
        from app import apply

        try:
            trial = apply.read(apply.TRIAL)
            if trial:
                apply.go_back(trial)
        except OSError as e:  # tried again after the next failed cycle, which comes after its pause like any other
            self._log.warning("the update cannot be taken back: %s", e)
            return ""
        self.is_on = False
        return "the update had %d failed cycles: the old one is back" % self._failed
