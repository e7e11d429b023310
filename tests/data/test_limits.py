"""Memory is given to what is really there: every bomb in a process of its own, whose memory is measured."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bier.data.images import decode_cost, read_image
from bier.errors import ImageError

WIDTH, HEIGHT = 9900, 10_000
LONG = 99_000_000
"""The side of a picture one pixel wide, within the limit of pixels."""


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, depth: int = 8, kind: int = 0, data: bytes = zlib.compress(b"")) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(width: int, height: int, compression: int, bits: int = 8) -> bytes:
    tags = [(256, width), (257, height), (258, bits), (259, compression), (262, 1), (273, 200), (277, 1)]
    fields = [*tags, (278, height), (279, 20)]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", len(fields)) + body + bytes(4)).ljust(240, b"\0")


def bmp(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54) + header + bytes(40)


def ico(content: bytes) -> bytes:
    """An icon that says 16 x 16 outside."""
    return b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(content), 22) + content


def gif(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0;"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frame


def webp(width: int, height: int) -> bytes:
    sides = b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sides + b"VP8L" + struct.pack("<I", 8) + bytes(8)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def j2k(width: int, height: int) -> bytes:
    size = struct.pack(">HHIIIIIIIIH", 47, 0, width, height, 0, 0, width, height, 0, 0, 3) + b"\x07\1\1" * 3
    return b"\xff\x4f\xff\x51" + size + b"\xff\x90" + bytes(80)


def jxl(width: int, height: int) -> bytes:
    bits = 0 | 3 << 1 | (height - 1) << 3 | 0 << 33 | 3 << 36 | (width - 1) << 38
    return b"\xff\x0a" + bits.to_bytes(14, "little") + bytes(60)


def cut_jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("L", (WIDTH, HEIGHT)).save(file, "jpeg")
    return file.getvalue()[:800] + b"\xff\xd9"


DIB = struct.pack("<IiiHHIIiiII", 40, WIDTH, 2 * HEIGHT, 1, 32, 0, 0, 0, 0, 0, 0) + bytes(40)
BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG, one pixel wide": lambda: png(1, LONG),
    "PNG, pixels missing": lambda: png(WIDTH, HEIGHT, depth=16),
    "JPEG, pixels missing": cut_jpeg,
    "GIF, pixels missing": lambda: gif(WIDTH, HEIGHT),
    "TIFF, one pixel wide": lambda: tiff(1, LONG, 1),
    **{
        f"TIFF, compression {way}, pixels missing": lambda way=way: tiff(WIDTH, HEIGHT, way) for way in (1, 5, 8, 32773)
    },
    "BMP, one pixel wide": lambda: bmp(1, LONG),
    "BMP, pixels missing": lambda: bmp(WIDTH, HEIGHT),
    "PPM, pixels missing": lambda: b"P6 9900 10000 255\n" + bytes(30),
    "PBM, one pixel wide": lambda: b"P4 1 99000000\n" + bytes(30),
    "ICO, a PNG inside": lambda: ico(png(WIDTH, HEIGHT, kind=6)),
    "ICO, a long PNG inside": lambda: ico(png(1, LONG)),
    "ICO, a bitmap inside": lambda: ico(DIB),
    "WebP, a long canvas": lambda: webp(1, 16_000_000),
    "WebP, a large canvas": lambda: webp(16_000, 16_000),
    "JPEG 2000, one pixel wide": lambda: j2k(1, LONG),
    "JPEG XL, too large": lambda: jxl(60_000, 60_000),
    "JPEG XL, one pixel wide": lambda: jxl(1, LONG),
}

MEASURE = """
import sys, time
from pathlib import Path
from bier.data.images import read_image
from bier.errors import ImageError
import io
from PIL import Image
file = io.BytesIO()
Image.new("RGB", (8, 8)).save(file, "jpeg")
read_image(file.getvalue())
def most():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])
for path in sys.argv[1:]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = most(), time.process_time()
    try:
        end = tuple(read_image(Path(path)).shape)
    except ImageError as error:
        end = error.what
    print(f"{(most() - before) / 1024:.1f}|{time.process_time() - began:.2f}|{end}")
"""


def measured(*paths: Path) -> list[tuple[float, float, str]]:
    """Memory in MB by which a process grew while it read each picture, its seconds, and what came of it."""
    command = [sys.executable, "-c", MEASURE, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    found = [line.split("|", 2) for line in done.stdout.splitlines()]
    return [(float(memory), float(seconds), end) for memory, seconds, end in found]


needs_proc = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is told by Linux")


@needs_proc
def test_no_bomb_takes_memory_or_time(tmp_path: Path) -> None:
    paths = []
    for number, (name, content) in enumerate(BOMBS.items()):
        paths.append(tmp_path / f"{number}.bin")
        paths[-1].write_bytes(content())
        assert paths[-1].stat().st_size < 2000, name
    for name, (memory, seconds, end) in zip(BOMBS, measured(*paths), strict=True):
        assert memory < 30, name
        assert seconds < 0.5, name
        assert "limit" in end or "damaged" in end, name


@pytest.mark.slow
@needs_proc
def test_what_stands_behind_a_small_picture_is_not_read(tmp_path: Path) -> None:
    paths = [tmp_path / "behind.jpg", tmp_path / "behind.png", tmp_path / "behind.webp"]
    for path in paths:
        Image.new("RGB", (16, 16), "red").save(path)
        with open(path, "ab") as file:
            file.truncate(3 * 2**30)
    jpeg, png_, webp_ = measured(*paths)
    for memory, _, end in (jpeg, png_):
        assert memory < 40
        assert end == "(3, 16, 16)"
    assert webp_[0] < 40
    assert "far more" in webp_[2]


@pytest.mark.parametrize("suffix", ["png", "gif", "tif", "webp", "jpg", "bmp", "jp2", "ppm", "avif"])
def test_an_honest_blank_picture_is_never_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"blank.{suffix}"
    mode = "L" if suffix in ("png", "gif", "tif", "jpg") else "RGB"
    settings = (
        {"compression": "tiff_lzw"} if suffix == "tif" else {"optimize": True, "quality": 1} if suffix == "jpg" else {}
    )
    Image.new(mode, (3000, 2000), "white").save(path, **settings)
    assert (read_image(path) == 255).float().mean() > 0.99


@pytest.mark.parametrize("compression", ["packbits", "tiff_adobe_deflate", "group4", "jpeg", "raw"])
def test_an_honest_blank_tiff_is_never_refused(compression: str, tmp_path: Path) -> None:
    path = tmp_path / "blank.tif"
    Image.new("1" if compression == "group4" else "L", (3000, 2000), 1).save(path, compression=compression)
    assert read_image(path).shape == (3, 2000, 3000)


def test_the_tightest_png_and_progressive_jpeg_are_read(tmp_path: Path) -> None:
    squeeze = zlib.compressobj(9)
    rows = b"".join(squeeze.compress(bytes(3001)) for _ in range(3000)) + squeeze.flush()
    assert read_image(png(3000, 3000, data=rows)).shape == (3, 3000, 3000)
    file = io.BytesIO()
    Image.new("L", (8000, 8000)).save(file, "jpeg", progressive=True, optimize=True, quality=1)
    assert read_image(file.getvalue()).shape == (3, 8000, 8000)


def test_a_limit_of_ones_own() -> None:
    file = io.BytesIO()
    Image.new("RGB", (200, 100)).save(file, "png")
    assert read_image(file.getvalue(), max_pixels=20_000).shape == (3, 100, 200)
    for ask in (read_image, decode_cost):
        with pytest.raises(ImageError, match="200 x 100 pixels are more than the limit of 19,999"):
            ask(file.getvalue(), max_pixels=19_999)  # type: ignore[operator]


def honest(kind: str, path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
    settings: dict[str, object] = {}
    picture = Image.fromarray(noise)
    if kind == "16 bits":
        picture, kind = Image.fromarray(noise[..., 0].astype(np.uint16) * 257), "png"
    elif kind == "alpha":
        picture.putalpha(Image.fromarray(noise[..., 0]))
        kind = "png"
    elif kind == "progressive":
        kind, settings = "jpeg", {"progressive": True, "subsampling": 0}
    elif kind == "turned":
        settings = {"exif": Image.Exif()}
        settings["exif"][0x0112] = 6  # type: ignore[index]
        kind = "jpeg"
    elif kind == "avif":
        settings = {"speed": 10}
    elif kind == "CMYK":
        picture, kind = picture.convert("CMYK"), "jpeg"
    picture.save(path, kind, **settings)
    return path


KINDS = [
    "jpeg",
    "progressive",
    "turned",
    "CMYK",
    "png",
    "16 bits",
    "alpha",
    "webp",
    "gif",
    "bmp",
    "tiff",
    "avif",
    "jpeg2000",
]


@pytest.mark.slow
@needs_proc
def test_the_cost_is_told_before_and_is_never_less_than_the_memory(tmp_path: Path) -> None:
    paths = [honest(kind, tmp_path / kind.replace(" ", "")) for kind in KINDS]
    for kind, path, (memory, _, end) in zip(KINDS, paths, measured(*paths), strict=True):
        cost = decode_cost(path) / 2**20
        assert end == "(3, 1500, 2000)" if kind != "turned" else "(3, 2000, 1500)"
        assert memory <= cost + 8, kind  # some for the decoder's own code
        assert decode_cost(path.read_bytes()) == decode_cost(path)
