"""Which of several folders above a picture names its class, where folders lie in folders.

``boots/session_2/1.jpg`` is a picture of boots. ``Fruit/Apple/Golden-Delicious/1.jpg`` may be one of fruit, of apples
or of Golden Delicious, and only a person can say which of them a search is to tell apart.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from bier.data.datasets.layout import Layout, plain_label
from bier.data.manifest import natural
from bier.errors import DataError

MANY = 100
"""So many topmost folders are taken for the classes without a question: departments are fewer."""
SHOWN = 3
"""Names that a message gives for each choice."""
SETTING = "data.class_depth"
"""How a person chooses in training."""

Folders = tuple[str, ...]
"""Those above a picture, below the source and its splits; the topmost first."""

_NO_CLASS = re.compile(
    r"(session|set|batch|seq|sequence|cam|camera|view|angle|side|front|back|top|bottom|left|right|day|visit|take|shot"
    r"|part|scene|clip|video|track|frame|frames|image|images|img|imgs|photo|photos|picture|pictures|pics|raw|crop|crops"
    r"|original|originals|processed|train|val|test|good|bad|old|new|misc|other|others|canon|dcim|jpg|jpeg|png|v|p|s|n"
    r"|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)*"
)
"""Words that say when or how a picture was taken, and not what it shows; digits and signs are taken off before."""


def choices(layout: Layout, pictures: Iterable[str]) -> dict[int, list[Folders]]:
    """The depths at which folders may be the classes, each with its folders; 1 is always among them."""
    counts = Counter(layout.folders(picture) for picture in pictures)
    counts.pop((), None)
    deepest = max(map(len, counts), default=1)
    depths = [1, *(depth for depth in range(2, deepest + 1) if _may_be_classes(counts, depth))]
    return {depth: _natural({folders[:depth] for folders in counts}) for depth in depths}


def refuse_unclear(directory: Path, found: dict[int, list[Folders]]) -> None:
    """Raise DataError, a question, where folders of several depths may be the classes; ``found`` as of `choices`."""
    if len(found) < 2 or len(found[1]) > MANY:
        return
    lines = [f"  {SETTING}={depth}: {_counted(folders)}" for depth, folders in found.items()]
    raise DataError(
        "\n".join(["folders lie in folders, and it is not clear which of them are the classes:", *lines]),
        where=directory,
        remedy=f"choose one, for example --set {SETTING}={max(found)}",
    )


def note(found: dict[int, list[Folders]], choice: str = SETTING) -> list[str]:
    """A line for a person where the topmost folders were taken without a question, and others might be meant."""
    if len(found) < 2:
        return []
    depth, folders = max(found.items())
    return [
        f"the {len(found[1]):,} topmost folders are the classes; with {choice}={depth} it would be {_counted(folders)}"
    ]


def refuse_too_deep(
    directory: Path, layout: Layout, pictures: Iterable[str], class_depth: int, choice: str = SETTING
) -> None:
    """Raise DataError where no folder lies so deep."""
    deepest = max((len(layout.folders(picture)) for picture in pictures), default=0)
    if class_depth > max(deepest, 1):
        raise DataError(
            f"no picture lies {class_depth} folders deep in {directory.name}; the deepest lies in {deepest}",
            where=choice,
            remedy=f"set it to {deepest or 1} or less, or leave it out",
        )


def labels(layout: Layout, class_folders: Iterable[str]) -> dict[str, str]:
    """The label of each class folder: its own name, or its path where two classes have the same name."""
    below = {folder: layout.folders(f"{folder}/") for folder in class_folders}
    named: dict[str, set[str]] = defaultdict(set)
    for names in below.values():
        named[plain_label(names[-1])].add("/".join(map(plain_label, names)))
    return {
        folder: plain_label(names[-1]) if len(named[plain_label(names[-1])]) == 1 else "/".join(map(plain_label, names))
        for folder, names in below.items()
    }


def _may_be_classes(counts: Counter[Folders], depth: int) -> bool:
    """Whether the folders at a depth are many, of several pictures, and with names that say what is on them."""
    pictures: Counter[Folders] = Counter()
    for folders, count in counts.items():
        if len(folders) >= depth:
            pictures[folders[:depth]] += count
    parents = {folders[:-1] for folders in pictures}
    enough = 2 * sum(pictures.values()) >= sum(counts.values()) and len(pictures) >= 2 * len(parents)
    several = 2 * sum(count > 1 for count in pictures.values()) >= len(pictures)
    return enough and several and 2 * _named_like_classes(pictures) > len(pictures)


def _named_like_classes(folders: Iterable[Folders]) -> int:
    """How many are named after what is on them: the name stands under no other parent, and is no session or date."""
    above: dict[str, set[Folders]] = defaultdict(set)
    known = list(folders)
    for *parents, name in known:
        above[name.casefold()].add(tuple(parents))
    return sum(len(above[names[-1].casefold()]) == 1 and not _is_session(names) for names in known)


def _is_session(names: Sequence[str]) -> bool:
    """Whether a folder is named after its parent, a date, or the way in which pictures were taken."""
    name, parent = names[-1].casefold(), names[-2].casefold()
    named_so = len(parent) > 2 and parent in name
    rest = re.sub(r"[\W\d_]+", "", name.replace(parent, "") if named_so else name)
    if not rest:  # numbers alone may be those of products, but not beside the parent's name, nor a date
        return named_so or re.fullmatch(r"(19|20)\d\d([-_.]?\d\d){0,5}", name) is not None
    return _NO_CLASS.fullmatch(rest) is not None


def _natural(folders: Iterable[Folders]) -> list[Folders]:
    return sorted(folders, key=lambda names: [natural(name) for name in names])


def _counted(folders: Sequence[Folders]) -> str:
    names = [names[-1] for names in folders[:SHOWN]]
    classes = "1 class" if len(folders) == 1 else f"{len(folders):,} classes"
    return f"{classes} ({', '.join(names)}{', ...' if len(folders) > SHOWN else ''})"
