# python.quectel.com API reference: uzlib. decompress() and DecompIO over the host's inflater; no crc32.
from io import BytesIO as _BytesIO

from qpycom_stubs import _world

if _world.IS_MICROPYTHON:
    import deflate as _deflate

    def DecompIO(stream: object, wbits: int = 0) -> object:  # noqa: N802 - the firmware's name
        """A stream that inflates another: raw for negative wbits, gzip from 16, else zlib."""
        kind = _deflate.RAW if wbits < 0 else _deflate.GZIP if wbits >= 16 else _deflate.ZLIB
        return _deflate.DeflateIO(stream, kind, abs(wbits) & 15)

else:
    import zlib as _zlib

    def DecompIO(stream: object, wbits: int = 0) -> object:  # noqa: N802
        return _BytesIO(_zlib.decompress(stream.read(), wbits))


def decompress(data: bytes, wbits: int = 0) -> bytes:
    return DecompIO(_BytesIO(data), wbits).read()
