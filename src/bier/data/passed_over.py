"""Files of a source that are not read, told in one line: how many of each suffix, and what to do about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from bier.data.formats import remedy_for, suffix_of

SHOWN = 8
"""Suffixes that are named; the files of all others are added up."""


def by_suffix(names: Iterable[str]) -> Counter[str]:
    """How many files there are of each suffix, in lower case; an empty one for names without."""
    return Counter(map(suffix_of, names))


def in_words(counts: Mapping[str, int]) -> str:
    """Such as ``12 .heic (to read HEIC: pip install ...), 4 .xyz``, the most frequent suffix first."""
    order = sorted(counts, key=lambda suffix: (-counts[suffix], suffix))
    parts = [f"{counts[suffix]:,} {suffix or 'without a suffix'}{_remedy(suffix)}" for suffix in order[:SHOWN]]
    rest = sum(counts[suffix] for suffix in order[SHOWN:])
    return ", ".join([*parts, *([f"{rest:,} others"] if rest else [])])


def _remedy(suffix: str) -> str:
    remedy = remedy_for(f"name{suffix}")
    return f" ({remedy})" if remedy else ""
