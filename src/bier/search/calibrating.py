"""How sure the answers of one index are, learned from labelled pictures that somebody would search it with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bier.confidence.calibration import Calibration
from bier.confidence.fitting import FEWEST_CLASSES, MOST_QUERIES, calibrate
from bier.confidence.measuring import Quality
from bier.confidence.searching import Search, counts, halves
from bier.confidence.shared import SharedLabels
from bier.data.label_cells import parts
from bier.errors import SearchError
from bier.search.base import Index, Vectors
from bier.search.calibration_file import IndexCalibration
from bier.search.confident import LABEL
from bier.search.queries import check_model, query_vectors
from bier.vectors.catalogue import embedded
from bier.vectors.encoder import PictureEncoder
from bier.vectors.sources import Source, open_catalogue
from bier.vectors.strangers import STRANGERS, stranger_vectors

FEWEST = 40
"""Labelled pictures of which the index has another of their label. Of fewer, nothing can be said of the lost 5 %."""

CLASSES = 2 * FEWEST_CLASSES
"""Of them, at least: some are always left out, to measure."""

MEASURED = 200
"""Strangers that are to be refused; none of them was learned from."""

FOLDS = 5
SAME = 1e-5
"""How little the score of a picture with itself may be below the highest."""

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]


def calibrate_index(
    index: Index,
    encoder: PictureEncoder,
    source: Path | str,
    *,
    failed: Callable[[str, str], object] = lambda image, what: None,
    progress: Callable[[int], object] = lambda count: None,
    workers: int = 0,
    class_depth: int | None = None,
    label_separator: str | None = None,
    seed: int = 0,
) -> IndexCalibration:
    """Learn how sure the index's answers are; nothing is written (see `write_calibration`).

    A labelled picture that is in the index itself searches the others.

    Args:
        index: has labels.
        encoder: the index's model.
        source: labelled pictures, of classes that the index has and, if there are any, of others.
        failed: hears of each picture that cannot be read, and why.
        progress: called with the number of pictures that have been embedded since the last call.
        workers: processes that decode; 0 decodes in this one.
        class_depth: how many folders deep the classes of a folder lie; 1 by default.
        label_separator: what stands between the labels of a picture; by default what the model was trained with.
        seed: decides which classes are left out to learn what strangers look like.

    Raises:
        SearchError: index or pictures have no labels, or too few pictures or classes in common; or another model.
        DataError: there are no such pictures.
    """
    check_model(index, encoder)
    gallery = _gallery(index)
    catalogue = open_catalogue(source, class_depth, label_separator)
    given = _labelled(index, encoder, catalogue, failed, progress, workers)
    if not given.labels:
        remedy = "give folders of classes, or a table with a column label"
        raise SearchError("has no labelled pictures that can be read", where=source, remedy=remedy)
    separator = label_separator or (None if encoder.calibration is None else encoder.calibration.separator)
    task = _Task.of(gallery, given, index.info.sizes, seed, separator)
    _check(task, gallery, given, source)
    first, second = (
        query_vectors(index.info, encoder, stranger_vectors(encoder, *made))
        for made in ((seed, STRANGERS), (seed + 1, MEASURED))
    )
    return IndexCalibration(task.learned(first), len(task), _figures(task, first, second))


@dataclass(frozen=True, eq=False)
class _Pictures:
    """Vectors with their labels, and where the pictures lie."""

    vectors: Vectors
    labels: list[str | None]
    images: list[str | None]


def _gallery(index: Index) -> _Pictures:
    batches = list(index.scan())
    rows = [row for batch in batches for row in batch.metadata]
    labels = [row.get(LABEL) for row in rows]
    if all(label is None for label in labels):
        raise SearchError(
            "has no labels, so nothing tells which answers are right",
            where=index.folder,
            remedy="index pictures in folders of classes, or a table with a column label",
        )
    return _Pictures(np.concatenate([batch.vectors for batch in batches]), labels, [row.get("image") for row in rows])


def _labelled(
    index: Index,
    encoder: PictureEncoder,
    source: Source,
    failed: Callable[[str, str], object],
    progress: Callable[[int], object],
    workers: int,
) -> _Pictures:
    found = _Pictures(np.empty((0, index.info.dimensions), np.float32), [], [])
    parts = [found.vectors]
    for batch in embedded(encoder, source, failed, workers=workers):
        labelled = [row for row, about in enumerate(batch.metadata) if about[LABEL] is not None]
        parts.append(query_vectors(index.info, encoder, torch.from_numpy(batch.vectors[labelled])))
        found.labels.extend(batch.metadata[row][LABEL] for row in labelled)
        found.images.extend(batch.metadata[row]["image"] for row in labelled)
        progress(len(batch.ids))
    return replace(found, vectors=np.concatenate(parts))


@dataclass(frozen=True, eq=False)
class _Task:
    """Labelled queries and the gallery that they search, with numbers for labels."""

    queries: Vectors
    labels: Codes
    itself: Codes
    """(q,), the row of the gallery that is the query's own picture, or -1."""
    gallery: Vectors
    codes: Codes
    sizes: tuple[int, ...]
    seed: int
    names: NDArray[np.object_]
    """What the numbers stand for."""
    separator: str | None

    @classmethod
    def of(
        cls, gallery: _Pictures, given: _Pictures, sizes: tuple[int, ...], seed: int, separator: str | None
    ) -> _Task:
        rows = np.sort(np.random.default_rng(seed).permutation(len(given.labels))[:MOST_QUERIES])
        numbers: dict[object, int] = {}
        # A picture without a label is like no other.
        names = [(row,) if label is None else label for row, label in enumerate(gallery.labels)]
        codes = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
        labels = [numbers.setdefault(given.labels[row], len(numbers)) for row in rows]
        places = {image: row for row, image in enumerate(gallery.images) if image is not None}
        queries = given.vectors[rows]
        itself = _itself(queries, [places.get(given.images[row] or "", -1) for row in rows], gallery.vectors)
        told = np.empty(len(numbers), dtype=object)
        told[:] = list(numbers)
        ids = np.array(labels, dtype=np.int64)
        return cls(queries, ids, itself, gallery.vectors, codes, sizes, seed, told, separator)

    def __len__(self) -> int:
        return len(self.queries)

    def take(self, rows: NDArray[np.int64]) -> _Task:
        return replace(self, queries=self.queries[rows], labels=self.labels[rows], itself=self.itself[rows])

    def learned(self, foreign: Vectors) -> Calibration:
        return calibrate(
            self.queries,
            self.labels if self.separator is None else self.names[self.labels],
            self.gallery,
            self.codes if self.separator is None else self.names[self.codes],
            self.sizes,
            itself=self.itself,
            strangers=foreign,
            seed=self.seed,
            separator=self.separator,
        )

    def known(self) -> Flags:
        """(q,) whether the gallery holds another picture of the query's label, or of one of its labels."""
        known: Flags = counts(self.labels, self.codes, self.shared()) > (self.itself >= 0)
        return known

    def shared(self) -> SharedLabels | None:
        return None if self.separator is None else SharedLabels(self.names, self.separator)

    def search(self) -> Search:
        fresh = np.ones(len(self), dtype=bool)
        return Search(
            self.queries, self.labels, self.itself, fresh, self.gallery, self.codes, self.sizes, self.shared()
        )


def _itself(queries: Vectors, known: Sequence[int], gallery: Vectors) -> Codes:
    """(q,) the row of the gallery with the same file, or else the same vector; -1 if there is none."""
    rows = np.array(known, dtype=np.int64)
    for query in np.flatnonzero(rows < 0):
        scores = gallery @ queries[query]
        best = int(scores.argmax())
        if np.abs(gallery[best] - queries[query]).max() < SAME:
            rows[query] = best
    return rows


def _check(task: _Task, gallery: _Pictures, given: _Pictures, source: Path | str) -> None:
    """Refuse what nothing can be learned from."""
    classes, known = sorted(_texts(given.labels, task.separator)), task.known()
    shared, what = len(np.unique(task.labels[known])), None
    if len(classes) < CLASSES:
        of = f"{len(classes)} class{'es' if len(classes) > 1 else ''} ({', '.join(classes)[:80]})"
        what = f"has pictures of {of}, and {CLASSES} are needed"
    elif not _texts(given.labels, task.separator) & _texts(gallery.labels, task.separator):
        there = next(label for label in gallery.labels if label is not None)
        what = f"has no label that the index has: {classes[0][:80]!r} here, {there[:80]!r} there"
    elif known.sum() < FEWEST or shared < CLASSES:
        what = f"{known.sum()} of its pictures, of {shared} classes, have another picture of their label in the index"
    if what is not None:
        remedy = f"give {FEWEST} or more pictures of {CLASSES} or more classes of which the index has other pictures"
        raise SearchError(what, where=source, remedy=remedy)


def _texts(labels: Sequence[str | None], separator: str | None) -> set[str]:
    """The labels that occur."""
    found = {label for label in labels if label is not None}
    if separator is None:
        return found
    return {label for cell in found for label in parts(cell, separator)}


def _half(task: _Task, random: np.random.Generator) -> list[Flags]:
    """The gallery with half of its classes left out."""
    everything = np.unique(task.codes)
    if task.separator is None:
        return [np.isin(task.codes, random.permutation(everything)[::2])]
    return halves(task.codes, everything, random, task.shared(), draws=1)


def _figures(task: _Task, first: Vectors, second: Vectors) -> dict[str, float]:
    """How good a calibration is on classes and strangers that it was not learned from, in folds of the classes."""
    random, everything = np.random.default_rng(task.seed), [np.ones(len(task.codes), dtype=bool)]
    shared = np.unique(task.labels[task.known()])
    names = np.concatenate([random.permutation(shared), np.setdiff1d(task.labels, shared)])
    half = _half(task, random)
    found: dict[str, list[NDArray[np.float64]]] = {}
    for fold in range(FOLDS):
        out = np.isin(task.labels, names[fold::FOLDS])
        learned, search = task.take(np.flatnonzero(~out)).learned(first), task.take(np.flatnonzero(out)).search()
        fit = learned.fits["all"]
        whole, part = (search.answers(catalogue, learned.direction) for catalogue in (everything, half))
        foreign = search.by(second).answers(everything, learned.direction)
        confidence, known = fit.chances(whole.cues)
        for name, values in {
            "right": whole.right,
            "confidence": confidence,
            "known": part.known,
            "chance": fit.chances(part.cues)[1],
            "lost": known[whole.known] < fit.known_at,
            "refused": fit.chances(foreign.cues)[1] < fit.known_at,
        }.items():
            found.setdefault(name, []).append(values.astype(np.float64))
    columns = {name: np.concatenate(parts) for name, parts in found.items()}
    right, there = (
        Quality.of(columns[chance], columns[true] > 0)
        for chance, true in (("confidence", "right"), ("chance", "known"))
    )
    figures = {
        "first hit right": float(columns["right"].mean()),
        "confidence AUC": right.auc,
        "confidence error": right.error,
        "known AUC": there.auc,
        "known error": there.error,
        "real queries lost": float(columns["lost"].mean()),
        "strangers refused": float(columns["refused"].mean()),
    }
    return {name: value for name, value in figures.items() if value is not None}
