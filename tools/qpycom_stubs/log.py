# python.quectel.com API reference: log. Levels, and loggers that print %-formatted lines; no files.
DEBUG = 10
INFO = 20
WARNING = 30
ERROR = 40
CRITICAL = 50

_NAMES = {DEBUG: "DEBUG", INFO: "INFO", WARNING: "WARNING", ERROR: "ERROR", CRITICAL: "CRITICAL"}

_level = INFO
_stream = None


def basicConfig(level: int = INFO) -> None:  # noqa: N802 - the firmware's names, here and below
    global _level
    _level = level


def set_output(stream: object) -> None:
    global _stream
    _stream = stream


def getLogger(name: str) -> object:  # noqa: N802
    return _Logger(name)


class _Logger:
    def __init__(self, name: str) -> None:
        self._name = name

    def log(self, level: int, message: str, *args: object) -> None:
        if level < _level:
            return
        line = "%s:%s:%s" % (_NAMES.get(level, level), self._name, message % args if args else message)
        if _stream:
            _stream.write(line + "\n")
        else:
            print(line)

    def debug(self, message: str, *args: object) -> None:
        self.log(DEBUG, message, *args)

    def info(self, message: str, *args: object) -> None:
        self.log(INFO, message, *args)

    def warning(self, message: str, *args: object) -> None:
        self.log(WARNING, message, *args)

    def error(self, message: str, *args: object) -> None:
        self.log(ERROR, message, *args)

    def critical(self, message: str, *args: object) -> None:
        self.log(CRITICAL, message, *args)
