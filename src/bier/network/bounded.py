"""A network is built from a name: no larger than the tensors that are there for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from bier.errors import ModelError

SLACK = 10_000_000
"""Parameters that a network may have beside: of a classifier, say, which is built and taken off again."""


@contextmanager
def at_most(parameters: int) -> Iterator[None]:
    """Networks that this thread builds have at most twice so many parameters, and `SLACK`.

    Raises:
        ModelError: one has more; it is not built to the end.
    """
    left, thread = 2 * parameters + SLACK, threading.get_ident()

    def count(module: nn.Module, name: str, parameter: Any) -> None:
        nonlocal left
        if parameter is not None and threading.get_ident() == thread:
            left -= parameter.numel()
            if left < 0:
                raise ModelError(f"a network of far more than {parameters:,} parameters")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
