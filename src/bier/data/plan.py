"""What training asks of a plan of batches."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Plan(Protocol):
    """Which pictures form a batch, epoch by epoch; a function of seed and epoch alone."""

    classes_per_batch: int
    """P, of the batch of all processes together."""
    images_per_class: int
    linear: bool
    """Whether it is drawn in laps (see `bier.data.sampler.BatchPlan`). A run keeps the way that it began with."""

    def __len__(self) -> int:
        """Batches in every epoch, the same for every process."""

    def epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """The pictures of this process, an array for each batch."""
