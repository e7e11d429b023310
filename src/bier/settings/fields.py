"""A field of the settings says what it means and which numbers it takes, beside its type and default."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from bier.errors import ConfigError

T = TypeVar("T")

ABOUT = "about"


@dataclass(frozen=True)
class About:
    """What a setting means, and the range of its numbers. NaN and infinity lie in no range.

    Attributes:
        meaning: one plain line.
        unit: what follows a number, such as "pixels".
        low: the smallest value.
        high: the largest value.
        above: the value that all must exceed.
        reason: why no number lies outside.
        if_none: what ``None`` stands for.
    """

    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    reason: str = ""
    if_none: str = ""

    @property
    def range(self) -> str:
        """Such as "32 to 4096 pixels"; empty for a setting without bounds."""
        if self.above is not None:
            words = f"above {_digits(self.above)}"
        elif self.low is None:
            return ""
        elif self.high is None:
            words = f"at least {_digits(self.low)}"
        else:
            words = f"{_digits(self.low)} to {_digits(self.high)}"
        return f"{words} {self.unit}".rstrip()

    def check(self, value: object, where: str) -> None:
        """Refuse a number outside the range, also as an entry of a list or table.

        Raises:
            ConfigError: such a number, with the range as its remedy.
        """
        for number in _numbers(value):
            if not self._allows(number):
                raise ConfigError(
                    f"{number if isinstance(number, int) else format(number, 'g')} is out of range",
                    where=where,
                    remedy=f"give {self.range or 'a finite number'}" + (f": {self.reason}" if self.reason else ""),
                )

    def _allows(self, number: float) -> bool:
        return (
            -math.inf < number < math.inf
            and (self.low is None or number >= self.low)
            and (self.high is None or number <= self.high)
            and (self.above is None or number > self.above)
        )


def setting(
    default: T,
    meaning: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    reason: str = "",
    if_none: str = "",
) -> T:
    """A field of a settings dataclass with its default and what :class:`About` says of it."""
    metadata = {ABOUT: About(meaning, unit, low, high, above, reason, if_none)}
    if isinstance(default, dict):
        return typing.cast(T, dataclasses.field(default_factory=default.copy, metadata=metadata))
    return dataclasses.field(default=default, metadata=metadata)


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, Mapping):
        value = tuple(value.values())
    for part in value if isinstance(value, tuple) else (value,):
        if isinstance(part, int | float) and not isinstance(part, bool):
            yield part


def _digits(number: float) -> str:
    return f"{number:,}" if number >= 10_000 else f"{number:g}"
