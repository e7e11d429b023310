"""One process or many: which share of the work is mine, and what all of them found. No-ops in one process."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from bier.errors import ConfigError, ProcessError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

PATIENCE = timedelta(seconds=10)
"""For what another process has to say."""

T = TypeVar("T")
Array = TypeVar("Array", bound=NDArray[Any])


@dataclass(frozen=True)
class Processes:
    """The processes that ``torchrun`` started, or this one alone."""

    rank: int = 0
    world: int = 1
    store: Store | None = field(default=None, compare=False, repr=False)
    """What all of them can read and write, whether or not the others are listening."""

    @classmethod
    def joined(cls) -> Processes:
        """Those of torch's default group, if it has been initialised."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which writes files and speaks."""
        return self.rank == 0

    def share(self, work: Iterable[T]) -> Iterator[T]:
        """Every world-th item, so that each is done once and none is done twice."""
        return islice(work, self.rank, None, self.world)

    def sum(self, values: Array) -> Array:
        """The elementwise sum over all processes, the same in each; shapes must agree."""
        if self.world == 1:
            return values
        total = self._place(values)
        with _all_there():
            distributed.all_reduce(total)
        return cast(Array, total.cpu().numpy())

    def agree(self, decision: bool) -> bool:
        """Whether all decide so: what depends on timings or on the machine must not send processes different ways."""
        return int(self.sum(np.array([int(decision)]))[0]) == self.world

    def any(self, decision: bool) -> bool:
        """Whether one of them decides so."""
        return not self.agree(not decision)

    def gather(self, values: Array) -> Array:
        """Arrays of all processes, of any lengths, one after the other."""
        if self.world == 1:
            return values
        return cast(Array, torch.cat(self.parts(self._place(values))).cpu().numpy())

    def parts(self, values: Tensor) -> list[Tensor]:
        """The tensor of each process, of any length, in order of rank; without gradients, where this one's lies."""
        if self.world == 1:
            return [values]
        own = np.zeros(self.world, dtype=np.int64)
        own[self.rank] = len(values)
        lengths = self.sum(own)
        padded = self._move(values.detach())
        padded = torch.cat([padded, padded.new_zeros(int(lengths.max()) - len(values), *values.shape[1:])])
        every = [torch.empty_like(padded) for _ in range(self.world)]
        with _all_there():
            distributed.all_gather(every, padded)
        return [part[:length].to(values.device) for part, length in zip(every, lengths.tolist(), strict=True)]

    def gather_objects(self, content: T) -> list[T]:
        """What each process has, in order of rank."""
        if self.world == 1:
            return [content]
        every: list[Any] = [None] * self.world
        with _all_there():
            distributed.all_gather_object(every, content)
        return every

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, with one message for all of them."""
        if self.world == 1 or not tensors:
            return
        total = self._move(torch.cat([tensor.flatten() for tensor in tensors]))
        with _all_there():
            distributed.all_reduce(total)
        parts = total.to(tensors[0].device).split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def say_once(self, text: str, say: Callable[[], object]) -> None:
        """Call ``say`` in one of those that have this text to say, and come back when it has been said.

        Of several processes that make the same mistake, one tells of it.
        """
        if self.store is None:
            say()
            return
        key = hashlib.sha256(text.encode()).hexdigest()
        if self.store.add(f"{key}/speakers", 1) == 1:
            say()
            self.store.set(f"{key}/said", "")
            return
        with suppress(RuntimeError):  # whoever speaks was killed, or the store has gone with it
            self.store.wait([f"{key}/said"], PATIENCE)

    def wait(self) -> None:
        """Until all are here."""
        if self.world > 1:
            self.sum(np.zeros(1))

    def _place(self, values: NDArray[Any]) -> Tensor:
        return self._move(torch.from_numpy(np.ascontiguousarray(values)), copy=True)

    def _move(self, values: Tensor, copy: bool = False) -> Tensor:
        return values.to("cuda" if distributed.get_backend() == "nccl" else "cpu", copy=copy)


ALONE = Processes()


@contextmanager
def _all_there() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "Connection" not in str(error):
            raise
        raise ProcessError(
            "another process of this run has ended, or cannot be reached",
            remedy="see what it printed; a run goes on with: bier train --resume RUN",
        ) from error


@contextmanager
def started_by_torchrun() -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started this one with, each on a GPU of its own where there are GPUs.

    Raises:
        ConfigError: more processes than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield Processes.joined()
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        if processes_here() > torch.cuda.device_count():
            raise ConfigError(
                f"{processes_here()} processes need as many GPUs, and there are {torch.cuda.device_count()}",
                where="--processes",
                remedy="start fewer",
            )
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, rank, world = next(rendezvous("env://"))
    distributed.init_process_group("nccl" if on_gpu else "gloo", store=store, rank=rank, world_size=world)
    yield Processes(rank, world, PrefixStore("bier", store))
    distributed.destroy_process_group()  # not after an error, for which nobody waits


def processes_here() -> int:
    """How many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
