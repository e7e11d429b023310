"""``staged.json``: the shortlist of a search in stages, and the recall that was measured with it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bier.errors import SearchError, StorageError
from bier.search import approximate
from bier.search.measured import Approximation, read, write

FILE = "staged.json"
LADDER = tuple(digit * 10**power for power in range(3, 9) for digit in (1, 2, 3, 5, 7))
"""Shortlists, the cheapest first. Shorter ones hardly save anything, and new photographs are harder to find than those
that are stored, by which recall is measured."""
_NAME = "shortlist"


def check_recall(recall: float) -> None:
    """Raises `SearchError` if stages cannot be chosen for it."""
    if not 0 < recall < 1:
        raise SearchError(
            f"recall {recall:g} is out of range for a search in stages",
            where="--recall",
            remedy="choose one of 0.9 to 0.999; for exact answers leave out --staged",
        )


def known(folder: Path, wanted: float | None = None) -> Approximation | None:
    """What was measured; None if nothing was, or for another recall.

    Raises:
        SearchError: the file is damaged.
    """
    found = read(folder, FILE)
    return found if found is not None and wanted in (None, found.wanted) and found.setting else None


def keep(folder: Path, measured: Approximation) -> None:
    """For the next one who asks; a folder that can only be read is left as it is."""
    with suppress(StorageError):
        write(folder, measured, FILE)


def holds(measured: Approximation | None, pictures: int) -> bool:
    """Whether it was measured of about as many pictures."""
    if measured is None:
        return False
    return measured.pictures / approximate.GROWN < pictures < measured.pictures * approximate.GROWN


def of(measured: Approximation | None) -> int:
    """The shortlist that was chosen; the shortest before that."""
    return measured.setting[_NAME] if measured is not None and measured.setting else LADDER[0]


def cheapest(wanted: float, pictures: int, queries: int, recall: Callable[[int], float]) -> Approximation:
    """The shortest of the ladder that reaches a recall, or the one that finds most of those that do not.

    A longer shortlist finds at least as much. So the ladder is halved again and again, and few of it are measured.
    """
    ladder = [shortlist for shortlist in LADDER if shortlist < 2 * pictures] or [LADDER[0]]
    low, high, reached = 0, len(ladder) - 1, dict[int, float]()
    while low not in reached:
        middle = (low + high) // 2
        reached[middle] = recall(ladder[middle])
        if reached[middle] < wanted:
            low = min(middle + 1, high)
        else:
            low, high = (low, middle) if low < middle else (middle, middle)
    return Approximation(wanted, reached[low], pictures, queries, {_NAME: ladder[low]})


def in_words(measured: Approximation) -> str:
    """What was chosen, for a person."""
    return (
        f"shortlist {of(measured):,}, recall@10 {measured.recall or 0:.4f} "
        f"({measured.wanted:g} asked for; {measured.queries:,} queries at {measured.pictures:,} pictures)"
    )
