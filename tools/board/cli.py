# `python -m tools flash`, and Ferry's console from the PC: options in, exit status out.
import contextlib
import json
import shutil
import sys
import textwrap

import click

from tools.board import console, images, ports
from tools.board.device import Device
from tools.board.errors import BoardError
from tools.board.flash import Flash, first_lines
from tools.board.repl import Repl
from tools.board.view import JsonView, TextView
from tools.printable import printable
from tools.publish.contents import Refused
from tools.sim.settings import ROWS, SettingsError

_FLASH_EXAMPLES = """
\b
Examples:
  python -m tools flash
      the one module on USB; it gets Ferry as source
  python -m tools flash --mpy --config pump-7.json
      compiled, which takes less flash and memory, and with its settings
  python -m tools flash COM7 --dry-run
      only look: which module, how much room, what would be copied
  python -m tools flash --erase code --mpy
      a small flash: the old code goes first

What is on the module already is not copied. The old version stays whole until the new one is: when the cable is
unplugged, the module restarts by itself within minutes (Ferry's watchdog), with the old one or the new one.

Exit status: 0 the module has it (or, with --dry-run, could), 1 it did not work, 2 wrong usage.
"""
_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@contextlib.contextmanager
def _explained():
    try:
        yield
    except SettingsError as error:
        raise click.UsageError(_wrapped(str(error))) from error
    except (BoardError, Refused) as error:
        raise click.ClickException(_wrapped(str(error))) from error


def _wrapped(text):
    """Lines that break between words on a terminal; as it is in a pipe."""
    if not sys.stderr.isatty():
        return text
    width = shutil.get_terminal_size().columns - len("Error: ")
    lines = []
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        lines += textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
    return "\n".join(lines)


@contextlib.contextmanager
def _connected(named):
    """-> (name of the port, Repl)"""
    with _explained():
        device = ports.find(named)
        port = ports.open_port(device)
        try:
            yield device, Repl(port)
        finally:
            with contextlib.suppress(OSError):
                port.close()


@click.command(epilog=_FLASH_EXAMPLES, context_settings=_HELP)
@click.argument("port", required=False)
@click.option("--mpy", is_flag=True, help="Compiled, by the compiler that fits the module's firmware.")
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Its config.json. Checked before anything is copied. Without: what is there stays.",
)
@click.option(
    "--erase",
    type=click.Choice(["code", "all"]),
    help="First remove Ferry's old code, or all files in /usr but the firmware's and the settings. Asks.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--json", "is_json", is_flag=True, help="Say what was done as one JSON object.")
def flash(port, mpy, config, erase, yes, dry_run, is_json):
    """Put Ferry on the module at the USB cable, or bring it up to date.

    PORT is the module's REPL port, such as COM7 or /dev/ttyUSB2; it is found when there is one.
    """
    show = JsonView() if is_json else TextView()
    with _explained():
        settings = images.settings(config) if config else None
    with _connected(port) as (device, repl):
        show.port(device)
        result = Flash(repl, Device(repl), show).run(mpy, settings, erase, dry_run, _asker(yes))
        show.end()
    if not result:
        raise SystemExit(1)


def _asker(is_yes):
    def confirm(question):
        if is_yes:
            return
        if not sys.stdin.isatty():
            raise BoardError(f"{question}\nNobody is there to ask; if that is what you want, add -y")
        click.confirm(question, abort=True, err=True)

    return confirm


# --- the console


def _port_option(function):
    return click.option("-p", "--port", metavar="PORT", help="The module's REPL port; found when there is one.")(function)


def _interrupt_option(function):
    return click.option(
        "--interrupt",
        is_flag=True,
        help="Where main.py holds the REPL (run.thread = false): stop it, do this, restart it.",
    )(function)


@contextlib.contextmanager
def _console(named, may_interrupt):
    """-> a Repl in whose background the app runs."""
    with _connected(named) as (device, repl):
        stopped = _enter(device, repl, may_interrupt)
        try:
            yield repl
        except BaseException:
            with contextlib.suppress(BoardError):
                repl.recover()
            raise
        finally:
            with contextlib.suppress(BoardError):
                _hand_back(repl, stopped)


def _enter(device, repl, may_interrupt):
    """Have the REPL. -> None, or the Device whose main.py was stopped for it."""
    if repl.is_free():
        return None
    if not may_interrupt:
        raise BoardError(
            f"{device} does not answer: it is not the REPL port, or main.py holds the REPL (run.thread = false, or it "
            "is just starting). Try again, or with --interrupt: that stops the app, does this, and restarts it"
        )
    click.echo("stopping main.py; it is restarted afterwards", err=True)
    repl.interrupt()
    stopped = Device(repl)
    stopped.guard()
    return stopped


def _hand_back(repl, stopped):
    if stopped:
        stopped.restart()
    else:
        repl.leave_raw()


def _hear(text):
    """As it comes, without what a terminal would obey."""
    click.echo("\n".join(printable(line) for line in text.split("\n")), nl=False)


def _plain(name, text):
    """A command that calls one function of the console."""

    @click.command(name, context_settings=_HELP, help=text)
    @_port_option
    @_interrupt_option
    def command(port, interrupt):
        with _console(port, interrupt) as repl:
            console.call(repl, name, hear=_hear)

    return command


files = _plain("files", "What was sent, goes, waits or is parked: a line per file.")
sync = _plain("sync", "Let a cycle begin now.")
pause = _plain("pause", "No cycles until `resume` or a restart.")
resume = _plain("resume", "Cycles come again as the schedule wants them.")


@click.command(context_settings=_HELP)
@_port_option
@_interrupt_option
def restart(port, interrupt):
    """Restart the module as soon as Ferry rests; it notes the reason. Where Ferry does not run, main.py starts anew."""
    with _connected(port) as (device, repl):
        stopped = _enter(device, repl, interrupt)
        if not stopped and console.is_running(repl):
            console.call(repl, "restart", hear=_hear)
            repl.leave_raw()
            return
        (stopped or Device(repl)).restart()
        for line in first_lines(repl):
            click.echo(printable(line))


@click.command(context_settings=_HELP)
@_port_option
@_interrupt_option
@click.option("--json", "is_json", is_flag=True, help="As one JSON object.")
def status(port, interrupt, is_json):
    """What Ferry does on the module, and what is wrong. The app goes on meanwhile.

    \b
    Examples:
      python -m tools status
      python -m tools status --port COM7 --json
    """
    with _console(port, interrupt) as repl:
        text = console.call(repl, "status", hear=None if is_json else _hear)
    if is_json:
        click.echo(json.dumps(console.parse_status(text), indent=2, ensure_ascii=False))


@click.command(context_settings=_HELP)
@_port_option
@_interrupt_option
def check(port, interrupt):
    """Walk every hop from the SIM card to a file on the server, and say what is wrong. May take minutes.

    Exit status: 0 all is well, 1 something is wrong.
    """
    with _console(port, interrupt) as repl:
        text = console.call(repl, "check", hear=_hear)
    if any(line.startswith("WRONG") for line in text.splitlines()):
        raise SystemExit(1)


@click.command(context_settings=_HELP)
@click.argument("which", type=click.Choice(["last"]), required=False)
@_port_option
@_interrupt_option
def log(which, port, interrupt):
    """The last lines of Ferry's log; with `last` those before the last restart, if there was an error in them."""
    with _console(port, interrupt) as repl:
        console.call(repl, "log", [which] if which else [], _hear)


@click.command(context_settings=_HELP)
@click.argument("key", default="")
@_port_option
@_interrupt_option
@click.option("--json", "is_json", is_flag=True, help="As one JSON object.")
def get(key, port, interrupt, is_json):
    """The settings on the module: one (server.host), a section (server), or all. Secrets are shown as ***.

    \b
    Examples:
      python -m tools get server
      python -m tools get --json
    """
    with _console(port, interrupt) as repl:
        text = console.call(repl, "get", [key], None if is_json else _hear)
    found = console.parse_settings(text)
    if is_json and found:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif is_json:
        _hear(text)
    if not found:
        raise SystemExit(1)


@click.command("set", context_settings=_HELP)
@click.argument("key")
@click.argument("value", required=False)
@_port_option
@_interrupt_option
def set_(key, value, port, interrupt):
    """Change a setting on the module; it is checked there, and counts from the next cycle on.

    A secret is asked for when VALUE is left out, so that no list of processes and no history holds it.

    \b
    Examples:
      python -m tools set server.host ftp.example.com
      python -m tools set server.password
      python -m tools set schedule.every_s 600
      python -m tools set upload.exclude '["*.tmp"]'
      python -m tools set "upload[0].mode" append

    Exit status: 0 it is set, 1 it is not taken.
    """
    kind = _kind(key)
    if value is None and kind != "secret":
        raise click.UsageError("VALUE is missing; only a secret (server.password ...) is asked for")
    if value is None:
        value = click.prompt(key, hide_input=True, confirmation_prompt=True)
    with _console(port, interrupt) as repl:
        text = console.call(repl, "set", [key, _value(value, kind)], _hear)
    if not console.has_changed(text):
        raise SystemExit(1)


def _kind(key):
    """The type of a setting; None where this version does not know it, and the module judges."""
    section, _, name = key.partition(".")
    row = ROWS.get(f"{section.partition('[')[0]}.{name}")
    return row[1] if row else None


def _value(text, kind):
    """What a person typed, as the setting's type wants it."""
    if kind in (None, "int", "bool", "list", "windows", "choice"):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text


@click.command(context_settings=_HELP)
@click.argument("port", required=False)
def repl(port):
    """The module's REPL in this terminal; Ferry goes on beside it. Ctrl-] leaves.

    `from usr import ferry as f`, then `f.help()`. Ctrl-D restarts the app; Ctrl-C stops one that holds the REPL.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("this needs a terminal; in a pipe use status, get, set, check, log")
    with _connected(port) as (device, module):
        click.echo(f"{device}: Ctrl-] leaves", err=True)
        module.attach()


COMMANDS = (check, files, flash, get, log, pause, repl, restart, resume, set_, status, sync)
