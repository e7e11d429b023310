"""Pictures are decoded within a memory that all requests share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from bier.data import read_image
from bier.data.images import decode_cost
from bier.data.limits import MAX_PIXELS
from bier.data.reduction import View
from bier.errors import ImageError
from bier.serve.threads import Memory

T = TypeVar("T")


class Decoder:
    """Reads pictures; several threads that together would need more than `most_bytes` wait for each other."""

    def __init__(self, most_bytes: int) -> None:
        self._memory = Memory(most_bytes)

    def read(
        self,
        picture: Path | bytes,
        use: Callable[[Tensor], T],
        name: str = "",
        most_pixels: int = MAX_PIXELS,
        box: Sequence[float] | None = None,
        view: View | None = None,
    ) -> T:
        """What `use` makes of the picture uint8 (3, H, W), or of a box in it, while its memory is counted.

        A `view` is as for `read_image`.

        Raises:
            ImageError: as `read_image`, or it would need more memory than there is for all.
        """
        cost = decode_cost(picture, name, max_pixels=most_pixels)
        if cost > self._memory.most:
            most = f"{self._memory.most / 1e9:.1f} GB"
            raise ImageError(f"would take {cost / 1e9:.1f} GB to decode, more than {most}", where=name)
        with self._memory.taking(cost):
            return use(read_image(picture, box, name, max_pixels=most_pixels, view=view))
