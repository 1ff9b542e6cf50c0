# python.quectel.com API reference: file_crc32. Hex digits of a file's CRC-32, started at 0xFFFFFFFF; None if it cannot
# be read.
from binascii import crc32 as _crc32

from qpycom_stubs import _flash

_CHUNK_BYTES = 4096
_START = 0xFFFFFFFF


def calc(path: str) -> object:
    crc = _START
    try:
        with _flash.open_file(path, "rb") as reader:
            while True:
                chunk = reader.read(_CHUNK_BYTES)
                if not chunk:
                    return "%x" % crc
                crc = _crc32(chunk, crc)
    except OSError:
        return None
