"""What every engine promises, and what all of them do alike: check what comes in, order what goes out."""

from __future__ import annotations

import math
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bier.data.fields import KINDS, LONGEST_FIELD, Kind, Kinds, Value, size
from bier.errors import SearchError
from bier.search.columns import Columns
from bier.search.expected import Expected
from bier.search.filters import Filters, check_fields, check_filters, check_value
from bier.vectors.layout import check_layout, wrong_length

Item = TypeVar("Item")
Vectors = NDArray[np.float32]
Precision = Literal["float32", "bfloat16"]
Storage = Literal["float32", "float16"]
LONGEST_ID = 4096
"""Bytes of an id in UTF-8: as long as a path may be."""

RESTORE = "restore the index from a backup, or index again"
"""What to do about damage."""

_SPARE = 16
_ROUNDING: Mapping[Storage, float] = {"float32": 1e-6, "float16": 5e-4}
"""Of an engine's own scores, as a share of the product of both lengths."""
_PLAIN = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class IndexInfo:
    """What an index is for; it stands in the folder's index.json.

    Raises:
        SearchError: sizes and scales do not belong together, a field cannot have its name, or something is of another
            type.
    """

    model: str
    """Fingerprint of the model whose vectors it holds."""
    sizes: tuple[int, ...]
    """Dimensions of each learner that is stored."""
    scales: tuple[float, ...]
    """``s_m`` of each learner in the stored vectors."""
    engine: str = "lancedb"
    model_path: str | None = None
    """Where the model lay when the index was made."""
    fields: tuple[str, ...] = ("image", "label")
    """What is known of each picture; all of them can be filtered by."""
    uri: str | None = None
    """The server, for engines that have one."""
    collection: str | None = None
    """The name there."""
    types: Mapping[str, Kind] = field(default_factory=dict)
    """Of fields that are not of texts: their kind, as in `bier.data.fields`."""
    precision: Precision = "float32"
    """In what the model computed the vectors that it holds."""
    storage: Storage = "float32"
    """Of the stored vectors. Those of float16 take half the room; scores are of what is stored."""

    def __post_init__(self) -> None:
        try:
            check_layout(self.sizes, self.scales)
        except ValueError as error:
            raise SearchError(str(error), remedy="give those of the model") from None
        for name in ("model", "engine", "model_path", "uri", "collection"):
            value = getattr(self, name)
            if not isinstance(value, str) and (value is not None or name in ("model", "engine")):
                raise SearchError(f"{name} is {str(value)[:80]}, which is no text", remedy="give a text")
        if not isinstance(self.fields, tuple) or len(set(map(str, self.fields))) < len(self.fields):
            raise SearchError(f"fields are {str(self.fields)[:80]}", remedy="give a tuple of names, each once")
        for name in self.fields:
            _check_field(name)
        if self.precision not in get_args(Precision):
            raise _no_choice("precision", self.precision, get_args(Precision))
        if self.storage not in get_args(Storage):
            raise _no_choice("storage", self.storage, get_args(Storage))
        self._check_types()

    def _check_types(self) -> None:
        if not isinstance(self.types, Mapping) or not set(self.types) <= set(self.fields):
            raise SearchError(f"types are {str(self.types)[:80]}", remedy="give a kind for some of the fields")
        for name, kind in self.types.items():
            if kind not in KINDS or (name in ("image", "label") and kind != "text"):
                raise SearchError(
                    f"the field {name!r} cannot be of the kind {str(kind)[:80]!r}",
                    remedy=f"image and label are text, others one of: {', '.join(KINDS)}",
                )

    @property
    def kinds(self) -> Kinds:
        """Every field with its kind."""
        return {name: self.types.get(name, "text") for name in self.fields}

    @property
    def dimensions(self) -> int:
        return sum(self.sizes)


@dataclass(frozen=True)
class Hit:
    """One answer."""

    id: str
    score: float
    """Dot product of query and stored vector."""
    metadata: dict[str, Any]
    reranked: float | None = None
    """By what re-ranking has ordered it, the higher the nearer (see `bier.method.reranking`); None where it has not."""


def vector_mark(vector: Vectors) -> int:
    """CRC-32, by which a stored vector is told from another that took its place."""
    return zlib.crc32(vector.tobytes())


@dataclass(frozen=True, eq=False)
class Record:
    """One stored picture."""

    id: str
    vector: Vectors
    metadata: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Rows:
    """Stored pictures as engines hand them around: each id once, every field present."""

    ids: list[str]
    vectors: Vectors
    """(n, D)."""
    metadata: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.ids)

    def records(self) -> Iterator[Record]:
        return map(Record, self.ids, self.vectors, self.metadata)

    def take(self, order: Sequence[int]) -> Rows:
        """These rows, in this order."""
        return Rows([self.ids[row] for row in order], self.vectors[order], [self.metadata[row] for row in order])


@dataclass(frozen=True, eq=False)
class Ranked:
    """The pictures that are nearest to a query, best first, equal scores by id."""

    rows: Rows
    scores: NDArray[np.float64]
    """(n,), dot products of query and stored vectors."""
    reranked: NDArray[np.float64] | None = None
    """(n,) by what they were ranked again, NaN for those that were not."""

    @classmethod
    def of(cls, query: Vectors, rows: Rows) -> Ranked:
        """Some rows, ordered by their exact scores."""
        scores = exact_scores(query, rows.vectors)
        order = sorted(range(len(rows)), key=lambda row: (-scores[row], rows.ids[row]))
        return cls(rows.take(order), scores[order])

    def __len__(self) -> int:
        return len(self.rows)

    def first(self, count: int) -> Ranked:
        """The best so many."""
        rows = Rows(self.rows.ids[:count], self.rows.vectors[:count], self.rows.metadata[:count])
        return Ranked(rows, self.scores[:count], None if self.reranked is None else self.reranked[:count])

    def hits(self) -> list[Hit]:
        again = [None] * len(self) if self.reranked is None else self.reranked.tolist()
        again = [None if score is None or math.isnan(score) else score for score in again]
        return list(map(Hit, self.rows.ids, self.scores.tolist(), self.rows.metadata, again))


class Index(ABC):
    """Vectors under the ids of their user, in a folder.

    An engine supplies the methods below the line. It may be used from several threads.
    """

    most = 1_000_000_000
    """Hits that the engine can give at once."""
    files: Sequence[str] = ()
    """What it keeps in the index's folder, if that is all that it keeps: such an index can be rebuilt."""

    @classmethod
    @abstractmethod
    def create(cls, folder: Path, info: IndexInfo) -> IndexInfo:
        """Make what the engine needs in a new folder, or on its server; gives the info, with what it has added."""

    def __init__(self, folder: Path, info: IndexInfo) -> None:
        self.folder = folder
        self.info = info

    def add(self, ids: Sequence[str], vectors: ArrayLike, metadata: Sequence[Mapping[str, Any]]) -> None:
        """Store pictures; an id that is there already is replaced. What is added is durable when this returns.

        Args:
            ids: of the caller's choice; of one that occurs twice, the last counts.
            vectors: (n, D), as a model gives them: each learner's part has its length ``s_m``.
            metadata: of each, values for some of the index's fields, of their kinds (see `bier.data.fields`).

        Raises:
            SearchError: something of that does not fit the index, and nothing is stored; or the engine fails.
        """
        rows = self._checked(ids, vectors, metadata)
        if len(rows):
            self._add(rows)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove pictures, durably; gives the number of those that were there."""
        return self._delete(checked_ids(ids)) if ids else 0

    def search(
        self, queries: ArrayLike, top: int = 10, where: Mapping[str, Any] | None = None, *, exact: bool = False
    ) -> list[list[Hit]]:
        """The pictures of the highest scores for each query, best first, equal scores by id.

        Args:
            queries: (q, D), finite and not zero; or (D,), one query.
            top: hits per query; fewer where fewer are stored.
            where: only pictures that pass these filters, as `bier.search.filters` describes them.
            exact: look at all pictures, also where the engine has an approximate index.

        Raises:
            SearchError: a query does not fit the index, a picture that was found is damaged, or the engine fails.
        """
        return [ranked.hits() for ranked in self.ranked(queries, top, where, exact=exact)]

    def ranked(
        self, queries: ArrayLike, top: int = 10, where: Mapping[str, Any] | None = None, *, exact: bool = False
    ) -> list[Ranked]:
        """As `search`, with the stored vectors."""
        asked, filters = self.checked_query(queries, top, where)
        return self._ranked(asked, top, lambda some, count: self._candidates(some, count, filters, exact))

    def expected(self, queries: ArrayLike, where: Mapping[str, Any] | None = None) -> Expected | None:
        """What `search` finds with these queries and filters, where it may miss pictures; None: it misses none."""
        return None

    def _ranked(self, asked: Vectors, top: int, candidates: Callable[[Vectors, int], list[Rows]]) -> list[Ranked]:
        """Candidates, scored in float64: the same scores from every engine."""
        answers: dict[int, Ranked] = {}
        # A few more than needed, and more again for queries whose last place may be shared by some not fetched.
        fetch, pending = min(top + _SPARE, self.most), list(range(len(asked)))
        while pending:
            found = candidates(asked[pending], fetch)
            for q, rows in zip(pending, found, strict=True):
                answers[q] = Ranked.of(asked[q], self.sound(rows))
            rounding = _ROUNDING[self.info.storage]
            pending = [
                q for q in pending if fetch < self.most and not _settled(asked[q], answers[q], top, rounding, fetch)
            ]
            fetch = min(4 * fetch, self.most)
        return [answers[q].first(top) for q in range(len(asked))]

    def _candidates(self, queries: Vectors, count: int, filters: Filters, exact: bool) -> list[Rows]:
        """As `_nearest`; an engine with an approximate index may miss some, unless exact answers are asked for."""
        return self._nearest(queries, count, filters)

    def checked_query(self, queries: ArrayLike, top: int, where: Mapping[str, Any] | None) -> tuple[Vectors, Filters]:
        """The arguments of `search`, found sound; raises as it does."""
        asked = self._checked_vectors(np.atleast_2d(np.asarray(queries)), "queries")
        zero = np.flatnonzero(~asked.any(1))
        if len(zero):
            raise SearchError(f"row {zero[0]} of the queries is all zeros: nothing is like it", remedy="give a vector")
        filters = self.checked_filters(where)
        if not 1 <= top <= self.most:
            raise SearchError(f"top {top:,} is out of range", remedy=f"choose 1 to {self.most:,}")
        return asked, filters

    def get(self, ids: Sequence[str]) -> list[Record | None]:
        """The pictures of these ids, in this order; None where there is none."""
        found = {record.id: record for record in self.sound(self._get(checked_ids(ids))).records()} if ids else {}
        return [found.get(name) for name in ids]

    def count(self, where: Mapping[str, Any] | None = None) -> int:
        """The number of pictures, or of those that pass the filters."""
        return self._count(self.checked_filters(where))

    def checked_filters(self, where: Mapping[str, Any] | None) -> Filters:
        """The filters of `search`, found sound.

        Raises:
            SearchError: there is no such field or condition, or a value is not of the field's kind.
        """
        return check_filters(where, self.info.kinds, self.folder)

    def values(self, field: str) -> Iterator[list[Value]]:
        """What every picture has in one field, in some order, in batches. Engines that can read nothing else for it."""
        check_fields({field: None}, self.info.kinds, self.folder)
        yield from self._values(field)

    def entries(self, where: Mapping[str, Any] | None = None, most: int | None = None) -> Columns:
        """Ids and fields of the pictures that pass the filters, in some order; of as many at most, if that is given."""
        return self._entries(self.checked_filters(where), self.most if most is None else most)

    def version(self) -> Hashable:
        """Another one after each change, by whatever process; None where the engine cannot tell."""
        return None

    def check_files(self) -> int:
        """Compare every file of which a checksum was kept with it; gives their number. Engines do more where they can.

        Raises:
            SearchError: a file is damaged or cut short.
        """
        return 0

    def sound(self, rows: Rows) -> Rows:
        """Rows that an engine has read, as they are.

        Raises:
            SearchError: a vector is not one that a model gave: a learner's part has not its length ``s_m``.
        """
        self._check_lengths(rows.vectors, lambda row: rows.ids[row])
        return rows

    def _check_lengths(self, vectors: Vectors, name: Callable[[int], str]) -> None:
        wrong = wrong_length(vectors, self.info.sizes, self.info.scales)
        if wrong is not None:
            raise SearchError(
                f"the vector of {name(wrong.row)[:80]!r} is damaged: {wrong}", where=self.folder, remedy=RESTORE
            )

    def _checked(self, ids: Sequence[str], vectors: ArrayLike, metadata: Sequence[Mapping[str, Any]]) -> Rows:
        checked = self._checked_vectors(np.asarray(vectors), "vectors") if len(ids) else np.empty((0, 0), np.float32)
        if not len(ids) == len(checked) == len(metadata):
            raise SearchError(f"{len(ids):,} ids, {len(checked):,} vectors and {len(metadata):,} metadata do not match")
        checked_ids(ids)
        wrong = wrong_length(checked, self.info.sizes, self.info.scales) if len(ids) else None
        if wrong is not None:
            raise SearchError(
                f"row {wrong.row} of the vectors does not fit the index: {wrong}",
                where=self.folder,
                remedy="give vectors as the model's encoder returns them",
            )
        last = {name: row for row, name in enumerate(ids)}
        rows = list(last.values())
        return Rows(list(last), self.rounded(checked[rows]), [self._checked_metadata(metadata[row]) for row in rows])

    def rounded(self, vectors: Vectors) -> Vectors:
        """(n, D) vectors as the index stores them.

        Raises:
            SearchError: one is too long for its numbers.
        """
        if self.info.storage == "float32":
            return vectors
        with np.errstate(over="ignore"):
            rounded = vectors.astype(np.float16).astype(np.float32)
        bad = np.flatnonzero(~np.isfinite(rounded).all(1))
        if len(bad):
            remedy = "make an index of float32"
            raise SearchError(
                f"row {bad[0]} of the vectors does not fit into float16", where=self.folder, remedy=remedy
            )
        return rounded

    def _checked_vectors(self, vectors: NDArray[Any], what: str) -> Vectors:
        if vectors.ndim != 2 or vectors.shape[1] != self.info.dimensions:
            raise SearchError(
                f"{what} of shape {vectors.shape}, where the index has {self.info.dimensions} dimensions",
                where=self.folder,
                remedy="use the model that filled the index",
            )
        with np.errstate(over="ignore"):
            vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        bad = np.flatnonzero(~np.isfinite(vectors).all(1))
        if len(bad):
            raise SearchError(f"NaN or infinity in row {bad[0]} of the {what}", remedy="leave those pictures out")
        return vectors

    def _checked_metadata(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        kinds = self.info.kinds
        check_fields(metadata, kinds, self.folder)
        return {field: check_value(metadata.get(field), field, kind) for field, kind in kinds.items()}

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _values(self, field: str) -> Iterator[list[Value]]:
        """An engine that reads one column faster than all of a picture has its own."""
        for rows in self.scan():
            yield [row[field] for row in rows.metadata]

    def scan_columns(self, batch: int = 8192) -> Iterator[tuple[Columns, Vectors]]:
        """As `scan`, with ids and fields in columns; an engine that stores columns has its own, many times faster."""
        for rows in self.scan(batch):
            yield Columns.of(rows.ids, rows.metadata, self.info.kinds), rows.vectors

    def _entries(self, filters: Filters, most: int) -> Columns:
        """So many at most; an engine that reads them without their vectors has its own."""
        wanted = min(self._count(filters), most)
        found: list[Columns] = []
        batches = self.scan() if wanted else iter(())
        for rows in batches:
            columns = Columns.of(rows.ids, rows.metadata, self.info.kinds)
            found.append(columns.take(np.flatnonzero(columns.passing(filters))))
            if sum(map(len, found)) >= wanted:
                break
        return Columns.joined(found, self.info.kinds).first(wanted)

    # --- what an engine supplies; everything it is given has been checked ---

    @abstractmethod
    def scan(self, batch: int = 4096) -> Iterator[Rows]:
        """Everything, in some order, in batches of at most so many; each goes through `sound`."""

    @abstractmethod
    def flush(self) -> None:
        """Tidy up after many small changes: merge small files, forget what was replaced. Never needed."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections; the index cannot be used afterwards."""

    @abstractmethod
    def _add(self, rows: Rows) -> None: ...

    @abstractmethod
    def _delete(self, ids: list[str]) -> int: ...

    @abstractmethod
    def _get(self, ids: list[str]) -> Rows:
        """Those that are there, in any order."""

    @abstractmethod
    def _count(self, filters: Filters) -> int: ...

    @abstractmethod
    def _nearest(self, queries: Vectors, count: int, filters: Filters) -> list[Rows]:
        """For each query the ``count`` nearest, in any order; float32 is accurate enough."""


def exact_scores(query: Vectors, vectors: Vectors) -> NDArray[np.float64]:
    """(n,) dot products, in float64; equal vectors get equal scores wherever they stand."""
    # Row by row: matrix products round the rows at the edge of a block differently.
    scores: NDArray[np.float64] = (vectors.astype(np.float64) * query.astype(np.float64)).sum(1)
    return scores


def _settled(query: Vectors, found: Ranked, top: int, rounding: float, fetched: int) -> bool:
    """False if more candidates are needed to tell who shares the last place."""
    if len(found) < fetched:
        return True
    rounding *= float(np.linalg.norm(query) * np.linalg.norm(found.rows.vectors, axis=1).max())
    return bool(found.scores[-1] < found.scores[top - 1] - rounding)


def column(field: str, words: Set[str] = frozenset()) -> str:
    """What an engine calls a field: its name, or a code that no plain name is.

    Args:
        field: any name.
        words: names that mean something else to the engine, and that it cannot quote.
    """
    return field if _PLAIN.fullmatch(field) and field not in words else f"X{field.encode().hex()}"


def portions(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Consecutive parts of at most ``size`` items."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def checked_ids(ids: Sequence[str]) -> list[str]:
    """Each once; raises `SearchError` if one cannot be an id."""
    if isinstance(ids, str):
        raise SearchError("ids are a list of texts, not one text")
    for name in ids:
        if not isinstance(name, str) or not name or "\0" in name or size(name) > LONGEST_ID:
            raise SearchError(
                f"{str(name)[:80]!r} cannot be an id", remedy=f"use texts of 1 to {LONGEST_ID:,} bytes without NUL"
            )
    return list(dict.fromkeys(ids))


def _check_field(name: Any) -> None:
    if not isinstance(name, str) or not name.isprintable() or not 0 < size(name) <= LONGEST_FIELD:
        raise SearchError(
            f"a field cannot be called {str(name)[:80]!r}", remedy=f"use 1 to {LONGEST_FIELD} bytes that can be printed"
        )
    if name in ("id", "vector"):
        raise SearchError(
            f"a field cannot be called {name!r}", remedy="use another name: each picture has one of its own"
        )


def _no_choice(name: str, value: object, choices: Sequence[str]) -> SearchError:
    return SearchError(f"{name} is {str(value)[:80]}", remedy=f"give one of: {', '.join(choices)}")
