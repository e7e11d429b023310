"""Which classes are trained on, held out, tested."""

from __future__ import annotations

from collections.abc import Iterable, Set

from rich.console import Console

from bier.data import Manifest, hold_out
from bier.data.held_labels import hold_out_labels
from bier.data.label_cells import parts
from bier.errors import ConfigError, DataError
from bier.settings.schema import Config


def held_out(manifest: Manifest, config: Config, console: Console) -> Manifest:
    """The manifest with training classes set aside for validation, where there are enough of them."""
    if len(manifest.only("train").classes()) < 4 and "val" not in manifest.split:
        console.print("too few training classes to hold some out for validation: the last epoch is kept")
        return manifest
    data = config.data
    if data.label_separator is not None and data.held_out == "labels":
        return hold_out_labels(manifest, data.validation_classes, config.seed, data.label_separator)
    return hold_out(manifest, data.validation_classes, config.seed, data.label_separator)


def with_held_out(config: Config) -> Config:
    """The settings of a run that begins now, which say what is held out. Runs begun earlier hold out sets of labels."""
    several = config.data.label_separator is not None
    return config.replace(data__held_out=config.data.held_out or "labels") if several else config


def of_split(manifest: Manifest, split: str) -> Manifest:
    if split not in ("test", "val", "train"):
        raise ConfigError(f"unknown split {split!r}", where="--split", remedy="choose test, val or train")
    wanted = test_part(manifest) if split == "test" else manifest.only(split)  # type: ignore[arg-type]
    if not len(wanted):
        held = ", ".join(sorted(set(manifest.split.tolist())))
        raise DataError(
            f"no images in the split {split!r}; there are: {held}",
            where=manifest.source,
            remedy="choose one of these with --split, or keep classes for testing (data.test_classes)",
        )
    return wanted


def training_classes(manifest: Manifest, split: str, separator: str | None = None) -> set[str]:
    """The classes that training saw, as far as they matter to figures of a split.

    Validation classes are among them: they choose the epoch, and the head is fitted to them. For figures of ``val``
    itself only those of ``train`` are. With a separator they are labels, of which a picture may have several.
    """
    train, others = manifest.only("train"), () if split == "val" else manifest.only("val").label
    if separator is None:
        return {*train.label, *others}
    found = {label for cell in set(train.label) for label in parts(cell, separator)} - manifest.untold
    return found | {label for cell in set(others) for label in parts(cell, separator)}


def known_classes(classes: Iterable[str], known: Set[str], separator: str | None = None) -> set[str]:
    """Those among the known ones; with a separator, sets of labels of which one is known."""
    if separator is None:
        return set(classes) & known
    return {cell for cell in classes if not known.isdisjoint(parts(cell, separator))}


def classes_seen(manifest: Manifest, separator: str | None = None) -> dict[str, int]:
    """How many classes of the splits ``test`` and ``val`` training saw; a split without pictures is left out.

    With a separator, how many sets of labels of which training saw one.
    """
    found = {"test": test_part(manifest), "val": manifest.only("val")}
    return {
        split: len(known_classes(set(part.label), training_classes(manifest, split, separator), separator))
        for split, part in found.items()
        if len(part)
    }


def overlaps(manifest: Manifest, separator: str | None = None) -> list[str]:
    """Lines for a person where classes to be tested, or to choose the epoch, are training classes as well."""
    seen, tested = classes_seen(manifest, separator), test_part(manifest)
    shared = "classes are training classes as well" if separator is None else "sets of labels hold labels of training"
    what = "classes" if separator is None else "labels"
    lines = []
    if seen.get("test"):
        lines.append(
            f"WARNING: {_share(seen['test'], tested)} test {shared}. The test figures tell how well known {what} are "
            f"found. To measure new ones, keep the test {what} out of training"
        )
    if seen.get("val"):
        lines.append(
            f"WARNING: {_share(seen['val'], manifest.only('val'))} validation {shared}. The epoch is chosen on {what} "
            "that training sees"
        )
    return lines


def _share(part: int, of: Manifest) -> str:
    whole = len(of.classes())
    return f"all {whole:,}" if part == whole else f"{part:,} of {whole:,}"


def test_part(manifest: Manifest) -> Manifest:
    return manifest.only("test", "query", "gallery")


def has_test(manifest: Manifest) -> bool:
    return len(test_part(manifest)) > 0
