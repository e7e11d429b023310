"""Tar files of pictures, one or a folder of them, as WebDataset writes them. Nothing is unpacked.

Only headers and labels are read. Each picture becomes a reference to its bytes, so batches are drawn as from a folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bier.data.datasets import class_level
from bier.data.datasets.annotations import RowFaults
from bier.data.datasets.folder import about_links, about_loose, by_class, in_order, known_layout, refuse_names, sort_out
from bier.data.datasets.layout import plain_label
from bier.data.datasets.parts import holds_parts, splits_of
from bier.data.datasets.reader import Reader
from bier.data.datasets.tars import (
    LABELS,
    SUFFIX,
    TEXT,
    Member,
    Tar,
    folders_above,
    label_files,
    plain,
    read_tar,
    tar_files,
)
from bier.data.datasets.walk import found_files, walk
from bier.data.manifest import SPLIT_NAMES, UNDECIDED, Manifest, natural
from bier.data.references import tar_uri
from bier.errors import DataError
from bier.system.places import is_url, matching

SHOWN = 3
"""Names that a message spells out."""


@dataclass(frozen=True)
class _Shard:
    name: str
    """Its path, relative to the source."""
    tar: Tar
    split: str
    """Which its name says, or none."""


@dataclass(frozen=True)
class _Picture:
    shard: str
    member: Member
    path: str
    """As it would be called in a folder: below its split, and without folders that hold every picture."""
    label: str | None
    """By the file beside it."""


@dataclass(frozen=True)
class _Row:
    picture: _Picture
    label: str
    split: str


def read(path: Path, faulty: RowFaults | None = None, class_depth: int | None = None) -> Manifest:
    """The manifest, in the order that the same pictures would have in a folder.

    Labels stand in files beside the pictures. Without any, the class folders within the tar files are the labels, and
    without those, short ``.txt`` files. The name of a tar file or of its folder may say the split, as in
    ``train-0000.tar``; so may the topmost folders within the tar files.

    Args:
        path: a tar file, or a folder of them.
        faulty: gets damaged tar files, pictures without a label and names that occur twice, which are then left out;
            none given: they are an error.
        class_depth: as for `bier.data.datasets.folder.read`.

    Raises:
        DataError: there are no tar files or no pictures, pictures lie beside the tar files, labels are missing, a tar
            file is damaged, a name occurs twice in a split, or only some of the names say a split.
        OSError: a folder may not be read.
    """
    root, names, links = _files(path)
    splits = splits_of(path, names)
    shards = [_Shard(name, _read_tar(root / name), split) for name, split in zip(names, splits, strict=True)]
    for shard in shards:
        for fault in shard.tar.faults:
            what = f"{fault}; pictures before: {len(shard.tar.pictures):,}"
            _refuse(what, root / shard.name, "copy it again, or leave it out", faulty)
    texts = _are_labelled_by_texts(shards)
    pictures = _named_once(_pictures(shards, texts), root, faulty)
    if not pictures:
        told = f": {faulty.found[0][1]}" if faulty is not None and faulty.found else ""
        what = f"there are no pictures in the tar files{told}"
        raise DataError(what, where=path, remedy="check what is in them: tar -tf")
    labelled = texts or any(shard.tar.labels for shard in shards)
    choose = _by_files if labelled else _by_folders
    rows, notes = choose(path, pictures, class_depth, faulty)
    refuse_names([row.picture.member.name for row in rows], path)
    images = [tar_uri(row.picture.shard, *row.picture.member) for row in rows]
    return Manifest.of(
        root,
        root.name if path.is_dir() else f"{root.name}/{path.name}",
        image=images,
        label=[row.label for row in rows],
        split=[row.split for row in rows],
        numbered=False,
        passed_over=_passed_over(shards, texts),
        notes=[*_about_ends(shards), *links, *notes],
    )


def _files(path: Path) -> tuple[Path, list[str], list[str]]:
    """The folder that holds the tar files, their paths in it, and notes."""
    if several := matching(path):
        return path.parent, sorted(several, key=natural), []
    if path.is_file():
        return path.parent, [path.name], []
    tree = walk(path)
    pictures, _ = sort_out(tree, path)
    names = tar_files(path, tree.files, pictures)
    if not names:
        raise DataError("there are no tar files in this folder", where=path, remedy="give a folder with .tar files")
    return path, names, about_links(tree)


def _read_tar(file: Path) -> Tar:
    tar = read_tar(file)
    found_files(len(tar.pictures))
    return tar


def _are_labelled_by_texts(shards: Sequence[_Shard]) -> bool:
    """Whether nothing but ``.txt`` files can say what is on the pictures."""
    if any(shard.tar.labels for shard in shards) or not any(shard.tar.texts for shard in shards):
        return False
    return not any("/" in plain(member.name) for shard in shards for member in shard.tar.pictures)


def _pictures(shards: Sequence[_Shard], texts: bool) -> list[_Picture]:
    members = [member for shard in shards for member in shard.tar.pictures]
    above = len(folders_above(members))
    inside = {parts[above] for parts in (plain(member.name).split("/") for member in members) if len(parts) > above + 1}
    splits_inside = bool(inside) and all(name.casefold() in SPLIT_NAMES for name in inside)
    found = []
    for shard in shards:
        labels = label_files(shard.tar, texts)
        for member in shard.tar.pictures:
            path = "/".join(plain(member.name).split("/")[above:])
            named = shard.split and not splits_inside
            found.append(_Picture(shard.name, member, f"{shard.split}/{path}" if named else path, labels[member.name]))
    return found


def _named_once(pictures: Iterable[_Picture], root: Path, faulty: RowFaults | None) -> list[_Picture]:
    first: dict[str, _Picture] = {}
    for picture in pictures:
        other = first.setdefault(picture.path, picture)
        if other is not picture:
            place = "twice in it" if other.shard == picture.shard else f"in {other.shard} too"
            what = f"{picture.member.name!r} is {place}"
            remedy = "give each picture a name of its own, or leave one of them out"
            _refuse(what, root / picture.shard, remedy, faulty)
    return list(first.values())


def _by_files(
    path: Path, pictures: Sequence[_Picture], class_depth: int | None, faulty: RowFaults | None
) -> tuple[list[_Row], list[str]]:
    """Rows by the labels beside the pictures; the topmost folders can still say the split."""
    if class_depth is not None:
        raise DataError(
            "the labels stand in files beside the pictures, and not in the names of folders",
            where=class_level.SETTING,
            remedy="leave it out",
        )
    _refuse_unlabelled(path, pictures, [picture for picture in pictures if not picture.label], faulty)
    splits = [_top_split(picture) for picture in pictures]
    if not all(splits):
        splits = [UNDECIDED] * len(splits)
    rows = [
        _Row(picture, plain_label(picture.label), split)
        for picture, split in zip(pictures, splits, strict=True)
        if picture.label
    ]
    rows.sort(key=lambda row: (row.split, natural(row.label), natural(row.picture.path)))
    return rows, []


def _top_split(picture: _Picture) -> str:
    top, slash, _ = picture.path.partition("/")
    return SPLIT_NAMES.get(top.casefold(), UNDECIDED) if slash else UNDECIDED


def _refuse_unlabelled(
    path: Path, pictures: Sequence[_Picture], without: Sequence[_Picture], faulty: RowFaults | None
) -> None:
    if not without:
        return
    if bare := _bare(pictures, without):
        what = f"no picture in {_listed(bare)} has a label file, and pictures in other tar files have one"
    else:
        what = f"{len(without):,} of {len(pictures):,} pictures have no label file: {_listed(map(_called, without))}"
    _refuse(what, path, f"put a file {' or '.join(LABELS)} beside each picture, or leave these out", faulty)


def _bare(pictures: Iterable[_Picture], without: Iterable[_Picture]) -> list[str]:
    """The tar files of whose pictures none has a label."""
    every = Counter(picture.shard for picture in pictures)
    return [name for name, count in Counter(picture.shard for picture in without).items() if count == every[name]]


def _by_folders(
    path: Path, pictures: Sequence[_Picture], class_depth: int | None, faulty: RowFaults | None
) -> tuple[list[_Row], list[str]]:
    """Rows by class folders within the tar files."""
    known = {picture.path: picture for picture in pictures}
    tops = dict.fromkeys(name.partition("/")[0] for name in known if "/" in name)
    layout = replace(known_layout(path, list(tops)), class_depth=class_depth or 1)
    classes = by_class(layout, known)
    loose = classes.pop(None, [])
    if not classes:
        raise DataError(
            "the pictures in the tar files have no labels",
            where=path,
            remedy=f"put a file {' or '.join(LABELS)} beside each picture, or the pictures into class folders",
        )
    _refuse_bare(path, known, loose, faulty)
    found = class_level.choices(layout, known) if class_depth is None else {}
    class_level.refuse_unclear(path, found)
    class_level.refuse_too_deep(path, layout, known, class_depth or 1)
    names = class_level.labels(layout, filter(None, classes))
    rows = [_Row(known[name], names[folder], layout.split(folder)) for name, folder in in_order(classes)]
    return rows, [*about_loose(loose), *class_level.note(found)]


def _refuse_bare(path: Path, known: dict[str, _Picture], loose: Sequence[str], faulty: RowFaults | None) -> None:
    """Refuse a tar file whose pictures are all without a class folder; a few of them are only passed over."""
    if bare := _bare(known.values(), [known[name] for name in loose]):
        what = f"no picture in {_listed(bare)} is in a class folder, and pictures in other tar files are"
        _refuse(what, path, "put them into class folders too, or leave these tar files out", faulty)


def _refuse(what: str, where: Path, remedy: str, faulty: RowFaults | None) -> None:
    if faulty is None:
        raise DataError(what, where=where, remedy=remedy)
    faulty.add(None, what if where == faulty.file else f"{where.name}: {what}")


def _called(picture: _Picture) -> str:
    return f"{picture.shard}:{picture.member.name}"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:SHOWN]) + (f" and {len(every) - SHOWN:,} more" if len(every) > SHOWN else "")


def _passed_over(shards: Sequence[_Shard], texts: bool) -> Counter[str]:
    counts: Counter[str] = sum((shard.tar.passed_over for shard in shards), Counter())
    if texts:
        counts.pop(TEXT, None)
    return counts


def _about_ends(shards: Sequence[_Shard]) -> list[str]:
    """A line about tar files that may have been cut off between two pictures, which nothing else tells."""
    names = [shard.name for shard in shards if not shard.tar.ended and not shard.tar.faults]
    return [f"without the mark at the end that most programs write, so perhaps cut off: {_listed(names)}"] * bool(names)


def _is_shards(path: Path) -> bool:
    single = path.suffix.lower() == SUFFIX and (is_url(path) or path.is_file())
    return single or holds_parts(path, SUFFIX)


MEMBERS = {"shards": Reader(_is_shards, lambda path, config, faulty: read(path, faulty, config.class_depth))}
