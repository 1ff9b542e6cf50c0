# The pages in docs/: what they name is there.
import re

import pytest

from app.config import SCHEMA
from tools.device_files import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
KEYS = {row[0] for row in SCHEMA}
SECTIONS = {key.split(".")[0] for key in KEYS}


def settings_in(text):
    """What stands between backquotes and looks like a setting."""
    return {found for found in re.findall(r"`([a-z]+\.[a-z_]+)`", text) if found.split(".")[0] in SECTIONS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_a_page_names_exist(page):
    assert settings_in(page.read_text(encoding="utf-8")) <= KEYS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_an_invented_setting_would_be_noticed():
    assert settings_in("`server.hots` and `f.check` and `server.host`") == {"server.hots", "server.host"}


def test_the_questions_are_the_four_and_the_eight():
    text = (ROOT / "docs" / "FAQ.md").read_text(encoding="utf-8")
    four, eight = text.split("## What people ask most")
    assert len(re.findall(r"^\*\*.+\*\* ", four, re.MULTILINE)) == 4
    assert len(re.findall(r"^\*\*.+\*\* ", eight, re.MULTILINE)) == 8
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("FAQ", "SERVERS", "SIZING"):
        assert f"(docs/{name}.md)" in readme
