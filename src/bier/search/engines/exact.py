"""The reference engine: all vectors in memory, every score computed, a log of changes on disk.

The log is a sequence of blocks: a header (length and CRC-32 of what follows, CRC-32 of these two), then a table in
Arrow's stream format; a table without the column ``vector`` lists ids to delete. A block counts once it is whole on the
disk; what a killed writer left of one is cut off by the next writer. What other processes write is seen at the next
call.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from bier.errors import SearchError
from bier.search.base import Filters, Index, IndexInfo, Rows, Vectors
from bier.system.files import storage_errors, sync, write_atomically

_FRAME = struct.Struct("<QII")
_CHECKED = 12  # bytes of it that its own checksum covers
_BLOCK_ROWS = 65536


class ExactIndex(Index):
    """Exact search by matrix products; right up to some 100,000 pictures, and what other engines are tested against."""

    @classmethod
    def create(cls, folder: Path, info: IndexInfo) -> IndexInfo:
        write_atomically(folder / "rows.log", Path.touch)
        sync(folder)
        return info

    def __init__(self, folder: Path, info: IndexInfo) -> None:
        super().__init__(folder, info)
        self._file = folder / "rows.log"
        self._lock = threading.RLock()
        self._log: BinaryIO | None = None
        try:
            with self._current():
                pass
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        with self._lock:
            if self._log is not None:
                self._log.close()
            self._log = None

    def flush(self) -> None:
        """Write the log anew if more than half of it is of the past."""
        with self._writing():
            if self._written > 2 * len(self._row):
                batches = list(self.scan(_BLOCK_ROWS))
                write_atomically(self._file, lambda file: file.write_bytes(b"".join(map(self._block, batches))))
                sync(self.folder)

    def scan(self, batch: int = 4096) -> Iterator[Rows]:
        with self._current():
            rows = sorted(self._row.values())
        for start in range(0, len(rows), batch):
            with self._lock:
                part = self._take(np.array(rows[start : start + batch]))
            yield part

    def _add(self, rows: Rows) -> None:
        with self._writing():
            self._append(self._block(rows))

    def _delete(self, ids: list[str]) -> int:
        with self._writing():
            there = [name for name in ids if name in self._row]
            if there:
                self._append(_framed(pa.table({"id": there})))
            return len(there)

    def _get(self, ids: list[str]) -> Rows:
        with self._current():
            return self._take(np.array([self._row[name] for name in ids if name in self._row], dtype=np.int64))

    def _count(self, filters: Filters) -> int:
        with self._current():
            return int(self._allowed(filters).sum())

    def _nearest(self, queries: Vectors, count: int, filters: Filters) -> list[Rows]:
        with self._current():
            allowed = np.flatnonzero(self._allowed(filters))
            if not len(allowed):
                return [self._take(allowed) for _ in queries]
            whole = len(allowed) == len(self._ids)
            scores = queries @ (self._vectors[: len(self._ids)] if whole else self._vectors[allowed]).T
            count = min(count, len(allowed))
            best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
            return [self._take(allowed[rows]) for rows in best]

    def _allowed(self, filters: Filters) -> Any:
        allowed = self._alive[: len(self._ids)].copy()
        for field, values in filters.items():
            accepted = set(values)
            allowed &= np.fromiter((row[field] in accepted for row in self._metadata), dtype=bool, count=len(self._ids))
        return allowed

    def _take(self, rows: Any) -> Rows:
        return Rows([self._ids[row] for row in rows], self._vectors[rows], [dict(self._metadata[row]) for row in rows])

    # --- the log ---

    def _block(self, rows: Rows) -> bytes:
        flat = pa.array(rows.vectors.reshape(-1))
        columns = {"id": rows.ids, "vector": pa.FixedSizeListArray.from_arrays(flat, self.info.dimensions)}
        fields = {field: pa.array([row[field] for row in rows.metadata], pa.string()) for field in self.info.fields}
        return _framed(pa.table({**columns, **fields}))

    @contextmanager
    def _current(self) -> Iterator[None]:
        """What is in memory is what is on the disk."""
        with self._lock, storage_errors(self._file):
            self._catch_up()
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """The same, and no other process writes."""
        with self._lock, storage_errors(self._file), (self.folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._catch_up()
            yield
            self._catch_up()

    def _append(self, block: bytes) -> None:
        with self._file.open("rb+") as file:
            file.seek(self._read)
            try:
                file.write(block)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self._file, self._read)
                raise

    def _catch_up(self) -> None:
        try:
            status = self._file.stat()
        except FileNotFoundError:
            raise SearchError(
                "is missing", where=self._file, remedy="restore it from a backup, or index again"
            ) from None
        if self._log is None or os.fstat(self._log.fileno()).st_ino != status.st_ino:
            self._start_over()
        assert self._log is not None
        while (block := self._next_block(self._log, status.st_size)) is not None:
            self._apply(block)

    def _start_over(self) -> None:
        self.close()
        self._log = self._file.open("rb")
        self._read = self._written = 0
        self._ids: list[str] = []
        self._row: dict[str, int] = {}
        self._metadata: list[dict[str, Any]] = []
        self._vectors = np.zeros((0, self.info.dimensions), dtype=np.float32)
        self._alive = np.zeros(0, dtype=bool)

    def _next_block(self, log: BinaryIO, size: int) -> bytes | None:
        """The next whole block; None at the end, or before what is still being written or was never finished."""
        log.seek(self._read)
        header = log.read(_FRAME.size)
        if len(header) < _FRAME.size or not any(header):
            return None
        length, checksum, own = _FRAME.unpack(header)
        end = self._read + _FRAME.size + length
        sound = zlib.crc32(header[:_CHECKED]) == own
        if sound and end > size:
            return None
        block = log.read(length) if sound else b""
        if sound and zlib.crc32(block) == checksum:
            self._read = end
            return block
        if sound and end == size:
            return None
        raise SearchError(
            f"is damaged at byte {self._read:,}", where=self._file, remedy="restore it from a backup, or index again"
        )

    def _apply(self, block: bytes) -> None:
        table = pa.ipc.open_stream(block).read_all()
        ids = table["id"].to_pylist()
        self._written += len(ids)
        if "vector" not in table.column_names:
            self._alive[[self._row.pop(name) for name in ids if name in self._row]] = False
            return
        rows = [self._place(name) for name in ids]
        self._grow()
        self._vectors[rows] = table["vector"].combine_chunks().flatten().to_numpy().reshape(len(ids), -1)
        self._alive[rows] = True
        for row, metadata in zip(rows, table.select(self.info.fields).to_pylist(), strict=True):
            self._metadata[row] = metadata

    def _place(self, name: str) -> int:
        row = self._row.setdefault(name, len(self._ids))
        if row == len(self._ids):
            self._ids.append(name)
            self._metadata.append({})
        return row

    def _grow(self) -> None:
        if len(self._ids) > len(self._vectors):
            more = max(len(self._ids), 2 * len(self._vectors)) - len(self._vectors)
            self._vectors = np.concatenate([self._vectors, np.zeros((more, self.info.dimensions), np.float32)])
            self._alive = np.concatenate([self._alive, np.zeros(more, dtype=bool)])


def _framed(table: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    block: bytes = sink.getvalue().to_pybytes()
    header = struct.pack("<QI", len(block), zlib.crc32(block))
    return header + struct.pack("<I", zlib.crc32(header)) + block


MEMBERS = {"exact": ExactIndex}
