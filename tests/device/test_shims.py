# The shims' contract with the app: what the firmware's modules do, on every interpreter that can play the module.
import contextlib
import shutil
import ssl
import subprocess

import pytest

# --- boot


def test_app_sees_the_firmwares_names_and_its_own_files(module):
    (module.usr / "pkg").mkdir()
    (module.usr / "pkg" / "part.py").write_text("VALUE = 7\n")
    (module.usr / "single.py").write_text("from pkg.part import VALUE\n")
    values = module.run(
        """
        missing = []
        for name in ("sys", "os", "time", "json", "socket", "select", "ssl", "vfs", "boot", "subprocess", "single"):
            try:
                __import__(name)
            except ImportError:
                missing.append(name)
        show("missing", missing)
        from usr.pkg.part import VALUE
        show("dotted", VALUE)
        import usys
        usys.path.append("/usr")
        import pkg.part
        import single
        show("on path", (pkg.part.VALUE, single.VALUE))
        import uos
        show("root", uos.listdir("/"))
        show("entries", list(uos.ilistdir("/")))
        show("cwd", uos.getcwd())
        show("name", __name__)
        try:
            import pkg.absent
        except ImportError:
            show("absent", True)
        """
    ).values
    assert values == {
        "missing": "['sys', 'os', 'time', 'json', 'socket', 'select', 'ssl', 'vfs', 'boot', 'subprocess', 'single']",
        "dotted": "7",
        "on path": "(7, 7)",
        "root": "['usr', 'bak']",
        "entries": "[('usr', 16384, 0), ('bak', 16384, 0)]",
        "cwd": "/",
        "name": "__main__",
        "absent": "True",
    }


@pytest.mark.parametrize(
    ("source", "status", "kinds"),
    [
        ("pass", 0, []),
        ("raise SystemExit", 0, []),
        ("raise ValueError(3)", 1, ["died"]),
        ("raise KeyboardInterrupt", 130, []),
        ("from misc import Power\ntry:\n Power.powerRestart()\nexcept Exception:\n pass", 75, ["restart"]),
        (
            "import machine, utime\nw = machine.WDT(10)\nutime.sleep(9)\nw.feed()\nutime.sleep(11)",
            75,
            ["watchdog_armed", "watchdog"],
        ),
        (
            "import machine, utime\nw = machine.WDT(10)\nw.stop()\nutime.sleep(99)",
            0,
            ["watchdog_armed", "watchdog_stopped"],
        ),
    ],
)
def test_exit_status(module, source, status, kinds):
    result = module.boot(source)
    assert (result.status, [event["kind"] for event in result.events]) == (status, kinds)


def test_events_of_the_manager_become_lines_and_the_last_cycle_stops_the_worker(module):
    (module.usr / "app").mkdir()
    (module.usr / "app" / "__init__.py").write_text("class running:\n    is_stopped = False\n")
    (module.usr / "ftp_manager.py").write_text(
        "import app\n"
        "class FtpManager:\n"
        "    def on_event(self, kind, data):\n        pass\n"
        "    def run(self):\n"
        "        number = 0\n"
        "        while not app.running.is_stopped:\n"
        "            number += 1\n"
        "            self.on_event('cycle', {'number': number})\n"
    )
    result = module.boot(
        "import usys\nusys.path.append('/usr')\nfrom ftp_manager import FtpManager\nFtpManager().run()\nprint('end')",
        cycles=2,
    )
    assert [event["data"] for event in result.events] == [{"number": 1}, {"number": 2}]
    assert result.lines == ["end"]
    assert result.status == 0


def test_members_that_the_firmware_lacks_are_absent(module):
    values = module.run(
        """
        def lacking(thing, names):
            return [name for name in names.split() if hasattr(thing, name)]
        import usocket, ussl, uos, uhashlib, ubinascii, ure, uerrno, ucollections, uzlib, usys, utime, urandom
        s = usocket.socket()
        show("socket", lacking(s, "recv_into getpeername getsockname shutdown getsockopt __enter__ detach"))
        show("usocket", lacking(usocket, "timeout error create_connection"))
        s.close()
        show("uos", lacking(uos, "fsync sync walk path utime getenv system unlink"))
        h = uhashlib.sha256(b"a")
        show("update", h.update(b"bc"))
        show("hash", lacking(h, "hexdigest name"))
        show("digest", ubinascii.hexlify(h.digest()))
        show("others", lacking(ubinascii, "crc32") + lacking(uzlib, "crc32") + lacking(ure, "sub")
             + lacking(uerrno, "ENOSPC")
             + lacking(ucollections, "OrderedDict") + lacking(usys, "exc_info") + lacking(utime, "gmtime strftime")
             + lacking(urandom, "shuffle"))
        import ujson
        try:
            ujson.dumps({}, separators=(",", ":"))
        except TypeError:
            show("dumps", "no keywords")
        show("loads", ujson.loads(ujson.dumps({"a": [1, None, True, 0.5]})))
        """
    ).values
    assert values == {
        "socket": "[]",
        "usocket": "[]",
        "uos": "[]",
        "update": "None",
        "hash": "[]",
        "digest": "b'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'",
        "others": "[]",
        "dumps": "no keywords",
        "loads": "{'a': [1, None, True, 0.5]}",
    }


# --- files

FILES = """
import uos
def errno_of(call, *args):
    try:
        return call(*args)
    except OSError as e:
        return e.args
def put(path, data, mode="wb"):
    with open(path, mode) as f:
        f.write(data)
def get(path):
    with open(path, "rb") as f:
        return f.read()
def used():
    v = uos.statvfs("/usr")
    return v[2] - v[3]
"""


def test_uos_answers_as_littlefs(module):
    values = module.run(
        FILES
        + """
put("/usr/a", b"12345")
uos.mkdir("/usr/d")
put("usr/d/b", b"")
show("entry", [e for e in uos.ilistdir("/usr/d")])
show("stat", uos.stat("/usr/a"))
show("stat dir", uos.stat("/usr/d"))
show("missing", [errno_of(f, "/usr/no") for f in (uos.stat, uos.remove, uos.listdir, uos.ilistdir, open, uos.chdir)])
show("exists", errno_of(uos.mkdir, "/usr/d"))
show("not empty", errno_of(uos.rmdir, "/usr/d"))
show("is dir", (errno_of(open, "/usr/d", "wb"), errno_of(open, "/usr/d"), errno_of(uos.rename, "/usr/a", "/usr/d")))
show("not dir", (errno_of(uos.ilistdir, "/usr/a"), errno_of(open, "/usr/a/x", "wb")))
show("no parent", (errno_of(open, "/usr/q/x", "wb"), errno_of(uos.mkdir, "/usr/q/x")))
show("long", [errno_of(f, *a) for f, a in ((open, ("/usr/" + "n" * 256, "wb")), (uos.mkdir, ("/usr/" + "n" * 256,)))])
show("no mount", (errno_of(open, "/x", "wb"), errno_of(uos.mkdir, "/x"), errno_of(uos.rename, "/usr/a", "/x")))
show("bak", (open("/bak/x", "wb"), uos.mkdir("/bak/d"), uos.remove("/bak/x"), uos.rename("/usr/a", "/bak/a")))
put("/usr/d/b", b"old")
uos.rename("/usr/a", "/usr/d/b")
show("renamed", (get("/usr/d/b"), errno_of(uos.stat, "/usr/a")))
uos.chdir("/usr/d")
show("relative", (uos.getcwd(), uos.listdir(), get("b")))
uos.chdir("/")
uos.rmdir("/usr/d/b")
uos.remove("/usr/d")
show("left", sorted(uos.listdir("/usr")))
show("uname", [len(uos.uname()), "=" in uos.uname()[0], uos.uname2().nodename])
"""
    ).values
    assert values == {
        "entry": "[('b', 32768, 0, 0)]",
        "stat": "(32768, 0, 0, 0, 0, 0, 5, 0, 0, 0)",
        "stat dir": "(16384, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
        "missing": "[(2,), (2,), (2,), (2,), (2,), (2,)]",
        "exists": "(17,)",
        "not empty": "(39,)",
        "is dir": "((21,), (21,), (21,))",
        "not dir": "((20,), (20,))",
        "no parent": "((2,), (2,))",
        "long": "[(36,), (36,)]",
        "no mount": "((19,), (19,), (19,))",
        "bak": "(-1, -1, -1, -1)",
        "renamed": "(b'12345', (2,))",
        "relative": "('/usr/d', ['b'], b'12345')",
        "left": "['main.py', 'system_config.json']",
        "uname": "[6, True, 'EC600U']",
    }


def test_blocks_are_counted_as_littlefs_counts_them(module):
    values = module.run(
        FILES
        + """
first = used()
def cost(call, *args):
    before = used()
    call(*args)
    return used() - before
show("sizes", [cost(put, "/usr/f%d" % n, bytes(n)) for n in (0, 1, 4096, 4097, 8192, 65536)])
show("mkdir", cost(uos.mkdir, "/usr/d"))
show("replace", cost(put, "/usr/f65536", b"x"))
show("append", cost(put, "/usr/f4096", b"x", "ab"))
show("rename over", cost(uos.rename, "/usr/f1", "/usr/f8192"))
show("remove", cost(uos.remove, "/usr/f4096"))
show("rmdir", cost(uos.rmdir, "/usr/d"))
f = open("/usr/big", "wb")
f.write(bytes(8192))
show("open", cost(f.close))
show("root", uos.statvfs("/"))
v = uos.statvfs("/usr")
show("shape", (v[0], v[1], v[2], v[3] == v[4], v[5:]))
tracked = used()
import _flash
_flash._used_blocks = -1
show("walk agrees", used() == tracked)
""",
        flash_blocks=500,
    ).values
    assert values == {
        "sizes": "[0, 1, 1, 2, 3, 17]",
        "mkdir": "2",
        "replace": "-16",
        "append": "1",
        "rename over": "-3",
        "remove": "-2",
        "rmdir": "-2",
        "open": "0",
        "root": "(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
        "shape": "(4096, 4096, 500, True, (0, 0, 0, 0, 255))",
        "walk agrees": "True",
    }


def test_an_open_file_keeps_its_old_content_until_close_or_flush(module):
    values = module.run(
        FILES
        + """
put("/usr/a", b"old")
f = open("/usr/a", "wb")
f.write(b"new")
show("open", (get("/usr/a"), "a" in uos.listdir("/usr"), len(uos.listdir("/usr"))))
f.flush()
show("flushed", get("/usr/a"))
f.write(b"er")
f.close()
f.close()
show("closed", get("/usr/a"))
f = open("/usr/n", "w")
f.write("text")
show("new", uos.stat("/usr/n")[6])
f.close()
show("text", open("/usr/n").read())
try:
    with open("/usr/a", "wb") as f:
        f.write(b"part")
        raise ValueError
except ValueError:
    show("exception", get("/usr/a"))
with open("/usr/a", "r+b") as f:
    f.seek(2)
    f.write(b"RT!")
    f.seek(0)
    show("r+", (f.tell(), f.read()))
with open("/usr/a", "ab") as f:
    show("append", f.write(b"+"))
show("appended", get("/usr/a"))
with open("/usr/lines", "w") as f:
    f.write("a\\nb\\n")
with open("/usr/lines") as f:
    show("lines", [line for line in f])
import _world
show("open files", _world.open_files)
"""
    ).values
    assert values == {
        "open": "(b'old', True, 3)",
        "flushed": "b'new'",
        "closed": "b'newer'",
        "new": "0",
        "text": "text",
        "exception": "b'part'",
        "r+": "(0, b'paRT!')",
        "append": "1",
        "appended": "b'paRT!+'",
        "lines": "['a\\n', 'b\\n']",
        "open files": "0",
    }
    assert sorted(path.name for path in module.usr.iterdir()) == ["a", "lines", "main.py", "n", "system_config.json"]


def test_a_full_flash_fails_in_write_and_close_says_nothing(module):
    values = module.run(
        FILES
        + """
put("/usr/old", b"precious")
put("/usr/log", b"line")
free = uos.statvfs("/usr")[3]
def fill(path, mode):
    f = open(path, mode)
    error = None
    try:
        for _ in range(100):
            f.write(bytes(4096))
    except OSError as e:
        error = e.args
    return error, errno_of(f.write, b"x"), f.flush(), f.close()
show("new", (fill("/usr/new", "wb"), uos.stat("/usr/new")[6]))
show("existing", (fill("/usr/old", "wb"), get("/usr/old")))
show("append", (fill("/usr/log", "ab"), get("/usr/log")))
show("free again", uos.statvfs("/usr")[3] == free)
put("/usr/fits", bytes(4096 + (free - 3) * 4088))
show("rest", uos.statvfs("/usr")[3])
show("remove", uos.remove("/usr/new"))
show("mkdir", errno_of(uos.mkdir, "/usr/d"))
""",
        flash_blocks=20,
    ).values
    failed = "((28,), (28,), None, None)"
    assert values == {
        "new": f"({failed}, 0)",
        "existing": f"({failed}, b'precious')",
        "append": f"({failed}, b'line')",
        "free again": "True",
        "rest": "2",
        "remove": "None",
        "mkdir": "(28,)",
    }


def test_what_was_not_committed_is_gone_after_a_power_cut(module):
    (module.usr / ".open~").mkdir()
    (module.usr / ".open~" / "1").write_bytes(b"lost")
    module.run("f = open('/usr/x', 'wb')\nf.write(b'never closed')\nfrom misc import Power\nPower.powerRestart()")
    assert (module.usr / "x").read_bytes() == b""
    assert not (module.usr / ".open~").exists()


def test_a_large_file_is_written_appended_and_read_in_chunks(module):
    values = module.run(
        FILES
        + """
chunk = bytes(4096)
for mode in ("wb", "ab"):
    with open("/usr/big", mode) as f:
        for _ in range(1280):
            f.write(chunk)
size = 0
buf = bytearray(4096)
with open("/usr/big", "rb") as f:
    while True:
        n = f.readinto(buf)
        if not n:
            break
        size += n
show("size", size)
"""
    ).values
    assert values == {"size": str(10 * 1024 * 1024)}


# --- clock


def test_the_clock_is_virtual(module):
    values = module.run(
        """
        import utime
        start = utime.ticks_ms()
        wall = utime.time()
        utime.sleep(3600)
        utime.sleep_ms(500)
        slept = utime.ticks_diff(utime.ticks_ms(), start)
        show("slept", 3600500 <= slept < 3602500)
        show("wall", 3600 <= utime.time() - wall <= 3602)
        show("start", 0 <= wall - 1000000000 < 5)
        half = 1 << 29
        pairs = ((5, utime.ticks_add(0, -5)), (half, 0), (half - 1, 0))
        show("diff", [utime.ticks_diff(end, start) for end, start in pairs])
        utime.sleep(1 << 21)
        show("period", 0 <= utime.ticks_ms() < 1 << 30)
        show("local", utime.localtime(0))
        moments = (0, 951782399, 951782400, 1709164800, 1767225600)
        show("inverse", [utime.mktime(utime.localtime(t)) == t for t in moments])
        show("zones", (utime.getTimeZone(), utime.setTimeZone(13), utime.setTimeZone(-3), utime.getTimeZone()))
        import ntptime
        show("ntp", (ntptime.settime(), utime.time() > 1700000000))
        """,
        epoch_s=1000000000,
    ).values
    assert values == {
        "slept": "True",
        "wall": "True",
        "start": "True",
        "diff": "[10, -536870912, 536870911]",
        "period": "True",
        "local": "(1970, 1, 1, 8, 0, 0, 3, 1)",
        "inverse": "[True, True, True, True, True]",
        "zones": "(8, -1, 0, -3)",
        "ntp": "(0, True)",
    }


def test_timers_and_threads(module):
    values = module.run(
        """
        import _thread, utime
        from osTimer import osTimer
        calls = []
        once, cyclic, stopped = osTimer(), osTimer(), osTimer()
        show("start", once.start(50, 0, lambda arg: calls.append("once")))
        cyclic.start(100, 1, lambda arg: calls.append("cyclic"))
        stopped.start(10, 0, lambda arg: calls.append("stopped"))
        stopped.stop()
        for _ in range(200):
            utime.sleep_ms(10)
            if calls.count("cyclic") > 1 and "once" in calls:
                break
        cyclic.delete_timer()
        show("calls", (calls.count("once"), calls.count("cyclic") > 1, "stopped" in calls))
        show("stack", (_thread.stack_size(), _thread.stack_size(4096), _thread.stack_size(16384)))
        lock = _thread.allocate_lock()
        with lock:
            show("held", lock.acquire(0, 5))
        show("id", isinstance(_thread.start_new_thread(lambda: None, ()), int))
        try:
            lock.release()
        except RuntimeError:
            show("release", "RuntimeError")
        """
    ).values
    assert values == {
        "start": "0",
        "calls": "(1, True, False)",
        "stack": "(8448, -1, 0)",
        "held": "False",
        "id": "True",
        "release": "RuntimeError",
    }


# --- network


@pytest.mark.parametrize(
    ("world", "answer"),
    [
        ({}, "(3, 1)"),
        ({"pdp": 0}, "(3, 0)"),
        ({"net_state": 2}, "(2, 2)"),
        ({"sim_status": 0}, "(1, 0)"),
        ({"sim_status": 18}, "(1, 18)"),
        ({"variants": {"check_net": "old"}}, "(3, 1)"),
    ],
)
def test_stages_of_the_bring_up(module, world, answer):
    values = module.run(
        """
        import checkNet
        net = checkNet.CheckNetwork("p", "1")
        names = [n for n in ("waitNetworkReady", "wait_network_connected") if hasattr(checkNet, n)]
        wait = getattr(checkNet, names[0])
        show("names", names)
        show("answer", wait(5))
        try:
            wait(0)
        except (OSError, ValueError) as e:
            show("bad", type(e) is OSError)
        """,
        **world,
    ).values
    is_old = "variants" in world
    assert values == {
        "names": "['wait_network_connected']" if is_old else "['waitNetworkReady']",
        "answer": answer,
        "bad": str(is_old),
    }


def test_flight_mode_kills_sockets_and_the_link_comes_back(module, server):
    with server(lambda connection: None) as port:
        values = module.run(
            """
            import dataCall, modem, net, sim, usocket, utime, checkNet, _world
            seen = []
            dataCall.setCallback(lambda args: seen.append(args[:2]))
            s = usocket.socket()
            s.connect(("127.0.0.1", port))
            show("before", (s.getsocketsta(), dataCall.getInfo(1, 0)[2][0], net.csqQueryPoll(), net.getState()[1][0]))
            show("flight", (net.setModemFun(4), net.getModemFun()))
            show("off", (s.getsocketsta(), net.csqQueryPoll(), net.getState()[1][0]))
            try:
                s.recv(1)
            except OSError as e:
                show("dead", len(e.args))
            try:
                usocket.socket()
            except OSError as e:
                show("none", len(e.args))
            show("info", dataCall.getInfo(1, 0))
            s.close()
            net.setModemFun(1)
            show("soon", checkNet.waitNetworkReady(1))
            show("later", checkNet.waitNetworkReady(10))
            for _ in range(100):
                if len(seen) == 2:
                    break
                utime.sleep_ms(10)
            show("seen", seen)
            show("sockets", len(_world.sockets))
            show("ids", (modem.getDevImei(), modem.getDevModel(), sim.getStatus(), sim.getImsi()))
            """,
            {"port": port},
            imei="",
        ).values
    assert values == {
        "before": "(4, 1, 24, 1)",
        "flight": "(0, 4)",
        "off": "(0, 99, 0)",
        "dead": "1",
        "none": "1",
        "info": "(1, 0, [0, 0, '0.0.0.0', '0.0.0.0', '0.0.0.0'])",
        "soon": "(3, 0)",
        "later": "(3, 1)",
        "seen": "[(1, 0), (1, 1)]",
        "sockets": "0",
        "ids": "(-1, 'EC600U', 1, '001010123456789')",
    }


# --- sockets


@pytest.mark.parametrize(("variant", "answer"), [("empty", "b''"), ("107", "(107,)")])
def test_end_of_stream(module, server, variant, answer):
    def serve(connection):
        connection.sendall(b"line\nrest")
        connection.close()

    with server(serve) as port:
        values = module.run(
            """
            import usocket
            def errno_of(call, *args):
                try:
                    return call(*args)
                except OSError as e:
                    return e.args
            def fresh():
                s = usocket.socket()
                s.settimeout(5)
                s.connect(usocket.getaddrinfo("127.0.0.1", port)[0][-1])
                return s
            s = fresh()
            show("line", s.readline())
            show("data", s.recv(100))
            show("end", errno_of(s.recv, 100))
            show("state", s.getsocketsta())
            show("after", isinstance(errno_of(s.recv, 100), tuple))
            s.close()
            s.close()
            show("closed", s.getsocketsta())
            s = fresh()
            show("read", s.read(20))
            s.close()
            s = fresh()
            buf = bytearray(4)
            show("readinto", (s.readinto(buf), bytes(buf)))
            show("readall", errno_of(s.read))
            s.close()
            """,
            {"port": port},
            variants={"eof": variant},
        ).values
    assert values == {
        "line": "b'line\\n'",
        "data": "b'rest'",
        "state": "7",
        "end": answer,
        "after": "True",
        "closed": "-1",
        "read": "b'line\\nrest'",
        "readinto": "(4, b'line')",
        "readall": "(107,)" if variant == "107" else "b'\\nrest'",
    }


@pytest.mark.alone
def test_time_outs_have_the_firmwares_steps(module, server):
    with server(lambda connection: None) as port:
        values = module.run(
            """
            import usocket, utime
            s = usocket.socket()
            s.connect(("127.0.0.1", port))
            def wait(timeout, call, *args):
                s.settimeout(timeout)
                start = utime.ticks_ms()
                try:
                    answer = call(*args)
                except OSError as e:
                    answer = e.args
                return answer, round(utime.ticks_diff(utime.ticks_ms(), start) / 1000)
            for timeout in (0, 1, 5, 9.9, 12):
                show(str(timeout), wait(timeout, s.recv, 1))
            show("readline", wait(7, s.readline)[0])
            """,
            {"port": port},
            speed=40,
        ).values
    assert values.pop("readline") == "None"
    steps = {"0": (11, 0), "1": (110, 1), "5": (110, 5), "9.9": (11, 5), "12": (110, 10)}
    assert sorted(values) == sorted(steps)
    for timeout, (errno, seconds) in steps.items():  # at this speed 25 ms of a busy machine are one second
        assert values[timeout] in [f"(({errno},), {seconds + late})" for late in (0, 1)]


@pytest.mark.parametrize("variant", ["looks_connected", "error"])
def test_refused_connection(module, refused_port, variant):
    values = module.run(
        """
        import usocket
        def connect(timeout):
            s = usocket.socket()
            s.settimeout(timeout)
            try:
                answer = s.connect(("127.0.0.1", port))
            except OSError as e:
                answer = e.args
            state = s.getsocketsta()
            errors = []
            for _ in range(2):
                try:
                    s.recv(10)
                except OSError as e:
                    errors.append(len(e.args))
            s.close()
            return answer, state, errors
        show("timed", connect(5))
        show("blocking", connect(None)[0])
        show("too short", connect(0.5)[0])
        """,
        {"port": refused_port},
        variants={"refused": variant},
    ).values
    answer = "None" if variant == "looks_connected" else "(111,)"
    assert values == {"timed": f"({answer}, 0, [1, 1])", "blocking": "(111,)", "too short": "(111,)"}


@pytest.mark.parametrize(("variant", "answer"), [("empty", "[]"), ("error", "OSError")])
def test_failed_look_up(module, variant, answer):
    values = module.run(
        """
        import usocket
        try:
            show("answer", usocket.getaddrinfo("name.invalid", 21, 0, usocket.SOCK_STREAM))
        except OSError:
            show("answer", "OSError")
        """,
        variants={"getaddrinfo": variant},
        pdp=0,
    ).values
    assert values == {"answer": answer}


@pytest.mark.parametrize(("variant", "answer"), [(2, "(2, True)"), (3, "(3, True)")])
def test_accept_and_poll_and_the_cap_on_sockets(module, variant, answer):
    values = module.run(
        """
        import uselect, usocket, _world
        listener = usocket.socket()
        listener.setsockopt(usocket.SOL_SOCKET, usocket.SO_REUSEADDR, 1)
        for port in range(40000, 60000, 7):
            try:
                listener.bind(("127.0.0.1", port))
                break
            except OSError:
                pass
        listener.listen(1)
        client = usocket.socket()
        client.connect(("127.0.0.1", port))
        accepted = listener.accept()
        peer = accepted[0]
        address = accepted[1] if len(accepted) == 2 else accepted[1:]
        show("accept", (len(accepted), address[0] == "127.0.0.1" and isinstance(address[1], int)))
        poll = uselect.poll()
        poll.register(client, uselect.POLLIN)
        show("idle", poll.poll(0))
        show("sent", (peer.send(b"ab"), peer.sendall(b"c"), peer.write(bytearray(b"de"))))
        ready = poll.poll(1000)
        show("ready", (ready[0][0] is client, ready[0][1] & uselect.POLLIN))
        show("read", client.read(5))
        client.setblocking(False)
        try:
            client.recv(1)
        except OSError as e:
            show("not blocking", e.args)
        client.setsockopt(usocket.SOL_SOCKET, usocket.TCP_KEEPALIVE, 2)
        show("file", client.makefile() is client)
        more = [usocket.socket() for _ in range(5)]
        show("open", len(_world.sockets))
        try:
            usocket.socket()
        except OSError as e:
            show("cap", e.args)
        for s in more + [listener, client, peer]:
            s.close()
        show("left", len(_world.sockets))
        """,
        variants={"accept": variant},
    ).values
    assert values == {
        "accept": answer,
        "idle": "[]",
        "sent": "(2, None, 2)",
        "ready": "(True, 1)",
        "read": "b'abcde'",
        "not blocking": "(11,)",
        "file": "True",
        "open": "8",
        "cap": "(23,)",
        "left": "0",
    }


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]
    command = ["openssl", "req", "-x509", "-days", "1", "-subj", "/CN=localhost", *key]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    path.write_bytes(path.read_bytes() + made.stdout)
    return path


def test_tls_stream(module, server, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(connection):
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.sendall(b"220 hello\r\n")
            tls.sendall(tls.recv(100)[::-1])
            with contextlib.suppress(OSError):  # says goodbye; the client does not wait for an answer
                tls.unwrap()

    with server(serve) as port:
        values = module.run(
            """
            import usocket, ussl, _world
            s = usocket.socket()
            s.settimeout(5)
            s.connect(("127.0.0.1", port))
            t = ussl.wrap_socket(s, server_hostname="localhost")
            show("absent", [n for n in "recv send sendall settimeout connect fileno".split() if hasattr(t, n)])
            show("state", t.getsocketsta())
            show("line", t.readline())
            show("der", t.getpeercert(True)[:1] if hasattr(t, "getpeercert") else b"0")
            show("write", t.write(b"abcdef"))
            buf = bytearray(3)
            show("readinto", (t.readinto(buf), bytes(buf)))
            show("read", t.read(3))
            show("end", t.read(1))
            t.close()
            show("left", len(_world.sockets))
            """,
            {"port": port},
        ).values
    assert values == {
        "absent": "[]",
        "state": "4",
        "line": "b'220 hello\\r\\n'",
        "der": "b'0'",
        "write": "6",
        "readinto": "(3, b'fed')",
        "read": "b'cba'",
        "end": "b''",
        "left": "0",
    }


def test_tls_with_a_server_that_speaks_none_fails_with_a_negative_code(module, server):
    with server(lambda connection: connection.sendall(b"220 plain FTP here\r\n" * 3)) as port:
        values = module.run(
            """
            import usocket, ussl
            s = usocket.socket()
            s.settimeout(5)
            s.connect(("127.0.0.1", port))
            try:
                ussl.wrap_socket(s, server_hostname="localhost")
            except OSError as e:
                show("code", e.args[0] < 0)
            """,
            {"port": port},
        ).values
    assert values == {"code": "True"}


# --- the rest


def test_crc_staging_and_small_helpers(module):
    values = module.run(
        FILES
        + """
import app_fota, app_fota_download, file_crc32, log, ql_fs, uio, utils, uzlib, pm
put("/usr/c", b"123456789")
show("crc file", (file_crc32.calc("/usr/c"), file_crc32.calc("/usr/no")))
show("crc", "%x" % utils.crc32().update(0xFFFFFFFF, b"123456789"))
show("touch", (ql_fs.touch("/usr/x/y.json", {"a": 1}), ql_fs.read_json("/usr/x/y.json"), ql_fs.read_json("/usr/no")))
show("copy", (ql_fs.file_copy("/usr/c2", "/usr/c"), get("/usr/c2"), ql_fs.path_getsize("/usr/c2")))
fota = app_fota.new()
staged = app_fota_download.get_updater_dir() + "/usr/c"
ql_fs.mkdirs("/usr/.updater/usr")
put(staged, b"update")
app_fota_download.update_download_stat("ftp://x", "/usr/c", 6)
show("without flag", (fota.update(), get("/usr/c")))
fota.set_update_flag()
show("update", (fota.update(), get("/usr/c"), ql_fs.path_exists("/usr/.updater")))
out = uio.StringIO()
log.basicConfig(log.INFO)
log.set_output(out)
log.getLogger("n").info("%d of %s", 1, "x")
log.getLogger("n").debug("no")
show("log", out.getvalue().strip())
show("inflated", uzlib.decompress(b"x\\x9cKLJ\\x06\\x00\\x02M\\x01'"))
lock = pm.create_wakelock("sync", 4)
show("wake", (pm.wakelock_lock(lock), pm.get_wakelock_num(), pm.wakelock_unlock(lock), pm.delete_wakelock(lock)))
"""
    ).values
    assert values == {
        "crc file": "('d202d277', None)",
        "crc": "d202d277",
        "touch": "(0, {'a': 1}, None)",
        "copy": "(True, b'123456789', 9)",
        "without flag": "(0, b'123456789')",
        "update": "(0, b'update', False)",
        "log": "INFO:n:1 of x",
        "inflated": "b'abc'",
        "wake": "(0, 1, 0, 0)",
    }
