"""New labels beside the pictures of a run, as one table to train on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from bier.data import Manifest
from bier.data.datasets import open_labels
from bier.data.label_kinds import other_kind
from bier.data.manifest import natural
from bier.data.references import is_reference
from bier.errors import DataError, quoted
from bier.runs.opening import opened_of
from bier.system.files import write_csv

_TOLD_BY_SPLITS = ("self", "query-gallery")
_ORDER = ("train", "val", "test", "gallery", "query")
"""Of splits that a new picture may join."""
_SHOWN = 3

Row = dict[str, str]


@dataclass(frozen=True)
class Joined:
    """A table of old and new pictures."""

    rows: tuple[Row, ...]
    """With ``image``, ``label``, ``split``, and those of ``group``, ``name`` and ``bbox`` that the run has."""
    added: int
    """New pictures."""
    changed: int
    """Pictures of the run that have another label now."""
    new_classes: tuple[str, ...]
    notes: tuple[str, ...]
    """Lines for a person."""


def join(run: Path, tables: Sequence[str], source: str | None, console: Console) -> Joined:
    """The pictures of a run with those of new labels.

    A picture goes to a split of its class, and to training if the class is new. So the same classes are tested. A
    picture of the run that has another label now gets the new one.

    Args:
        run: a run's folder.
        tables: of new labels; any source with labels will do.
        source: where the run's pictures are; None for where they were in training.
        console: where to show how far it has come.

    Raises:
        ModelError: the folder holds no run.
        DataError: pictures are gone, a picture has two new labels, a table has none, or the run's source has a test
            that no table can tell.
    """
    config, manifest = opened_of(run, source, console, "bier data join")
    if manifest.protocol not in _TOLD_BY_SPLITS:
        raise DataError(
            "its test is more than the splits of pictures, which is all that a table tells",
            where=manifest.source,
            remedy="train on these pictures and the new ones apart",
        )
    new = _new_labels(tables)
    rows = {row["image"]: row for row in _rows(manifest)}
    columns, classes = tuple(next(iter(rows.values()))), _by_class(rows.values())
    changed = sum(image in rows and rows[image]["label"] != label for image, label in new.items())
    for image, label in new.items():
        rows[image] = _labelled(image, label, classes.get(label, []), rows.get(image), columns)
    separator, told = config.data.label_separator, other_kind(classes, new.values())
    several = f"labels are separated as in the run: train with --set {quoted(f'data.label_separator={separator}')}"
    return Joined(
        rows=tuple(rows.values()),
        added=len(rows) - len(manifest),
        changed=changed,
        new_classes=tuple(sorted(set(new.values()) - set(classes), key=natural)),
        notes=(*((several,) if separator else ()), *((told,) if told else ())),
    )


def write_table(joined: Joined, file: Path) -> None:
    """As CSV, which any source may be; raises StorageError."""
    header = list(joined.rows[0])
    write_csv(file, header, ([row[name] for name in header] for row in joined.rows))


def _new_labels(tables: Sequence[str]) -> dict[str, str]:
    """The label of each picture, by where it is."""
    found: dict[str, str] = {}
    for table in tables:
        manifest = open_labels(table)
        gone = []
        for row in range(len(manifest)):
            image, label = manifest.reference(row), str(manifest.label[row])
            if found.setdefault(image, label) != label:
                raise DataError(
                    f"{image} has two labels: {found[image]!r} and {label!r}",
                    where=f"{manifest.source}, row {manifest.row[row]}",
                    remedy="remove one of the two rows",
                )
            if not is_reference(image) and not os.path.exists(image):
                gone.append(image)
        _refuse_gone(gone, manifest)
    return found


def _refuse_gone(gone: Sequence[str], manifest: Manifest) -> None:
    if gone:
        raise DataError(
            f"{len(gone):,} of its {len(manifest):,} pictures are not there: {', '.join(gone[:_SHOWN])}",
            where=manifest.source,
            remedy="join the labels where the pictures are, or mend the paths in the column 'image'",
        )


def _rows(manifest: Manifest) -> list[Row]:
    columns: dict[str, Sequence[str]] = {
        "image": [manifest.reference(row) for row in range(len(manifest))],
        "label": manifest.label.tolist(),
        "split": manifest.split.tolist(),
    }
    for name, column in (("group", manifest.group), ("name", manifest.name)):
        if column is not None:
            columns[name] = column.tolist()
    if manifest.bbox is not None:
        columns["bbox"] = ["" if np.isnan(box).any() else " ".join(map(str, box.tolist())) for box in manifest.bbox]
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _by_class(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """A row of each split that a class has."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row["label"], {}).setdefault(row["split"], row)
    return {label: list(splits.values()) for label, splits in found.items()}


def _labelled(image: str, label: str, like: Sequence[Row], before: Row | None, columns: Sequence[str]) -> Row:
    """A picture with its new label, and what else its class is known by."""
    splits = {row["split"] for row in like} or {"train"}
    own = before["split"] if before is not None and before["split"] in splits else min(splits, key=_ORDER.index)
    shared = like[0] if like else {}
    row = {column: shared.get(column, "") for column in columns}
    box = {"bbox": before["bbox"] if before is not None else ""} if "bbox" in columns else {}
    return {**row, **box, "image": image, "label": label, "split": own}
