"""The reference engine: all vectors in memory, every score computed, a log of changes on disk.

The log is a sequence of blocks: a header (length and CRC-32 of what follows, CRC-32 of these two), then a table in
Arrow's stream format; a table without the column ``vector`` lists ids to delete. A block counts once it is whole on the
disk. ``durable.json`` says up to which byte the log was acknowledged, and the checksum of the headers up to there: a
shorter or another log is damaged. What a killed writer left behind that byte is cut off by the next writer, unless it
is a whole block. What other processes write is seen at the next call.
"""

from __future__ import annotations

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

from bier.data.fields import Value, arrow_type
from bier.errors import SearchError
from bier.search.base import RESTORE, Index, IndexInfo, Rows, Vectors, portions
from bier.search.durable import DURABLE, damaged, read_durable, write_durable
from bier.search.filters import Filters
from bier.search.generations import writing
from bier.search.writers import index_errors
from bier.system.files import write_atomically

_FRAME = struct.Struct("<QII")
_CHECKED = 12  # bytes of it that its own checksum covers
_BLOCK_ROWS = 65536
_LOG = "rows.log"

Log = tuple[int, int]
"""A log up to some byte: its length, and the CRC-32 of the headers in it, which hold those of the rest."""

_EMPTY: Log = (0, 0)


class ExactIndex(Index):
    """Exact search by matrix products; right up to some 100,000 pictures, and what other engines are tested against."""

    files = (_LOG, DURABLE)

    @classmethod
    def create(cls, folder: Path, info: IndexInfo) -> IndexInfo:
        if info.uri is not None:
            remedy = "leave out --uri, or choose the engine lancedb or milvus"
            raise SearchError("the engine exact keeps all in the index's folder", where="--uri", remedy=remedy)
        with index_errors(folder):
            write_atomically(folder / _LOG, Path.touch)
            _acknowledge(folder, _EMPTY)
        return info

    def __init__(self, folder: Path, info: IndexInfo) -> None:
        super().__init__(folder, info)
        self._file = folder / _LOG
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

    def check_files(self) -> int:
        """Read the log anew."""
        with self._lock:
            self.close()
            with self._current():
                return int(bool(_acknowledged(self.folder)))

    def flush(self) -> None:
        """Write the log anew if more than half of it is of the past."""
        with self._writing():
            if self._written > 2 * len(self._row):
                blocks = [self._block(rows) for rows in self.scan(_BLOCK_ROWS)]
                new = _EMPTY
                for block in blocks:
                    new = _longer(new, block)
                # Both, for a moment: whichever log is there when the power fails was acknowledged.
                _acknowledge(self.folder, self._log_read, new)
                write_atomically(self._file, lambda file: file.write_bytes(b"".join(blocks)))

    def scan(self, batch: int = 4096) -> Iterator[Rows]:
        with self._current():
            names = list(self._row)
        for part in portions(names, batch):
            rows = self._get(list(part))  # wherever they are by now: the log may have been written anew
            if len(rows):
                yield self.sound(rows)

    def version(self) -> Log:
        with self._current():
            return self._log_read

    def _values(self, field: str) -> Iterator[list[Value]]:
        with self._current():
            found = [self._metadata[row][field] for row in self._row.values()]
        yield found

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
        for one in filters:
            passes = map(one.test(), (row[one.field] for row in self._metadata))
            allowed &= np.fromiter(passes, dtype=bool, count=len(self._ids))
        return allowed

    def _take(self, rows: Any) -> Rows:
        return Rows([self._ids[row] for row in rows], self._vectors[rows], [dict(self._metadata[row]) for row in rows])

    # --- the log ---

    def _block(self, rows: Rows) -> bytes:
        flat = pa.array(rows.vectors.reshape(-1).astype(self.info.storage))
        columns = {"id": rows.ids, "vector": pa.FixedSizeListArray.from_arrays(flat, self.info.dimensions)}
        fields = {
            field: pa.array([row[field] for row in rows.metadata], arrow_type(kind))
            for field, kind in self.info.kinds.items()
        }
        return _framed(pa.table({**columns, **fields}))

    @contextmanager
    def _current(self) -> Iterator[None]:
        """What is in memory is what is on the disk."""
        with self._lock, index_errors(self._file):
            self._catch_up()
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """The same, and nobody else writes. What was written is acknowledged in the end."""
        with self._lock, writing(self.folder), index_errors(self._file):
            self._catch_up()
            yield
            self._catch_up()
            if _acknowledged(self.folder) != [self._log_read]:
                _acknowledge(self.folder, self._log_read)

    def _append(self, block: bytes) -> None:
        before = self._log_read[0]
        with self._file.open("rb+") as file:
            file.seek(before)
            try:
                file.write(block)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self._file, before)
                raise

    def _catch_up(self) -> None:
        acknowledged = _acknowledged(self.folder)
        while not self._read_on(acknowledged):
            before, acknowledged = acknowledged, _acknowledged(self.folder)
            if acknowledged == before:  # and not just because the log was written anew meanwhile
                self._refuse(before)

    def _read_on(self, acknowledged: list[Log]) -> bool:
        """Read what is new; whether the log is, or begins with, one that was acknowledged."""
        try:
            status = self._file.stat()
        except FileNotFoundError:
            raise SearchError("is missing", where=self._file, remedy=RESTORE) from None
        log = self._log
        if log is None or os.fstat(log.fileno()).st_ino != status.st_ino or status.st_size < self._log_read[0]:
            log = self._start_over()
        while (block := self._next_block(log, status.st_size, bool(acknowledged))) is not None:
            try:
                self._apply(block)
            except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
                raise damaged(self._file, f"before byte {self._log_read[0]:,}, {error}") from error
        return not acknowledged or any(self._headers.get(length) == checksum for length, checksum in acknowledged)

    def _refuse(self, acknowledged: list[Log]) -> None:
        sound, size = self._log_read[0], self._file.stat().st_size
        length = min(length for length, _ in acknowledged)
        if size < length:
            raise damaged(self._file, f"it ends at byte {size:,}, and {length:,} bytes were acknowledged")
        if sound < length:
            raise damaged(self._file, f"at byte {sound:,}")
        raise damaged(self._file, f"it is not the log that {DURABLE} tells of")

    def _start_over(self) -> BinaryIO:
        self.close()
        self._log = self._file.open("rb")
        self._log_read = _EMPTY
        self._headers = dict([_EMPTY])
        self._written = 0
        self._ids: list[str] = []
        self._row: dict[str, int] = {}
        self._metadata: list[dict[str, Any]] = []
        self._vectors = np.zeros((0, self.info.dimensions), dtype=np.float32)
        self._alive = np.zeros(0, dtype=bool)
        return self._log

    def _next_block(self, log: BinaryIO, size: int, known: bool) -> bytes | None:
        """The next whole block; None at the end, or before what is still being written or was never finished.

        Where it is not known what was acknowledged, a block in the middle that is not whole is damage.
        """
        start = self._log_read[0]
        log.seek(start)
        header = log.read(_FRAME.size)
        if len(header) < _FRAME.size or not any(header):
            return None
        length, checksum, own = _FRAME.unpack(header)
        end = start + _FRAME.size + length
        sound = zlib.crc32(header[:_CHECKED]) == own
        block = log.read(length) if sound and end <= size else b""
        if sound and end <= size and zlib.crc32(block) == checksum:
            self._log_read = _longer(self._log_read, header + block)
            self._headers.update([self._log_read])
            return block
        if known or (sound and end >= size):
            return None
        raise damaged(self._file, f"at byte {start:,}")

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


def _longer(log: Log, block: bytes) -> Log:
    """The log with one more block."""
    length, checksum = log
    return length + len(block), zlib.crc32(block[: _FRAME.size], checksum)


def _acknowledge(folder: Path, *logs: Log) -> None:
    write_durable(folder, {"logs": logs})


def _acknowledged(folder: Path) -> list[Log]:
    """The logs that may be there; none are known of an index of an earlier version."""
    content = read_durable(folder)
    if content is None:
        return []
    logs = content.get("logs")
    if not isinstance(logs, list) or not logs or not all(map(_is_log, logs)):
        raise damaged(folder / DURABLE, "no lengths in 'logs'")
    return [(length, checksum) for length, checksum in logs]


def _is_log(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(type(number) is int for number in entry)


def _framed(table: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    block: bytes = sink.getvalue().to_pybytes()
    header = struct.pack("<QI", len(block), zlib.crc32(block))
    return header + struct.pack("<I", zlib.crc32(header)) + block


MEMBERS = {"exact": ExactIndex}
