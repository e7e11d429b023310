"""Pictures that were damaged, and small files that claim to be huge."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from faults.warm import memory
from PIL import Image, features

LONG, OTHER = 99_000_000, 1
"""The sides of a line of pixels, which no limit on their number alone refuses."""
WIDE = 65_500, 1_500


def samples(photograph: Path) -> Iterator[tuple[str, bytes]]:
    """A photograph in every format that is written here."""
    picture = Image.open(photograph).convert("RGB").resize((90, 70))
    forms: dict[str, Callable[[io.BytesIO], object]] = {
        "jpg": lambda file: picture.save(file, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
        "progressive.jpg": lambda file: picture.save(file, "JPEG", progressive=True),
        "png": lambda file: picture.save(file, "PNG"),
        "palette.png": lambda file: picture.quantize(32).save(file, "PNG", transparency=3),
        "gif": lambda file: picture.save(file, "GIF"),
        "webp": lambda file: picture.save(file, "WEBP"),
        "lossless.webp": lambda file: picture.save(file, "WEBP", lossless=True),
        "bmp": lambda file: picture.save(file, "BMP"),
        "tif": lambda file: picture.save(file, "TIFF", compression="tiff_lzw"),
        "deep.tif": lambda file: Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16)).save(file, "TIFF"),
        "ico": lambda file: picture.save(file, "ICO"),
        "ppm": lambda file: picture.save(file, "PPM"),
    }
    if features.check("jpg_2000"):
        forms["jp2"] = lambda file: picture.save(file, "JPEG2000")
    if features.check("avif"):
        forms["avif"] = lambda file: picture.save(file, "AVIF")
    for name, save in forms.items():
        buffer = io.BytesIO()
        save(buffer)
        yield name, buffer.getvalue()


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Bytes changed, most of them near the head; a piece doubled, removed or zeroed; the end cut off."""
    for _ in range(chance.choice([1, 1, 3, 20])):
        place = min(int(chance.expovariate(6 / len(content))), len(content) - 1)
        piece = chance.randint(1, 40)
        how = chance.choice(["byte", "byte", "byte", "extreme", "double", "remove", "cut"])
        if how == "byte":
            content = content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]
        elif how == "extreme":
            content = content[:place] + chance.choice([b"\xff", b"\0", b"\x7f", b"\x80"]) * 4 + content[place + 4 :]
        elif how == "double":
            content = content[:place] + content[place : place + piece] * 2 + content[place + piece :]
        elif how == "remove":
            content = content[:place] + content[place + piece :]
        else:
            content = content[: max(1, len(content) - piece)]
        if len(content) < 2:
            break
    return content


def read_mutants(photograph: str, seed: str, count: int) -> None:
    """In a child: how many were read and refused; each that ended otherwise, or took seconds."""
    from bier.data import read_image
    from bier.errors import ImageError

    chance, forms = random.Random(seed), list(samples(Path(photograph)))
    found: Counter[str] = Counter()
    wrong = []
    for number in range(count):
        name, content = forms[number % len(forms)]
        content = mutated(content, chance)
        file = Path.cwd() / name
        file.write_bytes(content)
        began = time.monotonic()
        try:
            read_image(content if number % 2 else file)
            found["read"] += 1
        except ImageError:
            found["refused"] += 1
        except BaseException:
            wrong.append([name, traceback.format_exc()[-800:]])
        if time.monotonic() - began > 20:
            wrong.append([name, f"{time.monotonic() - began:.0f} s"])
    sys.stdout.write(json.dumps([found, wrong, sorted({name for name, _ in forms})]))


# --- headers that announce more than there is ---


def png(width: int, height: int, depth: int = 8, kind: int = 2, rows: bytes = b"") -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def gif(width: int, height: int) -> bytes:
    frame = b",\0\0\0\0" + struct.pack("<HH", width, height) + b"\0\x02\x02L\x01\0"
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0\0\0\0\xff\xff\xff" + frame + b";"


def bmp(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


def tiff(width: int, height: int, bits: int = 8) -> bytes:
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 10}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"


def ico(inside: bytes) -> bytes:
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inside), 22) + inside


def webp(width: int, height: int) -> bytes:
    bits = (width - 1) | (height - 1) << 14
    content = b"\x2f" + struct.pack("<I", bits) + bytes(20)
    chunk = b"VP8L" + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def jpeg(width: int, height: int, photograph: bytes) -> bytes:
    """A photograph whose frame header says another size."""
    place = next(p for p in range(len(photograph)) if photograph[p : p + 2] in (b"\xff\xc0", b"\xff\xc2"))
    return photograph[: place + 5] + struct.pack(">HH", height, width) + photograph[place + 9 :]


def resized(content: bytes, box: bytes, offset: int, width: int, height: int) -> bytes:
    """JPEG 2000 and AVIF: another size in the box of that name."""
    place = content.index(box) + 4 + offset
    return content[:place] + struct.pack(">II", width, height) + content[place + 8 :]


def bombs(photograph: Path) -> dict[str, bytes]:
    """Each of a few kilobytes, for up to a hundred million pixels and more."""
    forms = dict(samples(photograph))
    found = {
        "tall.png": png(OTHER, LONG),
        "wide.png": png(LONG, OTHER),
        "deep.png": png(9_900, 9_900, depth=16, kind=6),
        "many.png": png(60_000, 60_000),
        "zeros.png": png(9_900, 9_900, kind=0, rows=bytes(9_900 * 9_901)),
        "wide.gif": gif(*WIDE),
        "tall.bmp": bmp(OTHER, LONG),
        "square.bmp": bmp(9_900, 9_900),
        "tall.tif": tiff(OTHER, LONG),
        "square.tif": tiff(9_900, 9_900, bits=32),
        "tall.ico": ico(png(OTHER, LONG)),
        "square.ico": ico(png(9_900, 9_900, kind=6)),
        "wide.webp": webp(16_383, 6_000),
        "wide.jpg": jpeg(*WIDE, forms["jpg"]),
        "progressive.jpg": jpeg(*WIDE, forms["progressive.jpg"]),
    }
    if "jp2" in forms:
        siz = forms["jp2"].index(b"\xff\x51") + 6
        found["square.jp2"] = forms["jp2"][:siz] + struct.pack(">II", 9_900, 9_900) + forms["jp2"][siz + 8 :]
    if "avif" in forms:
        found["square.avif"] = resized(forms["avif"], b"ispe", 4, 9_900, 9_900)
    return found


def read_bombs(photograph: str, only: list[str]) -> None:
    """In a child: of each bomb, what came of it, the memory that it took, and the seconds."""
    for name, content in bombs(Path(photograph)).items():
        if not only or name in only:
            _in_a_fork(name, content)


def _in_a_fork(name: str, content: bytes) -> None:
    """The peak of memory is of a process, so each has its own."""
    from bier.data import read_image
    from bier.errors import ImageError

    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    before, began = memory("VmRSS"), time.monotonic()
    try:
        read_image(content)
        what = "read"
    except ImageError as error:
        what = f"refused: {error.what}"
    except BaseException as error:
        what = f"crashed: {error!r}"
    peak = memory("VmHWM") - before
    sys.stdout.write(json.dumps([name, len(content), what, peak, time.monotonic() - began]) + "\n")
    sys.stdout.flush()
    os._exit(0)
