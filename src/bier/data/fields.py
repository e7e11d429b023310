"""Fields: what is known of a picture beside itself. Each has a kind, and its values are of that kind or missing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np

from bier.data.box import box_text, read_box

Kind = Literal["text", "whole", "decimal", "yes/no", "date", "texts", "box"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Kinds = Mapping[str, Kind]
"""Field to kind."""

Scalar = str | int | float | bool
Value = Scalar | list[str] | None
"""``whole`` has 64 bits. A ``date`` is ISO text, with a time of UTC if it has one. A ``box`` is a text of
`bier.data.box.box_text`. ``None``: nothing is known."""

LONGEST_VALUE = 8192
"""Bytes of a text in UTF-8, or of all texts of a list."""

LONGEST_FIELD = 63
"""Bytes of a field's name in UTF-8."""

SUCH_AS: Mapping[Kind, str] = {
    "text": f"a text of at most {LONGEST_VALUE:,} bytes without NUL",
    "whole": "a whole number, such as 12",
    "decimal": "a number, such as 19.9",
    "yes/no": "yes or no (true or false in Python and JSON)",
    "date": "a date, such as 2024-05-31 or 2024-05-31T18:30:00",
    "texts": f"texts of at most {LONGEST_VALUE:,} bytes together, without NUL",
    "box": "a box, such as 10,20,40,30: left, top, width and height in pixels",
}
"""What a value of a kind is, in words."""

_WHOLE = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)  # 007 and +49 are names of something, and no numbers
_DECIMAL = re.compile(r"-?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_WORDS = {"yes": True, "true": True, "no": False, "false": False}


def checked(value: Any, kind: Kind) -> Value:
    """The value as an index holds it.

    Raises:
        ValueError: it is of another kind, too large or too long.
    """
    found = None if value is None else _CHECKS[kind](value)
    if found is None and value is not None:
        raise ValueError(f"{str(value)[:80]!r} is not {SUCH_AS[kind]}")
    return found


def read(text: str, kind: Kind) -> Value:
    """The value that a cell of a table, or a person, has written; None if it is not of that kind."""
    reader: Callable[[str], Value] = _READERS.get(kind, _CHECKS[kind])
    return reader(text)


def parsed(text: str, kind: Kind) -> Value:
    """As `read`.

    Raises:
        ValueError: it is not of that kind.
    """
    found = read(text, kind)
    if found is None:
        raise ValueError(f"{text[:80]!r} is not {SUCH_AS[kind]}")
    return found


def shown(value: Value) -> str:
    """For people; nothing for a missing value."""
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def in_words(kinds: Kinds) -> str:
    """Names and kinds on one line."""
    return ", ".join(f"{name} ({kind})" for name, kind in kinds.items())


def arrow_type(kind: Kind) -> Any:
    """How Arrow holds values of a kind."""
    import pyarrow as arrow

    types = {"whole": arrow.int64(), "decimal": arrow.float64(), "yes/no": arrow.bool_()}
    return arrow.list_(arrow.string()) if kind == "texts" else types.get(kind, arrow.string())


def size(text: str) -> int:
    """Bytes in UTF-8; too many where it has none, as a path that Python could not read."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return LONGEST_VALUE + 1


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and "\0" not in value and size(value) <= LONGEST_VALUE else None


def _whole(value: Any) -> int | None:
    exact = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
    number = int(value) if exact and not isinstance(value, bool) else 2**63
    return number if -(2**63) <= number < 2**63 else None


def _decimal(value: Any) -> float | None:
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    return number if math.isfinite(number) else None


def _yes(value: Any) -> bool | None:
    return bool(value) if isinstance(value, bool | np.bool_) else None


def _date(value: Any) -> str | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value) if _DATE.fullmatch(value) else None
        except ValueError:  # the 31st of February
            return None
    if isinstance(value, datetime):
        value = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        return str(value.date() if value.time() == time() else value).replace(" ", "T")
    return str(value) if isinstance(value, date) else None


def _texts(value: Any) -> list[str] | None:
    good = isinstance(value, list | tuple) and all(_text(one) is not None for one in value)
    return list(value) if good and sum(map(size, value)) <= LONGEST_VALUE else None


def _box(value: Any) -> str | None:
    box = read_box(value) if isinstance(value, str) else None
    return None if box is None else box_text(box)


_CHECKS: Mapping[Kind, Callable[[Any], Value]] = {
    "text": _text,
    "whole": _whole,
    "decimal": _decimal,
    "yes/no": _yes,
    "date": _date,
    "texts": _texts,
    "box": _box,
}


def _read_whole(text: str) -> Value:
    return _whole(int(text)) if len(text) < 30 and _WHOLE.fullmatch(text) else None


def _read_decimal(text: str) -> Value:
    if _WHOLE.fullmatch(text) and _read_whole(text) is None:  # so long a number would lose its last digits
        return None
    return _decimal(float(text)) if _DECIMAL.fullmatch(text) else None


def _read_yes(text: str) -> Value:
    return _WORDS.get(text.casefold())


def _read_texts(text: str) -> Value:
    try:
        return _texts(json.loads(text)) if text.startswith("[") else None
    except (ValueError, RecursionError):
        return None


_READERS: Mapping[Kind, Callable[[str], Value]] = {
    "whole": _read_whole,
    "decimal": _read_decimal,
    "yes/no": _read_yes,
    "texts": _read_texts,
}
