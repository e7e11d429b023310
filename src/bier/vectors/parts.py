"""Vectors of a catalogue on disk: a folder of Parquet parts, each complete in itself.

    vectors.json         which model made them, of what, and whether all are there
    part-00000.parquet   id, image, label, the fields of a table, vector (and scale, for int8), in the source's order
    failed.csv           pictures that could not be read, and why

A part says in its metadata where in the source it ends, so that the parts alone tell where to go on. Pages of a part
have checksums, and so has what it says. Both are compared when they are read, and the lengths of vectors are looked at.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bier.data.columns import RESERVED, kind_of
from bier.data.fields import KINDS, Kinds, arrow_type
from bier.errors import DataError
from bier.system.files import write_atomically, write_csv, write_json
from bier.system.json_files import parse_object, read_object
from bier.system.places import as_path, opened
from bier.vectors.layout import check_layout, wrong_length

VectorType = Literal["float32", "float16", "int8"]
TYPES: tuple[VectorType, ...] = get_args(VectorType)

INFO = "vectors.json"
FAILED = "failed.csv"
_FORMAT = "bier-vectors-1"


@dataclass(frozen=True)
class VectorsInfo:
    """What ``vectors.json`` says."""

    model: str
    """The fingerprint of the encoder."""
    sizes: tuple[int, ...]
    """Dimensions of the learners that are stored, the first ones."""
    scales: tuple[float, ...]
    """``s_m`` of each, in an ensemble of these learners alone."""
    type: VectorType
    source: str
    source_fingerprint: str
    """Of names, sizes and times of the source's files, in order; so a file that was replaced is noticed."""
    precision: str
    """In which the backbone computed."""
    batch_size: int
    count: int = 0
    """Vectors stored so far."""
    failed: int = 0
    """Pictures that could not be read."""
    complete: bool = False
    fields: Kinds = field(default_factory=dict)
    """What else is known of each picture, by the columns of its table."""

    def __post_init__(self) -> None:
        check_layout(self.sizes, self.scales)
        texts = (self.model, self.source, self.source_fingerprint, self.precision)
        counts = (self.count, self.failed, self.batch_size)
        if (
            not all(isinstance(text, str) for text in texts)
            or self.type not in TYPES
            or type(self.complete) is not bool
        ):
            raise ValueError("a text, the type or 'complete' is something else")
        if not all(type(count) is int and 0 <= count < 2**63 for count in counts):
            raise ValueError("a number is not one that counts")
        if not isinstance(self.fields, dict) or not RESERVED.isdisjoint(self.fields):
            raise ValueError("the fields are something else")
        if not all(kind in KINDS for kind in self.fields.values()):
            raise ValueError("a field is of no known kind")

    @property
    def learners(self) -> int:
        return len(self.sizes)

    @property
    def dimensions(self) -> int:
        return sum(self.sizes)

    def save(self, folder: Path) -> None:
        content = {"format": _FORMAT, "learners": self.learners, **asdict(self)}
        if not self.fields:  # an earlier version reads it, too
            del content["fields"]
        write_json(folder / INFO, content)


@dataclass(frozen=True, eq=False)
class VectorBatch:
    """Some rows of a folder of vectors."""

    ids: list[str]
    vectors: NDArray[np.float32]
    """(b, D)."""
    metadata: list[dict[str, Any]]
    """``image`` (a path, or what `bier.data.references` makes), ``label`` (text or ``None``) and the fields of each."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Part:
    """What a part says beside its rows."""

    count: int
    end: tuple[int, int]
    """The place in the source after its last picture: file and position."""
    failed: list[tuple[str, str]]
    """Pictures between its rows that could not be read, and why."""


def read_info(folder: Path | str) -> VectorsInfo:
    """What a folder of vectors says about itself.

    Raises:
        DataError: it is none.
    """
    file = as_path(folder) / INFO
    try:
        content: dict[str, Any] = read_object(file)
        if content.pop("format", None) != _FORMAT:
            raise ValueError("of another format")
        content.pop("learners", None)
        return VectorsInfo(**{**content, "sizes": tuple(content["sizes"]), "scales": tuple(content["scales"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "is not a folder of vectors" if not file.is_file() else f"cannot be read: {error or 'damaged'}",
            where=folder if not file.is_file() else file,
            remedy="give a folder that `bier embed` wrote",
        ) from error


def read_vectors(folder: Path | str, batch: int = 4096) -> Iterator[VectorBatch]:
    """All rows in order, at most ``batch`` at once, as float32 whatever they are stored as.

    Raises:
        DataError: it is no folder of vectors, or a part is damaged.
    """
    import pyarrow as arrow
    from pyarrow import parquet

    info = read_info(folder)
    for path in part_files(as_path(folder)):
        try:
            with parquet.ParquetFile(opened(path), page_checksum_verification=True) as file:
                _check_columns(file.schema_arrow, info)
                left = file.metadata.num_rows
                for rows in file.iter_batches(batch):
                    yield _to_batch(rows, info)
                    left -= len(rows)
                if left:
                    raise ValueError(f"{left:,} rows are missing")
        except (OSError, arrow.ArrowException, KeyError, TypeError, ValueError) as error:
            raise _damaged(path, error) from error


def part_files(folder: Path) -> list[Path]:
    """The parts that are there, without a gap, in order."""
    found = [path for path in folder.iterdir() if fnmatch(path.name, "part-*.parquet")]
    found.sort(key=lambda path: (len(path.name), path.name))
    missing = next((number for number, path in enumerate(found) if path != part_file(folder, number)), None)
    if missing is not None:
        raise DataError(
            f"{part_file(folder, missing).name} is missing, and later parts are there",
            where=folder,
            remedy="copy it back, or write the vectors again into another folder",
        )
    return found


def part_file(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05}.parquet"


def write_part(path: Path, rows: VectorBatch, type: VectorType, part: Part, fields: Kinds | None = None) -> None:
    """One part, whole or not at all.

    Raises:
        StorageError: the disk is full or the folder cannot be written; parts that are there stay as they are.
    """
    import pyarrow as arrow
    from pyarrow import parquet

    columns = {
        "id": arrow.array(rows.ids, arrow.string()),
        "image": arrow.array([row["image"] for row in rows.metadata], arrow.string()),
        "label": arrow.array([row["label"] for row in rows.metadata], arrow.string()),
    }
    for name, kind in (fields or {}).items():
        columns[name] = arrow.array([row[name] for row in rows.metadata], arrow_type(kind))
    values: NDArray[Any] = rows.vectors
    if type == "int8":
        values, scale = quantize(values)
        columns["scale"] = arrow.array(scale)
    values = values.astype(type)
    columns["vector"] = arrow.FixedSizeListArray.from_arrays(arrow.array(values.ravel()), values.shape[1])
    says = json.dumps({"end": part.end, "failed": part.failed})
    about = {"bier": says, "bier-crc32": f"{zlib.crc32(says.encode()):08x}"}
    table = arrow.table(columns).replace_schema_metadata(about)
    options = {"use_dictionary": ["label"], "write_page_checksum": True}
    write_atomically(path, lambda file: parquet.write_table(table, file, **options))


def read_part(path: Path) -> Part:
    """What the part says beside its rows.

    Raises:
        DataError: it is damaged.
    """
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        about = parquet.read_metadata(opened(path))
        says = about.metadata[b"bier"]
        kept = about.metadata.get(b"bier-crc32")  # none in a part of an earlier version
        if kept is not None and kept != b"%08x" % zlib.crc32(says):
            raise ValueError("what it says has another checksum")
        content = parse_object(says)
        file, position = content["end"]
        if type(file) is not int or type(position) is not int:
            raise ValueError("it ends at no place")
        return Part(about.num_rows, (file, position), [_failure(row) for row in content["failed"]])
    except (OSError, arrow.ArrowException, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def _failure(row: Any) -> tuple[str, str]:
    image, what = row
    return str(image), str(what)


def write_failed(folder: Path, failed: Sequence[tuple[str, str]]) -> None:
    """``failed.csv``: image and what is wrong with it."""
    write_csv(folder / FAILED, ("image", "what"), failed)


def quantize(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 (b, D) and scale (b,), so that ``int8 * scale`` is the vector up to half a scale in each number."""
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(vectors / scale[:, None]).astype(np.int8), scale


def _check_columns(schema: Any, info: VectorsInfo) -> None:
    """A footer has no checksum, and may read columns as something else."""
    import pyarrow as arrow

    texts = [schema.field(name) for name in ("id", "image", "label")]
    vector = schema.field("vector").type
    if not all(field.type == arrow.string() and field.nullable for field in texts):
        raise ValueError("a column of texts is something else")
    for name, kind in info.fields.items():
        if kind_of(schema.field(name).type) != ("text" if kind in ("date", "box") else kind):
            raise ValueError(f"the field {name!r} is something else")
    numbers = arrow.from_numpy_dtype(np.dtype(info.type))
    if getattr(vector, "list_size", 0) != info.dimensions or vector.value_type != numbers:
        raise ValueError("the vectors are of another type")


def _to_batch(rows: Any, info: VectorsInfo) -> VectorBatch:
    values = rows.column("vector").flatten().to_numpy(zero_copy_only=False)
    vectors = values.reshape(len(rows), info.dimensions).astype(np.float32)
    if info.type == "int8":
        vectors *= rows.column("scale").to_numpy()[:, None]
    metadata = rows.select(["image", "label", *info.fields]).to_pylist()
    batch = VectorBatch(rows.column("id").to_pylist(), vectors, metadata)
    wrong = wrong_length(vectors, info.sizes, info.scales)
    if wrong is not None:
        raise ValueError(f"the vector of {batch.ids[wrong.row]}: {wrong}")
    return batch


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"is damaged ({error})", where=path, remedy="copy it again, or remove it and all later parts and embed again"
    )
