"""Filters: which pictures may be found, by the values of their fields. They are values and never code.

For each field, a filter is one value, a list of values of which one must do, or an object of conditions:

    {"label": ["boots", "shoes"], "price": {"at_least": 10, "below": 20}, "tags": {"not": "sale"}}

A list of texts fits a value that it holds. ``None`` is a missing value. A picture without a value passes ``not``, and
is in no range.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bier.data.fields import SUCH_AS, Kind, Kinds, Scalar, Value, checked, read
from bier.errors import ConfigError, SearchError, nearest

BOUNDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "at_least": operator.ge,
    "above": operator.gt,
    "at_most": operator.le,
    "below": operator.lt,
}
CONDITIONS = ("is", "not", *BOUNDS)
SIGNS = {"!=": "not", ">=": "at_least", "<=": "at_most", ">": "above", "<": "below", "=": "is"}
"""As a person types them; the longer ones first."""
SIGN_OF = {name: sign for sign, name in SIGNS.items()}
"""Of each bound, which is the same in the engines' languages."""
ORDERED: tuple[Kind, ...] = ("whole", "decimal", "date")
"""Kinds that have ranges."""


@dataclass(frozen=True)
class Filter:
    """What one field may be; found sound."""

    field: str
    kind: Kind
    among: tuple[Scalar | None, ...] | None = None
    """It is one of these, or a list that holds one; None: anything."""
    without: tuple[Scalar | None, ...] = ()
    """It is none of these, nor a list that holds one."""
    bounds: tuple[tuple[str, Scalar], ...] = ()
    """Of `BOUNDS`, each with its value."""

    def test(self) -> Callable[[Value], bool]:
        """Whether a value passes, as a function for many values."""
        if self.among is not None and not self.without and not self.bounds and self.kind != "texts":
            return frozenset(self.among).__contains__
        return self._passes

    def _passes(self, value: Value) -> bool:
        held: set[Scalar | None] = set(value) if isinstance(value, list) else {value}
        if self.among is not None and held.isdisjoint(self.among):
            return False
        within = value is not None and all(BOUNDS[name](value, limit) for name, limit in self.bounds)
        return held.isdisjoint(self.without) and (not self.bounds or within)


Filters = tuple[Filter, ...]
"""All of them hold."""


def passing(filters: Filters) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a picture's metadata passes all filters."""
    tests = [(one.field, one.test()) for one in filters]
    return lambda metadata: all(test(metadata.get(field)) for field, test in tests)


def check_filters(where: Mapping[str, Any] | None, kinds: Kinds, index: object) -> Filters:
    """Filters as somebody gives them, found sound; sorted by field.

    Args:
        where: as described above.
        kinds: of the index's fields.
        index: for messages.

    Raises:
        SearchError: there is no such field or condition, or a value is not of the field's kind.
    """
    check_fields(where or {}, kinds, index)
    return tuple(_filter(field, kinds[field], asked) for field, asked in sorted((where or {}).items()))


def check_fields(named: Mapping[str, Any], kinds: Kinds, index: object) -> None:
    """Raises `SearchError` if one is no field of the index."""
    for field in named:
        if field not in kinds:
            raise SearchError(f"no field {field!r}", where=index, remedy=nearest(str(field), kinds))


def check_value(value: Any, field: str, kind: Kind) -> Value:
    """The value as an index holds it; raises `SearchError` if it cannot be one of the field."""
    try:
        return checked(value, kind)
    except ValueError:
        raise SearchError(
            f"{str(value)[:80]!r} cannot be a value of the field {field!r} ({kind})",
            remedy=f"give {SUCH_AS[kind]}, or nothing",
        ) from None


def parse_filters(texts: Sequence[str], kinds: Kinds) -> dict[str, dict[str, Any]]:
    """What a person types, such as ``price<20``, as `check_filters` takes it.

    Values of one field and sign are alternatives for ``=``, and all excluded for ``!=``. Nothing after the sign is a
    missing value.

    Raises:
        ConfigError: there is no sign, or a range is given twice.
    """
    where: dict[str, dict[str, Any]] = {}
    for text in texts:
        field, sign, value = _cut(text, kinds)
        conditions = where.setdefault(field, {})
        name, given = SIGNS[sign], _read(value, kinds.get(field, "text"))
        if name in BOUNDS and name in conditions:
            raise ConfigError(f"{field}{sign} is given twice", where="--where", remedy="give it once")
        if name in BOUNDS:
            conditions[name] = given
        else:
            conditions.setdefault(name, []).extend(["", None] if given is None and _is_text(field, kinds) else [given])
    return where


def _is_text(field: str, kinds: Kinds) -> bool:
    return kinds.get(field) == "text"


def _cut(text: str, kinds: Kinds) -> tuple[str, str, str]:
    """Field, sign and value; fields of the index may have signs in their names."""
    for field in sorted(kinds, key=len, reverse=True):
        rest = text.removeprefix(field).lstrip()
        sign = next((sign for sign in SIGNS if rest.startswith(sign)), None)
        if sign is not None and text.startswith(field):
            return field, sign, rest.removeprefix(sign)
    places = [(text.find(sign), -len(sign), sign) for sign in SIGNS if sign in text]
    if not places or min(places)[0] == 0:
        raise ConfigError(
            f"{text!r} is not field=value", where="--where", remedy="--where label=shoes, or --where 'price<20'"
        )
    place, _, sign = min(places)
    return text[:place].strip(), sign, text[place + len(sign) :]


def _read(text: str, kind: Kind) -> Value:
    """What is typed as a value of the kind; text where it is none, which is then refused like any wrong value."""
    if kind in ("text", "texts"):
        return text or None
    bare = text.strip()
    return (read(bare, kind) if bare else None) if not bare or read(bare, kind) is not None else bare


def _filter(field: str, kind: Kind, asked: Any) -> Filter:
    conditions = asked if isinstance(asked, Mapping) else {"is": asked}
    for name in conditions:
        if name not in CONDITIONS:
            raise SearchError(
                f"no condition {str(name)[:80]!r}",
                where=f"the filter of {field!r}",
                remedy=nearest(str(name), CONDITIONS),
            )
    if not conditions:
        raise SearchError("has no condition", where=f"the filter of {field!r}", remedy="give one, or leave it out")
    among = _scalars(conditions["is"], field, kind) if "is" in conditions else None
    without = _scalars(conditions.get("not", ()), field, kind)
    bounds = tuple((name, _bound(field, kind, name, conditions[name])) for name in BOUNDS if name in conditions)
    return Filter(field, kind, among, without, bounds)


def _scalars(asked: Any, field: str, kind: Kind) -> tuple[Scalar | None, ...]:
    one: Kind = "text" if kind == "texts" else kind
    many = asked if isinstance(asked, list | tuple | set | frozenset) else [asked]
    found = (check_value(value, field, one) for value in many)
    return tuple(value for value in found if not isinstance(value, list))


def _bound(field: str, kind: Kind, name: str, limit: Any) -> Scalar:
    if kind not in ORDERED:
        raise SearchError(
            f"the field {field!r} ({kind}) has no order, so it has no {name!r}",
            remedy="filter it by what it is or is not; numbers and dates have ranges",
        )
    found = check_value(limit, field, kind)
    if found is None or isinstance(found, list):
        raise SearchError(f"{name!r} of the field {field!r} is missing", remedy=f"give {SUCH_AS[kind]}")
    return found
