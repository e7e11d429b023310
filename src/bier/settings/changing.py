"""Changes to settings by dotted names: converted to the type of their field, and checked against its bounds."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from bier.errors import ConfigError, nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def keys(kind: type, prefix: str = "") -> list[str]:
    """All dotted names of settings."""
    names: list[str] = []
    for name, hint in typing.get_type_hints(kind).items():
        names += (
            keys(typing.cast(type, hint), f"{prefix}{name}.") if dataclasses.is_dataclass(hint) else [prefix + name]
        )
    return names


def apply(config: T, changes: Mapping[str, object], where: str) -> T:
    """A copy of a dataclass of dataclasses with changed values, by dotted name, given at ``where``."""
    valid = keys(type(config))
    sections: dict[str, dict[str, object]] = {}
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        if key not in valid:
            if section in valid:  # one of the free keys of a dictionary, such as loss.options.alpha
                section, name, value = *section.split(".", 1), {**_get(config, section), name: value}
            else:
                raise ConfigError(f"unknown setting {key!r}", where=where, remedy=_nearest_key(key, valid))
        owner = getattr(config, section) if section else config
        hint = typing.get_type_hints(type(owner))[name]
        merged = value if not isinstance(value, dict) else {**sections.get(section, {}).get(name, {}), **value}  # type: ignore[dict-item]
        sections.setdefault(section, {})[name] = _convert(merged, hint, f"{where}: {key}")
    for section, values in sections.items():
        if section:
            config = dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **values)})
        else:
            config = dataclasses.replace(config, **values)
    _validate(config, where)
    return config


def _get(config: object, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _nearest_key(key: str, valid: Sequence[str]) -> str:
    by_last = [name for name in valid if name.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
    return f"did you mean {by_last[0]!r}?" if by_last else nearest(key, valid)


def _convert(value: object, hint: Any, where: str) -> object:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        errors = []
        for option in arguments:
            if option is not type(None):
                try:
                    return _convert(value, option, where)
                except ConfigError as error:
                    errors.append(error)
        raise errors[0]
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(
                f"unknown value {value!r}", where=where, remedy=nearest(str(value), [str(a) for a in arguments])
            )
        return value
    if origin is tuple:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")]
            value = [int(part) if part.isdigit() else part for part in value]
        if isinstance(value, list | tuple) and value and all(type(part) is int for part in value):
            return tuple(value)
        raise ConfigError(f"{value!r} is not a list of whole numbers", where=where, remedy="write [96, 160, 256]")
    if origin is dict:
        if isinstance(value, Mapping) and all(isinstance(part, int | float | str) for part in value.values()):
            return {str(key): part for key, part in value.items()}
        raise ConfigError(f"{value!r} is not a table of values", where=where, remedy="write {alpha: 2, beta: 0.5}")
    return _scalar(value, hint, where)


def _scalar(value: object, hint: Any, where: str) -> object:
    if hint is float and isinstance(value, str):  # YAML reads 1e-4 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    if hint is float and _is_number(value):
        return float(value)  # type: ignore[arg-type]
    if type(value) is hint:
        return value
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    raise ConfigError(f"{value!r} is not {words[hint]}", where=where, remedy=f"give {words[hint]}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_BOUNDS: dict[str, tuple[float, float, str]] = {
    "seed": (0, 2**31 - 1, "0 or more"),
    "data.test_classes": (0, 0.99, "a share from 0 to below 1"),
    "data.validation_classes": (0, 0.9, "a share from 0 to 0.9"),
    "data.validation_gallery": (0, 1e9, "0 or more"),
    "data.classes_per_batch": (2, 1e6, "at least 2: one class has no negatives"),
    "data.images_per_class": (2, 1e6, "at least 2: one image has no positive"),
    "data.workers": (0, 1024, "0 or more"),
    "image.size": (32, 4096, "32 to 4096 pixels"),
    "image.crop_scale": (0.01, 1, "a share above 0, at most 1"),
    "image.color_jitter": (0, 1, "0 to 1"),
    "model.learners": (1, 1024, "at least 1"),
    "model.dimensions": (1, 1e6, "at least 1"),
    "diversity.hidden": (1, 1e6, "at least 1"),
    "optimizer.epochs": (1, 1e6, "at least 1"),
    "optimizer.learning_rate": (0, 10, "0 to 10"),
    "optimizer.head_factor": (0, 1e6, "0 or more"),
    "optimizer.proxy_factor": (0, 1e6, "0 or more"),
    "optimizer.layer_decay": (0, 1, "0 to 1"),
    "optimizer.weight_decay": (0, 10, "0 to 10"),
    "optimizer.warmup": (0, 1, "a share from 0 to 1"),
    "optimizer.freeze": (0, 1000, "0 or more"),
    "hardware.images_at_once": (1, 1e6, "at least 1"),
    "hardware.threads": (1, 4096, "at least 1"),
    "checkpoint_seconds": (0, 1e9, "0 or more"),
}


def _validate(config: object, where: str) -> None:
    for key, (low, high, words) in _BOUNDS.items():
        value = _get(config, key)
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{value:g} is out of range", where=f"{where}: {key}", remedy=f"give {words}")
