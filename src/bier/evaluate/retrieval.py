"""One embedding, searched: Recall@K, MAP@R, R-precision, mAP, how well it clusters, and what its scores tell."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bier.errors import ConfigError, DataError, nearest
from bier.evaluate.clustering import agreement
from bier.evaluate.engine.exact import Relevance
from bier.evaluate.engine.inputs import Labels, Similarity, Vectors, as_list, equal_across_classes, prepare
from bier.evaluate.engine.ranking import Ranking, Wanted
from bier.evaluate.engine.ranks import rank
from bier.evaluate.engine.table import Table, View, views
from bier.evaluate.matching import MATCHING, Matching, match
from bier.evaluate.metrics import METRICS, formulas
from bier.records.matching import OpenSet, Verification
from bier.system.processes import Processes

Metric = str
"""``recall``, ``mean_rank``, ``nmi``, ``ami``, ``verification``, ``open_set``, or a name of `METRICS`."""
Missing = Literal["exclude", "miss"]

OTHERS = ("recall", "mean_rank", "nmi", "ami", *MATCHING)
"""Metrics that are no mean of a figure for each query."""
USUAL: tuple[Metric, ...] = ("recall", "map_at_r", "r_precision", "mean_rank")
RECALL_AT = (1, 2, 4, 8)


@dataclass(frozen=True, eq=False)
class RetrievalResult:
    """The figures of one search; shares are 0 to 1, and what was not asked for is empty or none."""

    recall: dict[int, float]
    """Recall@K by K; Recall@1 is precision@1."""
    map_at_r: float | None
    r_precision: float | None
    map: float | None
    """Mean average precision over the whole ranking."""
    mean_rank: float | None
    """Mean rank of the first hit, over queries that have one to find."""
    nmi: float | None
    ami: float | None
    queries: int
    """All of them, with or without a positive."""
    gallery: int
    queries_without_positive: int
    missing: Missing
    """What was done with those."""
    equal_across_classes: NDArray[np.int64]
    """Rows of queries whose vector is, number for number, that of a row of another class: the embedding has collapsed,
    or a picture stands there with two labels."""
    figures: dict[str, float]
    """All metrics that are means over queries, by name: those above, and those that others have added."""
    per_query: dict[str, NDArray[Any]]
    """``positives`` (R) and ``first_hit_rank`` (1 is best; 0 without a positive), int64; and, if asked for,
    ``average_precision_at_r``, ``r_precision`` and ``average_precision``, float64 (NaN without a positive). In the
    order of the queries."""
    labels: list[Any] | None
    """Of the queries."""
    verification: Verification | None = None
    open_set: OpenSet | None = None
    not_measured: Mapping[str, str] = field(default_factory=dict)
    """Of these two, why one that was asked for is none."""

    @property
    def precision_at_1(self) -> float:
        """The share of queries whose first hit is right."""
        return formulas.recall(self.per_query["first_hit_rank"][self.counted], 1)

    def cmc(self, ranks: int) -> NDArray[np.float64]:
        """(ranks,) the cumulative matching characteristic: Recall@1, Recall@2, ... of the whole gallery."""
        first_hit = self.per_query["first_hit_rank"][self.counted]
        found = np.bincount(first_hit[(first_hit > 0) & (first_hit <= ranks)], minlength=ranks + 1)[1:]
        result: NDArray[np.float64] = np.cumsum(found) / len(first_hit)
        return result

    def per_class(self) -> dict[Any, dict[str, float]]:
        """The same figures, as far as they are means over queries, for the queries of each class.

        Raises:
            DataError: the search was by a relevance function without labels.
        """
        if self.labels is None:
            raise DataError("no labels to tell classes by", remedy="give labels beside the relevance function")
        return {label: self._figures_of(rows) for label, rows in self.rows_by_class(self.labels).items()}

    def rows_by_class(self, labels: Sequence[Any]) -> dict[Any, NDArray[np.int64]]:
        """The rows of each class's queries that count, by (n,) labels, in the order of their first appearance."""
        rows: dict[Any, list[int]] = {}
        for row in np.flatnonzero(self.counted).tolist():
            rows.setdefault(labels[row], []).append(row)
        return {label: np.array(own) for label, own in rows.items()}

    def _figures_of(self, rows: NDArray[np.int64]) -> dict[str, float]:
        figures: dict[str, float] = {"queries": len(rows)}
        figures |= {f"recall@{k}": formulas.recall(self.per_query["first_hit_rank"][rows], k) for k in self.recall}
        for name in self.figures:
            figures[name] = formulas.mean(np.nan_to_num(self.per_query[column_of(name)][rows]))
        return figures

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(n,) whether a query counts: all do, or those with a positive, as ``missing`` says."""
        has_positive: NDArray[np.bool_] = self.per_query["positives"] > 0
        return has_positive if self.missing == "exclude" else np.ones_like(has_positive)


def column_of(metric: str) -> str:
    """The column of `RetrievalResult.per_query` whose mean a metric is."""
    return METRICS[metric].column or metric


@dataclass(frozen=True)
class Options:
    """What to compute; see `evaluate_retrieval`.

    Raises:
        ConfigError: an option that does not exist.
    """

    recall_at: Sequence[int] = RECALL_AT
    metrics: Collection[Metric] = USUAL
    similarity: Similarity = "cosine"
    missing: Missing = "exclude"
    distributed: bool = False
    seed: int = 0
    whole: Collection[Metric] = ()
    """Metrics of the last view alone, which is the whole embedding: ``verification``, ``open_set``."""

    def __post_init__(self) -> None:
        for name in ("recall_at", "metrics"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Collection):
                raise ConfigError(f"{value!r} is not a list", where=name, remedy=f"write [{value!r}]")
        known = (*OTHERS, *METRICS)
        named: list[tuple[str, tuple[str, ...], str]] = [("metrics", known, metric) for metric in self.metrics]
        named += [("similarity", get_args(Similarity), self.similarity), ("missing", get_args(Missing), self.missing)]
        for option, valid, given in named:
            if given not in valid:
                raise ConfigError(f"unknown {option} {given!r}", where=option, remedy=nearest(str(given), valid))
        if wrong := [number for number in self.recall_at if not _is_count(number)]:
            raise ConfigError(
                f"{wrong[0]!r} is not a whole number above 0", where="recall_at", remedy="1 is the smallest"
            )
        if "verification" in self.metrics and self.similarity != "cosine":
            raise ConfigError(
                "verification compares cosines", where="similarity", remedy="leave it out, or leave verification out"
            )

    @property
    def wanted(self) -> Wanted:
        return Wanted(tuple(dict.fromkeys(metric for metric in self.metrics if metric not in OTHERS)))

    @property
    def matching(self) -> set[str]:
        """Metrics of every view that need all pairs."""
        return set(MATCHING) & set(self.metrics)


def _is_count(number: object) -> bool:
    return isinstance(number, int | float | np.number) and float(number) >= 1 and float(number).is_integer()


def evaluate_retrieval(
    embeddings: Vectors,
    labels: Labels | None = None,
    *,
    gallery: Vectors | None = None,
    gallery_labels: Labels | None = None,
    ids: Labels | None = None,
    gallery_ids: Labels | None = None,
    relevance: Relevance | None = None,
    recall_at: Sequence[int] = RECALL_AT,
    metrics: Collection[Metric] = USUAL,
    similarity: Similarity = "cosine",
    missing: Missing = "exclude",
    distributed: bool = False,
    seed: int = 0,
) -> RetrievalResult:
    """Search with every row and say how well its class was found.

    Exact, in memory linear in the number of rows. Without a gallery every row searches all *other* rows. A positive
    that ties with a negative comes after it; see `bier.evaluate.metrics` for this and the other conventions.

    Args:
        embeddings: (n, d), NumPy or torch; tensors are searched on the device where they lie.
        labels: (n,) classes: whole numbers, strings, anything hashable.
        gallery: (g, d), to be searched instead of the embeddings themselves. Rows of a class that no query has are
            distractors.
        gallery_labels: (g,), of the same kind as ``labels``.
        ids: (n,) names of the images. A query never finds a row of its own id; by default each row is an image of its
            own, and queries are not among the gallery.
        gallery_ids: (g,), if ``ids`` are given.
        relevance: which gallery rows are right, instead of those with the query's label: a function of row numbers
            (a,) of queries and (b,) of the gallery that returns booleans (a, b). Slower.
        recall_at: every K of Recall@K.
        metrics: any of ``recall``, ``map_at_r``, ``r_precision``, ``mean_rank``; ``map``, which is slower; ``nmi`` and
            ``ami`` by k-means; ``verification`` and ``open_set``, which score all pairs in float64; and what else is
            in `METRICS`.
        similarity: ``cosine``, or ``dot`` for the product of the vectors as they are.
        missing: leave queries without a positive out of the means (``exclude``), or count each as 0 (``miss``).
        distributed: share the work with the other processes of ``torch.distributed``. Each calls this with the same
            arguments and gets the whole result.
        seed: of k-means.

    Raises:
        DataError: shapes that do not fit; vectors that are all zero or not finite, by row or id; no query with a
            positive.
        ConfigError: an option that does not exist; a package that NMI and AMI need.
    """
    options = Options(recall_at, metrics, similarity, missing, distributed, seed)
    if (labels is None) and (relevance is None):
        raise DataError("neither labels nor a relevance function", remedy="give labels, one a row")
    if labels is None and {"nmi", "ami"} & set(options.metrics):
        raise DataError("NMI and AMI compare clusters with classes, and there are no labels", remedy="give labels too")
    if relevance is not None and options.matching:
        raise DataError(
            "verification and open-set identification go by labels, and not by a relevance function",
            where="metrics",
            remedy="leave out verification and open_set, or the relevance function",
        )
    sides = prepare(
        [embeddings], labels, None if gallery is None else [gallery], gallery_labels, similarity, ids, gallery_ids
    )
    return search(*sides, views([1.0]), options, None if labels is None else as_list(labels), relevance)[0]


def search(
    query: Table,
    gallery: Table | None,
    of: Sequence[View],
    options: Options,
    labels: list[Any] | None,
    relevance: Relevance | None = None,
) -> list[RetrievalResult]:
    """A result for each view, all in one pass over the data."""
    processes = Processes.joined() if options.distributed else Processes()
    rankings = rank(query, gallery, of, options.wanted, relevance=relevance, processes=processes)
    matched = _matched(query, gallery, of, options, processes)
    equal = equal_across_classes(query, gallery)
    results = []
    for view, ranking, matching in zip(of, rankings, matched, strict=True):
        clusters: dict[str, float] = {}
        if {"nmi", "ami"} & set(options.metrics):
            clusters = agreement(query if gallery is None else query.joined(gallery), view, options.seed)
        size = len(query if gallery is None else gallery)
        results.append(summary(ranking, size, options, clusters, equal, labels, matching))
    return results


def _matched(
    query: Table, gallery: Table | None, of: Sequence[View], options: Options, processes: Processes
) -> list[Matching]:
    """For each view what was asked of it that needs all pairs."""
    some, whole = options.matching, options.matching | set(options.whole)
    if some == whole and some:
        return match(query, gallery, of, some, processes)
    found = match(query, gallery, of[:-1], some, processes) if some else [Matching() for _ in of[:-1]]
    return [*found, *(match(query, gallery, of[-1:], whole, processes) if whole else [Matching()])]


NOTHING_MATCHED = Matching()


def summary(
    ranking: Ranking,
    gallery: int,
    options: Options,
    clusters: dict[str, float],
    equal: NDArray[np.int64],
    labels: list[Any] | None,
    matching: Matching = NOTHING_MATCHED,
) -> RetrievalResult:
    """The result of a search.

    Args:
        ranking: of each query.
        gallery: its number of rows.
        options: of the search.
        clusters: NMI and AMI, as far as they are known.
        equal: rows of queries that are equal to a row of another class.
        labels: of the queries.
        matching: what a score tells, as far as it was asked for.

    Raises:
        DataError: no query has a positive.
    """
    has_positive = ranking.positives > 0
    if not has_positive.any():
        raise DataError(
            f"none of the {len(has_positive):,} queries has a positive to find",
            remedy="give each class two images or more; labels on both sides must be of one kind (1 is not '1')",
        )
    counted = has_positive if options.missing == "exclude" else np.ones_like(has_positive)
    columns = {column_of(metric): values for metric, values in ranking.figures.items()}
    means = {metric: formulas.mean(np.nan_to_num(values[counted])) for metric, values in ranking.figures.items()}
    hits = ranking.first_hit[has_positive]
    return RetrievalResult(
        recall={int(k): formulas.recall(ranking.first_hit[counted], k) for k in options.recall_at}
        if "recall" in options.metrics
        else {},
        map_at_r=means.get("map_at_r"),
        r_precision=means.get("r_precision"),
        map=means.get("map"),
        mean_rank=formulas.mean(hits.astype(np.float64)) if "mean_rank" in options.metrics else None,
        nmi=clusters.get("nmi") if "nmi" in options.metrics else None,
        ami=clusters.get("ami") if "ami" in options.metrics else None,
        queries=len(has_positive),
        gallery=gallery,
        queries_without_positive=int((~has_positive).sum()),
        missing=options.missing,
        equal_across_classes=equal,
        figures=means,
        per_query={"positives": ranking.positives, "first_hit_rank": ranking.first_hit, **columns},
        labels=labels,
        verification=matching.verification,
        open_set=matching.open_set,
        not_measured=matching.not_measured,
    )
