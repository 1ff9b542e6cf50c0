# python.quectel.com API reference: ujson. The host's, without keyword arguments; text is written as raw UTF-8.
import json as _host

from qpycom_stubs import _world

load = _host.load
loads = _host.loads


def dumps(value: object) -> str:
    return _host.dumps(value) if _world.IS_MICROPYTHON else _host.dumps(value, ensure_ascii=False)


def dump(value: object, stream: object) -> None:
    stream.write(dumps(value))
