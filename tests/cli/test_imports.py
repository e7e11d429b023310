"""Commands that compute nothing do not wait for heavy packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
