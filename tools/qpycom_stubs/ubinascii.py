# python.quectel.com API reference: ubinascii. The host's, without crc32, which the firmware has switched off.
from binascii import a2b_base64, b2a_base64, hexlify, unhexlify  # noqa: F401
