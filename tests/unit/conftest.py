# Unit tests see no network: whoever makes a socket here fails.
import socket

import pytest


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("a unit test made a socket; the network is passed in as a fake here")

    monkeypatch.setattr(socket.socket, "__init__", refuse)
