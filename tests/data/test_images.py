"""Pictures as a person sees them, whichever decoder reads them."""

from __future__ import annotations

import contextlib
import struct
import time
import zlib
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from bier.data import decoding, images
from bier.data.images import TestTransform, TrainTransform, read_image
from bier.errors import ImageError

RED, GREEN, BLUE, GREY = (220, 30, 30), (30, 200, 40), (20, 40, 210), (128, 128, 128)


def quarters() -> np.ndarray:
    """(48, 80, 3): four colours, so that no rotation or mirroring leaves it as it is."""
    picture = np.empty((48, 80, 3), dtype=np.uint8)
    picture[:24, :40], picture[:24, 40:], picture[24:, :40], picture[24:, 40:] = RED, GREEN, BLUE, GREY
    return picture


def assert_looks_like(image: Tensor, expected: np.ndarray, tolerance: int = 6) -> None:
    assert image.dtype == torch.uint8
    assert tuple(image.shape) == (3, *expected.shape[:2])
    corners = [(4, 4), (4, -5), (-5, 4), (-5, -5)]
    for y, x in corners:
        difference = np.abs(image[:, y, x].numpy().astype(int) - expected[y, x].astype(int))
        assert difference.max() <= tolerance, f"at {y}, {x}: {image[:, y, x].tolist()}, not {expected[y, x].tolist()}"


STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}
"""How a camera held in each of the eight ways stores an upright picture."""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_exif_orientation(orientation: int, suffix: str, decoder: str, tmp_path: Path) -> None:
    path = tmp_path / f"turned.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation](quarters()))).save(path, exif=exif)
    assert_looks_like(read_image(path), quarters())


def test_damaged_exif_is_no_reason_to_refuse_and_both_decoders_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "damaged.jpg"
    Image.fromarray(quarters()).save(path, exif=exif)
    sound = path.read_bytes()
    start = sound.index(b"Exif")
    for position in range(start + 6, start + 32):
        path.write_bytes(sound[:position] + bytes([sound[position] ^ 0xFF]) + sound[position + 1 :])
        fast = read_image(path)
        with monkeypatch.context() as patch:
            patch.setattr(decoding, "decoders", lambda: None)
            assert read_image(path).shape == fast.shape, f"byte {position - start}"


def save_kind(kind: str, path: Path) -> np.ndarray:
    """Write the four quarters in some way of storing them; returns what a person sees."""
    seen = quarters()
    picture = Image.fromarray(seen)
    luma = np.asarray(picture.convert("L"))
    if kind == "palette":
        picture.quantize(8).save(path)
    elif kind == "palette with a transparent colour":
        flat = picture.quantize(8)
        flat.save(path, transparency=flat.getpixel((4, 4)))
        seen[:24, :40] = 255
    elif kind == "alpha":
        alpha = np.full((48, 80, 1), 255, np.uint8)
        alpha[:24, :40], alpha[24:, 40:] = 0, 128
        Image.fromarray(np.concatenate([seen, alpha], axis=2)).save(path)
        seen[:24, :40], seen[24:, 40:] = 255, 191
    elif kind == "grey with alpha":
        alpha = np.full((48, 80), 255, np.uint8)
        alpha[24:] = 0
        Image.merge("LA", [Image.fromarray(luma), Image.fromarray(alpha)]).save(path)
        seen = np.repeat(luma[..., None], 3, axis=2)
        seen[24:] = 255
    elif kind == "grey":
        Image.fromarray(luma).save(path)
        seen = np.repeat(luma[..., None], 3, axis=2)
    elif kind == "16 bits":
        Image.fromarray(luma.astype(np.uint16) * 257).save(path)
        seen = np.repeat(luma[..., None], 3, axis=2)
    elif kind == "8 bits in 32":
        Image.fromarray(luma.astype(np.int32)).save(path)
        seen = np.repeat(luma[..., None], 3, axis=2)
    elif kind == "16 bits in 32":
        Image.fromarray(luma.astype(np.int32) * 257).save(path)
        seen = np.repeat(luma[..., None], 3, axis=2)
    elif kind == "float":
        Image.fromarray(luma.astype(np.float32) / 255).save(path)
        seen = np.repeat(luma[..., None], 3, axis=2)
    elif kind == "black and white":
        Image.fromarray(luma > 100).save(path)
        seen = np.repeat(np.where(luma > 100, 255, 0)[..., None], 3, axis=2)
    elif kind == "CMYK":
        picture.convert("CMYK").save(path, quality=95)
    elif kind == "animated":
        other = Image.new("RGB", picture.size, "yellow")
        picture.save(path, save_all=True, append_images=[other], duration=100)
    else:
        picture.save(path)
    return seen


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        *[("plain", suffix) for suffix in ("jpg", "png", "webp", "gif", "bmp", "tif", "ppm", "jp2")],
        *[("palette", suffix) for suffix in ("png", "gif", "tif")],
        *[("palette with a transparent colour", suffix) for suffix in ("png", "gif")],
        *[("alpha", suffix) for suffix in ("png", "webp", "tif")],
        *[("grey", suffix) for suffix in ("jpg", "png", "tif")],
        *[("16 bits", suffix) for suffix in ("png", "tif", "pgm")],
        *[("CMYK", suffix) for suffix in ("jpg", "tif")],
        *[("animated", suffix) for suffix in ("gif", "png", "webp")],
        ("grey with alpha", "png"),
        *[(f"{bits} bits in 32", "tif") for bits in (8, 16)],
        ("float", "tif"),
        ("black and white", "png"),
    ],
)
def test_every_kind_of_picture_looks_as_a_person_sees_it(kind: str, suffix: str, decoder: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{suffix}"
    seen = save_kind(kind, path)
    assert_looks_like(read_image(path), seen)


def test_16_bits_of_colour(decoder: str, tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in quarters().astype(np.uint16) * 257)
    path.write_bytes(png(80, 48, depth=16, data=zlib.compress(rows)))
    assert_looks_like(read_image(path), quarters(), tolerance=1)


def png(width: int, height: int, depth: int, data: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg() -> bytes:
    from io import BytesIO

    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(file, "jpeg")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.jpg", b"", "empty"),
        ("page.jpg", b"\n <!DOCTYPE html><html><body>404</body></html>", "web page"),
        ("drawing.jpg", b"<?xml version='1.0'?><svg/>", "an SVG drawing"),
        ("noise.jpg", bytes(range(256)) * 8, "not a picture"),
        ("half.jpg", jpeg()[: len(jpeg()) // 2], "damaged"),
        ("head.jpg", jpeg()[:100], "damaged"),
        ("end.jpg", jpeg()[:-40], "damaged"),
        ("half.png", png(64, 64, 8, zlib.compress(bytes(64 * 193)))[:60], "damaged"),
        ("bomb.png", png(20_000, 20_000, 8, zlib.compress(bytes(1000))), "pixels"),
        ("large.png", png(10_001, 10_000, 8, zlib.compress(bytes(1000))), "pixels"),
        # Pillow would hand it to Ghostscript.
        ("script.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "not a picture"),
    ],
)
def test_hostile_files_are_named_with_the_reason(
    name: str, content: bytes, reason: str, decoder: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    began = time.perf_counter()
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(path)
    assert name in str(caught.value)
    assert caught.value.remedy
    assert time.perf_counter() - began < 5, "refused from its header, not after decoding"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.jpg: no such file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="a folder"):
        read_image(tmp_path)


def test_damaged_bytes_end_in_a_picture_or_a_named_error(decoder: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "damaged.bin"
    sound = []
    for suffix in ("jpg", "png", "webp", "gif", "tif", "bmp"):
        Image.fromarray(quarters()).save(tmp_path / f"sound.{suffix}")
        sound.append((tmp_path / f"sound.{suffix}").read_bytes())
    for content in sound * 15:
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[random.integers(0, min(len(damaged), 400), 4)] = random.integers(0, 256, 4)
        path.write_bytes(damaged.tobytes())
        with contextlib.suppress(ImageError):
            assert read_image(path).shape[0] == 3


def test_both_decoders_agree_on_photographs(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if decoding.decoders() is None:
        pytest.skip("torchcodec is not installed")
    folders = sorted(photographs.glob("cub100/images/*"))[::8] + sorted(photographs.glob("cars196/images/*"))[::16]
    paths = [next(folder.glob("*.jpg")) for folder in folders]
    assert len(paths) > 20
    fast = [read_image(path) for path in paths]
    monkeypatch.setattr(decoding, "decoders", lambda: None)
    for path, image in zip(paths, fast, strict=True):
        assert (read_image(path).int() - image.int()).abs().max() <= 2, path


def test_bounding_box(tmp_path: Path) -> None:
    path = tmp_path / "quarters.png"
    Image.fromarray(quarters()).save(path)
    green = read_image(path, bbox=[40, 0, 40, 24])
    assert green.shape == (3, 24, 40)
    assert green.flatten(1).T.unique(dim=0).tolist() == [list(GREEN)]
    assert read_image(path, bbox=[60.2, -5, 100, 15]).shape == (3, 10, 20)  # as much of it as there is
    assert read_image(path, bbox=np.full(4, np.nan)).shape == (3, 48, 80)
    with pytest.raises(ImageError, match=r"quarters\.png: box .* outside the picture of 80 x 48"):
        read_image(path, bbox=[80, 0, 10, 10])


def photo_like(height: int = 90, width: int = 120) -> Tensor:
    """Smooth and colourful, away from 0 and 255."""
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 3, width), indexing="ij")
    return torch.stack([128 + 50 * torch.sin(x + k) * torch.cos(y - k) for k in range(3)]).to(torch.uint8)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("shape", [(90, 120), (31, 20), (1, 1), (2000, 3), (1, 50_000)])
def test_every_shape_becomes_a_square(fit: images.Fit, shape: tuple[int, int]) -> None:
    image = torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=seeded(0))
    for view in (TestTransform(64, fit)(image), TrainTransform(64, fit)(image, seeded(1))):
        assert view.shape == (3, 64, 64)
        assert view.dtype == torch.uint8


def test_crop_keeps_the_centre_and_pad_keeps_everything_on_white() -> None:
    image = torch.zeros(3, 100, 200, dtype=torch.uint8)
    image[:, :, :50], image[:, :, 150:] = 255, 255
    image[1, 6:94, 56:144] = 100  # the centre: 7/8 of the shorter side
    assert (TestTransform(64)(image)[1] == 100).float().mean() > 0.99
    padded = TestTransform(64, "pad")(torch.zeros(3, 100, 200, dtype=torch.uint8))
    assert (padded[:, :16] == 255).all()
    assert (padded[:, 16:48] == 0).all()
    assert (padded[:, 48:] == 255).all()


def test_stretch_keeps_the_ends_of_long_pictures() -> None:
    image = torch.zeros(3, 100, 200, dtype=torch.uint8)
    image[:, 6:94, 12:188] = 200  # 7/8 of both sides
    image[1, :, 100:] = 100
    view = TestTransform(64, "stretch")(image)
    assert (view[0] == 200).float().mean() > 0.99
    assert (view[1, :, :32] == 200).float().mean() > 0.95
    assert (view[1, :, 32:] == 100).float().mean() > 0.95
    assert torch.equal(TestTransform(64, "stretch")(image.mT), TestTransform(64, "stretch")(image).mT)


def test_bicubic_keeps_more_of_fine_stripes() -> None:
    stripes = torch.full((3, 160, 160), 100, dtype=torch.uint8)
    stripes[:, :, 2::5] = 200
    soft, sharp = (TestTransform(64, filter=filter)(stripes).float().std() for filter in ("bilinear", "bicubic"))
    assert sharp > 1.2 * soft
    drawn = [TrainTransform(64, filter=filter)(stripes, seeded(1)) for filter in ("bilinear", "bicubic")]
    assert drawn[1].float().std() > 1.1 * drawn[0].float().std()


def test_a_view_is_known_by_its_description() -> None:
    view = TrainTransform(48, "pad", filter="bilinear").centre
    assert view == TestTransform(48, "pad", "bilinear") == TestTransform.of(view.described)
    assert TestTransform.of({"size": 48, "fit": "pad"}) == view, "files of before there was a choice"


def test_stretch_is_crop_where_pictures_are_square() -> None:
    image = photo_like(150, 150)
    assert torch.equal(TestTransform(48, "stretch")(image), TestTransform(48)(image))
    for seed in range(20):
        views = (TrainTransform(48, fit)(image, seeded(seed)) for fit in ("stretch", "crop"))
        assert torch.equal(next(views), next(views))


def test_the_view_is_a_function_of_the_generator() -> None:
    image, transform = photo_like(), TrainTransform(48)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    views = [transform(image, seeded(seed)) for seed in range(8)]
    assert torch.equal(before, torch.random.get_rng_state()), "the global generator was used"
    assert all(torch.equal(view, transform(image, seeded(seed))) for seed, view in enumerate(views))
    assert len({view.numpy().tobytes() for view in views}) == 8


def test_without_augmentation_training_sees_what_testing_sees() -> None:
    image = photo_like()
    for fit in get_args(images.Fit):
        transform = TrainTransform(48, fit, crop_scale=1, flip=False, color_jitter=0)
        assert torch.equal(transform(image, seeded(3)), TestTransform(48, fit)(image))


def test_flip_is_a_coin() -> None:
    image = photo_like()
    plain = TestTransform(48)(image)
    views = [TrainTransform(48, crop_scale=1, color_jitter=0)(image, seeded(seed)) for seed in range(200)]
    mirrored = sum(torch.equal(view, plain.flip(-1)) for view in views)
    assert mirrored + sum(torch.equal(view, plain) for view in views) == 200
    assert 70 < mirrored < 130


def test_random_regions_have_the_area_and_shape_that_were_asked_for() -> None:
    for seed in range(300):
        draws = iter(torch.rand(20, generator=seeded(seed)).tolist())
        height, width = images._random_shape(300, 400, 0.3, draws)
        assert 0.29 < height * width / (300 * 400) <= 1
        assert 0.74 < width / height < 1.35
        draws = iter(torch.rand(20, generator=seeded(seed)).tolist())
        height, width = images._random_shape(200, 600, 0.3, draws, 3.0)
        assert 0.29 < height * width / (200 * 600) <= 1
        assert 0.74 < width / height / 3 < 1.35


def test_the_pads_random_crop_reaches_every_place() -> None:
    # Red tells the column of a pixel and green its row, so the corner tells where the crop began.
    column = torch.arange(64, dtype=torch.uint8).expand(64, 64)
    image = torch.stack([column, column.T, column])
    corners = set()
    for seed in range(600):
        view = TrainTransform(56, "pad", flip=False, color_jitter=0)(image, seeded(seed))
        corners.add((int(view[0, 0, 0]), int(view[1, 0, 0])))
    assert corners == {(x, y) for x in range(9) for y in range(9)}


def test_color_jitter_agrees_with_torchvision() -> None:
    image = photo_like()
    for brightness, contrast, saturation in [(1.1, 0.9, 1.2), (0.9, 1.15, 0.8), (1, 1, 1)]:
        exact = image.float() / 255
        exact = reference.adjust_brightness(exact, brightness)
        exact = reference.adjust_contrast(exact, contrast)
        exact = reference.adjust_saturation(exact, saturation)
        ours = images._jitter(image, brightness, contrast, saturation)
        assert (ours.float() - exact * 255).abs().max() <= 1.1


def test_threads_change_nothing() -> None:
    image, transform = photo_like(1200, 1600), TrainTransform(512)
    before = torch.get_num_threads()
    try:
        views = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            views.append(transform(image, seeded(0)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*views)
