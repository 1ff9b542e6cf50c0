# The device's pure code imports the module's names (ujson, ustruct, ...); CPython gets them before any test is collected.
from tools import desktop

desktop.install()
