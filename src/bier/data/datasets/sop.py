"""Stanford Online Products: 22,634 things for sale in 12 groups, cut into training and testing by class."""

from __future__ import annotations

from pathlib import Path

from bier.data.datasets.annotations import RowFaults, check_published, escapes, read_fields, required
from bier.data.datasets.reader import Reader
from bier.data.manifest import Manifest

PUBLISHED = {"train": (59_551, 11_318), "test": (60_502, 11_316)}
COLUMNS = "image_id class_id super_class_id path"
FILES = {"train": "Ebay_train.txt", "test": "Ebay_test.txt"}
HOLDS = "Ebay_train.txt, Ebay_test.txt and one folder for each group, such as bicycle_final/"


def recognises(directory: Path) -> bool:
    """Whether the directory looks like this benchmark, complete or not."""
    return any((directory / name).is_file() for name in FILES.values())


def read(directory: Path, strict: bool = True) -> Manifest:
    """The manifest, with the class's id as label and the super-class (``bicycle``) as group.

    Args:
        directory: ``Stanford_Online_Products``, as unpacked.
        strict: refuse counts that are not the published ones.

    Raises:
        DataError: an annotation file is missing or malformed, or the counts differ.
    """
    files = {split: required(directory, [name], HOLDS) for split, name in FILES.items()}
    rows = [(split, row, fields) for split, file in files.items() for row, fields in _rows(file)]
    manifest = Manifest.of(
        directory,
        directory.name,
        image=[path for _, _, (_, _, _, path) in rows],
        label=[label for _, _, (_, label, _, _) in rows],
        split=[split for split, _, _ in rows],
        row=[row for _, row, _ in rows],
        group=[path.split("/")[0].removesuffix("_final") for _, _, (_, _, _, path) in rows],
    )
    if strict:
        check_published(manifest, "Stanford Online Products", PUBLISHED)
    return manifest


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    faults = RowFaults(file)
    rows = read_fields(file, COLUMNS)
    if rows and rows[0][1] == COLUMNS.split():
        rows = rows[1:]
    else:
        faults.add(1, "the header is missing")
    for row, (_, label, _, path) in rows:
        if not label.isdecimal():
            faults.add(row, f"the class is not a number: {label!r}")
        elif escapes(path):
            faults.add(row, f"the path leads out of the directory: {path!r}")
    faults.refuse(f"the first line should read: {COLUMNS}; then rows like: 1 1 1 bicycle_final/111085122871_0.JPG")
    return rows


MEMBERS = {"sop": Reader(recognises, lambda path, config, faulty: read(path, config.strict))}
