# What is done about a link that does not work: the longer it lasts, the more. Pure.

WAIT = "wait"  # it may come back by itself
SOCKETS = "new sockets"  # nothing that was known of the way to the server is used again
REDIAL = "data call again"
FLIGHT = "flight mode"  # off the network and on again, SIM card included
RESTART = "restart"

# What is done, how often in a row before the next rung, and the least pause behind it in seconds.
RUNGS = (
    (WAIT, 3, 0),
    (SOCKETS, 2, 0),
    (REDIAL, 3, 10),
    (FLIGHT, 3, 30),
    (RESTART, 1, 0),
)
_AGAIN = 2  # where it goes on while no restart is due


class Ladder:
    """One step for each cycle that failed for want of a link."""

    def __init__(self):
        self._rung = 0
        self._count = 0

    def failed(self, may_restart):
        """(what is to be done, least pause in seconds) after one more failure."""
        if RUNGS[self._rung][0] == RESTART and not may_restart:
            self._rung = _AGAIN
        action, often, pause_s = RUNGS[self._rung]
        self._count += 1
        if self._count >= often:
            self._count = 0
            self._rung = min(self._rung + 1, len(RUNGS) - 1)
        return action, pause_s

    def held(self):
        """The link worked: the next failure begins at the bottom."""
        self._rung = self._count = 0
