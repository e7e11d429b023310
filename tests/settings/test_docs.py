"""docs/settings.md says what the fields of the settings say."""

from __future__ import annotations

import runpy
from pathlib import Path

from bier.settings.entries import entries
from bier.settings.schema import Config

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_settings_is_up_to_date() -> None:
    written = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert written == runpy.run_path(str(DOCS / "settings.py"))["text"](), (
        "docs/settings.md is old: run `python docs/settings.py` and commit it"
    )


def test_the_page_has_a_row_for_each_setting() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    for entry in entries(Config()):
        assert f"| `{entry.key}` | {entry.about.meaning} | " in page
