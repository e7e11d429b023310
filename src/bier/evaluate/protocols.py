"""Who searches whom: the protocols of the benchmarks, from a model's vectors to the whole of ``metrics.json``.

``self``
    Every picture of the split searches all others (CUB-200-2011, Cars-196, Stanford Online Products).
``query-gallery``
    The split ``query`` searches the split ``gallery`` (In-Shop).
``vehicleid-draws``
    One random picture of each vehicle makes the gallery, all others are queries; ten draws, of which the mean and the
    standard deviation (with n - 1) are given. VehicleID's own protocol.
``vehicleid-leave-one-out``
    The test list of VehicleID searched like ``self``. Its figures must not be compared with those of the draws.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bier.errors import DataError, ImageError
from bier.evaluate.confusions import by_class
from bier.evaluate.engine.exact import Relevance
from bier.evaluate.learners import (
    Found,
    Row,
    Weights,
    feature_correlation,
    figures,
    learner_correlation,
    search_learners,
)
from bier.evaluate.matching import MATCHING
from bier.evaluate.neighbours import neighbours
from bier.evaluate.reranked import evaluate_reranked
from bier.evaluate.retrieval import RECALL_AT, USUAL, Metric, Missing, Options, RetrievalResult
from bier.evaluate.shared_labels import shared_label
from bier.method.reranking import Reranking
from bier.records.bits import packed
from bier.records.metrics import FORMAT

if TYPE_CHECKING:
    from bier.data.manifest import Manifest

DRAWS = 10

CONVENTIONS = {
    "ties": "a positive that ties with a negative ranks after it; cosines within 2^-24 tie",
    "self": "a query's own row is left out by identity; exact duplicates of it stay",
    "exclude": "queries without a positive are counted and left out of the means",
    "miss": "queries without a positive are counted as misses",
}


OF_ONE_LABEL = frozenset({"nmi", "ami", *MATCHING})
"""Metrics that cannot tell shared labels."""
SEVERAL = "pictures have several labels, and it goes by one"
"""Why a metric is not measured."""


class Vectors(Protocol):
    """What a model makes of a manifest (`bier.vectors.embed.Embeddings`)."""

    @property
    def learners(self) -> Sequence[Tensor]:
        """M outputs (n, d_m)."""

    @property
    def features(self) -> Tensor | None:
        """(n, F) pooled features of the backbone."""

    @property
    def index(self) -> NDArray[np.int64]:
        """(n,) rows of the manifest that were read."""

    @property
    def failed(self) -> Sequence[ImageError]:
        """Pictures that were not."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One search: positions, among the vectors, of queries and gallery (none: the queries themselves)."""

    query: NDArray[np.int64]
    gallery: NDArray[np.int64] | None = None

    def positions(self) -> NDArray[np.int64]:
        return self.query if self.gallery is None else np.concatenate([self.query, self.gallery])


def trials(protocol: str, split: NDArray[np.object_], label: NDArray[np.object_], of: str, seed: int) -> list[Trial]:
    """The searches of a protocol.

    Args:
        protocol: one of those above.
        split: (n,) of each vector's row.
        label: (n,) likewise.
        of: the split to evaluate. Protocols are for ``test``; any other split is searched by itself.
        seed: of the ten draws.

    Raises:
        DataError: a side without pictures.
    """
    if protocol == "query-gallery" and of == "test":
        return [Trial(_at(split, "query"), _at(split, "gallery"))]
    rows = _at(split, of)
    if protocol == "vehicleid-draws" and of == "test":
        return list(_draws(rows, label[rows], seed))
    return [Trial(rows)]


def evaluate_manifest(
    vectors: Vectors,
    manifest: Manifest,
    alpha: Weights,
    *,
    name: str,
    split: str = "test",
    seed: int = 0,
    recall_at: Sequence[int] = RECALL_AT,
    metrics: Collection[Metric] = USUAL,
    whole: Collection[Metric] = (),
    missing: Missing = "exclude",
    device: torch.device | str = "cpu",
    distributed: bool = False,
    rerank: Sequence[Reranking] = (),
    separator: str | None = None,
) -> dict[str, Any]:
    """Everything that is said of a model on a manifest: the contents of ``metrics.json``.

    `bier.records.metrics.Metrics.of` makes a record of it, whose fields have types.

    Args:
        vectors: of rows of this manifest; rows of other splits may be among them.
        manifest: it names the protocol.
        alpha: (M,) weight of each learner in the ensemble's score.
        name: of the run.
        split: ``test`` (which stands for query and gallery too), ``val`` or ``train``.
        seed: of drawn galleries and of the pairs for the correlation.
        recall_at: every K of Recall@K.
        metrics: see `evaluate_retrieval`.
        whole: ``verification`` and ``open_set``, where the whole embedding's are enough.
        missing: see `evaluate_retrieval`.
        device: where to search.
        distributed: share the search with the other processes of ``torch.distributed``.
        separator: what stands between the labels of a picture that has several; a hit is right that shares one.
            Metrics that go by one label a picture are left out then.
        rerank: a row for each of these, of the whole embedding with its first hits in another order.

    Raises:
        ConfigError: fewer pictures to search among than a re-ranking takes neighbours.
        DataError: nothing to search in this split; vectors that are all zero or not finite.
    """
    rows = vectors.index
    searches = trials(manifest.protocol, manifest.split[rows], manifest.label[rows], split, seed)
    labels = manifest.label[rows]
    everyone = np.unique(np.concatenate([trial.positions() for trial in searches]))

    left_out = OF_ONE_LABEL & {*metrics, *whole} if separator else frozenset()
    metrics, whole = ([metric for metric in some if metric not in left_out] for some in (metrics, whole))
    options = Options(recall_at, metrics, missing=missing, distributed=distributed)
    of_learners = dataclasses.replace(options, whole=whole)
    right = [_relevance(labels, trial, separator) for trial in searches]
    asked = list(zip(searches, right, strict=True))
    learners = [part.to(device) for part in vectors.learners]
    draws = [search_learners(*_sides(learners, labels, trial), alpha, of_learners, how) for trial, how in asked]
    table = [_row([draw[position] for draw in draws]) for position in range(len(draws[0]))]
    for reranking in rerank:
        results = [
            evaluate_reranked(*_sides(learners, labels, trial), alpha, reranking, options, relevance=how)
            for trial, how in asked
        ]
        one = draws[0][0]
        table.append(figures(f"re-ranked, {reranking}", "reranked", one.learners, one.dimensions, results))
        table[-1] |= _first_right(results)
    if vectors.features is not None:
        features = [vectors.features.to(device)]
        draws_of_features = [
            search_learners(*_sides(features, labels, trial), [1.0], options, how) for trial, how in asked
        ]
        results = [draw[0].result for draw in draws_of_features]
        table.append(figures("backbone features", "features", (), vectors.features.shape[1], results))
        table[-1] |= _first_right(results)
    first = draws[0][0].result
    reasons = {**first.not_measured, **dict.fromkeys(sorted(left_out), SEVERAL)}
    table[0] |= _first_right([draw[0].result for draw in draws])
    return {
        "format": FORMAT,
        "name": name,
        "source": manifest.source,
        "data": _searched(manifest, split).fingerprint(),
        "split": split,
        "protocol": manifest.protocol if split == "test" else "self",
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seed": seed,
        "draws": len(searches),
        "queries": first.queries,
        "gallery": first.gallery,
        "classes": len(set(labels[everyone])),
        "queries_without_positive": first.queries_without_positive,
        "conventions": [CONVENTIONS["ties"], CONVENTIONS["self"], CONVENTIONS[missing], *_several(separator)],
        "unreadable": [f"{error.where}: {error.what}" if error.where else error.what for error in vectors.failed],
        "rows": table,
        "correlation": _correlation([part[everyone] for part in vectors.learners], seed),
        **_pictured(learners, alpha, labels, searches[0], first, manifest, rows, right[0]),
        **({"not_measured": reasons} if reasons else {}),
    }


def _relevance(labels: NDArray[np.object_], trial: Trial, separator: str | None) -> Relevance | None:
    if not separator:
        return None
    searched = None if trial.gallery is None else labels[trial.gallery]
    return shared_label(labels[trial.query], searched, separator=separator)


def _several(separator: str | None) -> list[str]:
    return [f"a hit is right if it shares a label; {separator!r} separates labels"] if separator else []


_Sides = tuple[list[Tensor], NDArray[np.object_], list[Tensor] | None, NDArray[np.object_] | None]


def _row(draws: Sequence[Found]) -> Row:
    one = draws[0]
    return figures(one.name, one.kind, one.learners, one.dimensions, [draw.result for draw in draws])


def _first_right(results: Sequence[RetrievalResult]) -> dict[str, str]:
    """Which queries found a right picture first; nothing for several draws, whose queries differ."""
    return {"first_right": packed(results[0].per_query["first_hit_rank"] == 1)} if len(results) == 1 else {}


def _sides(learners: Sequence[Tensor], labels: NDArray[np.object_], trial: Trial) -> _Sides:
    """Outputs and labels of the queries and of the gallery of a trial."""
    query = [part[trial.query] for part in learners]
    if trial.gallery is None:
        return query, labels[trial.query], None, None
    return query, labels[trial.query], [part[trial.gallery] for part in learners], labels[trial.gallery]


def _searched(manifest: Manifest, split: str) -> Manifest:
    """The rows of a split, unreadable ones among them."""
    return manifest.only("test", "query", "gallery") if split == "test" else manifest.only(split)  # type: ignore[arg-type]


def _at(split: NDArray[np.object_], name: str) -> NDArray[np.int64]:
    rows = np.flatnonzero(split == name)
    if not len(rows):
        raise DataError(
            f"no pictures in the split {name!r}",
            remedy=f"evaluate another split: there are {', '.join(sorted(set(split))) or 'no readable pictures'}",
        )
    return rows


def _draws(rows: NDArray[np.int64], label: NDArray[np.object_], seed: int) -> Iterator[Trial]:
    codes = np.unique(label.astype(str), return_inverse=True)[1]
    if len(codes) == codes.max() + 1:
        raise DataError("every vehicle has one picture only", remedy="give some vehicles two pictures or more")
    for draw in range(DRAWS):
        order = np.random.default_rng([seed, draw]).permutation(len(rows))
        first = order[np.unique(codes[order], return_index=True)[1]]
        yield Trial(np.delete(rows, first), rows[np.sort(first)])


def _correlation(learners: Sequence[Tensor], seed: int) -> dict[str, Any]:
    outputs = torch.cat(list(learners), dim=1)
    return {
        "learners": learner_correlation(learners, seed=seed).tolist(),
        **feature_correlation(outputs, [part.shape[1] for part in learners]),
    }


def _pictured(
    learners: Sequence[Tensor],
    alpha: Weights,
    labels: NDArray[np.object_],
    trial: Trial,
    result: RetrievalResult,
    manifest: Manifest,
    rows: NDArray[np.int64],
    relevance: Relevance | None,
) -> dict[str, Any]:
    """What is told with pictures: queries with their hits, and which classes are confused."""

    def pictures(positions: NDArray[np.int64]) -> list[dict[str, Any]]:
        return [manifest.picture(row) for row in rows[positions].tolist()]

    others = None if trial.gallery is None else pictures(trial.gallery)
    asked = (*_sides(learners, labels, trial), alpha, result, pictures(trial.query), others)
    return {"neighbours": neighbours(*asked, relevance), **by_class(*asked, relevance)}
