"""What the columns of an Arrow table hold, by their types: text, numbers, or pictures themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bier.errors import DataError

SHOWN = 100
"""Characters of a type that a message spells out."""


def is_bytes(kind: Any) -> bool:
    from pyarrow import types

    binary = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    return any(test(kind) for test in binary)


def bytes_field(column: str, kind: Any) -> str | None:
    """The place of pictures themselves in a column: ``image``, or ``image.bytes`` as Hugging Face writes it.

    None where the column holds something else.
    """
    from pyarrow import types

    if is_bytes(kind):
        return column
    if types.is_struct(kind) and any(field.name == "bytes" and is_bytes(field.type) for field in kind):
        return f"{column}.bytes"
    return None


def check_type(column: str, kind: Any, file: Path) -> None:
    """Refuse a column whose values cannot be what it is named for; ``bbox`` and ``label`` may be lists.

    Raises:
        DataError: it holds lists, structs or the like; column and type are named, no values.
    """
    from pyarrow import types

    values = kind.value_type if types.is_dictionary(kind) else kind
    if column == "image":
        fits = bytes_field(column, values) or _is_text(values) or types.is_null(values)
    else:
        fits = (
            not types.is_nested(values)
            or (column == "bbox" and not types.is_struct(values))
            or (column == "label" and is_list(values) and not types.is_nested(values.value_type))
        )
    if not fits:
        raise DataError(
            f"the column {column!r} holds values of type {kind!s:.{SHOWN}}",
            where=file,
            remedy="give paths as text, or pictures as binary values or as struct<bytes, path>"
            if column == "image"
            else "give text or numbers",
        )


def is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind))


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return any(test(kind) for test in (types.is_string, types.is_large_string, types.is_string_view))


def class_names(schema: Any, column: str) -> list[str] | None:
    """The names of the classes 0, 1, 2 and so on, where Hugging Face's description of the table gives them."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        names = about["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return [str(name) for name in names] if isinstance(names, list) else None
