# The device's pure code imports the module's names (ujson, ustruct, ...): CPython gets them before tests are collected.
from tests.tables import pytest_terminal_summary, tell
from tools import desktop

desktop.install()

__all__ = ["pytest_terminal_summary", "tell"]
