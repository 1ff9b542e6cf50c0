# The commands as a person calls them, in this process.
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools.dashboard.cli import dashboard
from tools.publish.cli import publish
from tools.unbatch.cli import unbatch

_COMMANDS = {"dashboard": dashboard, "publish": publish, "unbatch": unbatch}


@pytest.fixture
def call(monkeypatch):
    """call("publish", ...) -> click's result. No key comes from the environment, no signal handler stays behind."""
    monkeypatch.delenv("FERRY_UPDATE_KEY", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield lambda name, *args: CliRunner().invoke(_COMMANDS[name], [str(arg) for arg in args])
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def fill():
    """fill(folder, {name: bytes}) -> the folder."""

    def fill(folder: Path, files):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder

    return fill
