"""What a connection makes of a socket that the firmware has given up."""

import pytest

from app.platform.sockets import Connection


class Dead:
    """As after the end of the data call: every call raises."""

    def fileno(self):
        raise OSError(9)

    def recv(self, size):
        raise OSError(104)

    send = recv


def test_a_socket_that_died_is_ready_and_its_read_says_that_it_died():
    connection = Connection(Dead(), "192.0.2.7")
    assert connection.is_ready()
    with pytest.raises(OSError, match="104"):
        connection.recv(1)
