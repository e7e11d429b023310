"""Colours come out in sRGB, whatever profile a picture brings, and depths of more than 8 bits as they are seen."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from bier.data import read_image
from bier.data.colour import srgb_converter

_Y, _X = np.mgrid[0:48, 0:64]
SCENE = np.stack([90 + _X * 2, 60 + _Y * 3, 200 - _X - _Y], axis=-1).clip(30, 225).astype(np.uint8)
"""(48, 64, 3): colours in sRGB that all the profiles here can express."""

D50 = (0.9642, 1.0, 0.8249)
PRIMARIES = {  # columns of the matrix to XYZ under D50, and the exponent
    "Display P3": ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407), 2.2),
    "Adobe RGB": ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457), 2.2),
    "ProPhoto": ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491), 1.8),
    "linear": ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410), 1.0),
}


def icc(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2 for a display."""
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content.ljust(-(-len(content) // 4) * 4, b"\0")
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    head = head.ljust(36, b"\0") + b"acsp" + bytes(28) + struct.pack(">iii", *(round(v * 65536) for v in D50))
    return head.ljust(128, b"\0") + table + body


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(value * 65536) for value in values))


def profile(name: str) -> bytes:
    text = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78)
    if name == "grey":
        return icc(b"GRAY", {b"desc": text, b"wtpt": xyz(D50), b"kTRC": curve(1.0)})
    *columns, gamma = PRIMARIES[name]
    colours = {key: xyz(column) for key, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma))
    return icc(b"RGB ", {b"desc": text, b"wtpt": xyz(D50), **colours, **curves})


def linear(values: np.ndarray) -> np.ndarray:
    values = values / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def stored(name: str) -> np.ndarray:
    """The scene's values in a colour space, by the formulas of the space and without littleCMS."""
    *columns, gamma = PRIMARIES[name]
    to_xyz = np.array(PRIMARIES["linear"][:3]).T
    values = linear(SCENE) @ to_xyz.T @ np.linalg.inv(np.array(columns).T).T
    return (values.clip(0, 1) ** (1 / gamma) * 255).round().astype(np.uint8)


def errors(path: Path, expected: np.ndarray = SCENE) -> np.ndarray:
    return np.abs(read_image(path).permute(1, 2, 0).numpy().astype(int) - expected.astype(int))


@pytest.mark.parametrize("name", PRIMARIES)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
def test_profiles_are_heeded(name: str, suffix: str, decoder: str, tmp_path: Path) -> None:
    path = tmp_path / f"scene.{suffix}"
    settings = {"jpg": {"quality": 98, "subsampling": 0}, "webp": {"lossless": True}, "avif": {"quality": 98}}
    if suffix == "avif":
        settings["avif"]["subsampling"] = "4:4:4"
    Image.fromarray(stored(name)).save(path, icc_profile=profile(name), **settings.get(suffix, {}))
    # Few steps of a linear space are dark, and so each is worth several of sRGB.
    assert errors(path).mean() < 2.5, errors(path).mean()


@pytest.mark.parametrize("kind", ["alpha", "palette", "grey", "grey with alpha", "16 bits of grey", "LAB"])
def test_profiles_are_heeded_in_every_mode(kind: str, decoder: str, tmp_path: Path) -> None:
    path, seen = tmp_path / "scene.png", SCENE.copy()
    grey = np.repeat(SCENE[..., 1:2], 3, axis=2)
    linear_grey = (linear(SCENE[..., 1]) * 65535).round()
    if kind == "alpha":
        alpha = np.full((48, 64, 1), 255, np.uint8)
        alpha[:10], seen[:10] = 0, 255
        Image.fromarray(np.concatenate([stored("Adobe RGB"), alpha], axis=2)).save(
            path, icc_profile=profile("Adobe RGB")
        )
    elif kind == "palette":
        flat = Image.fromarray(stored("Adobe RGB")).quantize(256)
        flat.save(path, icc_profile=profile("Adobe RGB"))
    elif kind == "LAB":
        path = tmp_path / "scene.tif"
        lab = ImageCms.createProfile("LAB")
        ImageCms.profileToProfile(Image.fromarray(SCENE), ImageCms.createProfile("sRGB"), lab, outputMode="LAB").save(
            path
        )
    else:
        seen = grey
        eight = (linear_grey / 257).round().astype(np.uint8)
        if kind == "grey":
            Image.fromarray(eight).save(path, icc_profile=profile("grey"))
        elif kind == "grey with alpha":
            opaque = Image.new("L", (64, 48), 255)
            Image.merge("LA", [Image.fromarray(eight), opaque]).save(path, icc_profile=profile("grey"))
        else:
            Image.fromarray(linear_grey.astype(np.uint16)).save(path, icc_profile=profile("grey"))
    assert errors(path, seen).mean() < 3


def press() -> bytes:
    """A CMYK profile whose cyan is dull, as ink on paper is; every other ink and mixture is black."""
    corners = np.full((2, 2, 2, 2, 3), (0, 128, 128), np.uint8)  # L, a and b of each mixture of C, M, Y and K
    corners[0, 0, 0, 0], corners[1, 0, 0, 0] = (255, 128, 128), (140, 90, 80)
    table = struct.pack(">4sIBBBB", b"mft1", 0, 4, 3, 2, 0)
    table += struct.pack(">9i", *(65536 * value for value in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    ramp = bytes(range(256))
    table += ramp * 4 + corners.tobytes() + ramp * 3
    text = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78)
    content = bytearray(icc(b"CMYK", {b"desc": text, b"wtpt": xyz(D50), b"A2B0": table}))
    content[12:16], content[20:24] = b"prtr", b"Lab "
    return bytes(content)


@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_a_presss_profile_is_heeded_and_without_one_inks_are_pure(suffix: str, decoder: str, tmp_path: Path) -> None:
    cyan = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    found = {}
    for name, settings in (("press", {"icc_profile": press()}), ("plain", {}), ("broken", {"icc_profile": b"no" * 99})):
        cyan.save(tmp_path / f"{name}.{suffix}", **settings)
        found[name] = read_image(tmp_path / f"{name}.{suffix}")[:, 16, 16].tolist()
    assert found["plain"] == found["broken"]
    assert found["plain"] == pytest.approx((0, 255, 255), abs=2)
    # L 54.9, a -38, b -48 by the formulas of CIELAB; its red lies outside of sRGB and ends at 0.
    assert found["press"] == pytest.approx((0, 151, 214), abs=6)


def test_plain_values_where_there_is_no_profile_to_heed(decoder: str, tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    sound = profile("Display P3")
    for number, content in enumerate([None, srgb, b"", b"x" * 500, sound[:200], sound[:-80], profile("grey")]):
        path = tmp_path / f"{number}.png"
        Image.fromarray(SCENE).save(path, **({} if content is None else {"icc_profile": content}))
        assert errors(path).max() == 0, number


def test_a_profile_is_read_once() -> None:
    assert srgb_converter(profile("Display P3"), "RGB") is srgb_converter(profile("Display P3"), "RGB")
    assert srgb_converter(None, "RGB") is None


def test_a_large_picture_is_converted_piece_by_piece_to_the_same(decoder: str, tmp_path: Path) -> None:
    tile = np.tile(stored("Adobe RGB"), (45, 50, 1))  # 6.9 million pixels
    for name, part in (("large", tile), ("small", stored("Adobe RGB"))):
        Image.fromarray(part).save(tmp_path / f"{name}.png", icc_profile=profile("Adobe RGB"))
    small, large = (read_image(tmp_path / f"{name}.png").numpy() for name in ("small", "large"))
    assert np.array_equal(np.tile(small, (1, 45, 50)), large)


GREY = np.repeat(SCENE[..., 1:2], 3, axis=2)


def tiff(values: np.ndarray, path: Path, **tags: int) -> Path:
    fields = {int(name[1:]): value for name, value in tags.items()}
    Image.fromarray(values).save(path, tiffinfo=fields)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_white_may_be_zero(dtype: str, tmp_path: Path) -> None:
    top = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
    values = ((255 - GREY[..., 0].astype(float)) / 255 * top).astype(dtype)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "tiff")
    content = file.getvalue()
    field = struct.pack("<HHIHH", 262, 3, 1, 1, 0)
    assert content.count(field) == 1
    path = tmp_path / "negative.tif"
    path.write_bytes(content.replace(field, struct.pack("<HHIHH", 262, 3, 1, 0, 0)))
    assert errors(path, GREY).max() <= 1


@pytest.mark.parametrize("top", [1, 255, 300, 65_535])
def test_floats_stand_in_one_of_three_ranges(top: int, tmp_path: Path) -> None:
    values = GREY[..., 0] / np.float32(255) * min(top, 65_535)
    values[0, 0], values[0, 1] = top, np.inf
    values[0, 2] = np.nan
    expected = GREY.astype(float) * (300 / 255 if top == 300 else 1)
    found = errors(tiff(values.astype(np.float32), tmp_path / "float.tif"), expected.clip(0, 255).round())
    assert found[1:].max() <= 1


def test_integers_of_32_bits_may_use_all_of_them(tmp_path: Path) -> None:
    values = (GREY[..., 0].astype(np.int64) * (2**31 - 1) // 255).astype(np.int32)
    assert errors(tiff(values, tmp_path / "deep.tif"), GREY).max() <= 1


def test_twelve_packed_bits_are_twelve_bits(tmp_path: Path) -> None:
    values = GREY[..., 0].astype(np.uint16) * 16 + GREY[..., 0] // 16
    even, odd = values[:, ::2], values[:, 1::2]
    packed = np.stack([even >> 4, (even & 15) << 4 | odd >> 8, odd & 255], axis=-1).astype(np.uint8).tobytes()
    fields = [(256, 64), (257, 48), (258, 12), (259, 1), (262, 1), (273, 200), (277, 1), (278, 48), (279, len(packed))]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    path = tmp_path / "packed.tif"
    path.write_bytes((b"II*\0\x08\0\0\0" + struct.pack("<H", len(fields)) + body + bytes(4)).ljust(200, b"\0") + packed)
    assert errors(path, GREY).max() <= 1


def test_a_bitmaps_alpha_of_nothing_is_no_alpha(tmp_path: Path) -> None:
    for opaque in (0, 255):
        pixels = np.concatenate([SCENE[::-1, :, ::-1], np.full((48, 64, 1), opaque, np.uint8)], axis=2).tobytes()
        masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        head = struct.pack("<IiiHHIIiiII", 124, 64, 48, 1, 32, 3, len(pixels), 0, 0, 0, 0) + masks + bytes(68)
        path = tmp_path / f"{opaque}.bmp"
        path.write_bytes(
            b"BM" + struct.pack("<IHHI", 14 + len(head) + len(pixels), 0, 0, 14 + len(head)) + head + pixels
        )
        with Image.open(path) as picture:
            assert picture.mode == "RGBA"
        assert errors(path).max() == 0
