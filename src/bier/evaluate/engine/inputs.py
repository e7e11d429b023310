"""What a user gives, checked and turned into tables."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bier.errors import DataError
from bier.evaluate.engine.table import Indices, Table

Similarity = Literal["cosine", "dot"]
Vectors = Tensor | ArrayLike
Labels = Tensor | Iterable[Any]


def prepare(
    parts: Sequence[Vectors],
    labels: Labels | None,
    gallery: Sequence[Vectors] | None,
    gallery_labels: Labels | None,
    similarity: Similarity,
    ids: Labels | None = None,
    gallery_ids: Labels | None = None,
) -> tuple[Table, Table | None]:
    """Checked queries, and a checked gallery if there is one.

    Args:
        parts: M outputs (n, d_m) of the queries.
        labels: (n,); none where relevance is not a matter of labels.
        gallery: M outputs (g, d_m), or none.
        gallery_labels: (g,).
        similarity: of rows divided by their lengths, or as they are.
        ids: (n,) names of the queries; by default each row is itself and nothing else.
        gallery_ids: (g,) likewise.

    Raises:
        DataError: what does not fit together; vectors that are all zero or not finite, by row or id.
    """
    codes: dict[Hashable, int] = {}
    names: dict[Hashable, int] = {}
    query = _table(parts, labels, ids, 0, codes, names, similarity, "embeddings")
    if gallery is None and gallery_labels is None and gallery_ids is None:
        _check_ids(query, query)
        return _in_order(query, codes), None
    if gallery is None or (gallery_labels is None) != (labels is None) or (gallery_ids is None) != (ids is None):
        given = "gallery, gallery_labels and (with ids) gallery_ids belong together"
        raise DataError(given, remedy="give all, or none")
    others = _table(gallery, gallery_labels, gallery_ids, len(query), codes, names, similarity, "gallery")
    mine, theirs = (sum(part.shape[1] for part in table.parts) for table in (query, others))
    if [part.shape[1] for part in query.parts] != [part.shape[1] for part in others.parts]:
        raise DataError(
            f"queries have {mine} dimensions and the gallery has {theirs}", remedy="embed both with the same model"
        )
    _check_ids(query, others)
    return _in_order(query, codes), _in_order(_to(others, query.device), codes)


def _in_order(table: Table, codes: dict[Hashable, int]) -> Table:
    """With classes numbered by their names: what is drawn by class does not depend on the order of the images."""
    if not codes:
        return table
    names = sorted(codes, key=lambda label: (type(label).__name__, str(label)))
    number = np.empty(len(codes), dtype=np.int64)
    number[[codes[name] for name in names]] = np.arange(len(codes))
    return dataclasses.replace(table, codes=number[table.codes])


def _table(
    parts: Sequence[Vectors],
    labels: Labels | None,
    ids: Labels | None,
    first_id: int,
    codes: dict[Hashable, int],
    names: dict[Hashable, int],
    similarity: Similarity,
    where: str,
) -> Table:
    matrices = tuple(_matrix(part, where) for part in parts)
    count = len(matrices[0])
    numbers = np.zeros(count, dtype=np.int64) if labels is None else _numbered(labels, codes, count, "labels", where)
    own = np.arange(first_id, first_id + count)
    identity = own if ids is None else _numbered(ids, names, count, "ids", where)
    rows = None if ids is None else as_list(ids)
    norms = tuple(_checked_norms(matrix, where, rows) for matrix in matrices)
    longest = torch.stack(norms).square().sum(0).sqrt().max()
    if similarity == "dot" and not 1e-15 < longest < 1e18:
        raise DataError(
            f"the longest vector has length {longest:.1g}, and products would leave the range of float32",
            where=where,
            remedy="multiply all vectors by one number, or use similarity='cosine'",
        )
    return Table(matrices, norms if similarity == "cosine" else None, numbers, identity)


def _matrix(vectors: Vectors, where: str) -> Tensor:
    if not isinstance(vectors, Tensor):
        array = np.asarray(vectors)
        if array.dtype.kind not in "fiu":
            raise DataError(f"vectors of type {array.dtype} are no numbers", where=where, remedy="give real numbers")
        if np.ma.is_masked(vectors):
            raise DataError("some numbers are masked", where=where, remedy="leave out these rows, or fill them")
        array = array.astype(np.float64 if array.dtype.char == "g" else array.dtype.newbyteorder("="), copy=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a read-only array (a file mapped into memory) is only read here
            vectors = torch.from_numpy(np.ascontiguousarray(array))
    if vectors.ndim != 2 or 0 in vectors.shape or vectors.is_complex():
        raise DataError(
            f"vectors of shape {tuple(vectors.shape)} and type {vectors.dtype}",
            where=where,
            remedy="give real numbers of shape (images, dimensions), at least one of each",
        )
    vectors = vectors.detach()
    return vectors.cpu() if vectors.device.type == "mps" else vectors  # mps has no float64


def _numbered(values: Labels, numbers: dict[Hashable, int], count: int, what: str, where: str) -> Indices:
    """Equal values get equal numbers, on both sides."""
    listed_values = as_list(values)
    absent = [row for row, value in enumerate(listed_values) if _is_missing(value)]
    if absent:
        raise DataError(f"{what} missing at {listed(absent)}", where=where, remedy=f"give every row one of the {what}")
    if len(listed_values) != count:
        raise DataError(
            f"{count} vectors and {len(listed_values)} {what}", where=where, remedy=f"give one of the {what} a row"
        )
    try:
        return np.array([numbers.setdefault(value, len(numbers)) for value in listed_values], dtype=np.int64)
    except TypeError:
        raise DataError(f"{what} are not one value a row", where=where, remedy="give shape (images,)") from None


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_list(labels: Labels) -> list[Any]:
    """Labels as plain values; a tensor's elements would be other keys each time."""
    values = labels.tolist() if isinstance(labels, Tensor | np.ndarray) else list(labels)
    return [value.item() if isinstance(value, Tensor) and not value.ndim else value for value in values]


def _checked_norms(matrix: Tensor, where: str, ids: list[Any] | None) -> Tensor:
    norms = torch.cat([torch.linalg.vector_norm(rows.double(), dim=1) for rows in torch.split(matrix, 8192)])
    for bad, what in ((~norms.isfinite(), "not finite"), (norms == 0, "all zero")):
        if bad.any():
            rows = bad.nonzero()[:, 0].tolist()
            at = f"rows {listed(rows)}" if ids is None else f"ids {listed([ids[row] for row in rows])}"
            raise DataError(
                f"vectors are {what} at {at}",
                where=where,
                remedy="look at these images and at the model that embedded them",
            )
    return norms


def _check_ids(query: Table, gallery: Table) -> None:
    """One id is one image, and has one label."""
    order = np.lexsort((gallery.codes, gallery.ids))
    twice = np.flatnonzero((np.diff(gallery.ids[order]) == 0) & (np.diff(gallery.codes[order]) != 0))
    if len(twice):
        one, other = order[twice[0]], order[twice[0] + 1]
        raise DataError(
            f"rows {one} and {other} have one id and two labels", where="ids", remedy="give every image one of each"
        )
    place = np.searchsorted(gallery.ids[order], query.ids).clip(max=len(gallery) - 1)
    found = order[place]
    wrong = (gallery.ids[found] == query.ids) & (gallery.codes[found] != query.codes)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"row {row} of the queries and row {int(found[row])} of the gallery have one id and two labels",
            where="ids",
            remedy="give every image one id and one label",
        )


def listed(rows: Sequence[Any], show: int = 10) -> str:
    """``3, 17, 20`` or ``0, 1, 2, ... (5,924 in all)``."""
    text = ", ".join(str(row) for row in rows[:show])
    return text if len(rows) <= show else f"{text}, ... ({len(rows):,} in all)"


def _to(table: Table, device: torch.device) -> Table:
    norms = None if table.norms is None else tuple(norm.to(device) for norm in table.norms)
    return Table(tuple(part.to(device) for part in table.parts), norms, table.codes, table.ids)


def equal_across_classes(query: Table, gallery: Table | None) -> NDArray[np.int64]:
    """Queries equal in every number to a row of another class: a collapsed embedding, or a picture with two labels."""
    tables = [query] if gallery is None else [query, gallery]
    codes = np.concatenate([table.codes for table in tables])
    marks = np.concatenate([_marks(table) for table in tables])
    order = np.lexsort((codes, marks))
    new = np.flatnonzero(np.diff(marks[order], prepend=np.nan) != 0)
    group = np.repeat(np.arange(len(new)), np.diff(np.append(new, len(order))))
    # Codes are ascending within a group: it mixes classes if its first and last differ.
    last = np.append(new[1:], len(order)) - 1
    mixed = codes[order][new] != codes[order][last]
    rows = order[mixed[group]]
    result: NDArray[np.int64] = np.sort(rows[rows < len(query)])
    return result


def _marks(table: Table) -> NDArray[np.float64]:
    """(n,) a number of each row's direction that only equal rows share, but for a chance of 1 in 10^15 or so."""
    generator = torch.Generator().manual_seed(0)
    probes = [torch.randn(part.shape[1], generator=generator, dtype=torch.float64) for part in table.parts]
    marks = np.empty(len(table))
    for start in range(0, len(table), 4096):
        index = np.arange(start, min(start + 4096, len(table)))
        parts = zip(table.rows(index), probes, strict=True)
        # Row by row in one order of summation, so that equal rows have equal marks.
        marks[index] = sum((rows * probe.to(rows.device)).sum(1).cpu() for rows, probe in parts).numpy()  # type: ignore[union-attr]
    return marks
