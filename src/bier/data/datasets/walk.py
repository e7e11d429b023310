"""The files below a folder, the same for every command: system files passed over, every folder read once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path, PurePosixPath

from bier.system.places import Place, listed

_SYSTEM = frozenset(
    {
        "@eadir",  # Synology: thumbnails of every picture
        "@tmp",
        "#recycle",
        "#snapshot",
        "@recycle",  # QNAP
        "@recently-snapshot",
        "$recycle.bin",  # Windows
        "system volume information",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "__macosx",  # macOS
        "icon\r",
        "lost+found",  # Linux
    }
)
"""In lower case. Names that begin with a dot need no line here."""


_found: ContextVar[Callable[[int], object]] = ContextVar("found", default=lambda files: None)
"""Hears of files as they are found. Readers of all kinds walk folders, and none of them has to hand this on."""


@contextmanager
def counted(found: Callable[[int], object]) -> Iterator[None]:
    """While it lasts, `walk` calls ``found`` with the number of files that it has just found."""
    before = _found.set(found)
    try:
        yield
    finally:
        _found.reset(before)


def found_files(count: int) -> None:
    """Tell who listens, by `counted`, of so many more files; readers of files within files call it too."""
    _found.get()(count)


def is_system(name: str) -> bool:
    """Whether a file or folder of this name belongs to a system or a NAS, and not to the person's data."""
    return name.startswith(".") or name.casefold() in _SYSTEM


@dataclass(frozen=True)
class Tree:
    """What lies below a folder, by paths relative to it, with ``/``."""

    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    """Links to folders that are read under another path, or that hold the whole tree. They are not followed."""


def walk(root: Path) -> Tree:
    """Every file and folder below ``root``, except for those that `is_system` names.

    Links to files and to folders are followed. Each real folder is read once, so no link leads in a circle and no
    picture is counted again under another class.

    Raises:
        OSError: a folder may not be read.
        PlaceError: a bucket cannot be listed.
    """
    if isinstance(root, Place):
        return _tree_of(listed(root))
    tree = Tree()
    home = os.path.realpath(root)
    seen = {home}
    links: deque[str] = deque()
    _scan(root, "", home, tree, seen, links)
    while links:
        name = links.popleft()
        real = os.path.realpath(root / name)
        if real in seen or home.startswith(os.path.join(real, "")):
            tree.links.append(name)
            continue
        seen.add(real)
        tree.folders.append(name)
        _scan(root, name, real, tree, seen, links)
    return tree


def _tree_of(names: Iterable[str]) -> Tree:
    """The same of a bucket, which has files only: their names tell its folders."""
    files = sorted(name for name in names if not any(map(is_system, name.split("/"))))
    folders = {str(folder) for name in files for folder in PurePosixPath(name).parents} - {"."}
    found_files(len(files))
    return Tree(sorted(folders), files)


def _scan(root: Path, start: str, real: str, tree: Tree, seen: set[str], links: deque[str]) -> None:
    """A folder and all real folders below it. Links to folders wait: what they name may be found without them."""
    waiting = deque([(start, real)])
    while waiting:
        name, real = waiting.popleft()
        before = len(tree.files)
        for entry in _entries(root / name):
            path = f"{name}/{entry.name}" if name else entry.name
            if not _is_folder(entry):
                tree.files.append(path)
            elif entry.is_symlink():
                links.append(path)
            elif (place := os.path.join(real, entry.name)) not in seen:
                seen.add(place)
                tree.folders.append(path)
                waiting.append((path, place))
            else:
                tree.links.append(path)
        found_files(len(tree.files) - before)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=attrgetter("name"))
    return (entry for entry in found if not is_system(entry.name))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that names itself
        return False
