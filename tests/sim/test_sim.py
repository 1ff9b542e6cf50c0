# The simulator end to end, over its command line: the real device code against the embedded server.
import json
import os
import signal
import stat
import subprocess
import sys

import pytest

from tools.device_files import ROOT

COUNTS = {"number", "ok", "retries", "commands", "connections", "sent_bytes", "received_bytes", "round_trips", "error"}


def sim(*args, **more):
    return subprocess.run(
        [sys.executable, "-m", "tools", "sim", *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        **more,
    )


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """[(finished process, its --json)] of two runs over the same folder."""
    folder = tmp_path_factory.mktemp("sim")
    runs = []
    for number in (1, 2):
        report = folder / f"{number}.json"
        done = sim("--usr", folder / "module", "--json", report)
        runs.append((done, json.loads(report.read_text(encoding="utf-8"))))
    return runs


def transfers(result, name):
    return [entry for cycle in result["cycles"] for entry in cycle[name]]


def test_first_run_brings_everything_in_step(two_runs):
    done, result = two_runs[0]
    assert done.returncode == 0, done.stdout + done.stderr
    assert result["in_step"]
    assert {row["state"] for row in result["files"]} == {"same", "protected"}
    assert transfers(result, "up")
    assert transfers(result, "down")


def test_second_run_transfers_nothing(two_runs):
    done, result = two_runs[1]
    assert done.returncode == 0, done.stdout + done.stderr
    assert not transfers(result, "up")
    assert not transfers(result, "down")


def test_json_tells_interpreter_heap_and_each_cycle(two_runs):
    _, result = two_runs[0]
    assert "Python" in result["interpreter"]
    assert result["heap"] == ("512k" if "MicroPython" in result["interpreter"] else "")
    assert [cycle["number"] for cycle in result["cycles"]] == [1, 2]
    for cycle in result["cycles"]:
        assert cycle.keys() >= COUNTS | {"states", "up", "down", "skipped", "errors"}
        assert cycle["ok"]
        assert cycle["states"][-1]["to"] == "IDLE"


def test_protected_files_stay_on_the_module(two_runs):
    _, result = two_runs[1]
    kept = {row["local"] for row in result["files"] if row["state"] == "protected"}
    assert {"/usr/system_config.json", "/usr/user_apn.json", "/usr/.updater/pending.txt", "/usr/checksum.json"} <= kept


def test_odd_names_are_among_the_samples(two_runs):
    _, result = two_runs[0]
    sent = " ".join(entry["local"] for entry in transfers(result, "up"))
    for part in ("grüße-日本", "[done]", "100%", "#1", "n" * 196, "empty.bin"):
        assert part in sent


def test_changed_update_is_fetched_again(tmp_path):
    assert sim("--usr", tmp_path / "m", "--cycles", 1).returncode == 0
    (tmp_path / "m.server" / "updates" / "news" / "unix.txt").write_bytes(b"a longer text\n")
    assert sim("--usr", tmp_path / "m", "--cycles", 1).returncode == 0
    assert (tmp_path / "m" / "news" / "unix.txt").read_bytes() == b"a longer text\n"


def test_a_folder_of_ones_own_is_in_step_after_its_first_run(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine.txt").write_bytes(b"1\n")
    done = sim("--usr", tmp_path / "m", "--cycles", 1)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "m.server" / "861234050012345" / "mine.txt").read_bytes() == b"1\n"


def test_delete_after_upload(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"upload": {"from": "/usr/data", "after": "delete"}, "download": {"from": ""}}))
    report = tmp_path / "run.json"
    done = sim("--config", config, "--cycles", 1, "--json", report)
    assert done.returncode == 0, done.stdout
    assert {row["state"] for row in json.loads(report.read_text())["files"]} == {"sent, deleted", "protected"}


RULES = [
    {"from": "/usr/data", "to": "{device}/{date}/{boot}-{seq}-{name}", "include": ["*.csv"], "after": "move", "move_to": "/usr/old"},
    {"from": "/usr/data", "to": "flat/{name}", "exclude": ["*.csv", "deep/"], "on_conflict": "suffix", "max_bytes": 500_000},
    {"from": "/usr/data/deep", "to": "{dir}/{stem}-{time}{ext}", "after": "delete", "settle_s": 15, "priority": 9},
    {"from": "/usr/data", "to": "few", "order": "reverse", "include": ["*.txt"], "cycle_files": 1},
]


def test_all_kinds_of_rules_are_understood_also_by_a_second_run(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"upload": RULES, "schedule": {"every_s": 10, "jitter_s": 0}}))
    report = tmp_path / "run.json"
    common = ["--config", config, "--usr", tmp_path / "m", "--json", report]
    done = sim(*common, "--cycles", 3)
    assert done.returncode == 0, done.stdout
    states = {row["state"] for row in json.loads(report.read_text())["files"]}
    assert states == {
        *("same", "protected", "sent, moved", "sent, deleted"),
        *("left, too large", "waits, as its rule wants"),
    }
    done = sim(*common, "--cycles", 4)
    assert done.returncode == 0, done.stdout
    states = {row["state"] for row in json.loads(report.read_text())["files"]}
    assert states == {"same", "protected", "left, too large"}


def test_a_table_in_a_pipe_is_tab_separated():
    done = sim("--cycles", 1)
    assert "\nsame\t1000003\t/usr/data/capture.bin -> " in done.stdout


def test_unreachable_server_is_not_in_step(tmp_path):
    report = tmp_path / "run.json"
    done = sim("--server", "ftp://a:b@127.0.0.1:1", "--cycles", 1, "--json", report)
    assert done.returncode == 1
    assert "could not be read" in done.stdout
    errors = transfers(json.loads(report.read_text()), "errors")
    assert errors
    assert errors[0].keys() == {"class", "step", "code", "text", "advice"}


def test_a_small_heap_gets_compiled_code():
    done = sim("--heap", "256k")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "heap 256k, compiled code" in done.stdout or "CPython" in done.stdout


def test_refused_settings_are_told_in_full(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"server": {"prot": 1}, "schedule": {"every_s": 1}}))
    done = sim("--config", config, "--cycles", 1)
    assert done.returncode == 1
    assert "server.prot" in done.stdout
    assert "schedule.every_s" in done.stdout
    assert "ended early" in done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--cycels", "3"], "Did you mean '--cycles'?"),
        (["--cycles", "-1"], "--cycles"),
        (["--heap", "lots"], "such as 512k"),
        (["--server", "http://host"], "only ftp://"),
        (["--server", "host"], "not a URL"),
        (["--server", "ftp://host:0"], "from 1 to 65535"),
        (["--server", "ftp://host:99999"], "from 1 to 65535"),
        (["--config", "no-such-file.json"], "cannot read no-such-file.json"),
        (["--usr", "."], "overlaps the checkout"),
        (["--micropython", "no-such-program"], "does not run as a MicroPython"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_right(args, message):
    done = sim(*args)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_broken_json_names_its_line(tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{\n"server": }\n')
    done = sim("--config", config)
    assert done.returncode == 2
    assert "line 2" in done.stderr


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_place_that_cannot_be_written_is_told_before_the_run(tmp_path, option):
    done = sim(option, tmp_path / "nowhere" / "x")
    assert done.returncode == 2
    assert "nowhere does not exist; name another place" in done.stderr
    assert "RECOVER" not in done.stdout


def test_mistyped_command_gets_the_nearest():
    done = subprocess.run([sys.executable, "-m", "tools", "smi"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Did you mean 'sim'?" in done.stderr


# --- the failure paths, with a module that is a script

FAKE = """#!{python}
import json, os, sys, time
if "-c" in sys.argv:
    print("micropython 9.9.9")
    sys.exit()
if "weigh" in sys.argv:
    print(1000)
    sys.exit()
def event(kind, *data):
    print("\\x1e" + json.dumps({{"kind": kind, "data": data, "ms": 0}}), flush=True)
count = "{folder}/boots"
boots = len(open(count).read()) if os.path.exists(count) else 0
open(count, "a").write(".")
{body}
"""


@pytest.fixture
def fake(tmp_path):
    """-> run(body of the fake module, *args): the simulator with that script as its MicroPython."""
    if os.name == "nt":
        pytest.skip("a script is no program on Windows")

    def write(body):
        path = tmp_path / "micropython"
        path.write_text(FAKE.format(python=sys.executable, folder=tmp_path, body=body))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return write


def test_restart_boots_again_and_counts_on(fake, tmp_path):
    path = fake('event("cycle", {"number": 1, "ok": True})\nsys.exit(75 if boots < 2 else 0)')
    done = sim("--micropython", path, "--cycles", 3, "--json", tmp_path / "run.json")
    result = json.loads((tmp_path / "run.json").read_text())
    assert (result["ended"], result["restarts"], len(result["cycles"])) == ("finished", 2, 3)
    assert done.returncode == 1  # the fake moved nothing


def test_restarts_without_a_cycle_end(fake):
    done = sim("--micropython", fake("sys.exit(75)"))
    assert done.returncode == 1
    assert "restarts without end" in done.stdout


def test_died_shows_the_last_lines(fake):
    done = sim("--micropython", fake('print("Traceback: boom")\nevent("died")\nsys.exit(1)'))
    assert done.returncode == 1
    assert "Traceback: boom" in done.stdout
    assert "the module died" in done.stdout


def test_unfinished_cycle_is_in_the_json(fake, tmp_path):
    body = 'event("up", "/usr/a", "b", 3)\nevent("error", "StorageError", "scan", 28, "full", "make room")\nsys.exit(1)'
    sim("--micropython", fake(body), "--json", tmp_path / "run.json")
    cycle = json.loads((tmp_path / "run.json").read_text())["cycles"][0]
    assert cycle["up"] == [{"local": "/usr/a", "remote": "b", "bytes": 3}]
    assert cycle["errors"][0]["code"] == 28
    assert cycle["ok"] is False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_it_and_the_module(fake, tmp_path, number):
    path = fake(f'open("{tmp_path}/pid", "w").write(str(os.getpid()))\nprint("ready", flush=True)\ntime.sleep(60)')
    command = [sys.executable, "-u", "-m", "tools", "sim", "--micropython", str(path)]

    def heed():  # where the tests run in the background, a shell has told them to ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=heed) as process:
        for line in process.stdout:
            if "ready" in line:
                break
        process.send_signal(number)
        rest = process.stdout.read()
    assert "interrupted" in rest
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
