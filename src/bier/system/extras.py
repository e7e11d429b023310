"""What only some jobs need: other packages, and our own modules that take long to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from bier.errors import ConfigError


def need(module: str, extra: str) -> Any:
    """A module of an optional package, imported when it is first needed.

    Raises:
        ConfigError: it is not installed; the remedy names the extra of ``bier-dml`` that brings it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(f"this needs the package {error.name}", remedy=f"pip install 'bier-dml[{extra}]'") from error


def importing_later(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__``: public names are imported when they are first asked for.

    Args:
        package: its ``__name__``.
        homes: public name to the module in the package that has it.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return find
