import pytest

from tests.browser import chromium


@pytest.fixture(scope="module")  # its event loop must not be there for the tests of others
def browser():
    """Chromium; skips where there is none, fails where it is required."""
    chromium.require()
    with chromium.browser() as started:
        yield started


@pytest.fixture
def open_page(browser):
    """open_page(url, size) -> Watched. At the end nothing may have been said on the console, and nobody else been asked."""
    opened = []

    def open_page(url, size, own=(), **options):
        watched = chromium.Watched(browser, size, **options)
        opened.append((watched, (url, *own)))
        watched.page.goto(url)
        return watched

    yield open_page
    for watched, own in opened:
        watched.context.close()
        assert watched.said == []
        assert watched.strangers(*own) == []
