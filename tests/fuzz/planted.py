"""A fault for the fuzzer to find, so that a search that finds nothing means something: chance alone does not reach it."""

from app.errors import Error
from app.proto.parse import parse_size


def planted(raw):
    try:
        size = parse_size(str(raw, "latin-1"))
    except Error:
        return
    raise ZeroDivisionError(size)
