"""Held-out labels, where pictures have several: validation pictures have no other labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bier.data.label_cells import parts
from bier.data.manifest import Manifest, hold_out, in_drawn_order, share_of, with_validation

Cell = frozenset[str]

LEAST = 0.5
"""Of the share that is to be held out: with fewer pictures, labels are not held out."""


def hold_out_labels(manifest: Manifest, share: float, seed: int, separator: str) -> Manifest:
    """Move pictures to the split ``val`` whose labels are then unknown to training.

    Sets of labels are drawn as `hold_out` draws them, and their labels are held out, up to the share of all labels.
    Pictures with held-out labels alone are for validation. Pictures that mix them with others stay for training, which
    is not told of their held-out labels (`Manifest.untold`). A label of more pictures than the share is not held out.

    Where too few pictures have held-out labels alone, sets are held out instead, as by `hold_out`. A note says what was
    done.

    Args:
        manifest: with rows of split ``train``.
        share: of the labels, 0 to 1; 0 moves none.
        seed: another seed, other labels.
        separator: what stands between the labels of a picture.

    Raises:
        DataError: there are too few sets of labels for either.
    """
    if share == 0 or (manifest.split == "val").any():
        return manifest
    cells = [frozenset(parts(label, separator)) for label in manifest.only("train").label]
    pictures = Counter(label for cell in cells for label in cell)
    held = _held(manifest, cells, pictures, share, seed, separator)
    alone, mixed = _counts(cells, held)
    findable, wanted = _findable(cell for cell in cells if cell <= held), share * len(cells)
    if findable < LEAST * wanted or len({cell for cell in cells if cell <= held}) < 2 or len(pictures) - len(held) < 2:
        told = (
            "whole sets of labels are held out for validation, and training sees their labels. Labels mix too much: "
            f"{findable:,} pictures would have held-out labels alone, and {math.ceil(LEAST * wanted):,} are needed"
        )
        return _noted(hold_out(manifest, share, seed, separator), told)
    told = f"{len(held):,} of {len(pictures):,} labels are held out, and {alone:,} pictures with no others validate"
    if mixed:
        told += f"; {mixed:,} pictures mix them with other labels, and training is told of the others alone"
    chosen = {str(label) for label in set(manifest.only("train").label) if frozenset(parts(label, separator)) <= held}
    return _noted(replace(with_validation(manifest, chosen), untold=held), told)


def mixes(manifest: Manifest, separator: str | None) -> NDArray[np.bool_]:
    """(n,) which pictures for training have a label that training is not told of."""
    if separator is None or not manifest.untold:
        return np.zeros(len(manifest), dtype=bool)
    rows = zip(manifest.split, manifest.label, strict=True)
    return np.array(
        [split == "train" and not manifest.untold.isdisjoint(parts(label, separator)) for split, label in rows]
    )


def _held(
    manifest: Manifest, cells: list[Cell], pictures: Counter[str], share: float, seed: int, separator: str
) -> Cell:
    """Labels of sets that are drawn until the share of all labels is reached."""
    wanted, common = max(share_of(len(pictures), share), 2), share * len(cells)
    names = {str(label): frozenset(parts(label, separator)) for label in set(manifest.only("train").label)}
    held: Cell = frozenset()
    for name in in_drawn_order(names, seed):
        cell = names[name]
        if any(pictures[label] > 1 for label in cell) and all(pictures[label] <= max(common, 2) for label in cell):
            held |= cell
        if len(held) >= wanted:
            break
    return held


def _counts(cells: list[Cell], held: Cell) -> tuple[int, int]:
    """Pictures with held-out labels alone, and with others beside them."""
    alone = sum(cell <= held for cell in cells)
    return alone, sum(not cell.isdisjoint(held) for cell in cells) - alone


def _findable(cells: Iterable[Cell]) -> int:
    """Pictures that share a label with another of them."""
    chosen = list(cells)
    pictures = Counter(label for cell in chosen for label in cell)
    return sum(any(pictures[label] > 1 for label in cell) for cell in chosen)


def _noted(manifest: Manifest, told: str) -> Manifest:
    return replace(manifest, notes=(*manifest.notes, told))
