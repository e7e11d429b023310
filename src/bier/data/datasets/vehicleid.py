"""PKU VehicleID: cars seen by road cameras, a class for each single car, and test lists of three sizes.

Two protocols are in use, and their figures must not be compared with each other:

``draws``          the benchmark's own: one random picture of each car is the gallery, the others are queries, averaged
                   over ten draws
``leave-one-out``  every picture of the list searches among all the others
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bier.data.datasets.annotations import RowFaults, check_published, escapes, read_fields, required
from bier.data.datasets.reader import Reader
from bier.data.manifest import Manifest, Protocol
from bier.errors import DataError
from bier.settings.schema import DataConfig

SIZES = (800, 1600, 2400)
PROTOCOLS: dict[str, Protocol] = {"draws": "vehicleid-draws", "leave-one-out": "vehicleid-leave-one-out"}
TRAIN = (113_346, 13_164)
"""Pictures and cars of the training list. The test lists have as many cars as their name says; publications disagree
about their pictures (7,332 or 6,493 of 800 cars), so those are not compared."""
HOLDS = "train_test_split/train_list.txt, train_test_split/test_list_800.txt (1600, 2400) and the folder image/"


def recognises(directory: Path) -> bool:
    """Whether the directory looks like this benchmark, complete or not."""
    split = directory / "train_test_split"
    return any((split / f"{name}.txt").is_file() for name in ("train_list", *(f"test_list_{size}" for size in SIZES)))


def read(
    directory: Path,
    size: int = 800,
    protocol: Literal["draws", "leave-one-out"] = "draws",
    strict: bool = True,
) -> Manifest:
    """The manifest, with the car's id as label.

    Args:
        directory: ``VehicleID_V1.0``, as unpacked.
        size: cars of the test list: 800, 1600 or 2400.
        protocol: how the test list is searched.
        strict: refuse counts that are not the published ones.

    Raises:
        DataError: a list is missing or malformed, the counts differ, or size or protocol are unknown.
    """
    if size not in SIZES or protocol not in PROTOCOLS:
        raise DataError(
            f"no test list of size {size!r} with protocol {protocol!r}",
            where=directory.name,
            remedy="sizes are 800, 1600 and 2400, protocols are draws and leave-one-out",
        )
    lists = {"train": "train_list", "test": f"test_list_{size}"}
    files = {split: required(directory, [f"train_test_split/{name}.txt"], HOLDS) for split, name in lists.items()}
    rows = [(split, row, name, car) for split, file in files.items() for row, (name, car) in _rows(file)]
    manifest = Manifest.of(
        directory,
        directory.name,
        image=[f"image/{name}.jpg" for _, _, name, _ in rows],
        label=[car for _, _, _, car in rows],
        split=[split for split, _, _, _ in rows],
        row=[row for _, row, _, _ in rows],
        protocol=PROTOCOLS[protocol],
    )
    if strict:
        check_published(manifest, f"VehicleID with {size} test cars", {"train": TRAIN, "test": (None, size)})
    return manifest


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    rows = read_fields(file, "image_name vehicle_id")
    faults = RowFaults(file)
    for row, (name, _) in rows:
        if escapes(name):
            faults.add(row, f"the name leads out of the folder image: {name!r}")
    faults.refuse("each line should read: image_name vehicle_id, without .jpg")
    return rows


def _read_as_set(path: Path, config: DataConfig, faulty: RowFaults | None) -> Manifest:
    return read(path, config.vehicleid_list, config.vehicleid_protocol, config.strict)


MEMBERS = {"vehicleid": Reader(recognises, _read_as_set)}
