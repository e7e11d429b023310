"""Which classes are trained on, held out, tested."""

from __future__ import annotations

from rich.console import Console

from bier.data import Manifest, hold_out
from bier.errors import ConfigError, DataError
from bier.settings.schema import Config


def held_out(manifest: Manifest, config: Config, console: Console) -> Manifest:
    """The manifest with training classes set aside for validation, where there are enough of them."""
    if len(manifest.only("train").classes()) < 4 and "val" not in manifest.split:
        console.print("too few training classes to hold some out for validation: the last epoch is kept")
        return manifest
    return hold_out(manifest, config.data.validation_classes, config.seed, config.data.label_separator)


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


def training_classes(manifest: Manifest, split: str) -> set[str]:
    """The classes that training saw, as far as they matter to figures of a split.

    Validation classes are among them: they choose the epoch, and the head is fitted to them. For figures of ``val``
    itself only those of ``train`` are.
    """
    return set(manifest.only("train", *(() if split == "val" else ("val",))).label)


def classes_seen(manifest: Manifest) -> dict[str, int]:
    """How many classes of the splits ``test`` and ``val`` training saw; a split without pictures is left out."""
    parts = {"test": test_part(manifest), "val": manifest.only("val")}
    return {
        split: len(set(part.label) & training_classes(manifest, split)) for split, part in parts.items() if len(part)
    }


def overlaps(manifest: Manifest) -> list[str]:
    """Lines for a person where classes to be tested, or to choose the epoch, are training classes as well."""
    seen, tested = classes_seen(manifest), test_part(manifest)
    lines = []
    if seen.get("test"):
        lines.append(
            f"WARNING: {_share(seen['test'], tested)} test classes are training classes as well. The test figures tell "
            "how well known classes are found. To measure new ones, keep the test classes out of training"
        )
    if seen.get("val"):
        lines.append(
            f"WARNING: {_share(seen['val'], manifest.only('val'))} validation classes are training classes as well. "
            "The epoch is chosen on classes that training sees"
        )
    return lines


def _share(part: int, of: Manifest) -> str:
    whole = len(of.classes())
    return f"all {whole:,}" if part == whole else f"{part:,} of {whole:,}"


def test_part(manifest: Manifest) -> Manifest:
    return manifest.only("test", "query", "gallery")


def has_test(manifest: Manifest) -> bool:
    return len(test_part(manifest)) > 0
