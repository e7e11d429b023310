"""JSON from a file that may be damaged or a stranger's: parsed and checked before anything is done with it.

A check takes a value and the place where it stands, such as ``image.size``. It returns the value, or raises a
ValueError whose text names the place, what was expected and what was found.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any, str], Any]


def parse(data: bytes | str, constants: Callable[[str], object] | None = None) -> Any:
    """What JSON text holds; ``constants`` takes the names NaN, Infinity and -Infinity, which Python reads as numbers.

    Raises:
        ValueError: it is broken, or nested too deeply.
    """
    try:
        return json.loads(data, parse_constant=constants)
    except json.JSONDecodeError as error:
        raise ValueError(f"broken JSON: {error.msg} (character {error.pos})") from error
    except RecursionError as error:
        raise ValueError("lists or objects are nested too deeply") from error


def whole(low: int, high: int) -> Check:
    """A whole number within bounds."""

    def check(value: Any, at: str) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise unfit(value, at, f"a whole number from {low:,} to {high:,}")

    return check


def number(low: float, high: float) -> Check:
    """A number within bounds, never NaN."""

    def check(value: Any, at: str) -> int | float:
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise unfit(value, at, f"a number from {low:g} to {high:g}")

    return check


def text(longest: int = 200) -> Check:
    """Text of one character or more."""

    def check(value: Any, at: str) -> str:
        if isinstance(value, str) and 0 < len(value) <= longest:
            return value
        raise unfit(value, at, f"text of 1 to {longest} characters")

    return check


def flag(value: Any, at: str) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    raise unfit(value, at, "true or false")


def anything(value: Any, at: str) -> Any:
    """Whatever stands there."""
    return value


def one_of(*choices: str | None) -> Check:
    """One of some words."""

    def check(value: Any, at: str) -> str | None:
        if any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
            return value  # type: ignore[no-any-return]
        raise unfit(value, at, " or ".join(map(repr, choices)))

    return check


def word_or_list(word: Check, entries: Check) -> Check:
    """A list by the second check, anything else by the first."""

    def check(value: Any, at: str) -> Any:
        return (entries if isinstance(value, list) else word)(value, at)

    return check


def list_of(entry: Check, low: int = 0, high: float = math.inf) -> Check:
    """A list of so many entries."""

    def check(value: Any, at: str) -> list[Any]:
        if isinstance(value, list) and low <= len(value) <= high:
            return [entry(part, f"{at}[{i}]") for i, part in enumerate(value)]
        count = f"{low}" if low == high else f"{low} to {high:,}" if high < math.inf else f"{low} or more"
        raise unfit(value, at, f"a list of {count} entries")

    return check


def object_of(entry: Check) -> Check:
    """An object whose keys are free."""

    def check(value: Any, at: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return {key: entry(part, f"{at}[{key!r:.60}]") for key, part in value.items()}
        raise unfit(value, at, "an object {...}")

    return check


def record(fields: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with exactly these keys; some may be missing."""
    known = {**fields, **(optional or {})}

    def check(value: Any, at: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise unfit(value, at, "an object {...}")
        inside = f"{at}." if at else ""
        for key in value:
            if key not in known:
                raise ValueError(f"{_clip(inside + key)!r} is unknown here; known are {', '.join(known)}")
        for key in fields:
            if key not in value:
                raise ValueError(f"{inside + key!r} is missing")
        return {key: known[key](part, inside + key) for key, part in value.items()}

    return check


def unfit(value: Any, at: str, expected: str) -> ValueError:
    """The error for a value that is not what was expected."""
    place = repr(_clip(at)) if at else "the whole"
    return ValueError(f"{place} does not fit: expected {expected}, found {_shown(value)}")


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and value.bit_length() > 200:  # Python refuses to print those of thousands of digits
        return "a number of more than 60 digits"
    return _clip(repr(value))


def _clip(shown: str) -> str:
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
