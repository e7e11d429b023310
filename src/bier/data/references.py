"""Where a picture is: a file, a part of a tar file, or a cell of a Parquet or Arrow file. One text says which.

    /photos/boot.jpg
    tar:///photos/part-0.tar?offset=1536&size=84211#boots/1.jpg
    parquet:///photos/train.parquet?column=image.bytes&row=7#1.jpg
    arrow:///photos/data-00000-of-00001.arrow?column=image.bytes&row=7#1.jpg
    s3://bucket/photos/boot.jpg

Everything that opens a picture of a manifest, a folder of vectors or an index goes through here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from bier.data.arrow_cells import arrow_cell
from bier.data.cells import cell
from bier.data.spelling import other_spelling
from bier.errors import ImageError
from bier.system import kept, places
from bier.system.places import as_path, is_url, spelled

TAR, PARQUET, ARROW = "tar", "parquet", "arrow"
LOCAL = "file://"
"""Before the absolute path of a file of this machine, among pictures that are in a bucket."""
LONGEST_NAME = 300
"""Characters of a name that messages show."""


class Place(NamedTuple):
    """A reference, taken apart."""

    kind: str
    """``tar``, ``parquet`` or ``arrow``."""
    file: str
    query: dict[str, str]
    name: str
    """What the picture is called inside the file; may be empty."""

    @property
    def inside(self) -> str:
        """Which picture of the file it is, ``boots/1.jpg`` or ``7:1.jpg``."""
        return ":".join(part for part in (self.query.get("row", ""), self.name) if part)


def tar_uri(file: Path | str, member: str, offset: int, size: int) -> str:
    """A picture inside a tar file: where its bytes are, and what it is called."""
    return f"{TAR}://{quote(str(file))}?offset={offset}&size={size}#{quote(member)}"


def parquet_uri(file: Path | str, column: str, row: int, name: str = "", kind: str = PARQUET) -> str:
    """A picture in a cell of a Parquet file, or of an Arrow stream.

    Args:
        file: the Parquet file.
        column: that holds the bytes; a field of a struct after a dot.
        row: 1 is the first.
        name: what the picture is called, where the table says.
        kind: of the file, ``parquet`` or ``arrow``.
    """
    return f"{kind}://{quote(str(file))}?column={quote(column)}&row={row}#{quote(name)}"


def parse(image: str) -> Place | None:
    """The parts of a reference into another file; none for the path of a file."""
    kind, mark, rest = image.partition(":/")
    if not mark or kind not in (TAR, PARQUET, ARROW):
        return None
    rest = rest[1:] if rest.startswith("/") else f"/{rest}"  # a Path makes one slash of several
    address, _, name = rest.partition("#")
    file, _, query = address.partition("?")
    file = unquote(file)
    file = spelled(file.lstrip("/")) if is_url(file.lstrip("/")) else file
    fields = {key: unquote(value) for key, _, value in (part.partition("=") for part in query.split("&"))}
    return Place(kind, file, fields, unquote(name))


def is_reference(image: str) -> bool:
    """Whether it names a picture in a bucket or inside another file, and not a file."""
    return ":/" in image and (image.startswith(LOCAL) or is_url(image) or parse(image) is not None)


def absolute(image: str, root: Path) -> str:
    """The same picture, named so that it is found from any folder; relative paths begin at ``root``."""
    if image.startswith(f"{LOCAL}/"):
        return image.removeprefix(LOCAL)
    place = parse(image)
    if place is None:
        return spelled(image) if is_url(image) else _joined(image, root)
    if os.path.isabs(place.file) or is_url(place.file):
        return image
    _, _, rest = image.partition("?")
    return f"{place.kind}://{quote(_joined(place.file, root))}?{rest}"


def _joined(image: str, root: Path) -> str:
    if is_url(root):
        return spelled(os.path.normpath(f"{root}/{image}"))
    return os.path.abspath(root / image)


def within(image: str, folder: str) -> str:
    """A picture of a source in a folder, named from the folder above it; ``.`` is that folder itself."""
    place = parse(image)
    if folder == "." or is_url(image):
        return image
    if place is None:
        return os.path.normpath(os.path.join(folder, image))
    _, _, rest = image.partition("?")
    return f"{place.kind}://{quote(os.path.join(folder, place.file))}?{rest}"


def look_up(images: Iterable[str], root: Path) -> None:
    """Learn what there is of the pictures that are in buckets, before they are asked for one by one.

    Raises:
        PlaceError: a bucket cannot be listed.
    """
    there = is_url(root)
    places.look_up(
        str(file) for image in images if there or ":/" in image if is_url(file := file_of(absolute(image, root)))
    )


def file_of(image: str) -> Path:
    """The file that a picture is, or that it is in."""
    place = parse(image)
    return as_path(image if place is None else place.file)


def short_name(image: str) -> str:
    """What a person calls it: the path of a file, else the file's name and where in it, ``train.parquet:7:1.jpg``.

    Of a file below the source's folder it is the path from there, ``test/part.parquet:7:1.jpg``.
    """
    place = parse(image)
    if place is None:
        return image
    file = place.file if not os.path.isabs(place.file) and not is_url(place.file) else Path(place.file).name
    return ":".join(part for part in (file, place.inside) if part)


def clipped(name: str) -> str:
    """A name for a message, or the beginning of what is no name: what stands for a path may be a whole picture."""
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}... ({len(name):,} characters)"


def located(path: Path) -> Path:
    """The path itself; where nothing is there, that of the one file that a person would take it for."""
    return path if os.path.exists(path) else other_spelling(path) or path


def picture_bytes(image: str) -> bytes:
    """The bytes of a picture: of a file, also in a bucket, of a member of a tar file, or of a cell of a table.

    Raises:
        ImageError: the file is gone, or holds no such picture any more.
        PlaceError: the bucket cannot be asked: nothing is known of the picture.
    """
    place = parse(image)
    try:
        if place is None:
            return kept.content(spelled(image)) if is_url(image) else located(Path(image)).read_bytes()
        return _from_tar(place) if place.kind == TAR else _from_cell(place)
    except (OSError, KeyError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        where = short_name(image)
        raise ImageError(f"cannot be read: {reason}", where=where, remedy="put the file back") from error


def _from_tar(place: Place) -> bytes:
    offset, size = int(place.query["offset"]), int(place.query["size"])
    if is_url(place.file):
        state = places.state(place.file)
        if state is not None and state[0] < offset + size:
            raise ImageError("the tar file ends within it", where=place.file, remedy="copy the tar file again")
        return kept.content(place.file, offset, offset + size)
    with open(place.file, "rb") as file:
        if os.fstat(file.fileno()).st_size < offset + size:
            raise ImageError("the tar file ends within it", where=place.file, remedy="copy the tar file again")
        file.seek(offset)
        return file.read(size)


def _from_cell(place: Place) -> bytes:
    read = arrow_cell if place.kind == ARROW else cell
    data = read(place.file, place.query["column"], int(place.query["row"]) - 1)
    if data is None:
        raise ImageError("the cell is empty", where=f"{place.file}, row {place.query['row']}", remedy="remove the row")
    return data
