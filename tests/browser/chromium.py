"""A real browser for the tests: Debian's chromium, driven by playwright.

Without one its tests are skipped with the reason; with FERRY_REQUIRE_BROWSER=1 in the environment they fail."""

import contextlib
import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


def why_not():
    """None, or why there is no browser to be had here."""
    if not any(map(shutil.which, NAMES)):
        return f"none of {', '.join(NAMES)} is on the PATH: apt-get install chromium"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright has no wheel for this machine"
    return None


def require():
    """Skip the calling test where there is no browser; fail it where one is required."""
    reason = why_not()
    if reason is None:
        return
    if os.environ.get("FERRY_REQUIRE_BROWSER") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextlib.contextmanager
def browser():
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, NAMES)))
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"] if root else [])
        try:
            yield started
        finally:
            started.close()


class Watched:
    """A page, and what must not have happened on it: messages of the console, errors, dialogs, requests to anybody else."""

    def __init__(self, browser, size, **options):
        self.context = browser.new_context(viewport=size, **options)
        self.page = self.context.new_page()
        self.said = []
        self.requests = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("dialog", self._dialog)
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _dialog(self, dialog):
        self.said.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def strangers(self, *own):
        """Requests that went elsewhere."""
        return [url for url in self.requests if not url.startswith((*own, "data:"))]
