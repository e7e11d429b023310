"""A folder with one folder for each class, and perhaps train/, val/, test/, query/, gallery/ above those."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bier.data.datasets.reader import Reader
from bier.data.formats import SUFFIXES
from bier.data.manifest import SPLIT_NAMES, UNDECIDED, Manifest, natural
from bier.errors import DataError


def read(directory: Path) -> Manifest:
    """The manifest, with the names of the class folders as labels.

    Folders within a class belong to it; files beside the class folders and hidden ones are passed over. Pictures are
    known by their suffix, so that none has to be opened.

    Raises:
        DataError: there is no such folder, no class folder or no picture in it, only some of the folders above the
            classes are named like splits.
        OSError: a folder may not be read.
    """
    if not directory.is_dir():
        raise DataError("is not a folder", where=directory, remedy="give a folder that holds one folder for each class")
    top = _folders(directory)
    classes: list[tuple[Path, str]]
    if _are_splits(directory, top):
        classes = [(folder, SPLIT_NAMES[side.name.casefold()]) for side in top for folder in _folders(side)]
        _refuse_loose([side for side in top if not _folders(side)])
    else:
        classes = [(folder, UNDECIDED) for folder in top]
    rows = [(picture, folder.name, split) for folder, split in classes for picture in _pictures(folder, root=directory)]
    if not rows:
        _refuse_loose([directory])
        raise DataError(
            "no pictures in this folder",
            where=directory,
            remedy=f"it should hold one folder for each class, with pictures ({' '.join(sorted(SUFFIXES))})",
        )
    return Manifest.of(
        directory,
        directory.name,
        image=[picture for picture, _, _ in rows],
        label=[label for _, label, _ in rows],
        split=[split for _, _, split in rows],
    )


def _are_splits(directory: Path, folders: Sequence[Path]) -> bool:
    others = [folder.name for folder in folders if folder.name.casefold() not in SPLIT_NAMES]
    named = len(folders) - len(others)
    # One class among others may be called "train"; two such names are no accident.
    if others and named > 1:
        raise DataError(
            f"some folders here are named like splits, and some are not ({', '.join(map(repr, others[:3]))})",
            where=directory,
            remedy="keep only train, val, test, query and gallery above the class folders, or rename the classes",
        )
    return named > 0 and not others


def _folders(directory: Path) -> list[Path]:
    with os.scandir(directory) as entries:
        found = [Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    return sorted(found, key=lambda folder: natural(folder.name))


def _pictures(folder: Path, root: Path) -> list[str]:
    """Paths of the pictures anywhere below the folder, relative to the root, in natural order."""
    found: list[str] = []
    for base, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        where = Path(base).relative_to(root).as_posix()
        found += [f"{where}/{name}" for name in files if _is_picture(name)]
    for path in found:
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"a name is not valid text: {path!r}", where=root, remedy="rename the file") from error
    return sorted(found, key=natural)


def _raise(error: OSError) -> None:
    raise error


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def _refuse_loose(directories: Sequence[Path]) -> None:
    for directory in directories:
        if any(map(_is_picture, os.listdir(directory))):
            raise DataError(
                "the pictures lie side by side, with no folder for each class",
                where=directory,
                remedy="put the pictures of each class into a folder of its own, or list them in labels.csv "
                "(a header line image,label, then one line for each picture)",
            )


MEMBERS = {"folder": Reader(lambda path: False, lambda path, config, faulty: read(path))}
"""Any folder may be one, so it is what is left when no other reader recognises it."""
