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
    return hold_out(manifest, config.data.validation_classes, config.seed)


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


def test_part(manifest: Manifest) -> Manifest:
    return manifest.only("test", "query", "gallery")


def has_test(manifest: Manifest) -> bool:
    return len(test_part(manifest)) > 0
