# python.quectel.com API reference: ustruct. The host's.
from struct import calcsize, pack, pack_into, unpack, unpack_from  # noqa: F401
