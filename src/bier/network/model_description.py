"""What a model file may say beside its tensors: checked before anything is built from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bier.confidence.calibration import check_calibration
from bier.errors import ModelError
from bier.network.tokens import PARTS, SIDE_BY_SIDE
from bier.system.json_values import Check, flag, list_of, number, one_of, record, text, unfit, whole, word_or_list

LARGEST_IMAGE = 4096
"""Pixels of a side, as in the settings."""
MOST_DIMENSIONS, MOST_LEARNERS = 1_000_000, 1024
"""Likewise."""

IMAGE = record(
    {"size": whole(1, LARGEST_IMAGE), "fit": one_of("crop", "stretch", "pad")},
    optional={"filter": one_of("bilinear", "bicubic")},
)
SIZES = list_of(whole(1, MOST_DIMENSIONS), 1, MOST_LEARNERS)
WEIGHTING = word_or_list(one_of("boosting", "size", "equal"), list_of(number(1e-9, 1), 1, MOST_LEARNERS))


def backbone_name(value: Any, at: str) -> str:
    """The name of a network whose code is installed here.

    With a colon it would be a place: timm asks a hub for ``hf-hub:...`` and reads the folder of ``local-dir:...``.
    """
    name: str = text()(value, at)
    if ":" in name:
        raise unfit(value, at, "the name of an architecture, such as 'resnet50', and no place to fetch one from")
    return name


_BACKBONE = record(
    {
        "name": backbone_name,
        "mean": list_of(number(-1000, 1000), 3, 3),
        "std": list_of(number(1e-6, 1000), 3, 3),
    },
    optional={"pooling": one_of("average", "gem", *PARTS, *SIDE_BY_SIDE)},
)
_REFIT = record(dict.fromkeys(("power", "share", "before", "after"), number(0, 1)), optional={"rotated": flag})
DESCRIPTION: Check = record(
    {"backbone": _BACKBONE, "sizes": SIZES, "weighting": WEIGHTING, "image": IMAGE},
    optional={"refit": _REFIT, "calibration": check_calibration},
)
"""Of a model file."""


def check_head(description: Mapping[str, Any], tensors: Mapping[str, Tensor], where: object) -> None:
    """Raise ModelError unless the head's layer and its list of weights, if there is one, are those of its learners."""
    sizes, weighting = description["sizes"], description["weighting"]
    if isinstance(weighting, list) and len(weighting) != len(sizes):
        raise misfit(f"{len(sizes):,} learners need as many weights, and there are {len(weighting):,}", where)
    found = tensors.get("head.linear.weight")
    dimensions = sum(sizes)
    if found is None or found.ndim != 2 or len(found) != dimensions:
        shape = "none" if found is None else f"one of shape {tuple(found.shape)}"
        raise misfit(f"learners of {dimensions:,} dimensions need a head of as many rows, and there is {shape}", where)


def misfit(what: str, where: object) -> ModelError:
    """The error for tensors that are not those of the description."""
    return ModelError(f"does not fit its own description: {what}", where=where, remedy="train or copy the model again")
