"""Which files are pictures, judged by their suffix, and which of them can be read here.

What a file really holds is judged by its first bytes when it is decoded. A list of files is made by suffix alone, so
that none has to be opened.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

_KINDS = {
    "JPEG": ".jpg .jpeg .jpe .jfif .mpo",
    "PNG": ".png .apng",
    "WebP": ".webp",
    "BMP": ".bmp .dib",
    "GIF": ".gif",
    "TIFF": ".tif .tiff",
    "AVIF": ".avif .avifs",
    "JPEG 2000": ".jp2 .j2k .j2c .jpc .jpf .jpx",
    "PPM": ".ppm .pgm .pbm .pnm",
    "ICO": ".ico",
    "HEIC": ".heic .heif .heics .heifs .hif",
    "JPEG XL": ".jxl",
}
_PLUGINS = {"HEIC": "pillow_heif", "JPEG XL": "pillow_jxl"}
"""Kinds that Pillow reads with another package only."""

_CODECS = {"WebP": "webp", "AVIF": "avif", "JPEG 2000": "jpg_2000"}
"""Kinds that some builds of Pillow lack, with Pillow's own name of the codec."""

_OTHERS = {
    "a camera's raw file": ".dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef .srw .3fr .iiq .x3f",
    "a Photoshop file": ".psd .psb",
    "an SVG drawing": ".svg .svgz",
    "a PostScript drawing": ".eps .ai .ps",
    "a Windows metafile": ".emf .wmf",
    "a PDF document": ".pdf",
    "a video": ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .3gp .wmv",
}
"""Kinds that show something and are no picture that bier reads."""

EXTRA = "pip install 'bier-dml[formats]'"

SUFFIXES = frozenset(suffix for suffixes in _KINDS.values() for suffix in suffixes.split())
"""Of all pictures that bier can read, in lower case and with the dot; some of them need the extra `formats`."""

_KIND = {suffix: kind for kinds in (_KINDS, _OTHERS) for kind, names in kinds.items() for suffix in names.split()}


def suffix_of(name: str) -> str:
    """The suffix in lower case, with its dot; empty where there is none."""
    return os.path.splitext(name)[1].lower()


def is_readable(name: str) -> bool:
    """Whether a file of this name is a picture that can be read here, with what is installed."""
    suffix = suffix_of(name)
    return suffix in SUFFIXES and kind_is_readable(_KIND[suffix])


def remedy_for(name: str) -> str | None:
    """What to do about a file that shows something and is not read here, or none for any other file."""
    kind = _KIND.get(suffix_of(name))
    if kind is None or (kind in _KINDS and kind_is_readable(kind)):
        return None
    return kind_remedy(kind)


def kind_remedy(kind: str) -> str:
    """What to do about a kind of file that is not read here, such as ``HEIC`` or ``a video``."""
    if kind in _PLUGINS:
        return f"to read {kind}: {EXTRA}"
    if kind in _CODECS:
        return f"to read {kind}: pip install --upgrade pillow"
    return "unpack it" if kind == "an archive" else "export it as JPEG or PNG"


@cache
def kind_is_readable(kind: str) -> bool:
    """Whether this kind of picture, such as ``HEIC``, can be read with what is installed."""
    from PIL import features

    if kind in _PLUGINS:
        return find_spec(_PLUGINS[kind]) is not None
    return kind in _KINDS and (kind not in _CODECS or bool(features.check(_CODECS[kind])))


def kind_is_known(kind: str) -> bool:
    """Whether it is a kind of picture that bier can read, if only with something more installed."""
    return kind in _KINDS


def is_picture(kind: str | None) -> bool:
    """Whether a kind of file is a picture, readable here or not; documents and videos are none."""
    return kind in _KINDS or (kind in _OTHERS and kind not in ("a PDF document", "a video"))


def kind_of_name(name: str) -> str | None:
    """The kind that the suffix promises, or none that is known."""
    return _KIND.get(suffix_of(name))
