# python.quectel.com API reference: usys. The host's sys without exc_info; path and modules are those that the app's
# imports use.
import sys as _host

from qpycom_stubs import _world

argv = []
byteorder = _host.byteorder
implementation = _host.implementation
maxsize = _host.maxsize
platform = _host.platform
stderr = _host.stderr
stdin = _host.stdin
stdout = _host.stdout
version = _host.version
version_info = _host.version_info
exit = _host.exit
path = _world.path
modules = _world.modules

if _world.IS_MICROPYTHON:
    print_exception = _host.print_exception
else:

    def print_exception(error: BaseException, stream: object = None) -> None:
        import traceback

        traceback.print_exception(type(error), error, error.__traceback__, file=stream or _host.stdout)
