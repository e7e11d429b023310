"""What an exported file says about itself: enough to use it without bier, and to know which model it was."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bier.confidence.calibration import check_calibration
from bier.data.images import Filter, TestTransform
from bier.errors import ModelError
from bier.network.model_description import IMAGE, MOST_DIMENSIONS, SIZES, WEIGHTING
from bier.system import json_values
from bier.system.json_values import anything, list_of, number, record, text, whole
from bier.vectors.encoder import Encoder

FORMAT = "bier-export-1"
KEY = "bier"
"""Under which the JSON stands in ONNX's ``metadata_props``."""
FILE = "bier.json"
"""Likewise in a torch program."""

INPUT, OUTPUT = "images", "vector"

NO_CHECKSUM = "00000000"
"""What the checksum is computed with in its own place."""
LONGEST = 1 << 20
"""Most characters of a description."""


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
        "weighting": head.described_weighting,
        "image": encoder.transform.described,
        "preprocessing": steps(encoder.transform),
        "normalization": {"inside": True, "mean": list(backbone.mean), "std": list(backbone.std)},
        "input": {"name": INPUT, "type": "uint8", "shape": ["batch", 3, size, size], "channels": "RGB"},
        "output": {"name": OUTPUT, "type": "float32", "shape": ["batch", encoder.dimensions]},
        "quantization": None,
        **({} if encoder.calibration is None else {"calibration": encoder.calibration.to_json()}),
    }


_FILTERS: dict[Filter, str] = {
    "bilinear": "bilinear, antialiased (a triangle filter, twice the scale wide when shrinking)",
    "bicubic": "bicubic with a = -0.5, antialiased (the filter is four times the scale wide when shrinking)",
}


def steps(view: TestTransform) -> list[str]:
    """What to do to a picture before the model sees it, for a person who writes it anew."""
    size, fit, resize = view.size, view.fit, f"{_FILTERS[view.filter]}, rounded to uint8"
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
    if fit == "stretch":
        return [
            *upright,
            "a = max(1, round(h * 7 / 8)), b = max(1, round(w * 7 / 8)), halves to the even number; cut the a by b "
            "pixels (height by width) whose top is floor((h - a) / 2) and whose left is floor((w - b) / 2)",
            f"resize them to {size} by {size} pixels, {resize}",
        ]
    return [
        *upright,
        "a = max(1, round(min(h, w) * 7 / 8)), halves to the even number; cut the square of a by a pixels whose "
        "top is floor((h - a) / 2) and whose left is floor((w - a) / 2)",
        f"resize it to {size} by {size} pixels, {resize}",
    ]


def to_json(description: Mapping[str, Any]) -> str:
    return json.dumps(description, allow_nan=False)


def from_json(content: str | None, where: Path | str) -> dict[str, Any]:
    """What `to_json` wrote, every value checked.

    Raises:
        ModelError: there is none, it is of another kind, or it does not fit.
    """
    try:
        found = json_values.parse(content or "{}") if len(content or "") <= LONGEST else None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ModelError(
                "was not written by this version's `bier export`", where=where, remedy="export the model again"
            )
        return _sound(_DESCRIPTION(found, ""))
    except ValueError as error:
        raise ModelError(
            f"its description cannot be used: {error}", where=where, remedy="export the model again"
        ) from error


def _sound(description: dict[str, Any]) -> dict[str, Any]:
    """The description, if its numbers agree."""
    learners = len(description["sizes"])
    counts = [len(scales) for scales in description["prefix_scales"]]
    if len(description["scales"]) != learners or counts != list(range(1, learners + 1)):
        raise ValueError(f"'scales' or 'prefix_scales' are not those of {learners} learners")
    if description["dimensions"] != sum(description["sizes"]):
        raise ValueError(f"'sizes' sum to {sum(description['sizes']):,}, not to {description['dimensions']:,}")
    return description


def seal(content: bytes) -> bytes:
    """A file whose description says `NO_CHECKSUM`, with the CRC-32 of its content in that place."""
    return content.replace(_entry(NO_CHECKSUM), _entry(f"{zlib.crc32(content):08x}"))


def check_seal(content: bytes, description: Mapping[str, Any], where: Path | str) -> None:
    """Compare a file with its checksum; one of an older version has none.

    Raises:
        ModelError: it has changed since it was written.
    """
    if "checksum" not in description:
        return
    before, entry, after = content.rpartition(_entry(description["checksum"]))
    found = zlib.crc32(after, zlib.crc32(_entry(NO_CHECKSUM), zlib.crc32(before)))
    if not entry or f"{found:08x}" != description["checksum"]:
        raise ModelError(
            "is damaged: it is not what was written", where=where, remedy="copy it again, or export the model again"
        )


def _entry(checksum: str) -> bytes:
    return json.dumps({"checksum": checksum})[1:-1].encode()


_SCALE = number(1e-9, 1e9)
_DESCRIPTION = record(
    {
        **dict.fromkeys(("format", "fingerprint", "model", "backbone"), text()),
        "dimensions": whole(1, MOST_DIMENSIONS),
        "sizes": SIZES,
        "scales": list_of(_SCALE),
        "prefix_scales": list_of(list_of(_SCALE)),
        "weighting": WEIGHTING,
        "image": IMAGE,
        "preprocessing": list_of(text(10_000)),
        **dict.fromkeys(("normalization", "input", "output", "quantization"), anything),
    },
    optional={"calibration": check_calibration, "opset": whole(1, 10_000), "checksum": text(8)},
)
