"""Pictures that were uploaded and marked are kept: once, whole, without metadata, and within a limit."""

from __future__ import annotations

import hashlib
import io
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pages import NARROW, expect, keep
from PIL import Image

from bier.errors import StorageError
from bier.serve.uploads import KeptUploads

Serve = Callable[..., httpx.Client]
Open = Callable[..., Any]


def photograph(path: Path) -> bytes:
    """A picture whose file tells the place and the camera, and that stands on its side."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0110], exif[0x0112] = "SecretCamera", 6
        exif.get_ifd(0x8825)[1] = "N"
        image.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_a_marked_upload_is_kept_once_without_metadata(serve: Serve, cars: list[Path], tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    client = serve(marks=tmp_path / "marks.jsonl", uploads=kept)
    assert client.get("/api/info").json()["keeps_uploads"] is True
    content = photograph(cars[0])
    sha256, result = hashlib.sha256(content).hexdigest(), f"{cars[1].parent.name}/{cars[1].name}"

    def mark(verdict: str) -> list[str]:
        marks = [{"sha256": sha256, "result": result, "verdict": verdict}]
        wanted: list[str] = client.post("/api/marks", json={"marks": marks}).json()["wanted"]
        return wanted

    def send(picture: bytes) -> httpx.Response:
        return client.post("/api/uploads", files={"picture": ("boot.jpg", picture)})

    assert client.post("/api/embed", files={"picture": content}).json()["sha256"] == sha256
    unmarked = send(content)
    assert unmarked.status_code == 422 and "no mark names this picture" in unmarked.json()["error"]
    assert list(kept.iterdir()) == []
    assert mark("good") == [sha256]
    assert send(content).json() == {"sha256": sha256}
    [file] = kept.iterdir()
    assert file.name == f"{sha256}.jpg"
    assert b"SecretCamera" not in file.read_bytes()
    with Image.open(file) as image, Image.open(cars[0]) as lying:
        assert not image.getexif()
        assert image.size == lying.size[::-1], "upright"
    assert mark("bad") == [], "it is there already"
    before = file.stat().st_mtime_ns
    assert send(content).status_code == 200
    assert file.stat().st_mtime_ns == before
    assert mark("none") == []
    assert list(kept.iterdir()) == [], "no mark of it is left"
    damaged = content[:500]
    marks = [{"sha256": hashlib.sha256(damaged).hexdigest(), "result": result, "verdict": "good"}]
    client.post("/api/marks", json={"marks": marks})
    assert send(damaged).status_code == 422
    assert list(kept.iterdir()) == []


def test_beyond_the_limit_the_mark_is_saved_and_nothing_is_written(
    serve: Serve, cars: list[Path], tmp_path: Path
) -> None:
    client = serve(marks=tmp_path / "marks.jsonl", uploads=tmp_path / "kept", uploads_bytes=1000)
    content = cars[0].read_bytes()
    mark = {"sha256": hashlib.sha256(content).hexdigest(), "result": f"{cars[1].parent.name}/{cars[1].name}"}
    assert client.post("/api/marks", json={"marks": [{**mark, "verdict": "good"}]}).json()["saved"] == 1
    answer = client.post("/api/uploads", files={"picture": content})
    assert answer.status_code == 507
    assert "the mark is saved, but its picture is not kept" in answer.json()["error"]
    assert "--keep-uploads-limit" in answer.json()["remedy"]
    assert str(tmp_path) not in answer.text
    assert list((tmp_path / "kept").iterdir()) == []
    assert mark["sha256"] in client.get("/api/marks.csv").text


def test_a_disk_that_fills_up_loses_no_mark_and_leaves_nothing_half_written(
    serve: Serve, cars: list[Path], tmp_path: Path
) -> None:
    client, kept = serve(marks=tmp_path / "marks.jsonl", uploads=tmp_path / "kept"), tmp_path / "kept"
    content = cars[0].read_bytes()
    mark = {"sha256": hashlib.sha256(content).hexdigest(), "result": f"{cars[1].parent.name}/{cars[1].name}"}

    def marked(verdict: str) -> None:
        client.post("/api/marks", json={"marks": [{**mark, "verdict": verdict}]}).raise_for_status()

    def sent() -> httpx.Response:
        return client.post("/api/uploads", files={"picture": content})

    marked("good")
    sent().raise_for_status()
    [file] = kept.iterdir()
    size = file.stat().st_size
    marked("none")
    marked("good")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, limits[1]))  # the last byte finds no place
    try:
        answer = sent()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert answer.status_code == 507
    assert "the mark is saved, but its picture is not kept" in answer.json()["error"]
    assert "free some space" in answer.json()["remedy"] and str(tmp_path) not in answer.text
    assert list(kept.iterdir()) == [] and mark["sha256"] in client.get("/api/marks.csv").text
    sent().raise_for_status()
    assert [one.stat().st_size for one in kept.iterdir()] == [size]


def test_pictures_that_are_moved_away_make_room(tmp_path: Path) -> None:
    kept = KeptUploads(tmp_path, 10)
    kept.keep("aa", b"123456")
    (tmp_path / "aa.jpg").rename(tmp_path / "elsewhere")
    kept.keep("bb", b"123456789")
    with pytest.raises(StorageError, match="not kept"):
        kept.keep("cc", b"12")


def test_without_the_folder_nothing_is_wanted(serve: Serve, cars: list[Path], tmp_path: Path) -> None:
    client = serve(marks=tmp_path / "marks.jsonl")
    assert client.get("/api/info").json()["keeps_uploads"] is False
    assert client.post("/api/uploads", files={"picture": cars[0].read_bytes()}).status_code == 404


def test_what_is_kept_counts_after_a_restart(tmp_path: Path) -> None:
    KeptUploads(tmp_path, 10).keep("aa", b"123456")
    again = KeptUploads(tmp_path, 10)
    with pytest.raises(StorageError, match="not kept"):
        again.keep("bb", b"12345")
    again.remove("aa")
    again.remove("aa")
    again.keep("bb", b"12345")
    assert [file.name for file in tmp_path.iterdir()] == ["bb.jpg"]
    shutil.rmtree(tmp_path)
    tmp_path.write_bytes(b"")
    with pytest.raises(StorageError, match="the mark is saved, but its picture is not kept: cannot be written"):
        again.keep("aa", b"1")
    with pytest.raises(StorageError, match="cannot be kept there"):
        KeptUploads(tmp_path / "kept", 10)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"viewport": NARROW, "color_scheme": "dark"}], ids=["wide", "narrow and dark"])
def test_the_page_says_what_is_kept(
    options: dict[str, Any], serve: Serve, visit: Open, cars: list[Path], tmp_path: Path
) -> None:
    page = visit(serve(marks=tmp_path / "marks.jsonl", uploads=tmp_path / "kept"), **options)
    expect(page.locator("#status")).to_have_text("60 pictures")
    expect(page.locator("#keeping")).to_be_hidden()
    page.set_input_files("#files", cars[20])
    expect(page.locator("#status")).to_contain_text("48 of 60 in")
    expect(page.locator("#keeping")).to_contain_text("If you mark a result, your picture is kept for training")
    assert list((tmp_path / "kept").iterdir()) == [], "searching alone keeps nothing"
    page.locator("#pictures .hit .open").first.focus()
    page.keyboard.press("g")
    expect(page.locator("#status")).to_contain_text("saved. Your picture is kept for training")
    keep(page, f"kept-{len(options)}", tmp_path)
    [file] = (tmp_path / "kept").iterdir()
    assert file.stem == hashlib.sha256(cars[20].read_bytes()).hexdigest()
    page.keyboard.press("g")
    expect(page.locator("#status")).to_contain_text("mark taken back")
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.slow
def test_the_page_says_that_the_limit_is_reached(serve: Serve, visit: Open, cars: list[Path], tmp_path: Path) -> None:
    page = visit(serve(marks=tmp_path / "marks.jsonl", uploads=tmp_path / "kept", uploads_bytes=1000))
    page.set_input_files("#files", cars[20])
    expect(page.locator("#status")).to_contain_text("48 of 60 in")
    page.locator("#pictures .hit .open").first.focus()
    page.keyboard.press("g")
    expect(page.locator("#trouble")).to_contain_text("the mark is saved, but its picture is not kept")
    expect(page.locator("#status")).to_contain_text("marked as good, saved")
    keep(page, "kept-limit", tmp_path)
