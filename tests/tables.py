"""Lines for people at the end of a test run, shown whether it passed or not: tests ask for `tell` and call it with a line."""

from collections import Counter

import pytest

_KEY = "measured"
INPUTS = "hypothesis inputs"  # how many of them a property was tried with; added up for each file


@pytest.fixture
def tell(request):
    # Properties travel with the test's report, also from a process that runs tests for another.
    return lambda line: request.node.user_properties.append((_KEY, line))


def _inputs(reports):
    """One line for each file of properties."""
    counts = Counter()
    for report in reports:
        for key, count in report.user_properties:
            if key == INPUTS:
                counts[report.nodeid.split("::")[0].rsplit("/", 1)[-1]] += count
    return [f"hypothesis, {name}: {count:,} inputs" for name, count in sorted(counts.items())]


def pytest_terminal_summary(terminalreporter):
    reports = [report for found in terminalreporter.stats.values() for report in found]
    calls = [report for report in reports if getattr(report, "when", "") == "call"]
    lines = [(report.nodeid, line) for report in calls for key, line in report.user_properties if key == _KEY]
    told = [line for _, line in sorted(lines)] + _inputs(calls)
    if told:
        terminalreporter.section(_KEY)
    for line in told:
        terminalreporter.write_line(line)
