"""Where tests of training print."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from rich.console import Console


@pytest.fixture
def console() -> Iterator[Console]:
    with open(os.devnull, "w") as nowhere:
        yield Console(file=nowhere)
