"""Labels of two kinds, numbers and words, where a person may have meant the same classes."""

from __future__ import annotations

from collections.abc import Iterable


def other_kind(known: Iterable[str], new: Iterable[str]) -> str | None:
    """A line for a person, if known labels are all numbers and new ones are words, or the other way round."""
    known, others = set(known), set(new)
    numbers = {label.isdecimal() for label in known}
    odd = sorted(label for label in others - known if {label.isdecimal()} != numbers)
    if len(numbers) != 1 or not odd:
        return None
    one, other = ("numbers", "words") if numbers == {True} else ("words", "numbers")
    return (
        f"WARNING: labels of mixed kinds: known ones are {one} such as {min(known)!r}, and {len(odd):,} new ones are "
        f"{other} such as {odd[0]!r}. Each is a class of its own"
    )
