"""Which sizes of pictures a network takes, and which its weights have seen."""

from __future__ import annotations

from dataclasses import dataclass

CPU_SHARE = 4 / 7
"""Of the usual side: 128 of 224 pixels, at a third of the time."""
FEWEST_STEPS = 8
"""Patches along a side, at least, of what is chosen for a CPU: fewer show too little of a picture."""
CPU_STEP = 32
"""Sides that are chosen for a CPU are multiples of it, where any side will do."""
FAR = 2.0
"""Factor from what weights have seen, from which on they are far from it."""


@dataclass(frozen=True)
class PictureSizes:
    """Sides of square pictures, in pixels."""

    usual: int = 224
    """What the weights are used with."""
    step: int = 1
    """Sides are multiples of it: the patch, or the patch after all halvings."""
    seen: tuple[int, int] | None = None
    """Smallest and largest in pretraining, where it was not the usual one alone."""
    only: bool = False
    """Whether the network takes the usual one alone."""
    smaller_on_cpu: bool = True
    """Whether a CPU gets smaller ones by default."""

    def chosen(self, on_cpu: bool) -> int:
        """What a run takes that does not say."""
        if self.only or not (on_cpu and self.smaller_on_cpu):
            return self.usual
        step = self.step if self.step > 1 else CPU_STEP
        steps = max(round(self.usual * CPU_SHARE / step), FEWEST_STEPS if self.step > 1 else 1)
        return min(steps * step, self.usual)

    def nearest(self, side: int) -> list[int]:
        """The sides that the network takes next to one: itself alone where it is one of them."""
        if self.only:
            return [self.usual]
        below = side // self.step * self.step
        return [below] if below == side else [each for each in (below, below + self.step) if each]

    def takes(self, side: int) -> bool:
        return self.nearest(side) == [side]

    def is_far(self, side: int) -> bool:
        """Whether the weights have seen nothing like it."""
        smallest, largest = self.seen or (self.usual, self.usual)
        return side * FAR < smallest or side > largest * FAR
