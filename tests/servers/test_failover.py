"""FtpManager with several servers in its settings: fail-over and return in one boot, over real sockets."""

import json

import pytest

from app.config import parse
from tests.ftpd.fake import reset_socket
from tests.ftpd.sane import Sane
from tests.world import FAST

BODY = bytes(range(256)) * 20
AFTER = 2
RETURN_S = 600


class Servers:
    """Some servers of which each can be down. `manager` knows them all."""

    def __init__(self, world, servers, **sections):
        self.servers = servers
        self.world = world
        more = {key: value for key, value in sections.items() if "." in key}
        self.manager = world.manager(servers[0], {"upload.mode": sections.pop("mode", "whole"), **more}, FAST)
        config = {**self.manager._config}
        data = {
            "server": [
                {"host": s.host, "port": s.port, "user": "u", "password": "p" if i != sections.get("bad") else "x"}
                for i, s in enumerate(servers)
            ],
            "failover": {"after": AFTER, "return_s": RETURN_S},
        }
        several = parse(json.dumps(data).encode())
        for key in several:
            if key.startswith(("server", "failover")):
                config[key] = several[key]
        self.manager.configure(config)

    def cycle(self):
        """Which servers were asked in a cycle, and whether it was good."""
        before = [server.session_count for server in self.servers]  # a QUIT may be heard when the cycle is over
        result = self.manager.run_cycle()
        after = [server.session_count for server in self.servers]
        return [i for i, (x, y) in enumerate(zip(before, after, strict=True)) if x != y], result.ok

    def pass_time(self, seconds):
        self.manager._clock.sleep_ms(1000 * seconds)


def down(server):
    server._overrides[""] = lambda opened, _argument: opened.hang_up(how=reset_socket)


def up(server):
    server._overrides.pop("", None)


def stored(server):
    return {name: data for name, data in server.files.items() if not name.endswith(".part")}


@pytest.fixture
def pair():
    with Sane() as a, Sane() as b:
        yield a, b


def test_fail_over_and_return(world, pair):
    a, b = pair
    module = Servers(world, pair)
    world.put("1", BODY)
    assert module.cycle() == ([0], True)
    down(a)
    world.put("2", BODY)
    assert [module.cycle() for _ in range(4)] == [([0], False)] * AFTER + [([1], True)] * 2
    module.pass_time(RETURN_S)
    assert [module.cycle() for _ in range(2)] == [([0], False), ([1], True)]
    module.pass_time(RETURN_S)
    up(a)
    world.put("3", BODY)
    assert [module.cycle() for _ in range(2)] == [([0], True)] * 2
    assert (stored(a), stored(b)) == ({"1": BODY, "3": BODY}, {"2": BODY})


def test_a_refused_login_leads_to_the_next_server(world, pair):
    module = Servers(world, pair, bad=0)
    world.put("1", BODY)
    assert [module.cycle() for _ in range(3)] == [([0], False)] * AFTER + [([1], True)]
    assert stored(pair[1]) == {"1": BODY}


def test_a_log_goes_on_on_each_server(world, pair):
    a, b = pair
    module = Servers(world, pair, mode="append")
    world.put("log", b"line\n" * 10)
    assert module.cycle() == ([0], True)
    down(a)
    world.put("log", b"line\n" * 20)
    assert [module.cycle()[1] for _ in range(3)] == [False, False, True]
    up(a)
    module.pass_time(RETURN_S)
    world.put("log", b"line\n" * 30)
    assert module.cycle() == ([0], True)
    assert (a.files, b.files) == ({"log": b"line\n" * 30}, {"log": b"line\n" * 20})


def test_the_facts_of_each_server_are_its_own(world, pair):
    a, b = pair
    a._overrides["EPSV"] = b"500 no\r\n"
    module = Servers(world, pair)
    world.put("1", BODY)
    assert module.cycle() == ([0], True)
    assert not module.manager._facts.epsv
    down(a)
    world.put("2", BODY)
    assert [module.cycle()[1] for _ in range(3)] == [False, False, True]
    assert module.manager._facts.epsv
    assert "PASV" not in b.verbs()


def test_the_status_names_the_server_that_is_used(world):
    with Sane() as a, Sane() as b:
        servers = Servers(world, (a, b))
        assert servers.manager.status()["server"] == ""
        servers.cycle()
        assert servers.manager.status()["server"] == f"{a.host}:{a.port}"
        down(a)
        for _ in range(AFTER + 1):
            servers.cycle()
        assert servers.manager.status()["server"] == f"{b.host}:{b.port}"
