"""One photograph in the forms that programs disagree about."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def odd_pictures(photograph: Path) -> dict[str, bytes]:
    """Turned by EXIF, with a palette, translucent, CMYK, and 16 bits deep; each a file's content under its ending."""
    picture = Image.open(photograph).convert("RGB").resize((150, 110))
    turned = Image.Exif()
    turned[0x0112] = 6
    translucent = picture.copy()
    translucent.putalpha(Image.linear_gradient("L").resize(picture.size))
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    forms: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "exif.jpg": (picture, "JPEG", {"exif": turned}),
        "palette.png": (picture.quantize(32), "PNG", {"transparency": 3}),
        "alpha.png": (translucent, "PNG", {}),
        "cmyk.jpg": (picture.convert("CMYK"), "JPEG", {}),
        "deep.png": (deep, "PNG", {}),
    }
    return {name: encoded(form, kind, **options) for name, (form, kind, options) in forms.items()}


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
