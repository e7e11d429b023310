"""A command line, run in this process."""

from __future__ import annotations

import pytest

from bier.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """The exit code, and what was printed on both streams."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    out, error = capsys.readouterr()
    code = stopped.value.code
    return (code if isinstance(code, int) else 0), out, error
