"""Pictures stand upright as Pillow's `exif_transpose` puts them, wherever their orientation is written."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from bier.data import read_image
from bier.data.orientation import upright

SCENE = np.full((40, 64, 3), 128, np.uint8)
SCENE[:20, :32], SCENE[20:, 32:], SCENE[:20, 32:] = (220, 30, 30), (30, 200, 60), (20, 40, 210)


def saved(kind: str, picture: Image.Image | None = None, **settings: object) -> bytes:
    file = io.BytesIO()
    (picture or Image.fromarray(SCENE)).save(file, kind, **settings)
    return file.getvalue()


def exif(value: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = value
    return found


def tiff(value: int, order: bytes = b"II", kind: int = 3, count: int = 1) -> bytes:
    """A block of metadata with one field, the orientation, as a field of some type."""
    end = "<" if order == b"II" else ">"
    short, long = struct.Struct(end + "HH"), struct.Struct(end + "I")
    behind = b""
    if kind in (5, 10):
        field, behind = long.pack(26), struct.pack(end + "II", value, 1)
    elif kind == 11:
        field = struct.pack(end + "f", value)
    elif kind in (1, 2, 6):
        field = (str(value).encode() if kind == 2 else bytes([value])).ljust(4, b"\0")
    else:
        field = short.pack(value, 0) if kind == 3 else long.pack(value)
    return order + struct.pack(end + "HIHHHI", 42, 8, 1, 0x0112, kind, count) + field + long.pack(0) + behind


def segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def app1(block: bytes) -> bytes:
    return segment(0xE1, b"Exif\0\0" + block)


def xmp(value: int | None) -> bytes:
    field = "" if value is None else f" tiff:Orientation='{value}'".replace("'", '"')
    return f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description{field}/></x:xmpmeta>".encode()


def xmp_app1(value: int | None) -> bytes:
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(value))


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_with(early: bytes = b"", late: bytes = b"") -> bytes:
    plain = saved("png")
    return plain[:33] + early + plain[33:-12] + late + plain[-12:]


@cache
def written_in(value: int) -> dict[str, bytes]:
    """The scene with an orientation, in all the ways in which files say it."""
    jpeg = saved("jpeg", quality=95)
    several = saved("jpeg", quality=95, progressive=True)
    before_last_scan = several.rindex(b"\xff\xda")
    heads = {
        "EXIF": app1(tiff(value)),
        "EXIF of the other byte order": app1(tiff(value, b"MM")),
        "XMP, then EXIF": xmp_app1(None) + app1(tiff(value)),
        "a thermal camera's block, then EXIF": segment(0xE1, b"FLIR\0\1\0\0") + app1(tiff(value)),
        "EXIF twice": app1(tiff(value)) + app1(tiff(3)),
        "EXIF, and XMP that says otherwise": app1(tiff(value)) + xmp_app1(3),
        "only XMP": xmp_app1(value),
        "EXIF with two values": app1(tiff(value, count=2)),
        **{f"EXIF of type {kind}": app1(tiff(value, kind=kind)) for kind in (1, 2, 4, 5, 6, 8, 9, 10, 11)},
    }
    sound = min(max(value, 1), 8)  # these encoders write no other
    field = chunk(b"eXIf", tiff(value))
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(value))
    raw = (b"Exif\0\0" + tiff(value)).hex().encode()
    profile = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n" % (len(raw) // 2) + raw))
    return {
        **{f"JPEG, {name}": jpeg[:2] + head + jpeg[2:] for name, head in heads.items()},
        "JPEG, EXIF between scans": several[:before_last_scan] + app1(tiff(value)) + several[before_last_scan:],
        "JPEG, grey": saved("jpeg", Image.fromarray(SCENE).convert("L"), exif=exif(value)),
        "MPO": saved("mpo", save_all=True, append_images=[Image.fromarray(SCENE)], exif=exif(value)),
        "PNG, eXIf": png_with(field),
        "PNG, eXIf behind the pixels": png_with(late=field),
        "PNG, XMP": png_with(text),
        "PNG, XMP behind the pixels": png_with(late=text),
        "PNG, EXIF as text": png_with(profile),
        "WebP, EXIF": saved("webp", lossless=True, exif=exif(value)),
        "WebP, XMP": saved("webp", lossless=True, xmp=xmp(value)),
        "TIFF": saved("tiff", exif=exif(sound)),
        "TIFF, compressed": saved("tiff", compression="tiff_lzw", exif=exif(sound)),
        "AVIF": saved("avif", quality=95, exif=exif(sound)),
        "upright": jpeg,
    }


def seen_by_pillow(content: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")).astype(int)


@pytest.mark.parametrize("name", written_in(6))
@pytest.mark.parametrize("value", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_every_way_of_writing_it_is_read_as_pillow_reads_it(name: str, value: int, decoder: str) -> None:
    content = written_in(value)[name]
    expected, found = seen_by_pillow(content), read_image(content).permute(1, 2, 0).numpy().astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 3


@pytest.mark.parametrize("value", [1, 6])
def test_heic(value: int) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    content = saved("heif", quality=95, exif=exif(value).tobytes())
    expected = seen_by_pillow(content)
    assert expected.shape[:2] == ((64, 40) if value == 6 else (40, 64))
    assert np.abs(read_image(content).permute(1, 2, 0).numpy().astype(int) - expected).max() <= 3


def test_the_pixels_of_jpeg_xl_are_upright_whatever_its_exif_says() -> None:
    pytest.importorskip("pillow_jxl")
    content = saved("jxl", lossless=True, exif=exif(6).tobytes())
    assert np.array_equal(read_image(content).permute(1, 2, 0).numpy(), SCENE)


def test_turning_moves_pixels_and_changes_none() -> None:
    image = torch.arange(12).view(1, 3, 4)
    for value in range(1, 9):
        picture = Image.fromarray(image[0].numpy().astype(np.uint8))
        picture.getexif()[0x0112] = value
        assert np.array_equal(upright(image, value)[0].numpy(), np.asarray(ImageOps.exif_transpose(picture))), value
