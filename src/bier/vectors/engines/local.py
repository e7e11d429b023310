"""The default: this process computes, and others decode for it."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from bier.data.workers import from_workers, memory_to_share
from bier.errors import ConfigError
from bier.system.hardware import Hardware
from bier.vectors.batches import Batch, Decoder, Task, cut_up, encoded
from bier.vectors.encoder import PictureEncoder
from bier.vectors.engines.engine import Wanted
from bier.vectors.sources import Entry


class Local:
    """The model computes where it is."""

    def __init__(self, wanted: Wanted) -> None:
        for option, value in (("--address", wanted.address), ("--actors", wanted.actors)):
            if value is not None:
                raise ConfigError("means a cluster, and this machine works alone", where=option, remedy=_CLUSTER)
        self.hardware = Hardware.resolve(wanted.device, wanted.precision, wanted.workers, where="--device")
        self.hardware.refuse_slow("--precision")

    def __enter__(self) -> Local:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def batches(self, encoder: PictureEncoder, pictures: Iterator[Entry], task: Task) -> Iterator[Batch]:
        return computed(encoder, pictures, task, self.hardware.workers)


_CLUSTER = "leave it out, or add --engine ray"


def computed(encoder: PictureEncoder, pictures: Iterator[Entry], task: Task, workers: int) -> Iterator[Batch]:
    """Batch after batch, the next ones decoded ahead by processes; with 0 workers, in this one."""
    share = workers > 0 and memory_to_share(task.batch_size * 3 * encoder.transform.size**2, workers)
    for content in from_workers(Decoder(encoder.transform, share), cut_up(pictures, task.batch_size), workers):
        yield encoded(encoder, content, task)


MEMBERS = {"local": Local}
