"""What holds for a process from outside: whether it is one of several, and how it says that it was stopped."""

from __future__ import annotations

import os

LAUNCHER = "BIER_LAUNCHER"
"""The environment variable with the number of the process that started them."""

STOPPED = 130
"""The exit code of a command that was asked to stop."""


def is_rank_0() -> bool:
    """Whether this process speaks where all of them have the same to say, before they have joined."""
    return os.environ.get("RANK", "0") == "0"


def is_launched() -> bool:
    """Whether there are others."""
    return "WORLD_SIZE" in os.environ
