"""Training pictures of a run whose labels are probably wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from bier.data import Manifest, TestTransform
from bier.data.several_labels import LabelSets
from bier.errors import DataError
from bier.evaluate.doubted_labels import DoubtedLabels, judge_labels
from bier.evaluate.suspects import Judged, judge
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
    """`COLUMNS` as text, the image as the source names it. Of several labels it is the one that is doubted."""


@dataclass(frozen=True)
class Suspects:
    """The suspects of a run, the most suspicious first."""

    found: tuple[Suspect, ...]
    judged: int
    """Pictures that were looked at."""
    labels: int
    """Labels of these pictures."""
    cropped: bool
    """Whether the model sees a picture's box alone."""

    @property
    def pictures(self) -> int:
        """Pictures with a suspect label; of several labels, more than one may be suspect."""
        return len({suspect.row[0] for suspect in self.found})


def suspects(run: Path, source: str | None, console: Console) -> Suspects:
    """Training pictures, those of held-out classes among them, that another label fits better.

    Where pictures have several labels, each label is judged (see `bier.evaluate.doubted_labels`).

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
    view = TestTransform.of(info.image)
    vectors = embed_manifest(model, wanted, view, build.hardware(config), console)
    seen = wanted.take(vectors.index)
    joined, separator = retrieval_vectors(model, vectors), config.data.label_separator
    if separator is None:
        judged = judge(joined, seen.codes(), seed=config.seed)
        whole = ((row, str(seen.label[row]), row) for row in judged.order().tolist())
        found = _doubted(seen, whole, judged)
        return Suspects(found, len(seen), len(seen), config.data.crop_to_bbox)
    sets = LabelSets.of(seen.label, separator)
    labels = judge_labels(joined, sets, seed=config.seed)
    each = ((int(labels.rows[at]), sets.names[labels.labels[at]], at) for at in labels.order().tolist())
    return Suspects(_doubted(seen, each, labels), len(seen), len(labels.rows), config.data.crop_to_bbox)


def write_csv(found: Suspects, file: Path) -> None:
    """A line for each suspect; names of neighbours are separated by ``|``. Raises StorageError."""
    files.write_csv(file, COLUMNS, (suspect.row for suspect in found.found))


def _doubted(
    seen: Manifest, entries: Iterable[tuple[int, str, int]], judged: Judged | DoubtedLabels
) -> tuple[Suspect, ...]:
    """Those of (row, label, place in what was judged) that are doubted, in their order."""
    found = []
    for row, label, place in entries:
        if judged.doubted[place]:
            near = [int(other) for other in judged.neighbours[place] if other >= 0]
            found.append(_suspect(seen, row, label, near, float(judged.suspicion[place])))
    return tuple(found)


def _suspect(seen: Manifest, row: int, label: str, near: list[int], suspicion: float) -> Suspect:
    pictures = [Picture(**seen.picture(place)) for place in (row, *near)]
    names = "|".join(str(seen.image[place]) for place in near)
    cell, better = str(seen.label[row]), str(seen.label[near[0]])
    if label != cell:
        pictures[0] = replace(pictures[0], label=f"{label}, of {cell}", name=None)
    text = (str(seen.image[row]), label, better, f"{suspicion:.4f}", names)
    return Suspect(pictures[0], pictures[1], suspicion, tuple(pictures[1:]), text)
