"""The one door for people: sets up .venv inside the checkout, then does in it what was asked for.

python tools/dev.py run [args]      the simulator (python -m tools sim ARGS)
python tools/dev.py test [args]     ruff, pytest ARGS, the size budget
python tools/dev.py bench [args]    Ferry beside other clients (python -m tools bench ARGS)
python tools/dev.py lint [args]     ruff only
python tools/dev.py sweep [args]    the long fault sweeps (pytest -m sweep ARGS)
python tools/dev.py servers         fetch vsftpd, proftpd, pure-ftpd, haproxy for the tests (Debian packages, into .cache)
python tools/dev.py readme [args]   write the generated parts of README.md (--check: only compare)
"""

# Standard library only. It has to parse on any Python, so that an old one gets a sentence and not a SyntaxError:
# no f-strings here.
import sys

OLDEST = (3, 10)


def main(argv):
    if sys.version_info < OLDEST:
        return _fail(
            "Ferry's tools need Python %d.%d or newer; this is %s (%s)."
            % (OLDEST + (sys.version.split()[0], sys.executable)),
            "Run it with a newer one: python3.12 tools/dev.py ..., or make PYTHON=python3.12 ...",
        )
    name, args = (argv[0] if argv else "help"), argv[1:]
    if name in ("help", "-h", "--help"):
        print(__doc__.strip())
        return 0
    if name not in _COMMANDS:
        return _fail("unknown command %r." % name, _nearest(name) + "\n\n" + __doc__.strip(), 2)
    python = _prepare()
    return python if isinstance(python, int) else _COMMANDS[name](python, args)


def _nearest(name):
    import difflib

    close = difflib.get_close_matches(name, list(_COMMANDS), 1, 0.4)
    return "Did you mean %r?" % close[0] if close else "Choose one of: %s." % ", ".join(_COMMANDS)


def _fail(what, advice, status=1):
    sys.stderr.write("dev: %s\n%s\n" % (what, advice))
    return status


def _root():
    import pathlib

    return pathlib.Path(__file__).resolve().parent.parent


def _stamp():
    """What the environment was made from; when this changes, it is made again."""
    import hashlib

    requirements = (_root() / "requirements.txt").read_bytes()
    return hashlib.sha256(requirements + sys.version.encode()).hexdigest()


def _prepare():
    """-> path of the environment's python, or an exit status when it could not be made."""
    import os

    folder = _root() / ".venv"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp_file = folder / "ferry-stamp"
    if python.exists() and stamp_file.exists() and stamp_file.read_text() == _stamp():
        return python
    import subprocess
    import venv

    sys.stderr.write("dev: setting up .venv (once; up to a minute) ...\n")
    try:
        venv.EnvBuilder(clear=True, with_pip=True, symlinks=os.name != "nt").create(str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        return _fail(
            "could not make .venv: %s" % error,
            "On Debian and Ubuntu the module comes as a package: apt-get install python3-venv",
        )
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--disable-pip-version-check", "-r", str(_root() / "requirements.txt")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
        return _fail(
            "pip could not install requirements.txt (its output is above).",
            "The package index must be reachable; nothing is left half made, run the same command again.",
        )
    stamp_file.write_text(_stamp())
    return python


def _call(python, *args):
    import subprocess

    process = subprocess.Popen([str(python)] + list(args), cwd=str(_root()))
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            pass  # the child got it too, from the terminal: it cleans up and its status counts


def _run(python, args):
    return _call(python, "-m", "tools", "sim", *args)


def _bench(python, args):
    return _call(python, "-m", "tools", "bench", *args)


def _lint(python, args):
    return _call(python, "-m", "ruff", "check", *(args or ["."]))


def _test(python, args):
    status = _lint(python, [])
    if status:
        return status
    if args:
        return _call(python, "-m", "pytest", *args)
    # Most tests wait for a server most of the time, so four at once; what measures time runs alone.
    together = _call(python, "-m", "pytest", "-n", "4", "-m", "not sweep and not alone")
    alone = _call(python, "-m", "pytest", "-m", "alone")
    return _call(python, "-m", "tools.sizes") or together or alone


def _sweep(python, args):
    # A line for each part: it takes hours on two cores. Half of them wait for a server, so four at once.
    return _call(python, "-m", "pytest", "-n", "4", "-vv", "-m", "sweep", *args)


def _readme(python, args):
    return _call(python, "-m", "tools.readme", *args)


def _servers(python, args):
    return _call(python, "-m", "tools.ftpd.install", *args)


_COMMANDS = {
    "run": _run,
    "test": _test,
    "bench": _bench,
    "lint": _lint,
    "sweep": _sweep,
    "readme": _readme,
    "servers": _servers,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
