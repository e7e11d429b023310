"""A second look at the first hits of a search: the pictures' likeness to one another puts them in a better order.

    reranking = parse("k-reciprocal,k1=10")
    scores = reranking.scores(query, vectors_of_the_first_hits)

Pure functions of vectors. A method is one file here, and sees the first hits only. So its cost does not grow with the
gallery, and every engine, filter and staged search can be ranked again.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from bier.errors import ConfigError, nearest
from bier.method.reranking.method import Reranking
from bier.system.registry import Registry

__all__ = ["METHODS", "Reranking", "parse"]

METHODS: Registry[type[Reranking]] = Registry("re-ranking", __name__, "bier.reranking")
"""Re-rankings by name. A file here, or an entry point ``bier.reranking`` of another package, adds one."""


def parse(text: str, where: str = "rerank") -> Reranking:
    """``k-reciprocal``, or with options ``k-reciprocal,k1=10,lambda=0.5``.

    Args:
        text: the name of a method, then options.
        where: what asks for it, for messages.

    Raises:
        ConfigError: no such method or option, or a value out of its range.
    """
    name, *options = (part.strip() for part in text.split(","))
    method = METHODS.find(name, where)
    kinds = {field.name.rstrip("_"): (field.name, type(field.default)) for field in fields(method)}
    given: dict[str, Any] = {}
    for option in options:
        key, _, value = option.partition("=")
        if key not in kinds:
            raise ConfigError(f"{name} has no option {key!r}", where=where, remedy=nearest(key, kinds))
        field, kind = kinds[key]
        given[field] = _number(value, kind, f"{where} {name},{option}")
    return method(**given)


def _number(text: str, kind: type, where: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        whole = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{text!r} is not {whole}", where=where, remedy=f"write {whole}") from None
