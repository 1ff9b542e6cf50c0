# The report of a run in a real browser: made by the command, opened from the disk.
import subprocess
import sys

import pytest

from tests.browser.chromium import DESKTOP, PHONE
from tools.device_files import ROOT

EVIL = "<img src=x onerror=alert(1)>.txt"
FAULTS = "sim-missing@0-30s,cut-data@40%@40s-300s,power-cut@100s-140s"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A run with a fault of each sort, on a flash, with a file whose name is markup."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "usr" / "data").mkdir(parents=True)
    (folder / "usr" / "data" / EVIL).write_bytes(b"1" * 3000)
    path = folder / "run.html"
    command = [sys.executable, "-m", "tools", "sim", "--usr", folder / "usr", "--link", "nbiot", "--flash", "512k"]
    done = subprocess.run(
        [*command, "--fault", FAULTS, "--cycles", "12", "--report", path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_run_is_there_and_fits_the_screen(open_page, report, size, scheme):
    page = open_page(report.as_uri(), size, color_scheme=scheme).page
    text = page.inner_text("body")
    for part in (
        "in step",
        "no SIM card",
        "→ insert the SIM card",
        "the power went",
        "block erases",
        "live heap at most",
        "connection reset",
    ):
        assert part in text
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    assert page.locator(".charts svg").count() == 5
    assert page.locator("section svg.line .up polygon").count() >= 1
    assert page.locator("section svg.line .down polygon").count() >= 1
    assert page.locator("section svg .s-UPLOAD").count() >= 1
    assert page.locator(".fault rect").count() >= 3
    assert page.locator(".restart").count() == 1


def test_a_name_that_is_markup_is_text(open_page, report):
    page = open_page(report.as_uri(), DESKTOP).page
    assert page.locator("img").count() == 0
    assert page.locator("svg text", has_text=EVIL).count() >= 1
