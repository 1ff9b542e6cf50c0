# python.quectel.com API reference: ure. The host's match, search and compile; no sub.
from re import compile, match, search  # noqa: F401
