"""One process or many: which share of the work is mine, and what all of them found. No-ops in one process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

T = TypeVar("T")
Array = TypeVar("Array", bound=NDArray[Any])


@dataclass(frozen=True)
class Processes:
    """The processes that ``torchrun`` started, or this one alone."""

    rank: int = 0
    world: int = 1

    @classmethod
    def joined(cls) -> Processes:
        """Those of torch's default group, if it has been initialised."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    def share(self, work: Iterable[T]) -> Iterator[T]:
        """Every world-th item, so that each is done once and none is done twice."""
        return islice(work, self.rank, None, self.world)

    def sum(self, values: Array) -> Array:
        """The elementwise sum over all processes, the same in each; shapes must agree."""
        if self.world == 1:
            return values
        total = self._place(values)
        distributed.all_reduce(total)
        return cast(Array, total.cpu().numpy())

    def agree(self, decision: bool) -> bool:
        """Whether all decide so: what depends on timings or on the machine must not send processes different ways."""
        return int(self.sum(np.array([int(decision)]))[0]) == self.world

    def gather(self, values: Array) -> Array:
        """One-dimensional arrays of all processes, of any lengths, one after the other."""
        if self.world == 1:
            return values
        own = np.zeros(self.world, dtype=np.int64)
        own[self.rank] = len(values)
        lengths = self.sum(own)
        padded = np.zeros(int(lengths.max()), dtype=values.dtype)
        padded[: len(values)] = values
        mine = self._place(padded)
        every = [torch.empty_like(mine) for _ in range(self.world)]
        distributed.all_gather(every, mine)
        parts = [part[:length].cpu().numpy() for part, length in zip(every, lengths.tolist(), strict=True)]
        return cast(Array, np.concatenate(parts))

    def _place(self, values: NDArray[Any]) -> torch.Tensor:
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        return torch.from_numpy(np.ascontiguousarray(values)).to(device, copy=True)
