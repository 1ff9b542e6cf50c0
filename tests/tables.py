"""Lines for people at the end of a test run, shown whether it passed or not.

In a conftest.py: ``from tests.tables import pytest_terminal_summary, tell``; tests ask for `tell` and call it with a line.
"""

import pytest

_LINES = pytest.StashKey[list]()


@pytest.fixture
def tell(request):
    lines = request.config.stash.setdefault(_LINES, [])
    return lines.append


def pytest_terminal_summary(terminalreporter, config):
    """Called once for each conftest.py that imports it: the first time shows everything."""
    lines = config.stash.get(_LINES, [])
    if lines:
        terminalreporter.section("measured")
    for line in lines:
        terminalreporter.write_line(line)
    lines.clear()
