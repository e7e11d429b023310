"""What an exported file says about itself: enough to use it without bier, and to know which model it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bier.errors import ModelError
from bier.vectors.encoder import Encoder

FORMAT = "bier-export-1"
KEY = "bier"
"""Under which the JSON stands in ONNX's ``metadata_props``."""
FILE = "bier.json"
"""Likewise in a torch program."""

INPUT, OUTPUT = "images", "vector"


def describe_encoder(encoder: Encoder) -> dict[str, Any]:
    """The description of a model as it is; quantisation changes ``fingerprint`` and fills ``quantization``."""
    backbone, head, size = encoder.model.backbone, encoder.model.head, encoder.transform.size
    return {
        "format": FORMAT,
        "fingerprint": encoder.fingerprint,
        "model": encoder.fingerprint,
        "backbone": backbone.name,
        "dimensions": encoder.dimensions,
        "sizes": list(encoder.sizes),
        "scales": list(encoder.scales),
        "prefix_scales": [head.scales(m).tolist() for m in range(1, len(head.sizes) + 1)],
        "weighting": head.weighting,
        "image": {"size": size, "fit": encoder.transform.fit},
        "preprocessing": steps(size, encoder.transform.fit),
        "normalization": {"inside": True, "mean": list(backbone.mean), "std": list(backbone.std)},
        "input": {"name": INPUT, "type": "uint8", "shape": ["batch", 3, size, size], "channels": "RGB"},
        "output": {"name": OUTPUT, "type": "float32", "shape": ["batch", encoder.dimensions]},
        "quantization": None,
    }


def steps(size: int, fit: str) -> list[str]:
    """What to do to a picture before the model sees it, for a person who writes it anew."""
    resize = "bilinear, antialiased (a triangle filter as wide as the scale when shrinking), rounded to uint8"
    upright = [
        "decode; the first frame of several; turn as the EXIF orientation says",
        "16-bit grey values: divide by 257 and round; CMYK and palettes: convert to RGB",
        "transparency: lay on white; result: RGB, uint8, height h, width w",
    ]
    if fit == "pad":
        return [
            *upright,
            f"k = {size} / max(h, w); resize to max(1, round(h * k)) by max(1, round(w * k)) pixels, {resize}",
            f"fill up with white (255) to {size} by {size}; floor of half the missing rows above, of half the missing "
            "columns on the left, the rest opposite",
        ]
    return [
        *upright,
        "a = max(1, round(min(h, w) * 7 / 8)), halves to the even number; cut the square of a by a pixels whose "
        "top is floor((h - a) / 2) and whose left is floor((w - a) / 2)",
        f"resize it to {size} by {size} pixels, {resize}",
    ]


def to_json(description: Mapping[str, Any]) -> str:
    return json.dumps(description, allow_nan=False)


def from_json(text: str | None, where: Path | str) -> dict[str, Any]:
    """What `to_json` wrote.

    Raises:
        ModelError: there is none, or it is of another kind.
    """
    try:
        description: dict[str, Any] = json.loads(text or "{}")
    except ValueError:
        description = {}
    if description.get("format") != FORMAT:
        raise ModelError(
            "was not written by this version's `bier export`",
            where=where,
            remedy="export the model again",
        )
    return description
