# Lets device code that is pure (no firmware module) be imported by CPython, for the tools and the unit tests.
import importlib
import sys
import types

_SAME = {
    "ujson": "json",
    "ustruct": "struct",
    "uhashlib": "hashlib",
    "ubinascii": "binascii",
    "urandom": "random",
    "uio": "io",
    "ure": "re",
    "usys": "sys",
    "ucollections": "collections",
    "uerrno": "errno",
}


def install():
    """Give CPython the module's names for plain libraries. A name that is there already stays as it is."""
    for name, desktop in _SAME.items():
        sys.modules.setdefault(name, importlib.import_module(desktop))
    micropython = types.ModuleType("micropython")
    micropython.const = lambda value: value
    sys.modules.setdefault("micropython", micropython)
