"""What the names of folders say about a picture: its class, and which side of the experiment it is on."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bier.data.manifest import SPLIT_NAMES, UNDECIDED


def plain_label(text: str) -> str:
    """A label as it is compared: one Unicode form (NFC), without white space around it.

    A Mac writes ``ä`` in two characters, other systems in one; a person sees no difference.
    """
    return unicodedata.normalize("NFC", text.strip() or text)


def looks(label: str) -> str:
    """What a person sees of a label at a glance: without case, invisible characters and the width of spaces."""
    visible = (" " if char.isspace() else char for char in label if unicodedata.category(char) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", "".join(visible)).casefold().split())


@dataclass(frozen=True)
class Layout:
    """Which of the folders above a picture names its class, for paths relative to a source, with ``/``."""

    depth: int = 0
    """Folders above the topmost class folders."""
    splits: bool = False
    """Whether the topmost folder names a split."""
    class_depth: int = 1
    """How many folders below that the class folder lies; where there are fewer, the innermost is the class folder."""

    def folders(self, path: str) -> tuple[str, ...]:
        """Those above a picture, without the ones above the topmost class folders."""
        return tuple(path.split("/")[:-1][self.depth :])

    def class_folder(self, path: str) -> str | None:
        """The class folder that a picture lies in, or none where it lies beside or above these folders."""
        folders = path.split("/")[:-1]
        return "/".join(folders[: self.depth + self.class_depth]) if len(folders) > self.depth else None

    def label(self, class_folder: str) -> str:
        return plain_label(class_folder.rpartition("/")[2])

    def split(self, class_folder: str) -> str:
        return SPLIT_NAMES[class_folder.split("/")[self.depth - 1].casefold()] if self.splits else UNDECIDED


def split_names(folders: Iterable[str]) -> tuple[list[str], list[str]]:
    """Those of the names that are names of splits, and the others."""
    names = list(folders)
    named = [name for name in names if name.casefold() in SPLIT_NAMES]
    return named, [name for name in names if name.casefold() not in SPLIT_NAMES]


def layout_of(tops: Sequence[str]) -> Layout | None:
    """The layout of a source by its topmost folders; none where some are named like splits and some are not.

    One class among others may be called "train"; two such names are no accident.
    """
    named, others = split_names(tops)
    if named and not others:
        return Layout(depth=1, splits=True)
    return None if len(named) > 1 else Layout()
