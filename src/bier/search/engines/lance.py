"""The default engine: LanceDB, embedded, a table of files in the index's folder, or in a bucket.

LanceDB commits each change as a new version, whole or not at all. `TableInFolder` and `TableInBucket` know what that is
worth where the table lies.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bier.data.fields import Scalar, Value, arrow_type
from bier.errors import SearchError
from bier.search.approximate import WORTH_IT, ApproximateIndex
from bier.search.base import IndexInfo, Rows, Vectors, column, portions
from bier.search.columns import ID, Columns
from bier.search.durable import DURABLE
from bier.search.filters import SIGN_OF, Filter, Filters
from bier.search.generations import writing
from bier.search.known_ids import KnownIds
from bier.search.lance_bucket import TableInBucket, check_bucket, check_uri, options
from bier.search.lance_errors import BusyError, lance_errors, try_again
from bier.search.lance_files import TableInFolder
from bier.search.lance_progress import building
from bier.search.measured import Setting
from bier.search.stages import Show
from bier.system.extras import need
from bier.system.places import is_url, path_of

SEEN_LATE = timedelta(seconds=2)
"""In a bucket, what others write is seen after so long at most. In a folder it is seen at once, which costs little."""

_TABLE = "pictures"
_IDS_PER_STATEMENT = 5000
_VALUES_AT_ONCE = 65_536
_WORTH_KNOWING = 1000
"""Ids from which it pays to know all ids of the table before they are looked up."""
_WORTH_A_PRODUCT = 4
"""Queries from which reading all vectors into one product is cheaper than a search of each."""
_ROWS_OF_A_PRODUCT = 8192


class LanceIndex(ApproximateIndex):
    """Search on disk, filters first; several processes may read and write."""

    files: Sequence[str] = (f"{_TABLE}.lance", DURABLE)
    ladder = (
        *({"partitions": count, "refined": 2} for count in (5, 10, 15, 20, 30, 40, 50, 60, 80, 120, 160, 240, 320)),
        *({"partitions": 320, "refined": refined} for refined in (5, 10, 20)),
    )

    @classmethod
    def create(cls, folder: Path, info: IndexInfo) -> IndexInfo:
        where = folder
        if info.uri is not None:
            info = replace(info, uri=check_uri(info.uri))
            where = path_of(str(info.uri))
            check_bucket(str(info.uri))
        with lance_errors(where):
            folder.mkdir(parents=True, exist_ok=True)
            database = _database(where)
            if info.uri is not None and where.exists():
                raise SearchError("something lies there already", where=where, remedy="choose another --uri")
            database.create_table(_TABLE, schema=_schema(info))
        with cls(folder, info)._writing():
            pass
        return info

    def __init__(self, folder: Path, info: IndexInfo) -> None:
        super().__init__(folder, info)
        self._schema = _schema(info)
        self._columns = [column(field) for field in info.fields]
        self._known = KnownIds()
        self._where = folder if info.uri is None else path_of(info.uri)
        self._place: TableInFolder | TableInBucket
        if info.uri is None:
            self._place = TableInFolder(folder, _TABLE, self._connected, self._read_through)
        else:
            self._place, self.files = TableInBucket(info.uri, self._connected), ()
        with lance_errors(self._where):
            self._table = self._place.open()

    def flush(self) -> None:
        with self._writing():
            with suppress(BusyError):  # the next one may tidy up
                try_again(lambda: self._table.optimize(cleanup_older_than=timedelta(hours=1)))
            self._index_values()

    def close(self) -> None:
        self._table = None

    def check_files(self) -> int:
        with lance_errors(self._where):
            return self._place.check()

    def scan(self, batch: int = 4096) -> Iterator[Rows]:
        with lance_errors(self._where):
            for part in self._table.search().to_batches(batch):
                yield self.sound(self._rows(pa.table(part)))

    def scan_columns(self, batch: int = 8192) -> Iterator[tuple[Columns, Vectors]]:
        with lance_errors(self._where):
            for part in self._table.search().to_batches(batch):
                columns, vectors = self._columns_of(pa.table(part)), self._vectors(part["vector"])
                self._check_lengths(vectors, lambda row, columns=columns: columns.ids[row])  # type: ignore[misc]
                yield columns, vectors

    def version(self) -> int:
        with lance_errors(self._where):
            return int(self._table.version)

    def _entries(self, filters: Filters, most: int) -> Columns:
        if not most:
            return Columns.of([], [], self.info.kinds)
        with lance_errors(self._where):
            search = self._table.search().select(["id", *self._columns]).limit(most)
            condition = _condition(filters)
            return self._columns_of((search if condition is None else search.where(condition)).to_arrow())

    def _values(self, field: str) -> Iterator[list[Value]]:
        with lance_errors(self._where):
            for part in self._table.search().select([column(field)]).to_batches(_VALUES_AT_ONCE):
                yield part.column(column(field)).to_pylist()

    def _add(self, rows: Rows) -> None:
        with self._writing(rows.ids):
            # Many rows: adding is much cheaper than comparing with all that are there, and nobody else writes. For a
            # few, to know all ids would cost more.
            new = len(rows) > _WORTH_KNOWING and not self._maybe(rows.ids)
            change = self._table.add if new else self._merge().execute
            try_again(lambda: change(self._arrow(rows)))

    def _maybe(self, ids: list[str]) -> list[str]:
        """Those that may be there."""
        table = self._table
        return self._known.among(ids, table.version, partial(_all_ids, table))

    def _merge(self) -> Any:
        return self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()

    def _delete(self, ids: list[str]) -> int:
        with self._writing():
            return sum(
                int(try_again(partial(self._table.delete, _among("id", part))).num_deleted_rows)
                for part in portions(ids, _IDS_PER_STATEMENT)
            )

    def _get(self, ids: list[str]) -> Rows:
        with lance_errors(self._where):
            table = self._table
            wanted = self._maybe(ids) if len(ids) > _WORTH_KNOWING else ids
            parts = [
                table.search().where(_among("id", part)).limit(len(part)).to_arrow()
                for part in portions(wanted, _IDS_PER_STATEMENT)
            ]
        return self._rows(pa.concat_tables([self._schema.empty_table(), *parts]))

    def _count(self, filters: Filters) -> int:
        with lance_errors(self._where):
            return int(self._table.count_rows(_condition(filters)))

    def _nearest(self, queries: Vectors, count: int, filters: Filters) -> list[Rows]:
        if len(queries) >= _WORTH_A_PRODUCT:
            return self._scanned(queries, count, filters, lambda seen: None)
        with lance_errors(self._where):
            asked = (self._asked(self._table, query, count, filters) for query in queries)
            return [self._found(search.bypass_vector_index()) for search in asked]

    def _scanned(self, queries: Vectors, count: int, filters: Filters, seen: Callable[[int], object]) -> list[Rows]:
        with lance_errors(self._where):
            table = self._table
            return self._taken(table, self._product(table, queries, count, filters, seen))

    def _taken(self, table: Any, wanted: NDArray[np.int64]) -> list[Rows]:
        """The rows of each query, by row ids (q, count); each is read once."""
        ids, places = np.unique(wanted, return_inverse=True)
        if not len(ids):
            return [Rows([], np.empty((0, self.info.dimensions), np.float32), []) for _ in wanted]
        read = self._rows(table.take_row_ids(ids.tolist()).select(self._schema.names).to_arrow())
        return [
            Rows([read.ids[row] for row in rows], read.vectors[rows], [dict(read.metadata[row]) for row in rows])
            for rows in places.reshape(wanted.shape)
        ]

    def _product(
        self, table: Any, queries: Vectors, count: int, filters: Filters, seen: Callable[[int], object]
    ) -> NDArray[np.int64]:
        """(q, count) row ids of the nearest, by one matrix product for each part of the table."""
        looked_at = 0
        best = np.empty((len(queries), 0), np.float32)
        rows = np.empty((len(queries), 0), np.int64)
        condition = _condition(filters)
        search = table.search().select(["vector"]).with_row_id(True)
        for part in (search if condition is None else search.where(condition)).to_batches(_ROWS_OF_A_PRODUCT):
            own = part["_rowid"].to_numpy(zero_copy_only=False).astype(np.int64)
            scores = np.concatenate([best, queries @ self._vectors(part["vector"]).T], axis=1)
            numbers = np.concatenate([rows, np.tile(own, (len(queries), 1))], axis=1)
            kept = np.argpartition(-scores, min(count, scores.shape[1]) - 1, axis=1)[:, :count]
            best, rows = np.take_along_axis(scores, kept, axis=1), np.take_along_axis(numbers, kept, axis=1)
            looked_at += len(own)
            seen(looked_at)
        return rows

    def _near(self, queries: Vectors, count: int, filters: Filters, setting: Setting) -> list[Rows]:
        def near(search: Any) -> Any:
            return search.nprobes(setting["partitions"]).refine_factor(setting["refined"])

        with lance_errors(self._where):
            table = self._table
            return [self._found(near(self._asked(table, query, count, filters))) for query in queries]

    def _asked(self, table: Any, query: Vectors, count: int, filters: Filters) -> Any:
        search = table.search(query, vector_column_name="vector").distance_type("dot").limit(count)
        condition = _condition(filters)
        return search if condition is None else search.where(condition)

    def _found(self, search: Any) -> Rows:
        return self._rows(search.select([*self._schema.names, "_distance"]).to_arrow())

    def _build(self, show: Show) -> None:
        kind = need("lancedb.index", "search").IvfRq(distance_type="dot")
        a_number = 2 if self.info.storage == "float16" else 4
        size = 0 if self.info.uri is not None else a_number * self.info.dimensions
        with self._writing(), building(show, self._table.count_rows(), size):
            try_again(lambda: self._table.create_index("vector", config=kind, replace=True))

    def _sample(self, count: int) -> Rows:
        with lance_errors(self._where):
            rows = self._table.count_rows()
            chosen = np.sort(np.random.default_rng(0).permutation(rows)[:count])
            return self._rows(self._table.take_offsets(chosen.tolist()).select(self._schema.names).to_arrow())

    def _index_values(self) -> None:
        """Indexes of ids and of fields, so that filters need not read all rows."""
        if self._table.count_rows() < WORTH_IT:
            return
        there = {name for index in self._table.list_indices() for name in index.columns}
        lists = {column(field) for field, kind in self.info.types.items() if kind == "texts"}
        for name in ["id", *self._columns]:
            if name not in there:
                self._table.create_scalar_index(name, index_type="LABEL_LIST" if name in lists else "BTREE")

    def _arrow(self, rows: Rows) -> Any:
        flat = pa.array(rows.vectors.reshape(-1).astype(self.info.storage))
        vectors = pa.FixedSizeListArray.from_arrays(flat, self.info.dimensions)
        fields = {column(field): [row[field] for row in rows.metadata] for field in self.info.fields}
        return pa.table({"id": rows.ids, "vector": vectors, **fields}, schema=self._schema)

    def _rows(self, table: Any) -> Rows:
        flat = self._vectors(table["vector"].combine_chunks())
        metadata = table.select(self._columns).rename_columns(list(self.info.fields)).to_pylist()
        return Rows(table["id"].to_pylist(), flat, metadata)

    def _columns_of(self, table: Any) -> Columns:
        columns = table.select(["id", *self._columns]).columns
        return Columns(pa.table(columns, names=[ID, *self.info.fields]))

    def _vectors(self, column: Any) -> Vectors:
        flat: Vectors = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
        return flat.reshape(-1, self.info.dimensions)

    @contextmanager
    def _writing(self, added: Sequence[str] = ()) -> Iterator[None]:
        """No other process of this machine writes; what was written is safe in the end, and acknowledged."""
        with writing(self.folder), lance_errors(self._where):
            if self.info.uri is not None:  # where it is not looked at anew each time
                self._table.checkout_latest()
            before = self._table.version
            yield
            self._known.changed(before, self._table.version, added)
            self._place.settle(self._table.version)

    def _connected(self) -> Any:
        return _database(self._where).open_table(_TABLE)

    def _read_through(self, table: Any) -> None:
        for part in table.search().to_batches(4096):
            self.sound(self._rows(pa.table(part)))


def _all_ids(table: Any) -> Iterator[list[str]]:
    for part in table.search().select(["id"]).to_batches(65_536):
        yield part["id"].to_pylist()


def _database(where: Path) -> Any:
    os.environ.setdefault("LANCEDB_LOG", "error")  # it warns of every partition to which nothing was added
    far = is_url(where)
    return need("lancedb", "search").connect(
        str(where),
        read_consistency_interval=SEEN_LATE if far else timedelta(0),
        storage_options=options(str(where)) if far else None,
    )


def _schema(info: IndexInfo) -> Any:
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.type_for_alias(info.storage), info.dimensions), nullable=False),
            *(pa.field(column(field), arrow_type(kind)) for field, kind in info.kinds.items()),
        ]
    )


def _condition(filters: Filters) -> str | None:
    return " AND ".join(map(_sql, filters)) or None


def _sql(one: Filter) -> str:
    name, held = _quoted(one.field), one.kind == "texts"
    parts = [] if one.among is None else [_among(one.field, one.among, held)]
    if one.without:  # nothing is known of NULL: neither that it is among some, nor that it is not
        others = [value for value in one.without if value is not None]
        missing = f"{name} IS NOT NULL" if None in one.without else f"{name} IS NULL"
        joined = "AND" if None in one.without else "OR"
        parts.append(f"(NOT {_among(one.field, others, held)} {joined} {missing})" if others else missing)
    parts += [f"{name} {SIGN_OF[bound]} {_literal(limit)}" for bound, limit in one.bounds]
    return f"({' AND '.join(parts)})"


def _among(field: str, values: Sequence[Scalar | None], held: bool = False) -> str:
    """One of the values, or a list that has ``held`` one of them."""
    name, known = _quoted(field), ", ".join(_literal(value) for value in values if value is not None)
    one_of = f"array_has_any({name}, [{known}])" if held else f"{name} IN ({known})"
    either = [one_of] * bool(known) + [f"{name} IS NULL"] * (None in values)
    return f"({' OR '.join(either) or 'false'})"


def _quoted(field: str) -> str:
    return f"`{column(field)}`"  # it may be a word of SQL


def _literal(value: Scalar) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value).lower()  # True is true


MEMBERS = {"lancedb": LanceIndex}
