"""Commands that compute nothing do not wait for heavy packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from folders import drawn
from tiny_models import tiny_model

HEAVY = ("torch", "timm", "torchvision", "lancedb", "pyarrow", "pandas", "wandb", "matplotlib", "scipy", "sklearn")

PROGRAM = """
import sys
from bier.cli import main
try:
    main(sys.argv[2:])
except SystemExit as ended:
    assert ended.code in (0, None), ended.code
found = [name for name in sys.argv[1].split(",") if name in sys.modules]
assert not found, f"imported: {found}"
"""


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("search", "--help")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, ",".join(HEAVY), *arguments], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_a_search_imports_neither_a_compiler_nor_a_tracker(tmp_path: Path) -> None:
    model, photos = tiny_model(tmp_path), drawn(tmp_path / "photos", 4)
    made = [sys.executable, "-m", "bier.cli", "index", photos[0].parent, "-o", tmp_path / "index", "--model", model]
    subprocess.run(made, check=True, capture_output=True, timeout=120)
    unused = "torch._dynamo,wandb,lance_namespace_urllib3_client"
    command = [sys.executable, "-c", PROGRAM, unused, "search", str(tmp_path / "index"), str(photos[0])]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
