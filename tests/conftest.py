"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_configure() -> None:
    """Ctrl-C reaches what tests start: a shell has what runs in the background ignore it, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def photographs() -> Path:
    """The folder with cub100, cars196 and cub_annotations: BIER_DATA, relative to the repository; skips without it."""
    folder = Path(__file__).parents[1] / os.environ.get("BIER_DATA", "../shared/data")
    if not folder.is_dir():
        pytest.skip(f"no photographs at {folder}: set BIER_DATA to their folder")
    return folder.resolve()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium: the one that BIER_CHROMIUM names, or the system's; skips without one."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = os.environ.get("BIER_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no Chromium here: install one, or name it in BIER_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        # Without the sandbox and the GPU it runs in containers, too.
        flags = ["--no-sandbox", "--disable-gpu", "--disable-quic"]
        chromium = playwright.chromium.launch(executable_path=found, args=flags)
        yield chromium
        chromium.close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the experiments of tests/faults have tried."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    tried = [value for report in reports for name, value in report.user_properties if name == "tried"]
    if tried:
        terminalreporter.section("what was tried")
    for text in tried:
        terminalreporter.write_line(text)
