"""Lines for people at the end of a test run, shown whether it passed or not: tests ask for `tell` and call it with a line."""

import pytest

_KEY = "measured"


@pytest.fixture
def tell(request):
    # Properties travel with the test's report, also from a process that runs tests for another.
    return lambda line: request.node.user_properties.append((_KEY, line))


def pytest_terminal_summary(terminalreporter):
    reports = [report for found in terminalreporter.stats.values() for report in found]
    calls = [report for report in reports if getattr(report, "when", "") == "call"]
    lines = [(report.nodeid, line) for report in calls for key, line in report.user_properties if key == _KEY]
    if lines:
        terminalreporter.section(_KEY)
    for _, line in sorted(lines):
        terminalreporter.write_line(line)
