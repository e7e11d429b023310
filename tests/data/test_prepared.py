"""Prepared copies: made once, made anew for a changed picture, and read in the place of the pictures."""

from __future__ import annotations

import io
import os
import resource
import tarfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from bier.data import open_source
from bier.data.images import TestTransform, TrainTransform
from bier.data.loader import image_loader, train_loader
from bier.data.manifest import Manifest
from bier.data.plain_copy import read_copy, write_copy
from bier.data.prepared import Copies, CopyView, find, make, open_folder, with_copies
from bier.data.sampler import BatchPlan
from bier.errors import DataError, StorageError

SIZE = 32
VIEW = CopyView(TrainTransform(SIZE, crop_scale=0.3))


def picture(number: int, width: int = 400, height: int = 300) -> bytes:
    """Smooth, so that a filter changes little, and larger than a copy."""
    buffer = io.BytesIO()
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four classes of two pictures."""
    folder = tmp_path / "photos"
    for number in range(8):
        file = folder / f"class {number // 2}" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number))
    return folder


def made(manifest: Manifest, folder: Path) -> tuple[Manifest, Copies]:
    """The manifest with copies of all that can be read, and what was there before."""
    open_folder(folder)
    copies = find(manifest, folder, VIEW)
    make(manifest, copies, copies.missing, VIEW, workers=0)
    return with_copies(manifest, find(manifest, folder, VIEW)), copies


def batch(manifest: Manifest) -> torch.Tensor:
    return next(image_loader(manifest, TestTransform(SIZE))).images


def test_a_copy_suffices_for_the_smallest_region_of_training_and_for_the_view_of_evaluation() -> None:
    for height, width in ((3000, 4000), (4000, 3000), (2000, 2000), (500, 9000)):
        copy = VIEW(torch.zeros(3, height, width, dtype=torch.uint8))
        assert min(v.shrinks(*copy.shape[1:]) for v in (VIEW.train, TestTransform(SIZE))) == pytest.approx(
            1.5, rel=0.03
        )


def test_a_small_picture_is_copied_as_it_is() -> None:
    image = torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)
    assert torch.equal(VIEW(image), image)


def test_copies_are_made_once_and_views_from_them_hardly_differ(photos: Path, tmp_path: Path) -> None:
    manifest = open_source(photos)
    copied, before = made(manifest, tmp_path / "copies")
    assert len(before.missing) == len(manifest)
    assert not len(find(manifest, tmp_path / "copies", VIEW).missing)
    assert copied.fingerprint() == manifest.fingerprint()
    difference = (batch(copied).float() - batch(manifest).float()).abs()
    assert 0 < difference.mean() < 1.5
    plan = BatchPlan(manifest.codes(), 2, 2, 0)
    one, other = (next(train_loader(each, plan, VIEW.train, 0, 1)).images.float() for each in (copied, manifest))
    assert (one - other).abs().mean() < 5  # of 40 between two pictures


def test_training_reads_the_copies_and_not_the_pictures(photos: Path, tmp_path: Path) -> None:
    copied, _ = made(open_source(photos), tmp_path / "copies")
    before = batch(copied)
    for file in photos.rglob("*.jpg"):
        file.unlink()
    assert torch.equal(batch(copied), before)


def test_a_changed_picture_is_made_anew_and_its_old_copy_goes(photos: Path, tmp_path: Path) -> None:
    manifest = open_source(photos)
    made(manifest, tmp_path / "copies")
    (photos / "class 1" / "3.jpg").write_bytes(picture(99))
    copied, before = made(manifest, tmp_path / "copies")
    assert before.missing.tolist() == list(before.outdated) == [3]
    assert len(list((tmp_path / "copies").glob("*/*/*"))) == len(manifest)
    assert (batch(copied)[3].float() - batch(manifest)[3].float()).abs().mean() < 1.5


def test_boxes_and_pictures_without_one_have_copies_of_their_own(photos: Path, tmp_path: Path) -> None:
    whole = open_source(photos)
    boxes = np.tile(np.array([50, 50, 200, 150], np.float32), (len(whole), 1))
    boxes[0] = np.nan
    cut = Manifest.of(photos, "cut", image=list(whole.image), label=list(whole.label), bbox=boxes)
    made(whole, tmp_path / "copies")
    copied, before = made(cut, tmp_path / "copies")
    assert len(before.missing) == len(whole)
    assert (batch(copied).float() - batch(cut).float()).abs().mean() < 1.5


def test_a_picture_that_cannot_be_read_has_no_copy_and_is_named_as_always(photos: Path, tmp_path: Path) -> None:
    (photos / "class 0" / "0.jpg").write_bytes(b"no picture")
    copied, _ = made(open_source(photos), tmp_path / "copies")
    assert copied.copies is not None
    assert np.flatnonzero(copied.copies == "").tolist() == [0]
    [error] = next(image_loader(copied, TestTransform(SIZE))).failed
    assert "0.jpg" in str(error)


def tar(folder: Path) -> Path:
    with tarfile.open(folder / "train.tar", "w") as file:
        for number in range(8):
            info = tarfile.TarInfo(f"class {number // 2}/{number}.jpg")
            info.size = len(data := picture(number))
            file.addfile(info, io.BytesIO(data))
    return folder / "train.tar"


def table(folder: Path) -> Path:
    content = {"image": [picture(number) for number in range(8)], "label": [str(number // 2) for number in range(8)]}
    parquet.write_table(pyarrow.table(content), folder / "train.parquet")
    return folder / "train.parquet"


@pytest.mark.parametrize("write", [tar, table])
def test_pictures_inside_other_files_have_copies(tmp_path: Path, write: object) -> None:
    manifest = open_source(write(tmp_path))  # type: ignore[operator]
    copied, _ = made(manifest, tmp_path / "copies")
    assert copied.copies is not None
    assert all(copied.copies)
    assert (batch(copied).float() - batch(manifest).float()).abs().mean() < 1.5


def test_pictures_in_a_bucket_have_copies_where_a_change_could_be_seen(tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    for number in range(8):
        system.pipe(f"/shop/class {number // 2}/{number}.jpg", picture(number))
    manifest = open_source("memory://shop")
    copied, _ = made(manifest, tmp_path / "copies")
    assert copied.copies is not None
    assert all(copied.copies)
    before = batch(copied)
    system.rm("/shop", recursive=True)
    assert torch.equal(batch(copied), before)


@pytest.fixture
def small_files(photos: Path) -> Iterator[None]:
    """No file may become larger than 4,000 bytes, as if the disk refused more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_nothing_half_written_stays_where_the_system_refuses(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        made(open_source(photos), tmp_path / "copies")
    assert [path.name for path in (tmp_path / "copies").rglob("*") if path.is_file()] == ["prepared.json"]


def test_a_folder_of_something_else_is_left_alone(photos: Path, tmp_path: Path) -> None:
    for content in (None, "{}", "no JSON"):
        folder = tmp_path / str(content)
        folder.mkdir()
        (folder / ("letter.txt" if content is None else "prepared.json")).write_text(content or "Dear")
        with pytest.raises(DataError, match="something else than prepared copies"):
            open_folder(folder)


def test_what_a_kill_has_left_is_removed_after_an_hour(photos: Path, tmp_path: Path) -> None:
    made(open_source(photos), tmp_path / "copies")
    [place] = (tmp_path / "copies").glob("*-*")
    old, new = place / "aa" / "one.1234.tmp", place / "aa" / "two.1234.tmp"
    old.parent.mkdir(exist_ok=True)
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    open_folder(tmp_path / "copies")
    assert not old.exists()
    assert new.exists()


def test_a_damaged_copy_is_an_error_once_and_then_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "copy"
    write_copy(file, torch.zeros(3, 5, 7, dtype=torch.uint8))
    assert read_copy(str(file)).shape == (3, 5, 7)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StorageError, match="gone or damaged"):
        read_copy(str(file))
    assert not file.exists()
