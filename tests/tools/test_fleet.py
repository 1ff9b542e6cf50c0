# `tools fleet`: what the model says is what a real module said; failures are counted and come again; what follows is arithmetic.
import asyncio
import json
import random
import re
import signal
import socket
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import replace

import pytest
from click.testing import CliRunner

from tools import spread
from tools.fleet import crowd, modules, result, script, server, show
from tools.fleet.cli import fleet
from tools.ftpd.servers import NAMES, running
from tools.sim import settings
from tools.sim.child import find_interpreter
from tools.sim.settings import Server

PLAN = spread.Settings(every_s=900, first_s=60, jitter_s=60)
IMEIS = spread.imeis(30)


@pytest.fixture
def interpreter():
    found = find_interpreter(None, modules.HEAP)
    if not found.heap:
        pytest.skip("no micropython beside this Python nor on the PATH")
    return found


@pytest.fixture
def pyftpdlib(tmp_path):
    (tmp_path / "root" / "updates").mkdir(parents=True)
    with running("pyftpdlib", tmp_path / "root", max_clients=100) as server:
        yield server


def access(server):
    return Server(server.host, server.port, server.user, server.password, tls="off")


def devices(names, at_ms=0, pause_ms=0):
    """All of them come at one moment, and again behind a fixed pause."""
    return [
        crowd.Device(name, at_ms, spread.Backoff(pause_ms or 60_000, pause_ms or 60_000, lambda _, most: most))
        for name in names
    ]


def play(server, what, who, seconds=1, link=None):
    players = crowd.Crowd(server, what, IMEIS[0], link, seed=1)
    return asyncio.run(players.play(who, seconds))


# --- the script


def seen(*rows):
    return [script.Seen(number, *row) for number, row in enumerate(rows)]


def test_a_session_becomes_steps_that_wait_for_what_the_module_waited_for():
    found = script.script_of(
        seen(
            ("control", "up", script.OPENED),
            ("control", "down", b"220-hello\r\n 230 no reply\r\n220 ready\r\n"),
            ("control", "up", b"USER u\r\nPASS p\r\nEPSV\r\nSTOR m1/a.part\r\n"),
            ("control", "down", b"331 a\r\n230 b\r\n229 c (|||5"),
            ("control", "down", b"000|)\r\n150 early\r\n"),
            ("data", "up", script.OPENED),
            ("data", "up", b"one"),
            ("data", "up", b"two"),
            ("data", "up", b""),
            ("control", "down", b"226 d\r\n"),
            ("control", "up", b"PASV\r\nMLSD updates\r\n"),
            ("control", "down", b"227 e (127,0,0,1,1,2).\r\n"),
            ("data", "up", script.OPENED),
            ("data", "down", b"type=file; x\r\n"),
            ("data", "down", b""),
            ("data", "up", b""),
            ("control", "down", b"150 late\r\n226 f\r\n"),
            ("control", "up", b"QUIT\r\n"),
            ("control", "up", b""),
            ("control", "down", b"221 nobody waits for it\r\n"),
        )
    )
    assert found.steps == (
        ("connect",),
        ("replies", 1),
        ("send", b"USER u\r\nPASS p\r\nEPSV\r\nSTOR m1/a.part\r\n"),
        ("replies", 4),  # the 150 is not waited for here: another server sends it behind the connect
        ("open",),
        ("put", b"onetwo"),
        ("replies", 6),
        ("send", b"PASV\r\nMLSD updates\r\n"),
        ("replies", 7),
        ("open",),
        ("get",),
        ("replies", 9),
        ("send", b"QUIT\r\n"),
    )
    assert found.digits == b"232212212"
    assert found.folders() == ["m1"]
    assert found.commands == Counter(USER=1, PASS=1, EPSV=1, STOR=1, PASV=1, MLSD=1, QUIT=1)


@pytest.mark.parametrize(
    "line, port",
    [
        (b"229 Entering (|||50001|)", 50001),
        (b"227 Entering (10,0,0,1,195,81).", 50001),
        (b"226 (|||1|)", None),
        (b"229 what", None),
    ],
)
def test_the_port_of_a_data_connection(line, port):
    assert script.port_of(line) == port


def test_half_a_session_is_no_script():
    with pytest.raises(script.ScriptError, match="USER"):
        script.script_of(seen(("control", "up", script.OPENED), ("control", "up", b"USER u\r\n")))


# --- the model against a real server


@pytest.mark.parametrize("upload_bytes", [0, 3000])
def test_the_model_says_what_the_real_module_said(pyftpdlib, interpreter, upload_bytes):
    recorded = modules.record(interpreter, IMEIS[0], settings.own_config(), access(pyftpdlib), upload_bytes)
    assert recorded.commands["PASS"] == recorded.commands["QUIT"] == 1
    assert recorded.commands["STOR"] == (upload_bytes > 0)
    with modules.Recorder(pyftpdlib.host, pyftpdlib.port) as proxy:
        through = replace(access(pyftpdlib), port=proxy.port)
        tally = play(through, recorded, devices(IMEIS[:1]))
        proxy.wait_idle(5)
        (said,) = proxy.sessions()
    assert (tally.good, tally.failures) == (1, Counter())
    again = script.script_of(said)
    assert again.steps == recorded.steps
    assert again.digits == recorded.digits


def test_each_device_of_the_model_sends_to_its_own_folder(pyftpdlib, interpreter):
    recorded = modules.record(interpreter, IMEIS[0], settings.own_config(), access(pyftpdlib), 3000)
    for name in IMEIS[1:]:
        for folder in recorded.folders():
            (pyftpdlib.root / folder.replace(IMEIS[0], name)).mkdir(parents=True)
    tally = play(access(pyftpdlib), recorded, devices(IMEIS))
    assert (tally.good, tally.failures) == (len(IMEIS), Counter())
    assert len(tally.logins_s) == len(tally.begun_s) == len(IMEIS)
    stored = [path for path in pyftpdlib.root.rglob("*") if path.is_file()]
    assert not [path for path in stored if path.name.endswith(".part")]
    assert {path.parent.name for path in stored} == set(IMEIS)
    assert {path.stat().st_size for path in stored} == {3000}


LOGIN = script.Script(
    (
        ("connect",),
        ("replies", 1),
        ("send", b"USER ferry\r\nPASS secret\r\nNOOP\r\n"),
        ("replies", 4),
        ("send", b"QUIT\r\n"),
    ),
    b"2322",
    Counter(),
    0,
    0,
)


def test_a_slow_link_keeps_sessions_open(pyftpdlib):
    tally = play(access(pyftpdlib), LOGIN, devices(IMEIS), link={"rtt_ms": (200, 200), "up_kbit_s": 100})
    assert tally.good == len(IMEIS)
    assert tally.most_open == len(IMEIS)
    assert min(tally.lengths_s) >= 0.6  # connect, greeting, replies


def test_who_is_refused_comes_again_behind_the_pauses_of_its_back_off():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        tally = play(Server(*nobody.getsockname()), LOGIN, devices(IMEIS[:3], pause_ms=400))
    assert tally.good == 0
    assert set(tally.failures) == {"refused"}
    assert tally.again == len(tally.begun_s) - 3
    assert 3 <= tally.again <= 6
    assert tally.waiting == 3


def test_too_many_users_is_told_by_its_reply(tmp_path):
    with running("pyftpdlib", tmp_path, max_clients=5) as server:
        tally = play(access(server), LOGIN, devices(IMEIS), link={"rtt_ms": (300, 300), "up_kbit_s": 100})
    assert tally.good == 5
    assert tally.failures == Counter({"reply 421": len(IMEIS) - 5})
    assert tally.waiting == len(IMEIS) - 5


def test_who_comes_after_the_time_is_up_does_not_come(pyftpdlib):
    tally = play(access(pyftpdlib), LOGIN, devices(IMEIS[:2]) + devices(IMEIS[2:], at_ms=5000))
    assert (tally.good, tally.waiting) == (2, 0)


# --- what follows


def test_lives_tell_when_each_module_tries_in_vain():
    (life,) = spread.lives(IMEIS[:1], PLAN, random.Random(1).randint)
    start, end = 4 * 900_000 + 60_000 + 60_000, 4 * 900_000 + 60_000 + 60_000 + 3_600_000
    assert life.cycles_ms == sorted(life.cycles_ms)
    assert all(start <= ms < end for ms in life.tries_ms)
    assert life.backoff.failures == len(life.tries_ms)
    assert life.tries_ms[-1] + 900_000 >= end + life.return_ms


def test_how_many_modules_a_core_carries():
    assert result.carries(5.0, 900) == 90_000  # 100 cycles a second are half of a core
    assert result.cores(5.0, 198) == pytest.approx(0.99)
    assert result.open_sessions(9000, 900, 2.0) == 20


def phase(good, refused, cpu_s, lengths_s=()):
    tally = crowd.Tally(good=good, failures=Counter(refused=refused), lengths_s=list(lengths_s))
    return result.phase_of("", 1, good, tally, cpu_s, 0, None)


def test_cpu_time_is_for_each_session_that_ended_good_or_not():
    assert phase(10, 0, 0.02).cpu_ms == pytest.approx(2)
    assert phase(20, 10, 0.12).cpu_ms == pytest.approx(4)
    assert result.mean_cpu_ms([phase(10, 0, 0.02), phase(20, 10, 0.12)]) == pytest.approx(3.5)


def test_few_sessions_tell_nothing_of_cpu_time():
    assert phase(9, 0, 0.02).cpu_ms is None
    assert phase(10, 0, None).cpu_ms is None
    assert result.mean_cpu_ms([phase(9, 0, 0.02), phase(10, 0, None)]) is None


@pytest.mark.parametrize("lengths, half, most", [([1, 3], 2, 3), (range(1, 101), 50.5, 99), ([7], 7, 7)])
def test_lengths_of_sessions(lengths, half, most):
    found = phase(1, 0, None, lengths)
    assert (found.p50_s, found.p99_s) == (half, most)


def test_bars_have_one_character_for_each_slot():
    assert show.bars([0, 1, 8]) == " ▁█"
    assert show.bars([4] * 600) == "█" * 60
    assert show.bars([0, 0]) == "  "


# --- the command


def test_each_server_of_the_tests_may_be_named():
    assert server.DAEMONS == NAMES


def call(*args):
    before = signal.getsignal(signal.SIGTERM)
    try:
        return CliRunner().invoke(fleet, [str(arg) for arg in args])
    finally:
        signal.signal(signal.SIGTERM, before)


def test_real_modules(interpreter, tmp_path):
    report = tmp_path / "fleet.json"
    picture = tmp_path / "fleet.svg"
    done = call("--devices", 3, "--upload", 500, "--json", report, "--out", picture)
    assert done.exit_code == 0, done.output
    assert "3 modules: real ones" in done.stdout
    found = json.loads(report.read_text(encoding="utf-8"))
    assert [(phase["good"], phase["failures"]) for phase in found["phases"]] == [(3, {}), (15, {})]
    assert 0 < found["phases"][1]["cpu_ms"] < 1000
    assert "arrivals that their schedule gives" in picture.read_text(encoding="utf-8")
    assert found["steady"]["modules_per_core"] == result.carries(found["steady"]["cpu_ms"], 900)


def test_the_model_with_picture_and_numbers(interpreter, tmp_path):
    report, picture = tmp_path / "fleet.json", tmp_path / "fleet.svg"
    done = call("--devices", 600, "--first", 6, "--seconds", 2, "--link", "lan", "--json", report, "--out", picture)
    assert done.exit_code == 0, done.output
    found = json.loads(report.read_text(encoding="utf-8"))
    assert [phase["what"] for phase in found["phases"]] == ["power at once", "ordinary day", "server back"]
    first = found["phases"][0]
    arrivals = [ms for ms in (spread.first_ms(name, 6) for name in spread.imeis(600)) if ms < 2000]
    assert first["planned"] == len(arrivals)
    assert len(arrivals) / 2 < first["sessions"] <= len(arrivals)  # a busy machine is late with the last ones
    assert first["good"] == first["sessions"]
    assert 0 < sum(first["logins"]) <= first["sessions"]
    assert found["script"]["commands"][0] == "USER" and found["script"]["commands"][-1] == "QUIT"
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines if line[0] == "fleet"] == [
        ["fleet", "600 modules: a model; each says what a real one said, over real sockets"]
    ]
    text = picture.read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "power at once" in text
    # Nothing is fetched when it is looked at.
    assert "<script" not in text
    assert not re.search(r"""(href|src)\s*=\s*["']?(https?:)?//""", text)


@pytest.mark.parametrize(
    "args, says",
    [
        (("--tls", "explicit", "--devices", 500), "measure what TLS costs the server with real modules"),
        (("--daemon", "vsftpd", "--server", "ftp://u:p@127.0.0.1/"), "two servers"),
        (("--pid", 1), "--pid is for --server"),
        (("--server", "http://127.0.0.1"), "only ftp://"),
        (("--server", "ftp://u:p@127.0.0.1:1/", "--pid", 4_000_000), "no process 4000000"),
        (("--at-once", 3, "--devices", 500), "--at-once is for real modules"),
        (("--out", "x.png"), "x.svg"),
        (("--devices", 0), "1<=x<=100000"),
    ],
)
def test_wrong_input_is_told_with_what_would_be_right(args, says):
    done = call(*args)
    assert done.exit_code == 2
    assert says in " ".join(done.output.split())


def test_a_server_that_is_not_there_is_told(interpreter):
    done = call("--server", "ftp://u:p@127.0.0.1:1/", "--devices", 100)
    assert done.exit_code == 1
    assert "Connection refused" in done.output
    assert "python -m tools sim --server" in done.output
