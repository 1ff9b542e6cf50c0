# No deadline: a slow machine is no fault. In CI the same examples every time; the number keeps the folder under 20 s.
import functools
import os

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

from tests.tables import INPUTS

settings.register_profile("default", deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Counts how often a property's body is called, for the end of the test run."""
    if not is_hypothesis_test(item.obj):
        return (yield)
    body = item.obj.hypothesis.inner_test
    count = 0

    @functools.wraps(body)
    def counted(*args, **kwargs):
        nonlocal count
        count += 1
        return body(*args, **kwargs)

    item.obj.hypothesis.inner_test = counted
    try:
        return (yield)
    finally:
        item.obj.hypothesis.inner_test = body
        item.user_properties.append((INPUTS, count))
