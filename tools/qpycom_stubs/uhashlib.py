# python.quectel.com API reference: uhashlib. md5, sha1 and sha256 with update() and digest(); there is no hexdigest.
import hashlib as _host

from qpycom_stubs import _world

if _world.IS_MICROPYTHON:
    md5, sha1, sha256 = _host.md5, _host.sha1, _host.sha256
else:

    class _Hash:
        def __init__(self, name: str, data: bytes) -> None:
            self._hash = _host.new(name, data)

        def update(self, data: bytes) -> None:
            self._hash.update(data)

        def digest(self) -> bytes:
            return self._hash.digest()

    def md5(data: bytes = b"") -> object:
        return _Hash("md5", data)

    def sha1(data: bytes = b"") -> object:
        return _Hash("sha1", data)

    def sha256(data: bytes = b"") -> object:
        return _Hash("sha256", data)
