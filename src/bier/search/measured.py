"""``approximate.json``: settings of an approximate index, and the recall that was measured with each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bier.errors import SearchError
from bier.system.files import write_json
from bier.system.json_files import read_object
from bier.system.json_values import list_of, number, object_of, one_of, record, whole

FILE = "approximate.json"
FORMAT = "bier-approximate-1"

Setting = Mapping[str, int]


@dataclass(frozen=True)
class Tried:
    """What was measured of searches among a share of the pictures."""

    share: float
    """That a filter left; 1: all."""
    recall: float | None = None
    """With the setting; None before it was measured, and where searches are exact."""
    setting: Setting | None = None
    """Of the engine; None: searches are exact."""
    best: float | None = None
    """The highest recall of any setting, where none reaches what was wanted."""


@dataclass(frozen=True)
class Approximation:
    """What is known of an index' approximate index; it stands in approximate.json."""

    wanted: float
    """The recall that was asked for; 1 asks for exact searches."""
    recall: float | None = None
    """What was measured with the setting; None before that, and where searches are exact."""
    pictures: int = 0
    """Held by the index when that was measured."""
    queries: int = 0
    setting: Setting | None = None
    """Of the engine; None: searches are exact."""
    best: float | None = None
    """The highest recall of any setting, where none reaches what was wanted."""
    within: tuple[Tried, ...] = ()
    """The same within filters, that which leaves the largest share first."""


def in_words(setting: Setting) -> str:
    """Such as ``partitions 20, refined 2``."""
    return ", ".join(f"{name} {value}" for name, value in setting.items())


_share = number(0, 1)
_setting = object_of(whole(1, 10**6))
_found = {"recall": _share, "best": _share, "setting": _setting}
_described = record(
    {"format": one_of(FORMAT), "wanted": _share, "pictures": whole(0, 2**63), "queries": whole(0, 10**6)},
    {**_found, "within": list_of(record({"share": _share}, _found))},
)


def read(folder: Path, name: str = FILE) -> Approximation | None:
    """What approximate.json says, or a file like it; None without it.

    Raises:
        SearchError: the file is damaged.
    """
    file = folder / name
    try:
        content = _described(read_object(file), "")
    except FileNotFoundError:
        return None
    except ValueError as error:
        remedy = "remove the file: the next `bier index`, `bier index tune` or `--staged` makes it anew"
        raise SearchError(f"is damaged: {error}", where=file, remedy=remedy) from error
    del content["format"]
    within = tuple(Tried(**one) for one in content.pop("within", ()))
    return Approximation(**content, within=within)


def write(folder: Path, known: Approximation, name: str = FILE) -> None:
    content = asdict(known)
    within = [_known(one) for one in content.pop("within")]
    write_json(folder / name, {"format": FORMAT, **_known(content), **({"within": within} if within else {})})


def _known(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if value is not None}
