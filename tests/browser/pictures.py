"""The pictures in README.md, of a made-up fleet and of a run: ``python -m tests.browser.pictures [FOLDER]``.

Needs chromium; writes dashboard.png and run.png to docs/pictures, or to FOLDER."""

import contextlib
import datetime
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.browser import chromium, fleet
from tools.dashboard import view
from tools.dashboard.fleet import Limits
from tools.dashboard.history import History
from tools.dashboard.source import FolderSource
from tools.dashboard.watch import Watch
from tools.device_files import ROOT

NOW = 1_795_662_000
WIDTH = 1200
_RUN = ("--link", "ltem", "--fault", "cut-data@400kB@cycle1", "--cycles", "3")


def dashboard(browser, folder, picture):
    """Sixty modules at one moment."""
    status, limits = folder / "status", Limits(overdue_s=92_160, low_blocks=8, day_bytes=0)
    status.mkdir()
    with contextlib.closing(History(folder / "history", "fleet")) as history:
        watch = Watch(FolderSource(status), history, None, limits, lambda: NOW)
        for _ in fleet.live(status, NOW):
            watch.look()
        fleet.make(status, 60, NOW)
        look = watch.look()
        page = view.FleetPage("ftps://ftp.example.com/status", limits, "the last 100 statuses of each module")
        path = folder / "dashboard.html"
        path.write_text(page.render(look, view.details(watch)), encoding="utf-8")
    watched = chromium.Watched(browser, {"width": WIDTH, "height": 760})
    watched.page.clock.set_fixed_time(datetime.datetime.fromtimestamp(NOW))
    watched.page.goto(path.as_uri())
    watched.page.screenshot(path=picture)
    watched.context.close()


def run(browser, folder, picture):
    """Two cycles of a run: a transfer that breaks, and the next one that goes on."""
    path = folder / "run.html"
    subprocess.run(
        [sys.executable, "-m", "tools", "sim", *_RUN, "--report", path], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    watched = chromium.Watched(browser, {"width": WIDTH, "height": 1000})
    watched.page.goto(path.as_uri())
    top = watched.page.locator("h2", has_text="Cycle by cycle").bounding_box()["y"]
    end = watched.page.locator("#cycle-3").bounding_box()["y"]
    clip = {"x": 0, "y": top - 8, "width": WIDTH, "height": end - top}
    watched.page.screenshot(path=picture, full_page=True, clip=clip)
    watched.context.close()


def main(target):
    target.mkdir(parents=True, exist_ok=True)
    with chromium.browser() as browser, tempfile.TemporaryDirectory(prefix="ferry-pictures-") as name:
        dashboard(browser, Path(name), target / "dashboard.png")
        run(browser, Path(name), target / "run.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures")
