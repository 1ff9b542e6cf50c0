from tests.tables import pytest_terminal_summary, tell

__all__ = ["pytest_terminal_summary", "tell"]
