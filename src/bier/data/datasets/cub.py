"""CUB-200-2011: 200 kinds of birds. Classes 1-100 are for training, 101-200 for testing."""

from __future__ import annotations

from pathlib import Path

from bier.data.datasets.annotations import RowFaults, check_published, escapes, read_fields, required
from bier.data.datasets.reader import Reader
from bier.data.manifest import Manifest

PUBLISHED = {"train": (5_864, 100), "test": (5_924, 100)}
CLASSES = frozenset(str(label) for label in range(1, 201))
HOLDS = "images.txt, image_class_labels.txt, bounding_boxes.txt and the folder images/ (CUB_200_2011 as unpacked)"


def recognises(directory: Path) -> bool:
    """Whether the directory looks like this benchmark, complete or not."""
    return any((directory / name).is_file() for name in ("images.txt", "image_class_labels.txt"))


def read(directory: Path, strict: bool = True) -> Manifest:
    """The manifest, with the class's id as label, its name beside it, and the bounding boxes.

    Args:
        directory: ``CUB_200_2011``, as unpacked.
        strict: refuse counts that are not the published ones.

    Raises:
        DataError: an annotation file is missing or malformed, or the counts differ.
    """
    images = required(directory, ["images.txt"], HOLDS)
    labels = _by_image(required(directory, ["image_class_labels.txt"], HOLDS), "image_id class_id")
    boxes = _by_image(required(directory, ["bounding_boxes.txt"], HOLDS), "image_id x y width height")
    faults = RowFaults(images)
    rows: list[tuple[int, str, str, list[float]]] = []
    for row, (image, path) in read_fields(images, "image_id path"):
        label, box = labels.get(image), _numbers(boxes.get(image, []))
        if escapes(path):
            faults.add(row, f"the path leads out of the folder images: {path!r}")
        elif label is None or label[0] not in CLASSES:
            faults.add(row, f"image {image} has no class from 1 to 200 in image_class_labels.txt")
        elif box is None:
            faults.add(row, f"image {image} has no box of four numbers in bounding_boxes.txt")
        else:
            rows.append((row, path, label[0], box))
    faults.refuse("unpack the benchmark again")
    manifest = Manifest.of(
        directory,
        directory.name,
        image=[f"images/{path}" for _, path, _, _ in rows],
        label=[label for _, _, label, _ in rows],
        split=["train" if int(label) <= 100 else "test" for _, _, label, _ in rows],
        row=[row for row, _, _, _ in rows],
        bbox=[box for _, _, _, box in rows],
        name=[_name(path) for _, path, _, _ in rows],
    )
    if strict:
        check_published(manifest, "CUB-200-2011", PUBLISHED)
    return manifest


def _by_image(file: Path, columns: str) -> dict[str, list[str]]:
    return {fields[0]: fields[1:] for _, fields in read_fields(file, columns)}


def _numbers(fields: list[str]) -> list[float] | None:
    try:
        return [float(field) for field in fields] if len(fields) == 4 else None
    except ValueError:
        return None


def _name(path: str) -> str:
    """``001.Black_footed_Albatross/x.jpg`` -> ``Black footed Albatross``."""
    return path.split("/")[0].split(".")[-1].replace("_", " ")


MEMBERS = {"cub": Reader(recognises, lambda path, config, faulty: read(path, config.strict))}
