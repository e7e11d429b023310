"""Members of one kind by name: losses, backbones, datasets, engines, metrics.

Our own are found in the modules of one package: each module names its members in ``MEMBERS``. Other packages offer
theirs as entry points of a group, and a script may add one for itself. So a new member is one new file.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module, metadata
from typing import Generic, TypeVar

from bier.errors import ConfigError, nearest

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to members. What another package offers is imported when it is asked for.

    Args:
        kind: what a member is called in messages.
        package: whose modules hold our own.
        group: of the entry points of others, such as ``bier.losses``.
    """

    def __init__(self, kind: str, package: str, group: str) -> None:
        self.kind, self.package, self.group = kind, package, group
        self._added: dict[str, T] = {}

    def add(self, name: str, member: T) -> T:
        """Offer a member in this process, in the place of one of that name.

        Raises:
            ConfigError: the name is empty, or has spaces around it.
        """
        if not name or name.strip() != name:
            raise ConfigError(f"{name!r} is no name of a {self.kind}", where=self.group, remedy="use letters and _")
        self._added[name] = member
        return member

    def find(self, name: str, where: str) -> T:
        """The member, asked for at ``where``.

        Raises:
            ConfigError: there is none of that name; or the package that offers it cannot be imported.
        """
        if name not in self:
            raise ConfigError(f"unknown {self.kind} {name!r}", where=where, remedy=nearest(name, self))
        return self[name]

    def __getitem__(self, name: str) -> T:
        if name in self._added:
            return self._added[name]
        if name in self._own:
            return self._own[name]
        found = self._offered[name]
        try:
            member: T = found.load()
        except Exception as error:  # another's code, of whatever kind
            raise ConfigError(
                f"the {self.kind} {name!r} cannot be imported: {type(error).__name__}: {error}",
                where=found.value,
                remedy=f"mend or remove the package {found.dist.name if found.dist else found.value}",
            ) from error
        return member

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._own, *self._offered, *self._added]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    @cached_property
    def _own(self) -> dict[str, T]:
        home = import_module(self.package)
        names = [found.name for found in pkgutil.iter_modules(home.__path__)]
        modules = [import_module(f"{self.package}.{name}") for name in names]
        return {name: member for module in modules for name, member in getattr(module, "MEMBERS", {}).items()}

    @cached_property
    def _offered(self) -> dict[str, metadata.EntryPoint]:
        return {point.name: point for point in metadata.entry_points(group=self.group)}
