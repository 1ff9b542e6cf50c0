"""Pytest fixtures: ``from tests.ftpd.fixtures import ftpd, ftpd_server`` in a conftest.py or a test module.

A server that cannot run here skips its tests with the reason; with FERRY_REQUIRE_SERVERS=1 in the environment it fails
them.
"""

import os
import shutil

import pytest

from tools.ftpd.servers import NAMES, available, running


def require(name, tls=False):
    """Skip the calling test when server `name` cannot run here; fail it where all servers are required."""
    reason = available(tls)[name]
    if reason is None:
        return
    if os.environ.get("FERRY_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{name}: {reason}", pytrace=False)
    pytest.skip(f"{name}: {reason}")


@pytest.fixture(scope="session", params=NAMES)
def ftpd_server(request, tmp_path_factory):
    """Each of the four servers, started once for all tests. Tests ask for `ftpd`: this one, with an empty root."""
    require(request.param)
    with running(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def ftpd(ftpd_server):
    """Each of the four servers, with nothing in its root folder."""
    for entry in ftpd_server.root.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return ftpd_server
