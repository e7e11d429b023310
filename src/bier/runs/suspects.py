"""Training pictures of a run whose labels are probably wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bier.data import Manifest, TestTransform
from bier.errors import DataError
from bier.evaluate.suspects import judge
from bier.network.model_file import load_model
from bier.records.pictures import Picture
from bier.runs import build
from bier.runs.evaluation import embed_manifest
from bier.runs.judged import retrieval_vectors
from bier.runs.machine import set_threads
from bier.runs.opening import opened_of
from bier.system import files

COLUMNS = ("image", "label", "better", "suspicion", "neighbours")


@dataclass(frozen=True)
class Suspect:
    """A picture, and the label that fits better."""

    picture: Picture
    better: Picture
    """The nearest picture of the better label."""
    suspicion: float
    """0 to 1: how unlikely the picture's own label is (see `bier.evaluate.suspects`)."""
    neighbours: tuple[Picture, ...]
    """The nearest pictures of the better label, nearest first."""
    row: tuple[str, str, str, str, str]
    """`COLUMNS` as text, the image as the source names it."""


@dataclass(frozen=True)
class Suspects:
    """The suspects of a run, the most suspicious first."""

    found: tuple[Suspect, ...]
    judged: int
    """Pictures that were looked at."""
    cropped: bool
    """Whether the model sees a picture's box alone."""


def suspects(run: Path, source: str | None, console: Console) -> Suspects:
    """Training pictures, those of held-out classes among them, that another label fits better.

    Args:
        run: a run's folder.
        source: where its pictures are; None for where they were in training.
        console: where to show how far it has come.

    Raises:
        ModelError: the folder holds no run.
        DataError: the pictures are gone, there are none for training, or all are of one class.
    """
    config, manifest = opened_of(run, source, console, "bier data suspects")
    wanted = manifest.only("train", "val")
    if not len(wanted):
        raise DataError(
            "there are no training pictures, and only their labels are judged",
            where=manifest.source,
            remedy="name the pictures that the run was trained on, with --source",
        )
    if len(wanted.classes()) < 2:  # before minutes of work
        raise DataError(
            f"all training pictures are of class {wanted.label[0]!r}, so no other label can fit better",
            where=manifest.source,
            remedy="give pictures of two classes or more",
        )
    set_threads(config)
    model, info = load_model(run)
    view = TestTransform(info.image["size"], info.image["fit"])
    vectors = embed_manifest(model, wanted, view, build.hardware(config), console)
    seen = wanted.take(vectors.index)
    judged = judge(retrieval_vectors(model, vectors), seen.codes(), seed=config.seed)
    found = []
    for row in judged.order():
        if judged.doubted[row]:
            near = [int(other) for other in judged.neighbours[row] if other >= 0]
            found.append(_suspect(seen, int(row), near, float(judged.suspicion[row])))
    return Suspects(tuple(found), len(seen), config.data.crop_to_bbox)


def write_csv(found: Suspects, file: Path) -> None:
    """A line for each suspect; names of neighbours are separated by ``|``. Raises StorageError."""
    files.write_csv(file, COLUMNS, (suspect.row for suspect in found.found))


def _suspect(seen: Manifest, row: int, near: list[int], suspicion: float) -> Suspect:
    pictures = [Picture(**seen.picture(place)) for place in (row, *near)]
    names = "|".join(str(seen.image[place]) for place in near)
    label, better = str(seen.label[row]), str(seen.label[near[0]])
    text = (str(seen.image[row]), label, better, f"{suspicion:.4f}", names)
    return Suspect(pictures[0], pictures[1], suspicion, tuple(pictures[1:]), text)
