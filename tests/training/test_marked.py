"""What labels and marks say of a batch, against a slow loop over its pairs."""

from __future__ import annotations

import numpy as np

from bier.training.marked import MarkedRelations, OfClasses

CLASSES = np.array([0, 0, 0, 1, 1, 2, 3, 4])
CLASSED = np.array([True] * 6 + [False] * 2)
PAIRS = np.array([[0, 1], [0, 3], [2, 6], [5, 6], [6, 7]])
SAME = np.array([False, True, True, False, True])


def test_marks_come_before_labels_and_the_rest_is_unknown() -> None:
    made = MarkedRelations(OfClasses(CLASSES), CLASSED, PAIRS, SAME)
    marked = {tuple(pair): int(same) for pair, same in zip(PAIRS.tolist(), SAME.tolist(), strict=True)}

    def relation(i: int, j: int) -> int:
        known = marked.get((min(i, j), max(i, j)))
        if i == j or known is not None:
            return 1 if i == j else int(known or 0)
        return int(CLASSES[i] == CLASSES[j]) if CLASSED[i] and CLASSED[j] else -1

    for rows in (np.arange(8), np.array([6, 6, 2, 7, 0, 1, 6]), np.array([5])):
        found = made.among(rows)
        assert found.dtype == np.int8
        assert found.tolist() == [[relation(i, j) for j in rows.tolist()] for i in rows.tolist()]
