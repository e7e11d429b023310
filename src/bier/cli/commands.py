"""All commands; a file for each group of them, which register themselves."""

from bier.cli import (  # noqa: F401
    backbones,
    calibrating,
    embedding,
    exporting,
    indexing,
    labelling,
    quality,
    searching,
    serving,
    training,
    untrained,
)
from bier.cli.app import app, run

__all__ = ["app", "run"]
