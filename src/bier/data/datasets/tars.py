"""Tar files of pictures: what is in one, and which label belongs to which picture."""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from bier.data.datasets.folder import holds_picture
from bier.data.datasets.walk import is_system
from bier.data.formats import is_readable, suffix_of
from bier.data.manifest import natural
from bier.data.passed_over import by_suffix
from bier.data.signatures import START
from bier.errors import DataError
from bier.system import places
from bier.system.files import state_of
from bier.system.places import is_url

LABELS = (".cls", ".json")
"""Suffixes of files that hold the label of the pictures that share their name."""
TEXT = ".txt"
"""Suffix of files that may hold a label, or a caption."""

SUFFIX = ".tar"

_LARGEST_LABEL = 1_000_000
_LONGEST_TEXT = 200
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""How files of gzip, bzip2, xz and zstd begin."""


class Member(NamedTuple):
    """A file in a tar file."""

    name: str
    offset: int
    size: int


@dataclass
class Tar:
    """What a tar file holds, in its order."""

    pictures: list[Member] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    """Text of the label files, by their names."""
    texts: dict[str, str] = field(default_factory=dict)
    """Short texts in ``.txt`` files, likewise."""
    stems: set[str] = field(default_factory=set)
    """Names of all other files, up to the last dot."""
    passed_over: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    """Why it cannot be read to its end."""
    ended: bool = True
    """Whether there is a mark at its end. Some programs write none, and a file that was cut off may have none."""


def read_tar(file: Path) -> Tar:
    """Pictures and labels in a tar file. Nothing is unpacked; of pictures only the headers are read."""
    found = Tar()
    named: dict[str, Member] = {}
    damaged = "the tar file is damaged from here on"
    try:
        with _open(file) as stream:
            if stream.read(max(map(len, _COMPRESSED))).startswith(_COMPRESSED):
                found.faults.append("the tar file is compressed, so single pictures cannot be read")
                return found
            stream.seek(0)
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                for member in _members(tar):
                    there = _target(member, named)
                    if there is None:
                        found.passed_over.update(by_suffix([member.name]))
                    else:
                        named[plain(member.name)] = there
                        _sort_in(tar, there, found)
                stream.seek(tar.offset)  # a damaged header looks like the end, which really is zeros or nothing
                end = stream.read(512)
                found.ended = bool(end)
                if any(end):
                    found.faults.append(damaged)
    except (tarfile.TarError, OSError) as error:
        found.faults.append(f"{damaged} ({error})")
        _leave_out_cut(found, file)
    return found


def _open(file: Path) -> IO[bytes]:
    """To be closed by the caller; from a bucket, it is read in pieces."""
    if not is_url(file):
        return file.open("rb")
    stream: IO[bytes] = places.opened(file)
    return stream


def _leave_out_cut(found: Tar, file: Path) -> None:
    """Take out the picture within which the file ends."""
    size, _ = state_of(file) or (0, 0)
    found.pictures = [member for member in found.pictures if member.offset + member.size <= size]


def label_files(tar: Tar, texts: bool = False) -> dict[str, str | None]:
    """The label of each picture by the files beside it; none where there is none, or where it is not clear.

    A label file belongs to the picture of its name up to the *last* dot. Where no label file of a group has such a
    picture, it belongs to the pictures that share its name up to the *first* dot, as in WebDataset. So ``a.cls``
    labels ``a.left.jpg``, and ``IMG.000.cls`` labels ``IMG.000.jpg`` alone.

    Args:
        tar: with its pictures.
        texts: take the ``.txt`` files for labels, and no others.
    """
    by_stem: dict[str, str] = {}
    groups: dict[str, set[str]] = defaultdict(set)
    for suffix in (TEXT,) if texts else LABELS:  # a .cls goes before a .json
        for name, label in (tar.texts if texts else tar.labels).items():
            if suffix_of(name) == suffix:
                by_stem.setdefault(_stem(name), label)
                groups[_key(name)].add(_stem(name))
    paired = {_key(f"{stem}.") for stem in tar.stems & by_stem.keys()}
    return {
        member.name: by_stem.get(_label_stem(member.name, by_stem, groups, paired) or "") for member in tar.pictures
    }


def _label_stem(
    picture: str, by_stem: Mapping[str, str], groups: Mapping[str, set[str]], paired: set[str]
) -> str | None:
    """The name of the label file of a picture, up to its last dot."""
    stem, key = _stem(picture), _key(picture)
    while len(stem) > len(key):
        if stem in by_stem:
            return stem
        stem = _stem(stem)
    if stem in by_stem:
        return stem
    stems = groups.get(key, set())
    return next(iter(stems)) if len(stems) == 1 and key not in paired else None


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # it would remember them all
        if not member.isdir() and not any(map(is_system, plain(member.name).split("/"))):
            yield member


def plain(name: str) -> str:
    """The path of a member without a ``./`` before it."""
    return posixpath.normpath(name).lstrip("/")


def _target(member: tarfile.TarInfo, named: Mapping[str, Member]) -> Member | None:
    """A member where its bytes are: those of a link are at the file that it names, if that came before."""
    if member.isfile() and not member.issparse():
        return Member(member.name, member.offset_data, member.size)
    base = posixpath.dirname(member.name) if member.issym() else ""
    there = named.get(plain(posixpath.join(base, member.linkname)))
    return there and there._replace(name=member.name)


def _sort_in(tar: tarfile.TarFile, member: Member, found: Tar) -> None:
    if suffix_of(member.name) in LABELS:
        label = _read_label(tar, member)
        if label:
            found.labels.setdefault(member.name, label)
        return
    if suffix_of(member.name) == TEXT and member.size <= _LONGEST_TEXT:
        found.texts.setdefault(member.name, _text(tar, member))
    found.stems.add(_stem(member.name))
    if is_readable(member.name) or (not suffix_of(member.name) and holds_picture(_start(tar, member))):
        found.pictures.append(member)
    else:
        found.passed_over.update(by_suffix([member.name]))


def _start(tar: tarfile.TarFile, member: Member) -> bytes:
    return _read(tar, member, min(START, member.size))


def _read(tar: tarfile.TarFile, member: Member, size: int) -> bytes:
    assert tar.fileobj is not None
    tar.fileobj.seek(member.offset)  # `next` finds its own place again
    return tar.fileobj.read(size)


def _read_label(tar: tarfile.TarFile, member: Member) -> str | None:
    if member.size > _LARGEST_LABEL:
        return None
    text = _text(tar, member)
    return (text if suffix_of(member.name) == ".cls" else label_of_json(text)) or None


def _text(tar: tarfile.TarFile, member: Member) -> str:
    return _read(tar, member, member.size).decode("utf-8", "replace").strip()


def label_of_json(text: str) -> str | None:
    """What stands under ``label`` or ``cls``."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = content.get("label", content.get("cls")) if isinstance(content, dict) else None
    return None if found is None else str(found)


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]


def _key(name: str) -> str:
    """The name up to its first dot."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def tar_files(folder: Path, files: Sequence[str], pictures: Sequence[str]) -> list[str]:
    """The tar files among the files of a folder, in natural order.

    Raises:
        DataError: there are pictures beside them.
    """
    found = sorted((name for name in files if suffix_of(name) == SUFFIX), key=natural)
    if found and pictures:
        raise DataError(
            f"holds tar files ({found[0]}) and pictures ({pictures[0]})",
            where=folder,
            remedy="give the tar files by name, or keep the two apart",
        )
    return found


def folders_above(pictures: Sequence[Member]) -> list[str]:
    """The folders that hold every picture: ``photos`` in a tar file of ``photos/boots/1.jpg`` and its like.

    A folder counts only if there is another one between it and each picture; else it names a class.
    """
    paths = [plain(member.name).split("/")[:-2] for member in pictures]
    common: list[str] = []
    for names in zip(*paths, strict=False):
        if len(set(names)) > 1:
            break
        common.append(names[0])
    return common
