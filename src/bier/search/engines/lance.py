"""The default engine: LanceDB, embedded, a table of files in the index's folder.

LanceDB commits each change as a new version, whole or not at all, but leaves it to the system when its files reach the
disk. So every file of a version is synced before the change counts as done, and ``durable.json`` names the last such
version. After a power failure a newer version may be damaged; it was acknowledged to nobody, and is put aside when the
index is opened.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from bier.errors import BierError, SearchError
from bier.search.base import Filters, Index, IndexInfo, Rows, Vectors, portions
from bier.system.extras import need
from bier.system.files import disk_is_full, storage_error, sync, write_json

_TABLE = "pictures"
_IDS_PER_STATEMENT = 500
_WORTH_AN_INDEX = 50_000
_NEWEST_NAME = 2**64 - 1
_REMEDY = "if files of the index are missing or damaged, restore them from a backup, or index again"


class LanceIndex(Index):
    """Exact search on disk, filters first; several processes may read and write."""

    @classmethod
    def create(cls, folder: Path, info: IndexInfo) -> IndexInfo:
        with _lance_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _connect(folder).create_table(_TABLE, schema=_schema(info))
        return info

    def __init__(self, folder: Path, info: IndexInfo) -> None:
        super().__init__(folder, info)
        self._schema = _schema(info)
        self._root = folder / f"{_TABLE}.lance"
        self._lock = threading.Lock()
        self._synced: set[Path] = set()
        with _lance_errors(folder):
            self._table = self._open()
            version = self._table.version
        if version < self._durable():
            raise SearchError(
                f"version {self._durable()} is gone, {version} is the newest", where=self._root, remedy=_REMEDY
            )
        self._settle()

    def flush(self) -> None:
        with _lance_errors(self.folder):
            self._table.optimize(cleanup_older_than=timedelta(hours=1))
            if self._table.count_rows() >= _WORTH_AN_INDEX and not self._table.list_indices():
                self._table.create_scalar_index("id")
        self._settle()

    def close(self) -> None:
        self._table = None

    def scan(self, batch: int = 4096) -> Iterator[Rows]:
        with _lance_errors(self.folder):
            for part in self._table.search().to_batches(batch):
                yield self._rows(pa.table(part))

    def _add(self, rows: Rows) -> None:
        with _lance_errors(self.folder):
            merge = self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(self._arrow(rows))
        self._settle()

    def _delete(self, ids: list[str]) -> int:
        count = 0
        with _lance_errors(self.folder):
            for part in portions(ids, _IDS_PER_STATEMENT):
                count += self._table.delete(_among("id", part)).num_deleted_rows
        self._settle()
        return count

    def _get(self, ids: list[str]) -> Rows:
        with _lance_errors(self.folder):
            parts = [
                self._table.search().where(_among("id", part)).limit(len(part)).to_arrow()
                for part in portions(ids, _IDS_PER_STATEMENT)
            ]
        return self._rows(pa.concat_tables(parts))

    def _count(self, filters: Filters) -> int:
        with _lance_errors(self.folder):
            return int(self._table.count_rows(_condition(filters)))

    def _nearest(self, queries: Vectors, count: int, filters: Filters) -> list[Rows]:
        with _lance_errors(self.folder):
            return [self._nearest_to(query, count, _condition(filters)) for query in queries]

    def _nearest_to(self, query: Vectors, count: int, condition: str | None) -> Rows:
        search = self._table.search(query, vector_column_name="vector").distance_type("dot").limit(count)
        search = search.bypass_vector_index().select([*self._schema.names, "_distance"])
        return self._rows((search if condition is None else search.where(condition)).to_arrow())

    def _arrow(self, rows: Rows) -> Any:
        flat = pa.array(rows.vectors.reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(flat, self.info.dimensions)
        fields = {field: [row[field] for row in rows.metadata] for field in self.info.fields}
        return pa.table({"id": rows.ids, "vector": vectors, **fields}, schema=self._schema)

    def _rows(self, table: Any) -> Rows:
        vectors = table["vector"].combine_chunks()
        flat = vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, self.info.dimensions)
        return Rows(table["id"].to_pylist(), flat, table.select(list(self.info.fields)).to_pylist())

    # --- power failures ---

    def _settle(self) -> None:
        """Have everything up to the present version on the disk."""
        with self._lock:
            try:
                with _lance_errors(self.folder):
                    version = self._table.version
                self._sync_files()
            except OSError as error:
                raise storage_error(self._root, error, "cannot be used") from error
            if version != self._durable():
                write_json(self.folder / "durable.json", {"version": version})

    def _sync_files(self) -> None:
        files = {path for path in self._root.rglob("*") if path.is_file() and not path.name.startswith(".tmp")}
        new = files - self._synced
        for path in new:
            try:
                sync(path)
            except FileNotFoundError:  # another process has tidied up
                files.discard(path)
        for folder in {parent for path in new for parent in (path.parent, self._root, self.folder)}:
            sync(folder)
        # The hint is written again and again.
        self._synced = {path for path in files if path.suffix != ".json"}

    def _durable(self) -> int:
        try:
            return int(json.loads((self.folder / "durable.json").read_text())["version"])
        except FileNotFoundError:
            return 0

    def _open(self) -> Any:
        durable = self._durable()
        newer = [path for path in self._root.glob("_versions/*.manifest") if _NEWEST_NAME - int(path.stem) > durable]
        if not newer or not durable:
            return _connect(self.folder).open_table(_TABLE)
        try:
            table = _connect(self.folder).open_table(_TABLE)
            for _ in table.search().to_batches(4096):
                pass
        except Exception:
            for path in newer:
                path.rename(path.with_suffix(".damaged"))
            table = _connect(self.folder).open_table(_TABLE)
        return table


def _connect(folder: Path) -> Any:
    # No interval: each call sees what other processes have written.
    return need("lancedb", "search").connect(str(folder), read_consistency_interval=timedelta(0))


def _schema(info: IndexInfo) -> Any:
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), info.dimensions), nullable=False),
            *(pa.field(field, pa.string()) for field in info.fields),
        ]
    )


def _condition(filters: Filters) -> str | None:
    return " AND ".join(_among(field, values) for field, values in filters.items()) or None


def _among(field: str, values: Sequence[str | None]) -> str:
    texts = ", ".join("'" + value.replace("'", "''") + "'" for value in values if value is not None)
    either = [f"{field} IN ({texts})"] * bool(texts) + [f"{field} IS NULL"] * (None in values)
    return f"({' OR '.join(either) or 'false'})"


@contextmanager
def _lance_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except BierError:
        raise
    except Exception as error:
        if isinstance(error, OSError) or disk_is_full(error):
            raise storage_error(folder, error, "cannot be used") from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SearchError(
            f"LanceDB cannot go on: {reason}",
            where=folder,
            remedy=_REMEDY,
        ) from error


MEMBERS = {"lancedb": LanceIndex}
