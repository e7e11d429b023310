"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def photographs() -> Path:
    """The folder with cub100, cars196 and cub_annotations: BIER_DATA, relative to the repository; skips without it."""
    folder = Path(__file__).parents[1] / os.environ.get("BIER_DATA", "../shared/data")
    if not folder.is_dir():
        pytest.skip(f"no photographs at {folder}: set BIER_DATA to their folder")
    return folder.resolve()
