"""Objects: parts of pictures that have an id, a row and a vector of their own.

A field of the kind ``box`` says which part of its picture a row is. A row without one is the whole picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bier.data.box import Box, box_text, read_box
from bier.data.columns import Column
from bier.data.fields import Kinds
from bier.data.manifest import Manifest
from bier.errors import DataError

OBJECTS = "--objects"
"""How a person asks for them."""
BOX = "bbox"
"""The field."""


def with_box(name: str, box: str | None) -> str:
    """The id of an object, or its place: that of its picture, and which part of it is meant."""
    return name if box is None else f"{name}#{box}"


def of_picture(name: str, metadata: Mapping[str, Any]) -> str:
    """The id of the picture that an object is in; that of a whole picture is its own."""
    return name.removesuffix(f"#{metadata.get(BOX)}")


def box_of(metadata: Mapping[str, Any], kinds: Kinds) -> Box | None:
    """Which part of its picture a row is; None: all of it."""
    return read_box(metadata.get(BOX) or "") if kinds.get(BOX) == "box" else None


def box_texts(manifest: Manifest) -> list[str | None]:
    """The box of each row as a text, or none.

    Raises:
        DataError: no row has one.
    """
    boxes = np.full((len(manifest), 4), np.nan, np.float32) if manifest.bbox is None else manifest.bbox
    texts = [None if np.isnan(box).any() else box_text(tuple(box.tolist())) for box in boxes]
    if not any(texts):
        raise no_boxes(manifest.source)
    return texts


def no_boxes(source: str) -> DataError:
    """The error for a source without boxes."""
    remedy = "leave it out, or give a table with a column bbox, or with x, y, width and height"
    return DataError(f"{source} has no boxes", where=OBJECTS, remedy=remedy)


def with_boxes(fields: tuple[Column, ...], boxes: Sequence[str | None], source: str) -> tuple[Column, ...]:
    """The fields of a table, and the one that says which part of its picture each row is.

    Raises:
        DataError: another column would be this field.
    """
    if any(column.name == BOX for column in fields):
        raise DataError(f"another column would be the field {BOX!r}, too", where=source, remedy="rename it")
    return (*fields, Column(BOX, "box", boxes))


def check_alike(source: str, *, has_boxes: bool, objects: bool, kinds: Kinds) -> None:
    """Refuse whole pictures of a table with boxes where an index is of objects, and objects where it is not.

    Args:
        source: what messages call the table.
        has_boxes: whether it has any.
        objects: whether they are used.
        kinds: of the index's fields.

    Raises:
        DataError: they are not alike.
    """
    of_objects = kinds.get(BOX) == "box"
    if objects and not of_objects:
        raise DataError(
            "the index is of whole pictures", where=OBJECTS, remedy="leave it out, or make a new index of objects"
        )
    if has_boxes and of_objects and not objects:
        raise DataError(
            f"the index is of objects, and the boxes of {source} are not used", where=OBJECTS, remedy=f"give {OBJECTS}"
        )
