"""Changes to settings by dotted names: converted to the type of their field, and checked against its range."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from bier.errors import ConfigError, nearest
from bier.settings.entries import Entry, entries

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def apply(config: T, changes: Mapping[str, object], where: str) -> T:
    """A copy of a dataclass of dataclasses with changed values, by dotted name, given at ``where``.

    Raises:
        ConfigError: an unknown name (with the nearest valid one), a value of another type, a number out of range.
    """
    known = {entry.key: entry for entry in entries(config)}
    values: dict[str, object] = {}
    for key, given in changes.items():
        name, value = (key, given) if key in known else _with_option(known, values, key, given, where)
        values[name] = _convert(value, known[name].hint, f"{where}: {key}")
    for name, value in values.items():
        config = _with_value(config, name, value)
    for entry in entries(config):
        entry.about.check(entry.value, f"{where}: {entry.key}")
    return config


def _with_option(
    known: Mapping[str, Entry], values: Mapping[str, object], key: str, value: object, where: str
) -> tuple[str, object]:
    """The name of a table of free keys, such as loss.options, and its content with one of them changed."""
    name, _, option = key.rpartition(".")
    table = values.get(name, known[name].value) if name in known else None
    if not isinstance(table, Mapping):
        raise ConfigError(f"unknown setting {key!r}", where=where, remedy=_nearest_key(key, list(known)))
    return name, {**table, option: value}


def _with_value(config: T, key: str, value: object) -> T:
    section, _, name = key.rpartition(".")
    if not section:
        return dataclasses.replace(config, **{name: value})
    return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **{name: value})})


def _nearest_key(key: str, valid: Sequence[str]) -> str:
    by_last = [name for name in valid if name.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
    return f"did you mean {by_last[0]!r}?" if by_last else nearest(key, valid)


def _convert(value: object, hint: Any, where: str) -> object:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _one_of(value, arguments, where)
    if origin is Literal:
        return _choice(value, arguments, where)
    if origin is tuple:
        return _texts(value, where) if arguments[0] is str else _whole_numbers(value, where)
    if origin is dict:
        return _table(value, where)
    return _scalar(value, hint, where)


def _one_of(value: object, hints: Sequence[Any], where: str) -> object:
    if value is None and type(None) in hints:
        return None
    errors = []
    for hint in hints:
        if hint is not type(None):
            try:
                return _convert(value, hint, where)
            except ConfigError as error:
                errors.append(error)
    raise errors[0]


def _choice(value: object, choices: Sequence[object], where: str) -> object:
    if value in choices:
        return value
    raise ConfigError(f"unknown value {value!r}", where=where, remedy=nearest(str(value), map(str, choices)))


def _whole_numbers(value: object, where: str) -> tuple[int, ...]:
    parts = value
    if isinstance(value, str):
        parts = [int(part) if part.strip().isdecimal() else part for part in value.split(",")]
    if isinstance(parts, list | tuple) and parts and all(type(part) is int for part in parts):
        return tuple(parts)
    raise ConfigError(f"{value!r} is not a list of whole numbers", where=where, remedy="write [96, 160, 256]")


def _texts(value: object, where: str) -> tuple[str, ...]:
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if isinstance(parts, list | tuple) and all(isinstance(part, str) and part for part in parts):
        return tuple(parts)
    raise ConfigError(f"{value!r} is not a list of texts", where=where, remedy="write [colour, shape]")


def _table(value: object, where: str) -> dict[str, object]:
    if isinstance(value, Mapping) and all(isinstance(part, int | float | str) for part in value.values()):
        return {str(key): _number(part) if isinstance(part, str) else part for key, part in value.items()}
    raise ConfigError(f"{value!r} is not a table of values", where=where, remedy="write {alpha: 2, beta: 0.5}")


def _scalar(value: object, hint: Any, where: str) -> object:
    if hint is float and not isinstance(value, bool):
        value = _number(value)
    if type(value) is hint:
        return value
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    raise ConfigError(f"{value!r} is not {words[hint]}", where=where, remedy=f"give {words[hint]}")


def _number(value: object) -> object:
    """As a float, if it is a number: YAML reads 1e-4 as text, and a whole number may be too large for a float."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return value
