"""Records from JSON, every field checked, and back.

A record is a frozen dataclass whose fields have the names of the file's keys.

- Keys that a record does not know are passed over; a field marked `REST` takes the numbers among them.
- A field that is missing or null has its default.
- A number that is null is NaN, and NaN is written as null: JSON has no NaN.
- A field whose default is None is not written where it is None.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from bier.errors import DataError

EXPECTED: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object {...}",
}
REST = {"rest": True}
"""Metadata of a field ``dict[str, float]`` that holds all numbers whose keys are no fields."""
Record = TypeVar("Record")
Value = TypeVar("Value")


def load(kind: type[Record], path: Path, remedy: str) -> Record:
    """The record that a JSON file holds; raises as `read_text` and `parse`."""
    return parse(kind, read_text(path), path, remedy)


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=path, remedy="check the file and its permissions") from error


def parse(kind: type[Record], text: str, path: Path, remedy: str, line: int | None = None) -> Record:
    """A record from JSON text; ``path`` and ``line`` say where the text stands, ``remedy`` what to do if it is broken.

    Raises:
        DataError: broken JSON, or a field that is missing or does not fit.
    """
    where = path if line is None else f"{path}:{line}"
    try:
        return from_json(kind, json.loads(text))
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno if line is None else line}"
        raise DataError(f"broken JSON: {error.msg} (column {error.colno})", where=where, remedy=remedy) from error
    except RecursionError as error:
        raise DataError("lists or objects are nested too deeply", where=where, remedy=remedy) from error
    except ValueError as error:
        raise DataError(str(error), where=where, remedy=remedy) from error


def from_json(kind: type[Record], value: object, at: str = "") -> Record:
    """A record from what a JSON parser gives.

    Args:
        kind: a dataclass of numbers, text, other records, tuples, dictionaries and optional ones of these. A field
            ``format`` must have its default, or be among the ``older_formats`` of its class.
        value: the JSON object.
        at: where it stands in the file, such as ``rows[0]``; empty for the whole.

    Raises:
        ValueError: a field is missing or does not fit; the message names it by its path.
    """
    content = _checked(dict, value, at)
    wanted = getattr(kind, "format", None)
    if wanted is not None and content.get("format") not in (wanted, *getattr(kind, "older_formats", ())):
        raise ValueError(f"format is {_shown(content.get('format'))}, not {wanted!r}")
    values = {}
    for field, hint in _fields(kind):  # type: ignore[arg-type]  # a class is hashable
        place = f"{at}.{field.name}".removeprefix(".")
        if field.metadata == REST:
            values[field.name] = _rest(kind, content)
            continue
        if content.get(field.name) is None and _has_default(field):
            continue
        if field.name not in content and not _may_be_none(hint):
            raise ValueError(f"the field {place!r} is missing")
        values[field.name] = _converted(hint, content.get(field.name), place)
    return kind(**values)


def as_json(value: Any) -> Any:
    """A record, or what stands in one, as `json` writes it: dictionaries, lists, text, numbers and None."""
    if is_dataclass(value):
        return _object(value)
    if isinstance(value, dict):
        return {str(key): as_json(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [as_json(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _object(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.metadata == REST:
            found |= as_json(value)
        elif value is not None or field.default is not None:
            found[field.name] = as_json(value)
    return found


def _rest(kind: type, content: dict[str, object]) -> dict[str, float]:
    known = {field.name for field, _ in _fields(kind)}
    found = {}
    for key, value in content.items():
        if key not in known and isinstance(value, float | int) and not isinstance(value, bool):
            found[key] = value
    return found


@cache
def _fields(kind: type) -> list[tuple[Field[Any], Any]]:
    hints = get_type_hints(kind)
    return [(field, hints[field.name]) for field in fields(kind)]


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _may_be_none(hint: Any) -> bool:
    return NoneType in get_args(hint)


def _converted(hint: Any, value: object, at: str) -> Any:
    """A value as its type hint wants it."""
    if _may_be_none(hint):
        return None if value is None else _converted(get_args(hint)[0], value, at)
    if is_dataclass(hint):
        return from_json(hint, value, at)  # type: ignore[arg-type]
    convert: Callable[[Any, object, str], Any] = {tuple: _tuple, dict: _dict}.get(get_origin(hint), _plain)
    return convert(hint, value, at)


def _tuple(hint: Any, value: object, at: str) -> tuple[Any, ...]:
    """``tuple[X, ...]`` from a list."""
    entry = get_args(hint)[0]
    return tuple(_converted(entry, part, f"{at}[{i}]") for i, part in enumerate(_checked(list, value, at)))


def _dict(hint: Any, value: object, at: str) -> dict[Any, Any]:
    """``dict[X, Y]`` from an object. Whole numbers as keys are sorted: JSON has them as text."""
    key, entry = get_args(hint)
    found = {name: _converted(entry, part, f"{at}.{name}") for name, part in _checked(dict, value, at).items()}
    return found if key is str else {number: found[name] for number, name in sorted((_key(n, at), n) for n in found)}


def _key(name: str, at: str) -> int:
    if not name.isdecimal():
        raise ValueError(f"the key {name!r} of {at!r} does not fit: expected a whole number")
    return int(name)


def _plain(hint: Any, value: object, at: str) -> Any:
    if hint is not float:
        return _checked(hint, value, at)
    if value is None:
        return math.nan
    try:
        return float(_checked(float, value, at))
    except OverflowError as error:
        raise ValueError(f"{at!r} does not fit: the number is too large") from error


def _checked(kind: type[Value], value: object, at: str) -> Value:
    number = kind is float and isinstance(value, int)
    if (isinstance(value, kind) or number) and (kind is bool or not isinstance(value, bool)):
        return value  # type: ignore[return-value]
    place = repr(at) if at else "the record"
    raise ValueError(f"{place} does not fit: expected {EXPECTED[kind]}, found {_shown(value)}")


def _shown(value: object) -> str:
    names = {dict: "an object", list: "a list", NoneType: "null"}
    return names.get(type(value)) or f"{value!r:.60}"
