"""Pictures are decoded by what they hold, and quietly; what is none is named as what it is."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bier.data import formats, read_image
from bier.data.quiet import quiet
from bier.errors import ImageError

SCENE = np.full((40, 64, 3), 128, np.uint8)
SCENE[:20, :32], SCENE[20:, 32:] = (220, 30, 30), (30, 200, 60)


def saved(kind: str, **settings: object) -> bytes:
    if kind in ("heif", "jxl"):
        pytest.importorskip("pillow_heif").register_heif_opener()
        pytest.importorskip("pillow_jxl")
    file = io.BytesIO()
    Image.fromarray(SCENE).save(file, kind, **settings)
    return file.getvalue()


@pytest.mark.parametrize(
    "kind", ["jpeg", "png", "webp", "gif", "bmp", "dib", "tiff", "avif", "jpeg2000", "ppm", "ico", "heif", "jxl"]
)
@pytest.mark.parametrize("name", ["picture", "picture.jpg", "picture.txt"])
def test_the_name_of_a_file_does_not_matter(kind: str, name: str, decoder: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(saved(kind, **({"sizes": [(64, 40)]} if kind == "ico" else {})))
    found = read_image(path).permute(1, 2, 0).numpy().astype(int)
    assert found.shape == (40, 64, 3)
    assert np.abs(found - SCENE).mean() < 8


@pytest.fixture
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the extra `formats` were not installed."""
    formats.kind_is_readable.cache_clear()
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    yield
    formats.kind_is_readable.cache_clear()


HEIC = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic") + bytes(100)


@pytest.mark.parametrize("name", ["a.heic", "a.jpg", None])
def test_a_heic_without_its_package_is_named_with_the_remedy(
    name: str | None, no_plugins: None, tmp_path: Path
) -> None:
    source: Path | bytes = HEIC
    if name is not None:
        source = tmp_path / name
        source.write_bytes(HEIC)
    with pytest.raises(ImageError, match="HEIC") as caught:
        read_image(source, name="upload.jpg")
    assert caught.value.remedy == "to read HEIC: pip install 'bier-dml[formats]'"


def raw_tiff(*fields: tuple[int, int]) -> bytes:
    """A small picture as cameras put it before their raw data, with some fields more."""
    plain = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 400), (277, 1), (278, 8), (279, 64)]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted([*plain, *fields]))
    count = struct.pack("<H", len(plain) + len(fields))
    return (b"II*\0\x08\0\0\0" + count + body + bytes(4)).ljust(400, b"\0") + bytes(64)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (raw_tiff((0xC612, 1)), "a camera's raw file"),
        (raw_tiff((0xFE, 1), (0x14A, 300)), "a camera's raw file"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(50), "a camera's raw file"),
        (struct.pack(">I4s4s", 24, b"ftyp", b"crx ") + bytes(50), "a camera's raw file"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(50), "a camera's raw file"),
        (b"8BPS\0\1" + bytes(50), "a Photoshop file"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"%PDF-1.7\n", "a PDF document"),
        (struct.pack(">I4s4s", 24, b"ftyp", b"isom") + bytes(50), "a video"),
        (b"\x1aE\xdf\xa3" + bytes(50), "a video"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"PK\3\4" + bytes(50), "an archive"),
    ],
)
def test_what_is_no_picture_is_named_as_what_it_is(content: bytes, what: str) -> None:
    with pytest.raises(ImageError, match=f"{what}, not a picture") as caught:
        read_image(content)
    assert caught.value.remedy in ("export it as JPEG or PNG", "unpack it")


def test_a_plain_tiff_is_no_raw_file() -> None:
    assert read_image(raw_tiff()).shape == (3, 8, 8)
    assert read_image(raw_tiff((0xFE, 0), (0x14A, 300))).shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("x" * 300 + ".jpg", "file name too long"), ("a\0b.jpg", "cannot be one"), ("x" * 5000, "file name too long")],
)
def test_what_is_no_path_is_named_and_not_at_length(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(tmp_path / name)
    assert len(str(caught.value)) < 600
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "file.txt" / name[:20].replace("\0", ""))


NOISY = """
import io, sys, threading
import numpy as np
from PIL import Image
from bier.data import read_image
from bier.errors import ImageError

def mutants(kind, seed):
    random = np.random.default_rng(seed)
    file = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(file, kind)
    for _ in range(60):
        content = bytearray(file.getvalue())
        for place in random.integers(8, len(content) - 2, 3):
            content[place] = random.integers(0, 256)
        yield bytes(content)

def read(seed):
    for kind in sys.argv[1:]:
        for content in mutants(kind, seed):
            try:
                read_image(content)
            except ImageError:
                pass

threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("Python is heard", file=sys.stderr)
import os, warnings
warnings.warn("so are its warnings")
"""


@pytest.mark.slow
def test_decoders_print_nothing_in_any_thread() -> None:
    kinds = ["jpeg", "png", "tiff", "webp", "gif", "bmp", "jpeg2000", "avif"]
    done = subprocess.run(
        [sys.executable, "-c", NOISY, *kinds], capture_output=True, text=True, check=True, timeout=240
    )
    heard = done.stderr.splitlines()
    assert heard[0] == "Python is heard"
    assert "so are its warnings" in heard[1]
    assert len(heard) == 2, done.stderr[:2000]


def test_damaged_heic_and_jpeg_xl_end_in_named_errors(capfd: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    for kind in ("heif", "jxl"):
        sound = saved(kind)
        for _ in range(40):
            damaged = bytearray(sound)
            for place in random.integers(12, len(sound), 3):
                damaged[place] = random.integers(0, 256)
            with contextlib.suppress(ImageError):
                assert read_image(bytes(damaged)).shape[0] == 3
    heard = capfd.readouterr()
    assert heard.err == ""


def test_threads_that_decode_at_once_leave_the_filters_as_they_were() -> None:
    before = list(warnings.filters)
    ready = threading.Barrier(4)

    def work() -> None:
        for _ in range(50):
            with quiet():
                ready.wait()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
