"""Cars-196: 196 models of cars. Classes 1-98 are for training, 99-196 for testing.

The benchmark's own two halves are for classification; retrieval joins them and divides by class. There are two layouts:
``cars_annos.mat`` beside ``car_ims/``, and the newer ``cars_train/`` and ``cars_test/`` with one file for each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bier.data.datasets.annotations import RowFaults, check_published, escapes, required
from bier.data.datasets.reader import Reader
from bier.data.manifest import Manifest
from bier.errors import DataError

PUBLISHED = {"train": (8_054, 98), "test": (8_131, 98)}
JOINT = "cars_annos.mat"
HALVES = {"cars_train": "cars_train_annos.mat", "cars_test": "cars_test_annos_withlabels.mat"}
BOX = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
HOLDS = (
    "cars_annos.mat and car_ims/, or cars_train/, cars_test/, cars_train_annos.mat and cars_test_annos_withlabels.mat "
    "(the .mat files here or in devkit/)"
)

Record = tuple[int, str, int, list[float]]
"""Number of the record, path, class 1..196, box."""


def recognises(directory: Path) -> bool:
    """Whether the directory looks like this benchmark, complete or not."""
    names = (JOINT, *(place for name in HALVES.values() for place in _places(name)))
    return any((directory / name).is_file() for name in names)


def read(directory: Path, strict: bool = True) -> Manifest:
    """The manifest, with the class's number as label, its name beside it where given, and the bounding boxes.

    Args:
        directory: holds the annotations and the folders of pictures.
        strict: refuse counts that are not the published ones.

    Raises:
        DataError: an annotation file is missing or malformed, or the counts differ.
    """
    if (directory / JOINT).is_file():
        contents = _load(directory / JOINT)
        records, names = _records(directory / JOINT, contents, "relative_im_path", ""), _names(contents)
    else:
        files = {folder: required(directory, _places(name), HOLDS) for folder, name in HALVES.items()}
        records = [
            record for folder, file in files.items() for record in _records(file, _load(file), "fname", f"{folder}/")
        ]
        meta = next((directory / place for place in _places("cars_meta.mat") if (directory / place).is_file()), None)
        names = [] if meta is None else _names(_load(meta))
    manifest = Manifest.of(
        directory,
        directory.name,
        image=[path for _, path, _, _ in records],
        label=[str(label) for _, _, label, _ in records],
        split=["train" if label <= 98 else "test" for _, _, label, _ in records],
        row=[row for row, _, _, _ in records],
        bbox=[box for _, _, _, box in records],
        name=[names[label - 1] for _, _, label, _ in records] if len(names) == 196 else None,
    )
    if strict:
        check_published(manifest, "Cars-196", PUBLISHED)
    return manifest


def _places(name: str) -> tuple[str, str]:
    return name, f"devkit/{name}"


def _load(file: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        return dict(loadmat(file, squeeze_me=True))
    except Exception as error:  # the reader meets damage as ValueError, TypeError, zlib.error and more
        raise DataError(
            f"not a readable MATLAB file: {error}", where=file, remedy="download it again; it may be truncated"
        ) from error


def _names(contents: dict[str, Any]) -> list[str]:
    return [str(name) for name in np.atleast_1d(contents.get("class_names", []))]


def _records(file: Path, contents: dict[str, Any], path_field: str, prefix: str) -> list[Record]:
    annotations = np.atleast_1d(contents.get("annotations", np.empty(0)))
    missing = [name for name in (path_field, "class", *BOX) if name not in (annotations.dtype.names or ())]
    if missing:
        raise DataError(
            f"the array 'annotations' lacks {', '.join(missing)}",
            where=file,
            remedy="for the test half, take the file with labels (cars_test_annos_withlabels.mat)",
        )
    faults = RowFaults(file)
    records: list[Record] = []
    for row, annotation in enumerate(annotations, start=1):
        try:
            path, label = str(annotation[path_field]), int(annotation["class"])
            x1, y1, x2, y2 = (float(annotation[name]) for name in BOX)
        except (TypeError, ValueError):
            faults.add(row, "class or box is not a number")
            continue
        if escapes(path):
            faults.add(row, f"the path leads out of the directory: {path!r}")
        elif not 1 <= label <= 196:
            faults.add(row, f"class {label} is not between 1 and 196")
        else:
            # MATLAB counts pixels from 1, and both corners belong to the box.
            records.append((row, prefix + path, label, [x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1]))
    faults.refuse("download the annotations again")
    return records


MEMBERS = {"cars196": Reader(recognises, lambda path, config, faulty: read(path, config.strict))}
