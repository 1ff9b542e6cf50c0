# The device's pure code imports the module's names (ujson, ustruct, ...): CPython gets them before tests are collected.
from tools import desktop

desktop.install()
