"""A folder with one folder for each class, and perhaps train/, val/, test/, query/, gallery/ above those."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from stat import S_ISREG

from bier.data.datasets import class_level
from bier.data.datasets.annotations import RowFaults
from bier.data.datasets.layout import Layout, layout_of, split_names
from bier.data.datasets.reader import Reader
from bier.data.datasets.walk import Tree, walk
from bier.data.formats import is_picture, is_readable, kind_is_readable, kind_of_name, suffix_of
from bier.data.manifest import Manifest, natural
from bier.data.passed_over import by_suffix, in_words
from bier.data.signatures import START, content_kind
from bier.errors import DataError


def read(directory: Path, faulty: RowFaults | None = None, class_depth: int | None = None) -> Manifest:
    """The manifest, with the names of the class folders as labels.

    Folders within a class belong to it. Pictures are known by their suffix, so that none has to be opened; files
    without one by their first bytes. What is passed over is counted in the manifest.

    Args:
        directory: of the pictures.
        faulty: gets the classes of which nothing can be read; none given: they are an error.
        class_depth: how many folders deep the classes lie, below the folders of splits if there are any. None given:
            the topmost are the classes, or it is an error where that is not clear.

    Raises:
        DataError: there is no such folder, no class folder or no picture in it, only some of the folders above the
            classes are named like splits, no picture of a class can be read here, or folders of several
            depths may be the classes.
        OSError: a folder may not be read.
    """
    if not directory.is_dir():
        raise DataError("is not a folder", where=directory, remedy="give a folder that holds one folder for each class")
    tree = walk(directory)
    pictures, others = sort_out(tree, directory)
    tops = [folder for folder in tree.folders if "/" not in folder]
    layout = replace(known_layout(directory, tops), class_depth=class_depth or 1)
    classes = by_class(layout, pictures)
    loose = classes.pop(None, [])
    _refuse_loose(directory, layout, tree.folders if classes else [], loose)
    if not classes:
        raise DataError(
            f"no pictures in this folder{but_others(others)}",
            where=directory,
            remedy="it should hold one folder for each class, with pictures such as .jpg or .png",
        )
    _refuse_vanished(directory, by_class(layout, others), classes, faulty)
    found = class_level.choices(layout, pictures) if class_depth is None else {}
    class_level.refuse_unclear(directory, found)
    class_level.refuse_too_deep(directory, layout, pictures, class_depth or 1)
    names = class_level.labels(layout, filter(None, classes))
    rows = in_order(classes)
    refuse_names([picture for picture, _ in rows], directory)
    return Manifest.of(
        directory,
        directory.name,
        image=[picture for picture, _ in rows],
        label=[names[folder] for _, folder in rows],
        split=[layout.split(folder) for _, folder in rows],
        numbered=False,
        passed_over=by_suffix(others),
        notes=[*about_loose(loose), *about_links(tree), *class_level.note(found)],
    )


def sort_out(tree: Tree, root: Path) -> tuple[list[str], list[str]]:
    """Files that can be read here as pictures, and the others."""
    pictures: list[str] = []
    others: list[str] = []
    readable = cache(is_readable)  # of suffixes, of which there are few
    for path in tree.files:
        suffix = suffix_of(path)
        found = readable(f"name{suffix}") or (not suffix and holds_picture(first_bytes(root / path)))
        (pictures if found else others).append(path)
    return pictures, others


_SURE = {"BMP": rb"BM....\0\0\0\0", "PPM": rb"P[1-6]\s+[\d#]"}
"""What the first bytes must also look like where nothing else says that a file is a picture."""


def holds_picture(start: bytes) -> bool:
    """Whether a file that begins so is a picture that can be read here. Text may begin with BM or P1 as well."""
    kind = content_kind(start)
    return kind is not None and kind_is_readable(kind) and re.match(_SURE.get(kind, b""), start, re.DOTALL) is not None


def first_bytes(file: Path) -> bytes:
    """The start of a file; nothing where there is no such file, or where it might never end."""
    try:
        if not S_ISREG(os.stat(file).st_mode):
            return b""
        with open(file, "rb") as stream:
            return stream.read(START)
    except (OSError, ValueError):
        return b""


def by_class(layout: Layout, paths: Iterable[str]) -> dict[str | None, list[str]]:
    """Paths by their class folder; under none those that lie in no class folder."""
    found: dict[str | None, list[str]] = defaultdict(list)
    for path in paths:
        found[layout.class_folder(path)].append(path)
    return found


def in_order(classes: Mapping[str | None, Sequence[str]]) -> list[tuple[str, str]]:
    """Pictures with their class folders, both in natural order."""
    folders = sorted(classes, key=lambda folder: [natural(name) for name in str(folder).split("/")])
    return [(picture, str(folder)) for folder in folders for picture in sorted(classes[folder], key=natural)]


def but_others(others: Sequence[str]) -> str:
    """What is there instead of pictures, for the end of a message."""
    return f"; passed over: {in_words(by_suffix(others))}" if others else ""


def about_loose(loose: Sequence[str]) -> list[str]:
    return [f"pictures beside the class folders, passed over: {len(loose):,}, such as {loose[0]}"] if loose else []


def about_links(tree: Tree) -> list[str]:
    found = ", ".join(tree.links[:3]) + (" and others" if len(tree.links) > 3 else "")
    return [f"links to folders that are read already, passed over: {found}"] if tree.links else []


def known_layout(directory: Path, tops: Sequence[str]) -> Layout:
    """The layout of a source by its topmost folders.

    Raises:
        DataError: only some of them are named like splits.
    """
    layout = layout_of(tops)
    if layout is None:
        _, others = split_names(tops)
        raise DataError(
            f"some folders here are named like splits, and some are not ({', '.join(map(repr, others[:3]))})",
            where=directory,
            remedy="keep only train, val, test, query and gallery above the class folders, or rename the classes",
        )
    return layout


def _refuse_loose(directory: Path, layout: Layout, folders: Iterable[str], loose: Sequence[str]) -> None:
    """Loose pictures where there are no class folders to put them in: in the whole, or in a split's folder."""
    with_classes = {folder.rpartition("/")[0] for folder in folders if folder.count("/") == layout.depth}
    sides = {path.rpartition("/")[0] for path in loose if path.count("/") == layout.depth}
    for side in sorted(sides - with_classes):
        raise DataError(
            "the pictures lie side by side, with no folder for each class",
            where=directory / side,
            remedy="put the pictures of each class into a folder of its own, or list them in labels.csv "
            "(a header line image,label, then one line for each picture)",
        )


def _refuse_vanished(
    directory: Path,
    others: Mapping[str | None, Sequence[str]],
    classes: Mapping[str | None, Sequence[str]],
    faulty: RowFaults | None,
) -> None:
    """Classes that are there, and of which nothing can be read."""
    for folder, paths in others.items():
        unread = [path for path in paths if _is_unread_picture(directory, path)]
        if folder is None or folder in classes or not unread:
            continue
        what = f"no picture of the class {folder!r} can be read: {in_words(by_suffix(unread))}"
        if faulty is None:
            raise DataError(what, where=directory / folder, remedy="make them readable, or move the folder away")
        faulty.add(None, what)


def _is_unread_picture(directory: Path, path: str) -> bool:
    return is_picture(kind_of_name(path) if suffix_of(path) else content_kind(first_bytes(directory / path)))


def refuse_names(paths: Iterable[str], root: Path) -> None:
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"a name is not valid text: {path!r}", where=root, remedy="rename the file") from error


MEMBERS = {"folder": Reader(lambda path: False, lambda path, config, faulty: read(path, faulty, config.class_depth))}
"""Any folder may be one, so it is what is left when no other reader recognises it."""
