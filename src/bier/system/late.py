"""Packages that others import at once and hardly ever use: stand-ins let them wait until somebody does.

A search imports timm and lancedb. These import torch's compiler, wandb and the client of a server of tables. That is
two fifths of the time from typing to the answer, and nothing of it is used.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

CLASSES = "lance_namespace_urllib3_client"
"""Thousands of classes, of which lancedb needs the names alone."""
COMPILER = "torch._dynamo"
ABSENT = "wandb"
"""What timm does without where it is not installed."""


@contextmanager
def waiting() -> Iterator[None]:
    """What is imported inside gets stand-ins, which fetch the real thing when they are used.

    For a program that compiles no network. Packages that are imported already stay as they are. After this, an import
    gives the real package.
    """
    finder = _StandIns()
    finder.wanted = {name for name in (CLASSES, COMPILER) if name not in sys.modules}
    absent = ABSENT not in sys.modules
    if absent:
        sys.modules[ABSENT] = None  # type: ignore[assignment]  # which makes an import fail
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        finder.forget()
        if absent:
            del sys.modules[ABSENT]


class _StandIns(MetaPathFinder, Loader):
    """Gives stand-ins for modules of some packages."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()
        self._made: list[ModuleType] = []

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        wanted = any(name == package or name.startswith(f"{package}.") for package in self.wanted)
        return ModuleSpec(name, self, is_package=True) if wanted else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        get = _late_class if spec.name.startswith(CLASSES) else _late_function
        module.__getattr__ = functools.partial(get, self, spec.name)  # type: ignore[method-assign]
        self._made.append(module)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to do."""

    def forget(self) -> None:
        """Let the next import give the real modules."""
        self.wanted.clear()
        for module in self._made:
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]
            parent, _, name = module.__name__.rpartition(".")
            if getattr(sys.modules.get(parent), "__dict__", {}).get(name) is module:
                delattr(sys.modules[parent], name)
        self._made.clear()

    def real(self, module: str, name: str) -> Any:
        self.forget()
        return getattr(importlib.import_module(module), name)


def _private(name: str) -> bool:
    return name.startswith("__")


class _LateClass(type):
    """A class that is looked up when it is used."""

    late: Callable[[], Any]

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        return cls.late()(*arguments, **options)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.late())

    def __getattr__(cls, name: str) -> Any:
        if _private(name):
            raise AttributeError(name)
        return getattr(cls.late(), name)


def _late_class(stand_ins: _StandIns, module: str, name: str) -> Any:
    if _private(name):
        raise AttributeError(name)
    return _LateClass(name, (), {"late": staticmethod(functools.partial(stand_ins.real, module, name))})


def _late_function(stand_ins: _StandIns, module: str, name: str) -> Any:
    """A function of the compiler. ``disable`` leaves a function as it is: nothing is compiled."""
    if _private(name):
        raise AttributeError(name)

    def late(*arguments: Any, **options: Any) -> Any:
        return stand_ins.real(module, name)(*arguments, **options)

    def disable(function: Callable[..., Any] | None = None, *_: Any, **options: Any) -> Any:
        return functools.partial(disable, **options) if function is None else function

    return disable if name == "disable" else late
