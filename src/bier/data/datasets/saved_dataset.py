"""A folder that `datasets` of Hugging Face wrote with ``save_to_disk``: Arrow streams, read where they are.

A folder of one dataset holds ``state.json``, which names its streams, and ``dataset_info.json``, which names its
classes. Several splits are folders of that kind beside ``dataset_dict.json``, which names them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bier.data.arrow_cells import mapped, of_column
from bier.data.datasets.annotations import RowFaults
from bier.data.datasets.arrow_columns import bytes_field
from bier.data.datasets.parquet_pictures import Pictures
from bier.data.datasets.parts import Part, collect, joined
from bier.data.datasets.reader import Reader
from bier.data.datasets.table import FOR_TRAINING, Columns, Wanted, from_columns
from bier.data.datasets.walk import found_files
from bier.data.manifest import SPLIT_NAMES, UNDECIDED, Manifest
from bier.data.references import ARROW, parquet_uri
from bier.errors import DataError
from bier.system.json_files import read_object
from bier.system.places import is_url

SPLITS, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"


def read(path: Path, faulty: RowFaults | None = None, wanted: Wanted = FOR_TRAINING) -> Manifest:
    """The rows of all splits in one table.

    Args:
        path: of the folder.
        faulty: gets the rows that are faulty, which are then left out; none given: they are an error.
        wanted: what is read of it.

    Raises:
        DataError: a file is missing, damaged or cut off, a split has an unknown name, the streams are not all of the
            rows, or as for `bier.data.datasets.table.read_parquet`.
    """
    parts = []
    for folder, split in _datasets(path):
        place = path / folder
        info = _json(place / INFO)
        for name in _streams(place):
            found = RowFaults(place / name)
            columns = _columns(place / name, info)
            table = from_columns(columns, place / name, None if faulty is None else found, wanted)
            parts.append(Part(f"{folder}/{name}" if folder else name, table, split))
            collect(parts[-1].name, found, faulty)
            found_files(len(table))
    return joined(path, parts)


def _datasets(path: Path) -> list[tuple[str, str]]:
    """The folders of the splits, and what they are called here; one dataset alone is of no split."""
    if not (path / SPLITS).is_file():
        return [("", UNDECIDED)]
    names = _json(path / SPLITS).get("splits")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError("names no splits", where=path / SPLITS, remedy="write the folder again with save_to_disk")
    for name in names:
        if name.casefold() not in SPLIT_NAMES:
            raise DataError(
                f"unknown split {name!r}",
                where=path / SPLITS,
                remedy=f"rename it to one of {', '.join(SPLIT_NAMES)}, or give the folder of one split: {path / name}",
            )
    return [(name, SPLIT_NAMES[name.casefold()]) for name in names]


def _streams(folder: Path) -> list[str]:
    state = _json(folder / STATE)
    if state.get("_indices_data_files"):
        raise DataError(
            "its rows are a selection, which older versions of datasets write beside them",
            where=folder,
            remedy="load it, call flatten_indices(), and write it again with save_to_disk",
        )
    files = state.get("_data_files")
    found = [file.get("filename") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    names = [name for name in found if isinstance(name, str) and Path(name).name == name]
    if not names or names != found:
        raise DataError("names no data", where=folder / STATE, remedy="write the folder again with save_to_disk")
    return names


def _columns(file: Path, info: dict[str, Any]) -> Columns:
    try:
        table = mapped(str(file))
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise DataError(what, where=file, remedy="copy the file again, or write it again with save_to_disk") from error
    features = info.get("features")
    if isinstance(features, dict):
        about = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(about)
    return Columns(table.schema, table.select, lambda column, kind: _pictures(table, column, kind, file))


def _pictures(table: Any, column: str, kind: Any, file: Path) -> Pictures | None:
    place = bytes_field(column, kind)
    if place is None:
        return None
    named = "." in place and any(field.name == "path" for field in kind)
    paths = of_column(table, f"{column}.path").to_pylist() if named else [None] * len(table)
    empty = of_column(table, place).is_null().to_pylist()
    return Pictures(
        [
            path or "" if gone else parquet_uri(file.name, place, row, path or "", ARROW)
            for row, (path, gone) in enumerate(zip(paths, empty, strict=True), 1)
        ]
    )


def _json(file: Path) -> dict[str, Any]:
    try:
        return read_object(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "write the folder again with save_to_disk"
        raise DataError(f"cannot be read: {reason}", where=file, remedy=remedy) from error


def _is_saved_dataset(path: Path) -> bool:
    if is_url(path):
        return False
    return (path / SPLITS).is_file() or ((path / STATE).is_file() and (path / INFO).is_file())


MEMBERS = {"datasets": Reader(_is_saved_dataset, lambda path, config, faulty: read(path, faulty, Wanted.of(config)))}
