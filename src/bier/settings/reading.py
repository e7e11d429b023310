"""Settings from a YAML file and from overrides on the command line, checked with their place named."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from bier.errors import ConfigError
from bier.settings.changing import apply
from bier.settings.schema import Config

_SIGNS = ("|", ">", ",", "#", "&")
"""Values that mean themselves, and something else in YAML."""


def load(file: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Defaults, then the file, then ``key=value`` overrides such as ``optimizer.epochs=20``.

    Raises:
        ConfigError: a file that cannot be read, an unknown key (with the nearest valid one), a value of another type.
    """
    config = Config()
    if file is not None:
        config = apply(config, _flatten(_read_yaml(file), Config), str(file))
    return override(config, overrides)


def from_table(content: Mapping[str, object], where: str = "settings") -> Config:
    """Defaults with the changes of a table, by dotted names or nested; raises as :func:`load`."""
    return apply(Config(), _flatten(content, Config), where)


def override(config: Config, overrides: Sequence[str], where: str = "--set") -> Config:
    """A copy with ``key=value`` overrides, given at ``where``; raises as :func:`load`."""
    changes: dict[str, object] = {}
    for setting in overrides:
        key, separator, text = setting.partition("=")
        if not separator:
            raise ConfigError(
                f"{setting!r} has no '='", where=where, remedy="write key=value, for example optimizer.epochs=20"
            )
        changes[key.strip()] = _parse(text, setting, where)
    return apply(config, changes, where)


def save(config: Config, path: Path) -> None:
    path.write_text(yaml.safe_dump(config.as_dict(), sort_keys=False), encoding="utf-8")


def _read_yaml(file: Path) -> Mapping[str, object]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=file, remedy="check the path given to --config") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        raise ConfigError(
            f"is not YAML: {error}", where=file, remedy="correct it; `bier settings` prints a file that works"
        ) from error
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise ConfigError("holds no table of settings", where=file, remedy="write lines such as 'seed: 1'")
    return content


def _parse(text: str, override: str, where: str) -> object:
    if text in _SIGNS:
        return text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        raise ConfigError(f"{override!r} has a value that is not YAML", where=where, remedy=str(error)) from error


def _flatten(table: Mapping[str, object], kind: type, prefix: str = "") -> dict[str, object]:
    hints = typing.get_type_hints(kind)
    flat: dict[str, object] = {}
    for key, value in table.items():
        hint = hints.get(str(key))
        if hint is not None and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
            flat |= _flatten(value, typing.cast(type, hint), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
