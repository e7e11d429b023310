"""Pictures of a catalogue whose labels would help a run most."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bier.confidence.calibration import Calibration, Judgement
from bier.confidence.neighbours import HITS, Neighbours
from bier.confidence.searching import CHUNK, first_places
from bier.confidence.shared import SharedLabels
from bier.data import Manifest, TestTransform
from bier.data.label_kinds import other_kind
from bier.errors import DataError
from bier.network.model import RetrievalModel
from bier.network.model_file import load_model
from bier.records.pictures import Picture
from bier.report.wording import count, listed, words
from bier.runs import build
from bier.runs.judged import retrieval_vectors
from bier.runs.machine import set_threads
from bier.runs.opening import opened_of
from bier.system import files
from bier.system.hardware import Hardware
from bier.system.waiting import Waiting
from bier.vectors.choosing import Choice, Labelled, choose
from bier.vectors.embed import embed
from bier.vectors.near import VectorFile, Vectors
from bier.vectors.sources import open_catalogue

COLUMNS = ("image", "suggested", "second", "margin", "confidence", "known", "like_it", "reason")
SUGGESTED = 5
"""Labels that are suggested for each picture."""
UNKNOWN = frozenset({"", "?", "unknown", "unlabelled", "unlabeled"})
"""Labels that say that nobody knows, unless the run has such a class."""
CLOSE = 0.05
"""Margin below which a picture is between two classes."""
_AT_ONCE = 4096


@dataclass(frozen=True)
class Proposal:
    """A picture to label."""

    image: str
    """Where it is, from any folder."""
    suggested: tuple[str, ...]
    """The labels that fit best, best first; at most `SUGGESTED`."""
    margin: float
    """Cosine to the mean of the first label's pictures, less that of the second."""
    sure: tuple[float, float] | None
    """The chances that its nearest labelled picture has its label, and that its class has a label; None: not known."""
    like_it: int
    """Pictures of the catalogue that it stands for (see `bier.vectors.choosing`)."""
    reason: str

    @property
    def row(self) -> tuple[str, ...]:
        """`COLUMNS` as text."""
        second = self.suggested[1] if len(self.suggested) > 1 else ""
        sure = ("", "") if self.sure is None else tuple(f"{chance:.3f}" for chance in self.sure)
        return (self.image, self.suggested[0], second, f"{self.margin:.4f}", *sure, str(self.like_it), self.reason)


@dataclass(frozen=True)
class Proposals:
    """What to label next, the most useful first."""

    chosen: tuple[Proposal, ...]
    looked_at: int
    """Pictures without labels."""
    catalogue: str
    """Its name."""
    titles: dict[str, str]
    """What people call each known label."""
    examples: dict[str, Picture]
    """A typical picture of each known label."""
    cropped: bool
    """Whether the model sees a picture's box alone."""
    notes: tuple[str, ...]
    """Lines for a person."""


def proposals(
    run: Path,
    catalogue: Sequence[Path],
    most: int,
    console: Console,
    *,
    source: str | None = None,
    everything: bool = False,
    class_depth: int | None = None,
) -> Proposals:
    """Pictures without labels that stand for many others, and that no labelled picture is like.

    Memory grows with the names of the pictures and with the vectors of the run's own. Those of the catalogue wait in a
    temporary file.

    Args:
        run: a run's folder.
        catalogue: as for `bier.vectors.catalogue.embed_catalogue`.
        most: pictures to propose.
        console: where to show how far it has come.
        source: where the run's pictures are; None for where they were in training.
        everything: propose pictures that have labels as well.
        class_depth: how many folders deep the classes of a folder lie; 1 by default.

    Raises:
        ModelError: the folder holds no run.
        DataError: pictures are gone, or none is left to label.
    """
    config, manifest = opened_of(run, source, console, "bier data next")
    pictures, notes = _without_labels(catalogue, manifest, everything, class_depth)
    set_threads(config)
    model, info = load_model(run)
    view, hardware = TestTransform.of(info.image), build.hardware(config)
    with VectorFile() as known, VectorFile() as vectors:
        own = manifest.take(_embed(model, manifest, view, hardware, console, known))
        seen = pictures.take(_embed(model, pictures, view, hardware, console, vectors))
        labelled = Labelled.of(known.rows(0, len(known)), own.codes())
        choice = choose(vectors, labelled, most)
        asked = vectors.some(choice.rows)
    learned = None if info.calibration is None else Calibration.from_json(info.calibration)
    judged = None if learned is None else _judge(asked, labelled, own.classes(), learned, model)
    return Proposals(
        chosen=_told(seen.take(choice.rows), asked, choice, labelled, own, judged),
        looked_at=len(seen),
        catalogue=seen.source,
        titles=_titles(own),
        examples={str(own.label[row]): Picture(**own.picture(row)) for row in labelled.typical().tolist()},
        cropped=config.data.crop_to_bbox,
        notes=(*notes, *_fewer(len(asked), len(seen), most)),
    )


def write_csv(found: Proposals, file: Path) -> None:
    """A line for each proposal, in order; raises StorageError."""
    files.write_csv(file, COLUMNS, (proposal.row for proposal in found.chosen))


def _without_labels(
    catalogue: Sequence[Path], own: Manifest, everything: bool, class_depth: int | None
) -> tuple[Manifest, list[str]]:
    """The pictures that nobody has labelled, and lines about the others."""
    source = open_catalogue(catalogue, class_depth)
    known, classes = {own.reference(row) for row in range(len(own))}, {*own.label.tolist(), *_titles(own).values()}
    images: list[str] = []
    seen, faulty, labels = 0, 0, Counter[str]()
    for entry in source.pictures((0, 0)):
        label = entry.label or ""
        if entry.fault is not None:
            faulty += 1
        elif entry.image in known:
            seen += 1
        elif everything or (label.casefold() in UNKNOWN and label not in classes):
            images.append(entry.image)
        else:
            labels[label] += 1
    passed = _passed_over(seen, labels, faulty)
    if not images:
        raise DataError(
            f"no picture is left to label: there are {listed(passed)}" if passed else "there are no pictures",
            where=source.name,
            remedy="add --all if these labels are none, such as the names of folders"
            if labels
            else "give pictures that have no labels yet",
        )
    told = other_kind(classes, labels)
    notes = [*source.remarks(), *([f"passed over: {listed(passed)}"] if passed else []), *([told] if told else [])]
    return Manifest.of(Path("/"), source.name, image=images, label=[""] * len(images)), notes


def _passed_over(seen: int, labels: Counter[str], faulty: int) -> list[str]:
    amounts = {
        "of the run itself": seen,
        f"with labels, such as {next(iter(labels), '')!r}": labels.total(),
        "with a name that is not UTF-8": faulty,
    }
    return [f"{count(amount, 'picture')} {what}" for what, amount in amounts.items() if amount]


def _embed(
    model: RetrievalModel,
    manifest: Manifest,
    view: TestTransform,
    hardware: Hardware,
    console: Console,
    into: VectorFile,
) -> NDArray[np.int64]:
    """Writes the vectors of all readable pictures; gives their rows."""
    rows = []
    with Waiting(console, f"embedding {len(manifest):,} images", len(manifest)) as waiting:
        for part in np.array_split(np.arange(len(manifest)), math.ceil(len(manifest) / _AT_ONCE)):
            some = manifest.take(part)
            made = embed(model, some, transform=view, hardware=hardware, progress=waiting.advance, part=True)
            into.append(retrieval_vectors(model, made))
            rows.append(part[made.index])
            for error in made.failed:
                console.print(f"left out: {error.where}: {error.what}", soft_wrap=True)
    readable = np.concatenate(rows)
    if not len(readable):
        raise DataError(
            f"none of the {len(manifest):,} pictures can be read",
            where=manifest.source,
            remedy="look at the files with 'bier data check'",
        )
    return readable


def _judge(
    asked: Vectors, labelled: Labelled, classes: Sequence[str], learned: Calibration, model: RetrievalModel
) -> Judgement:
    """How sure the labels of the nearest pictures are."""
    # Vectors of a file have length 1, and those that a calibration knows that of the head's.
    length = float(model.head.scales().square().sum().sqrt())
    shared = None if learned.separator is None else SharedLabels(classes, learned.separator)
    parts = []
    for start in range(0, len(asked), CHUNK):
        queries = asked[start : start + CHUNK]
        scores = queries @ labelled.vectors.T
        order = first_places(scores, HITS)
        found = Neighbours.of(
            length**2 * np.take_along_axis(scores, order, axis=1),
            labelled.codes[order],
            queries=length * queries,
            hits=length * labelled.vectors[order],
            sizes=model.head.sizes,
            shared=shared,
        )
        parts.append(learned.judge(found))
    columns = [(part.confidence, part.known, part.absent) for part in parts]
    return Judgement(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _told(
    pictures: Manifest, asked: Vectors, choice: Choice, labelled: Labelled, own: Manifest, judged: Judgement | None
) -> tuple[Proposal, ...]:
    """The chosen pictures with what is to be said of each."""
    classes, titles = own.classes(), _titles(own)
    order, cosines = labelled.ranked(asked)
    found = []
    for row in range(len(pictures)):
        suggested = tuple(classes[code] for code in order[row, :SUGGESTED])
        margin = float(cosines[row, 0] - cosines[row, 1]) if len(classes) > 1 else math.inf
        absent = judged is not None and bool(judged.absent[row])
        found.append(
            Proposal(
                image=pictures.reference(row),
                suggested=suggested,
                margin=margin,
                sure=None if judged is None else (float(judged.confidence[row]), float(judged.known[row])),
                like_it=int(choice.stands_for[row]),
                reason=_reason(absent, margin, [words(titles[label]) for label in suggested[:2]]),
            )
        )
    return tuple(found)


def _reason(absent: bool, margin: float, titles: Sequence[str]) -> str:
    if absent:
        return "perhaps of a new class"
    return f"between {listed(titles)}" if margin < CLOSE else "unlike labelled pictures"


def _titles(own: Manifest) -> dict[str, str]:
    """What people call each class."""
    return {str(label): own.title(row) for row, label in enumerate(own.label)}


def _fewer(chosen: int, there: int, most: int) -> list[str]:
    """Why fewer pictures are proposed than were asked for."""
    found = [f"there are only {count(there, 'picture')} without a label"] if there < most else []
    copies = min(there, most) - chosen
    return [*found, *([f"left out: {count(copies, 'copy', 'copies')} of other pictures"] if copies > 0 else [])]
