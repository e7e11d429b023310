"""Which labels are probably wrong, where pictures have several.

Two labels may go together, as a species and its kind do, so labels do not compete with one another. Sets of labels do:
a picture has exactly one. So each set that occurs gets a probability, as a class does in `bier.evaluate.suspects`, and
a label gets those of all sets that hold it. A set may be rare, even a picture's own. What is expected of it leans on
its labels: on the sum of what each adds to the mean of all pictures (ridge regression).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array
from scipy.sparse.linalg import splu

from bier.data.several_labels import LabelSets
from bier.evaluate.suspects import TILE, Codes, Discriminant, Values, covariance, folds, speaking, unit

TOWARDS_LABELS = 2.0
"""Pictures of a set that what its labels say of it weighs as much as."""
RIDGE = 0.1
"""Pictures without a label that each label is thought to have beside its own."""


@dataclass(frozen=True, eq=False)
class DoubtedLabels:
    """What the others say of each label of each picture, e in all."""

    rows: Codes
    """(e,) the picture."""
    labels: Codes
    """(e,) its label, a number as of the sets that were judged."""
    suspicion: NDArray[np.float64]
    """(e,) from 0 to 1: how unlikely the label is; 0 where no other picture has it."""
    doubted: NDArray[np.bool_]
    """(e,) whether the most likely set of labels lacks it."""
    better: Codes
    """(e,) a picture whose set is the most likely one without this label; -1 where every set has it."""
    neighbours: Codes
    """(e, `SPEAKING`) the nearest pictures of that set, nearest first; -1 where there are fewer."""

    def order(self) -> Codes:
        """Entries, the most suspicious first."""
        ordered: Codes = np.argsort(-self.suspicion, kind="stable")
        return ordered


def judge_labels(vectors: Values, sets: LabelSets, *, seed: int = 0) -> DoubtedLabels:
    """How well each label of each picture fits. A picture has no say in its own case.

    Args:
        vectors: (n, D), as an index holds them; similarity is the cosine.
        sets: the labels of the n pictures.
        seed: of the folds.
    """
    vectors, (rows, labels) = unit(vectors), sets.entries()
    shape = len(vectors), len(sets.names)
    has = csr_array((np.ones(len(rows), dtype=np.float32), (rows, labels)), shape)
    codes, first = _sets(has)
    holds = has[first]  # (T, L) which set has which label
    suspicion, best = np.zeros(len(rows)), np.zeros(len(vectors), dtype=np.int64)
    without = np.full(len(rows), -1)
    fold, begins = folds(codes, seed), np.searchsorted(rows, np.arange(len(vectors) + 1))
    for number in np.unique(fold):
        discriminant = _expected(vectors[fold != number], has[fold != number], codes[fold != number], holds)
        inside = np.flatnonzero(fold == number)
        for some in np.split(inside, range(TILE, len(inside), TILE)):
            chances = discriminant.chances(vectors[some])  # (s, T)
            of_labels = chances @ holds  # (s, L)
            best[some] = chances.argmax(1)
            for place, row in enumerate(some.tolist()):
                for entry in range(begins[row], begins[row + 1]):
                    suspicion[entry] = 1 - of_labels[place, labels[entry]]
                    without[entry] = _most_likely(chances[place], holds, int(labels[entry]))
    lacks = holds[best[rows]][np.arange(len(rows)), labels] == 0
    alone = np.bincount(labels, minlength=shape[1])[labels] == 1
    suspicion[alone] = 0
    neighbours = speaking(vectors, codes, rows, without)
    better = np.where(without < 0, -1, first[without])
    return DoubtedLabels(rows, labels, suspicion, lacks & ~alone & (better >= 0), better, neighbours)


def _sets(has: csr_array) -> tuple[Codes, Codes]:
    """(n,) a number for each picture's set of labels, and (T,) the first picture of each set."""
    numbers: dict[tuple[int, ...], int] = {}
    spans = zip(has.indptr[:-1].tolist(), has.indptr[1:].tolist(), strict=True)
    keys = [tuple(sorted(has.indices[begin:end].tolist())) for begin, end in spans]
    codes = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
    return codes, np.unique(codes, return_index=True)[1]


def _expected(vectors: Values, has: csr_array, codes: Codes, holds: csr_array) -> Discriminant:
    """A discriminant of all sets, those without a picture here among them."""
    mean = vectors.mean(0)
    system = (has.T @ has + RIDGE * eye_array(has.shape[1])).tocsc().astype(np.float64)
    adds = splu(system).solve((has.T @ (vectors - mean)).astype(np.float64))  # (L, D) what each label adds
    means = (TOWARDS_LABELS * (mean + holds @ adds)).astype(np.float32)
    np.add.at(means, codes, vectors)
    means /= (TOWARDS_LABELS + np.bincount(codes, minlength=len(means)))[:, None]
    return Discriminant.between(means, covariance(vectors - means[codes]))


def _most_likely(chances: NDArray[np.float64], holds: csr_array, label: int) -> int:
    """The most likely set without a label; -1 if all have it."""
    for one in np.argsort(-chances, kind="stable").tolist():
        if label not in holds.indices[holds.indptr[one] : holds.indptr[one + 1]]:
            return int(one)
    return -1
