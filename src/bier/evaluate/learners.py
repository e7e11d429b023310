"""The ensemble beside its parts: every learner, every prefix of learners, and how much they repeat each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bier.errors import ConfigError, DataError
from bier.evaluate.engine.exact import Relevance
from bier.evaluate.engine.inputs import Labels, as_list, prepare
from bier.evaluate.engine.table import views
from bier.evaluate.matching import MATCHING, average
from bier.evaluate.retrieval import Options, RetrievalResult, search
from bier.method.ensemble import normalize
from bier.records.reading import as_json

Weights = Tensor | Sequence[float]
Row = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """One embedding among those of an ensemble, and what was found with it."""

    name: str
    kind: Literal["ensemble", "learner", "prefix"]
    learners: tuple[int, ...]
    dimensions: int
    result: RetrievalResult


def evaluate_learners(
    learners: Sequence[Tensor],
    alpha: Weights,
    labels: Labels,
    *,
    gallery: Sequence[Tensor] | None = None,
    gallery_labels: Labels | None = None,
    **options: Any,
) -> list[Row]:
    """One row of figures for the ensemble, for each learner, and for each prefix of learners, in one pass.

    Args:
        learners: M outputs (n, d_m); normalised here if they are not yet.
        alpha: (M,) weight of each learner in the ensemble's score. A prefix keeps their proportions.
        labels: (n,) classes.
        gallery: M outputs (g, d_m) to be searched, instead of the rows themselves.
        gallery_labels: (g,).
        options: of `evaluate_retrieval`: ``recall_at``, ``metrics``, ``missing``, ``distributed``, ``seed``.

    Returns:
        Rows as in ``metrics.json``: name, kind, learners, dimensions, recall by K (a string), map_at_r, r_precision,
        and whatever else was asked for.

    Raises:
        DataError: weights that are not positive; and as `evaluate_retrieval`.
    """
    if options.get("similarity", "cosine") != "cosine":
        raise ConfigError(
            "learners are compared by cosine", where="similarity", remedy="leave it out, or use evaluate_retrieval"
        )
    found = search_learners(learners, labels, gallery, gallery_labels, alpha, Options(**options))
    return [figures(one.name, one.kind, one.learners, one.dimensions, [one.result]) for one in found]


def search_learners(
    learners: Sequence[Tensor],
    labels: Labels,
    gallery: Sequence[Tensor] | None,
    gallery_labels: Labels | None,
    alpha: Weights,
    options: Options,
    relevance: Relevance | None = None,
) -> list[Found]:
    """The searches behind `evaluate_learners`; another relevance may stand for equal labels."""
    shares, labels = weight_shares(alpha), as_list(labels)
    counts = {len(part) for part in learners}
    if len(shares) != len(learners) or len(counts) != 1:
        raise DataError(
            f"{len(learners)} learners of {' and '.join(map(str, sorted(counts)))} images, and {len(shares)} weights",
            remedy="give the outputs of every learner for the same images, and one weight for each",
        )
    sides = prepare(learners, labels, gallery, gallery_labels, "cosine")
    results = search(*sides, views(shares), options, labels, relevance)
    sizes = [part.shape[1] for part in learners]
    return [
        Found(name, kind, tuple(used), sum(sizes[m] for m in used), results[at])
        for name, kind, used, at in _named(len(sizes))
    ]


def _named(count: int) -> Iterator[tuple[str, Literal["ensemble", "learner", "prefix"], range, int]]:
    """Name, kind, learners and place among `views` of the ensemble, of each learner, and of each prefix."""
    yield "ensemble", "ensemble", range(count), 2 * (count - 1)
    for m in range(count):
        yield f"learner {m + 1}", "learner", range(m, m + 1), max(0, 2 * m - 1)
    for m in range(count):
        yield "first learner" if m == 0 else f"first {m + 1} learners", "prefix", range(m + 1), 2 * m


def figures(name: str, kind: str, learners: Sequence[int], dimensions: int, results: Sequence[RetrievalResult]) -> Row:
    """A row of ``metrics.json``. Of several searches, the mean, and the standard deviation as ``..._std``."""
    row: Row = {"name": name, "kind": kind, "learners": list(learners), "dimensions": dimensions}
    ways: dict[str, Callable[[list[float]], float]] = {"": _mean}
    if len(results) > 1:
        ways["_std"] = lambda values: float(np.std(values, ddof=1))
    for suffix, way in ways.items():
        row["recall" + suffix] = {str(k): way([result.recall[k] for result in results]) for k in results[0].recall}
        for metric in ("map_at_r", "r_precision"):
            values = [getattr(result, metric) for result in results]
            row[metric + suffix] = None if None in values else way(values)
        for metric in ("mean_rank", "nmi", "ami"):
            values = [getattr(result, metric) for result in results]
            if None not in values:
                row[metric + suffix] = way(values)
        for metric in results[0].figures:
            row[metric + suffix] = way([result.figures[metric] for result in results])
    for metric in MATCHING:
        measured = average([getattr(result, metric) for result in results])
        if measured is not None:
            row[metric] = as_json(measured)
    return row


def learner_correlation(learners: Sequence[Tensor], *, pairs: int = 200_000, seed: int = 0) -> NDArray[np.float64]:
    """(M, M) Pearson correlation between the learners' similarity scores over pairs of images.

    0 means that two learners judge pairs independently, 1 that the second adds nothing. A learner whose score never
    changes has correlation 0 with every other.

    Args:
        learners: M outputs (n, d_m) of the same n images.
        pairs: all pairs if there are no more than this, otherwise so many drawn at random.
        seed: of the draw.

    Raises:
        DataError: fewer than two images.
    """
    first, second = _pairs(len(learners[0]), pairs, seed)
    scores = torch.stack([_pair_scores(normalize(part), first, second) for part in learners])
    return _correlation(scores.T).numpy()


def feature_correlation(embedding: Tensor, sizes: Sequence[int]) -> dict[str, float | None]:
    """How much the output dimensions repeat each other: mean absolute Pearson correlation over the images.

    Args:
        embedding: (n, D) outputs of all learners side by side.
        sizes: (M,) dimensions of each learner, D in sum.

    Returns:
        ``features_mean_abs`` over all pairs of dimensions, ``within_learners_mean_abs`` over pairs in one learner and
        ``between_learners_mean_abs`` over pairs in two; none where there is no such pair.
    """
    correlation = _correlation(embedding).abs()
    learner = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    same = learner[:, None] == learner
    pair = torch.ones_like(same).triu(1)
    groups = {
        "features_mean_abs": pair,
        "within_learners_mean_abs": pair & same,
        "between_learners_mean_abs": pair & ~same,
    }
    return {name: float(correlation[mask].mean()) if mask.any() else None for name, mask in groups.items()}


def weight_shares(weights: Weights) -> tuple[float, ...]:
    """(M,) weights that sum to 1."""
    values = torch.tensor([float(weight) for weight in weights], dtype=torch.float64)
    if not values.isfinite().all() or (values <= 0).any():
        raise DataError(
            f"weights {[float(weight) for weight in weights]} of the learners",
            remedy="give one positive number for each learner",
        )
    # Ranks do not depend on a common factor.
    return tuple((values / values.sum()).tolist())


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _pairs(count: int, most: int, seed: int) -> tuple[Tensor, Tensor]:
    if count < 2:
        raise DataError(f"{count} images make no pair", remedy="correlate over two images or more")
    if count * (count - 1) // 2 <= most:
        first, second = torch.triu_indices(count, count, 1)
        return first, second
    generator = np.random.default_rng(seed)
    one = generator.integers(count, size=most)
    other = (one + generator.integers(1, count, size=most)) % count
    return torch.from_numpy(one), torch.from_numpy(other)


def _pair_scores(vectors: Tensor, first: Tensor, second: Tensor) -> Tensor:
    vectors = vectors.cpu()
    tiles = zip(torch.split(first, 8192), torch.split(second, 8192), strict=True)
    return torch.cat([(vectors[i].double() * vectors[j].double()).sum(1) for i, j in tiles])


def _correlation(columns: Tensor) -> Tensor:
    """(d, d) float64 correlation between the columns of (n, d), 0 beside a constant column, accumulated in tiles."""
    center = columns.mean(0, dtype=torch.float64)
    covariance = torch.zeros(len(center), len(center), dtype=torch.float64, device=columns.device)
    for rows in torch.split(columns, 8192):
        deviation = rows.double() - center
        covariance += deviation.T @ deviation
    spread = covariance.diagonal().sqrt()
    constant = spread <= 1e-7 * (center.abs() + 1e-30) * len(columns) ** 0.5
    scaled = covariance / (spread[:, None] * spread)
    scaled = scaled.masked_fill(constant[:, None] | constant, 0.0).clamp(-1, 1)
    return scaled.fill_diagonal_(1.0).cpu()
