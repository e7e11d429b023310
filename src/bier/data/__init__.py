"""Pictures and what is known about them: one table for every source, and batches drawn from it.

What needs torch is imported when it is first asked for, so that reading a table stays quick.
`bier.data.check` finds the faults of a manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bier.data.datasets import open_source
from bier.data.manifest import Manifest, Split, hold_out, with_distractors
from bier.system.extras import importing_later

if TYPE_CHECKING:
    from bier.data.images import TestTransform, TrainTransform, read_image
    from bier.data.loader import Batch, image_loader, train_loader
    from bier.data.sampler import BatchPlan

__all__ = [
    "Batch",
    "BatchPlan",
    "Manifest",
    "Split",
    "TestTransform",
    "TrainTransform",
    "hold_out",
    "image_loader",
    "open_source",
    "read_image",
    "train_loader",
    "with_distractors",
]

_LATER = {
    "Batch": "loader",
    "BatchPlan": "sampler",
    "TestTransform": "images",
    "TrainTransform": "images",
    "image_loader": "loader",
    "read_image": "images",
    "train_loader": "loader",
}

__getattr__ = importing_later(__name__, _LATER)
