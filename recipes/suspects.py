"""How well exchanged labels are found: average precision, and precision at as many as were exchanged.

    python recipes/suspects.py FEATURES.npz [FEATURES.npz ...] [--split train] [--seeds 0 1 2]

A file of features holds ``features`` (n, F), ``codes``, ``split``, and the head of the run: ``w``, ``b`` and ``sizes``.
The backbone was trained with the right labels, which flatters every figure of ``--split train``. Classes of ``val``
were never trained on. The shrinkage and the temperature were chosen on both of these splits.

Beside them stands cleanlab (Northcutt et al., JAIR 2021) on the same vectors: out-of-sample chances by a logistic
regression, five folds, ordered by each of its scores. It needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from bier.evaluate.suspects import judge

SHARES = (0.03, 0.1)
METHODS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
Scores = NDArray[np.float64]


def vectors_of(stored: Any, rows: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(n, D): each learner's outputs normalised, and scaled by the root of its share of the dimensions."""
    outputs = stored["features"][rows] @ stored["w"].T + stored["b"]
    sizes = stored["sizes"]
    parts = np.split(outputs, np.cumsum(sizes)[:-1], axis=1)
    scaled = [
        part / np.linalg.norm(part, axis=1, keepdims=True) * np.sqrt(size / sizes.sum())
        for part, size in zip(parts, sizes, strict=True)
    ]
    return np.concatenate(scaled, axis=1).astype(np.float32)


def exchanged(codes: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    """The labels, a share of them replaced by another class drawn at random."""
    random, given = np.random.default_rng(seed), codes.copy()
    for row in random.choice(len(codes), round(share * len(codes)), replace=False):
        given[row] = random.choice(np.setdiff1d(np.unique(codes), codes[row]))
    return given


def cleanlab_scores(vectors: NDArray[np.float32], codes: NDArray[np.int64], seed: int) -> dict[str, Scores]:
    """Suspicion by cleanlab's scores of the label's quality."""
    fold = StratifiedKFold(5, shuffle=True, random_state=seed)
    # Unit vectors need less regularisation than the default.
    fitted = LogisticRegression(C=10, max_iter=60)
    chances = cross_val_predict(fitted, vectors, codes, cv=fold, method="predict_proba")
    return {f"cleanlab, {method}": -get_label_quality_scores(codes, chances, method=method) for method in METHODS}


def found(suspicion: Scores, wrong: NDArray[np.bool_]) -> tuple[float, float]:
    """Average precision, and precision at as many as are wrong."""
    hits = wrong[np.argsort(-suspicion, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean()), float(hits[: wrong.sum()].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path, nargs="+")
    parser.add_argument("--split", default="train")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    print("| features | exchanged | ordered by | average precision | precision at as many |\n|---|---|---|---|---|")
    for file in given.features:
        with np.load(file) as stored:
            rows = stored["split"] == given.split
            vectors, codes = vectors_of(stored, rows), np.unique(stored["codes"][rows], return_inverse=True)[1]
        for share in SHARES:
            print_rows(file.stem, vectors, codes, share, given.seeds)


def print_rows(
    name: str, vectors: NDArray[np.float32], codes: NDArray[np.int64], share: float, seeds: list[int]
) -> None:
    """Means over seeds and, after ±, their sample standard deviation, in percent."""
    figures: dict[str, list[tuple[float, float]]] = {}
    for seed in seeds:
        labels = exchanged(codes, share, seed)
        own = {"bier data suspects": judge(vectors, labels, seed=seed).suspicion}
        for judged, scores in {**own, **cleanlab_scores(vectors, labels, seed)}.items():
            figures.setdefault(judged, []).append(found(scores, labels != codes))
    for judged, values in figures.items():
        mean, spread = np.mean(values, axis=0), np.std(values, axis=0, ddof=1 if len(values) > 1 else 0)
        shown = " | ".join(f"{100 * m:.1f} ± {100 * s:.1f}" for m, s in zip(mean, spread, strict=True))
        print(f"| {name} | {share:.0%} | {judged} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
