"""What an engine is: it makes vectors of pictures, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from bier.system.hardware import DeviceName, Hardware, PrecisionName
from bier.vectors.batches import Batch, Task
from bier.vectors.encoder import PictureEncoder
from bier.vectors.sources import Entry


@dataclass(frozen=True)
class Wanted:
    """What a person says about the computing; an engine refuses what means nothing to it."""

    device: DeviceName = "auto"
    precision: PrecisionName = "float32"
    workers: int | None = None
    """That decode pictures; None: as many as the engine thinks best."""
    address: str | None = None
    """Of a cluster."""
    actors: int | None = None
    """That compute at once on a cluster; None: as many as have room."""


class Engine(Protocol):
    """Made of what is `Wanted`, and entered before it is asked.

    Vectors must not depend on the engine, given the same batches: not their order, not their bits.
    """

    hardware: Hardware
    """What the model is loaded on in this process."""

    def __init__(self, wanted: Wanted) -> None: ...
    def __enter__(self) -> Engine: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def batches(self, encoder: PictureEncoder, pictures: Iterator[Entry], task: Task) -> Iterator[Batch]:
        """All pictures, in batches of ``task.batch_size``, in order.

        Raises:
            BierError: a vector has NaN or infinity, a place cannot be asked, or the computing cannot go on.
        """
