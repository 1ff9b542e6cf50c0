# python.quectel.com API reference: utils. crc32 as the firmware calculates it: zlib's, started at 0xFFFFFFFF.
from binascii import crc32 as _crc32


class crc32:  # noqa: N801 - the firmware's name
    def update(self, start: int, data: bytes) -> int:
        return _crc32(data, start)
