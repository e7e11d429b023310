"""Photographs for tiny runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import some_birds


@pytest.fixture(scope="session")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=10, images=3)
