"""What all processes see of a batch, and one process's part of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bier.data import Batch
from bier.system.processes import Processes


@dataclass(frozen=True)
class WholeBatch:
    """What all processes see of a batch of n pictures, and this one's part of them."""

    images: Tensor
    """uint8 (b, 3, size, size): this process's; or features (b, d), where the backbone is frozen."""
    own: slice
    """Which rows of the n those are."""
    labels: Tensor
    """int64 (n,)."""
    index: Tensor
    """int64 (n,): position in the manifest."""

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(cls, batch: Batch, processes: Processes) -> WholeBatch:
        parts = processes.parts(torch.stack([batch.labels, batch.index], dim=1))
        before = sum(map(len, parts[: processes.rank]))
        labels, index = torch.cat(parts).unbind(dim=1)
        return cls(batch.images, slice(before, before + len(batch)), labels, index)
