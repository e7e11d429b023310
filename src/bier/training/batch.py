"""What all processes see of a batch, and one process's part of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bier.data import Batch
from bier.method.losses.relations import differ_somewhere
from bier.system.processes import Processes
from bier.training.job import Relations


@dataclass(frozen=True)
class WholeBatch:
    """What all processes see of a batch of n pictures, and this one's part of them."""

    images: Tensor
    """uint8 (b, 3, size, size): this process's; or features (b, d), where the backbone is frozen."""
    own: slice
    """Which rows of the n those are."""
    labels: Tensor
    """int64 (n,); or relations, int8 (n, n), where labels alone do not say what is alike."""
    index: Tensor
    """int64 (n,): position in the manifest."""

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(cls, batch: Batch, processes: Processes, relations: Relations | None = None) -> WholeBatch:
        parts = processes.parts(torch.stack([batch.labels, batch.index], dim=1))
        before = sum(map(len, parts[: processes.rank]))
        labels, index = torch.cat(parts).unbind(dim=1)
        known = labels if relations is None else torch.from_numpy(relations.among(index.cpu().numpy()))
        return cls(batch.images, slice(before, before + len(batch)), known, index)

    def comparable(self) -> bool:
        """Whether any two of its pictures differ; else there is nothing to learn from it."""
        return len(self) > 0 and differ_somewhere(self.labels)
