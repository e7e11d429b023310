"""All commands; a file for each group of them, which register themselves."""

from bier.cli import backbones, calibrating, embedding, exporting, quality, searching, serving, training, untrained  # noqa: F401
from bier.cli.app import app, run

__all__ = ["app", "run"]
