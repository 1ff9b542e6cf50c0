# What goes wrong between the PC and a module. Every text names the thing and ends in what to do.


class BoardError(Exception):
    """The port, the module or what lies on it does not let us; the text says what to do."""


class Gone(BoardError):
    """The port is gone or the module has fallen silent: the cable, most likely."""


class ModuleFault(BoardError):
    """The module's program raised; the text is its traceback."""
