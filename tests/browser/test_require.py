# A missing browser never passes for a passed test.
import pytest

from tests.browser import chromium


@pytest.mark.parametrize(
    ("required", "outcome"),
    [("1", pytest.fail.Exception), ("", pytest.skip.Exception)],
    ids=["required", "not required"],
)
def test_without_a_browser_tests_fail_where_it_is_required_and_else_are_skipped(monkeypatch, required, outcome):
    monkeypatch.setenv("FERRY_REQUIRE_BROWSER", required)
    monkeypatch.setattr(chromium.shutil, "which", lambda name: None)
    with pytest.raises(outcome, match="apt-get install chromium"):
        chromium.require()
