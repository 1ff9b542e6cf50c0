# python.quectel.com API reference: ucollections. The host's namedtuple and deque; the firmware has no OrderedDict.
from collections import deque, namedtuple  # noqa: F401
