"""Where the pictures of a catalogue come from: a folder, a table, a benchmark's directory, tar files."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import Protocol

from bier.data import open_source
from bier.data.datasets import FOLDER, kind_of, table
from bier.data.formats import SUFFIXES
from bier.data.manifest import Manifest, natural
from bier.errors import DataError
from bier.vectors.parts import tar_uri


@dataclass(frozen=True)
class Entry:
    """One picture of a catalogue, not yet opened."""

    id: str
    image: str
    """An absolute path, or what `bier.vectors.parts.tar_uri` makes."""
    label: str | None
    end: tuple[int, int]
    """The place in the source after it: file and position."""
    fault: str | None = None
    """Why there is no use in opening it."""


class Source(Protocol):
    """Pictures in a fixed order, from any place on."""

    name: str
    fingerprint: str
    """Of names, sizes and times of the files, in order: whether a place still means what it meant."""
    total: int | None
    """How many there are, where that is known."""

    def pictures(self, start: tuple[int, int]) -> Iterator[Entry]: ...


def open_catalogue(source: str | Path | Sequence[str | Path]) -> Source:
    """The source behind one or several paths; see `embed_catalogue`."""
    paths = [source] if isinstance(source, str | Path) else list(source)
    files = [Path(os.path.abspath(Path(path).expanduser())) for path in paths]
    if len(files) > 1 or files[0].suffix.lower() == ".tar":
        return _Shards(files, Path(os.path.commonpath([file.parent for file in files])))
    path = files[0]
    kind = kind_of(path) if path.exists() else ""
    # Tables not through open_source: pictures that are searched need no second one of their class.
    if kind == "parquet":
        return _Table(table.read_parquet(path))
    if kind == "csv":
        return _Table(table.read_csv(path / table.LABELS if path.is_dir() else path))
    if kind != FOLDER:
        return _Table(open_source(path))  # which names what is wrong with it
    return _folder(path)


class _Table:
    """The pictures of a manifest, whole, whatever boxes it has."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest, self.name = manifest, manifest.source
        self.total: int | None = len(manifest)
        about = [manifest.fingerprint(), *(_state(manifest.path(row)) for row in range(len(manifest)))]
        self.fingerprint = sha256(json.dumps(about).encode()).hexdigest()
        rows: dict[str, int] = {}
        for image, row in zip(manifest.image, manifest.row.tolist(), strict=True):
            if rows.setdefault(str(image), row) != row:
                _refuse_twice(str(image), manifest.source, rows[str(image)], row)

    def pictures(self, start: tuple[int, int]) -> Iterator[Entry]:
        for row in range(start[1], len(self.manifest)):
            label = self.manifest.title(row) or None
            path = os.path.abspath(self.manifest.path(row))
            yield _printable(Entry(str(self.manifest.image[row]), path, label, (0, row + 1)))


def _state(file: Path) -> tuple[int, int] | None:
    """Size and time of the last change, by which a file that was replaced is known; none if there is no file."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def _printable(picture: Entry) -> Entry:
    """The same, but for a name that is not UTF-8: no table can hold it, so it is left out with a reason."""
    try:
        f"{picture.id}{picture.image}{picture.label}".encode()
    except UnicodeEncodeError:
        name, image = (text.encode("utf-8", "backslashreplace").decode() for text in (picture.id, picture.image))
        return replace(picture, id=name, image=image, label=None, fault="its name is not UTF-8: rename it")
    return picture


def _folder(path: Path) -> Source:
    """Pictures anywhere below a folder, or the tar files in it."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for base, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            suffix = os.path.splitext(name)[1].lower()
            if not name.startswith(".") and (suffix == ".tar" or suffix in SUFFIXES):
                found[suffix == ".tar"].append((Path(base) / name).relative_to(path).as_posix())
    shards, pictures = (sorted(found[kind], key=natural) for kind in (True, False))
    if shards and pictures:
        raise DataError(
            f"holds tar files ({shards[0]}) and pictures ({pictures[0]})",
            where=path,
            remedy="give the tar files by name, or keep the two apart",
        )
    if shards:
        return _Shards([path / name for name in shards], path)
    if not pictures:
        raise DataError(
            "there are no pictures in this folder",
            where=path,
            remedy=f"known are {' '.join(sorted(SUFFIXES))} and .tar",
        )
    classes = [PurePosixPath(name).parts[0] if "/" in name else "" for name in pictures]
    labels = classes if all(classes) else [""] * len(classes)
    return _Table(Manifest.of(path, path.name, image=pictures, label=labels))


class _Shards:
    """Tar files, read from front to back; nothing is unpacked.

    Members that share a name up to its first dot belong together: pictures, and ``.cls`` or ``.json`` with a label.
    """

    def __init__(self, files: Sequence[Path], root: Path) -> None:
        for file in files:
            if not file.is_file() or file.suffix.lower() != ".tar":
                what = "is not a .tar file" if file.exists() else "there is no such file"
                raise DataError(what, where=file, remedy="give one folder or table, or any number of .tar files")
            if files.count(file) > 1:
                raise DataError("is given twice", where=file, remedy="give it once")
        self.files = files
        self.names = [file.relative_to(root).as_posix() for file in files]
        self.name = self.names[0] if len(files) == 1 else f"{root.name} ({len(files):,} tar files)"
        about = [(name, _state(file)) for name, file in zip(self.names, files, strict=True)]
        self.fingerprint = sha256(json.dumps(about).encode()).hexdigest()
        self.total: int | None = None

    def pictures(self, start: tuple[int, int]) -> Iterator[Entry]:
        for number in range(start[0], len(self.files)):
            skip = start[1] if number == start[0] else 0
            yield from islice(self._pictures(number), skip, None)

    def _pictures(self, number: int) -> Iterator[Entry]:
        file, name = self.files[number], self.names[number]
        count = 0
        seen: dict[str, int] = {}
        faults: list[str] = []
        for _, group in groupby(_members(file, faults), key=lambda found: _key(found[0].name)):
            members = list(group)
            label = next((text for _, text in members if text), None)
            for member, _ in members:
                if PurePosixPath(member.name).suffix.lower() in SUFFIXES:
                    count += 1
                    if seen.setdefault(member.name, count) != count:
                        _refuse_twice(f"{name}:{member.name}", str(file), seen[member.name], count)
                    image = tar_uri(file, member.name, member.offset_data, member.size)
                    yield _printable(Entry(f"{name}:{member.name}", image, label, (number, count)))
        for fault in faults:
            yield Entry(name, str(file), None, (number, count + 1), fault)


def _members(file: Path, faults: list[str]) -> Iterator[tuple[tarfile.TarInfo, str | None]]:
    """Files in a tar file that are not hidden, with the label in them, as far as it is sound.

    What is wrong with it is added to the faults.
    """
    damaged = "the tar file is damaged from here on"
    try:
        with tarfile.open(file, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would remember them all
                if member.isfile() and not PurePosixPath(member.name).name.startswith("."):
                    yield member, _label(tar, member)
            with open(file, "rb") as stream:  # a damaged header looks like the end, which really is zeros or nothing
                stream.seek(tar.offset)
                if any(stream.read(512)):
                    faults.append(damaged)
    except (tarfile.TarError, OSError) as error:
        faults.append(f"{damaged} ({error})")


def _key(name: str) -> str:
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"


def _label(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str | None:
    suffix = PurePosixPath(member.name).suffix.lower()
    stored = tar.extractfile(member) if suffix in (".cls", ".json") and member.size < 1_000_000 else None
    if stored is None:
        return None
    text = stored.read().decode("utf-8", "replace").strip()
    return (text if suffix == ".cls" else _label_of_json(text)) or None


def _label_of_json(text: str) -> str | None:
    try:
        content = json.loads(text)
    except ValueError:
        return None
    found = content.get("label", content.get("cls")) if isinstance(content, dict) else None
    return None if found is None else str(found)


def _refuse_twice(name: str, where: str, first: int, second: int) -> None:
    raise DataError(
        f"the id {name!r} occurs twice, in rows {first} and {second}",
        where=where,
        remedy="remove one of them: an id stands for one picture",
    )
