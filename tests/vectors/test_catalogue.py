"""A catalogue to vectors on disk: nothing lost, nothing twice, whatever happens in between."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from bier.data.references import picture_bytes
from bier.errors import DataError
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.vectors.catalogue import embed_catalogue
from bier.vectors.encoder import Encoder
from bier.vectors.parts import part_files, read_vectors

GOOD, BROKEN = 36, 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("model") / "model.safetensors"
    head = EmbeddingEnsemble(1280, (4, 12))
    save_model(file, RetrievalModel(create_backbone("efficientnet_lite0"), head), {"size": 48, "fit": "crop"})
    return file


@pytest.fixture(scope="module")
def encoder(model: Path) -> Encoder:
    return Encoder.load(model)


@pytest.fixture
def photos(photographs: Path, tmp_path: Path) -> Path:
    """Photographs in three class folders, and one file in each that is none."""
    root = tmp_path / "photos"
    for folder in sorted((photographs / "cars196" / "images").iterdir())[:3]:
        (root / folder.name / "inner").mkdir(parents=True)
        for number, picture in enumerate(sorted(folder.iterdir())[: GOOD // 3]):
            shutil.copy(picture, root / folder.name / ("inner" if number % 2 else "") / picture.name)
        (root / folder.name / "broken.jpg").write_bytes(b"<html>")
    return root


def tar_of(folder: Path, file: Path, labels: bool = True) -> Path:
    """The pictures of a folder in natural order, with a label beside each."""
    with tarfile.open(file, "w") as tar:
        for name in sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg")):
            tar.add(folder / name, name)
            if labels:
                label = folder.parent / "label"
                label.write_text(name.split("/")[0])
                tar.add(label, name.removesuffix(".jpg") + ".cls")
    return file


def stored(folder: Path) -> dict[str, tuple[str | None, np.ndarray]]:
    batches = list(read_vectors(folder))
    ids = [name for batch in batches for name in batch.ids]
    assert len(set(ids)) == len(ids)
    labels = [row["label"] for batch in batches for row in batch.metadata]
    return dict(zip(ids, zip(labels, np.concatenate([b.vectors for b in batches]), strict=True), strict=True))


def failures(folder: Path) -> list[str]:
    with open(folder / "failed.csv", newline="", encoding="utf-8") as file:
        return [row["image"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_picture_once_and_broken_ones_named(encoder: Encoder, photos: Path, tmp_path: Path, workers: int) -> None:
    out, seen = tmp_path / "out", []
    info = embed_catalogue(
        encoder, photos, out, batch_size=5, workers=workers, progress=lambda info, total, new: seen.append((total, new))
    )
    assert (info.count, info.failed, info.complete) == (GOOD, BROKEN, True)
    assert {total for total, _ in seen} == {GOOD + BROKEN} == {sum(new for _, new in seen)}
    assert failures(out) == [str(path) for path in sorted(photos.rglob("broken.jpg"))]
    rows = stored(out)
    for name in list(rows)[::7]:
        assert rows[name][0] == name.split("/")[0]
        expected = encoder.encode([encoder.prepare(photos / name)])[0].numpy()
        assert np.linalg.norm(rows[name][1] - expected) < 1e-5


def test_folder_table_and_tar_files_give_the_same(encoder: Encoder, photos: Path, tmp_path: Path) -> None:
    embed_catalogue(encoder, photos, tmp_path / "folder")
    by_folder = stored(tmp_path / "folder")
    table = photos / "all.csv"
    table.write_text("image,label\n" + "".join(f"{name},{label}\n" for name, (label, _) in by_folder.items()))
    embed_catalogue(encoder, table, tmp_path / "table")
    (tmp_path / "shards").mkdir()
    for folder in sorted(photos.iterdir())[:3]:
        moved = tmp_path / folder.name / folder.name
        shutil.copytree(folder, moved)
        tar_of(moved.parent, tmp_path / "shards" / f"{folder.name}.tar")
    embed_catalogue(encoder, tmp_path / "shards", tmp_path / "tars", workers=1)
    by_tar = stored(tmp_path / "tars")
    assert len(failures(tmp_path / "tars")) == BROKEN
    for rows in (stored(tmp_path / "table"), {name.partition(":")[2]: row for name, row in by_tar.items()}):
        assert rows.keys() == by_folder.keys()
        for name, (label, vector) in rows.items():
            assert label == by_folder[name][0]
            assert np.linalg.norm(vector - by_folder[name][1]) < 1e-5
    batch = next(read_vectors(tmp_path / "tars"))
    name = batch.ids[0].partition(":")[2]
    assert picture_bytes(batch.metadata[0]["image"]) == (photos / name).read_bytes()


PROGRAM = """
import sys
from bier.vectors import catalogue
from bier.vectors.encoder import Encoder
catalogue.BATCHES_IN_A_PART = 2
catalogue.embed_catalogue(Encoder.load(sys.argv[1]), sys.argv[2], sys.argv[3], batch_size=3, workers=1,
                          progress=lambda info, total, new: print(info.count + info.failed, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_killed_anywhere_it_goes_on_without_a_trace(model: Path, photos: Path, tmp_path: Path, kind: str) -> None:
    source = photos if kind == "folder" else tar_of(photos, tmp_path / "all.tar")
    command = [sys.executable, "-c", PROGRAM, str(model), str(source)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(tmp_path / "whole")], env=environment, check=True, stdout=subprocess.DEVNULL)
    lost = 0
    for stop_at in (9, 21):
        with subprocess.Popen([*command, str(tmp_path / "cut")], env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lost = int(line)
                if lost >= stop_at:
                    process.send_signal(signal.SIGKILL)
                    break
        assert process.returncode == -signal.SIGKILL
    assert len(part_files(tmp_path / "cut")) < len(part_files(tmp_path / "whole"))
    done = subprocess.run([*command, str(tmp_path / "cut")], env=environment, check=True, capture_output=True)
    assert int(done.stdout.split()[0]) > 12, "it began again"
    for part in part_files(tmp_path / "whole"):
        assert (tmp_path / "cut" / part.name).read_bytes() == part.read_bytes()
    for name in ("vectors.json", "failed.csv"):
        assert (tmp_path / "cut" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert len(stored(tmp_path / "cut")) == GOOD


def test_other_models_sources_and_settings_are_refused(encoder: Encoder, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    embed_catalogue(encoder, photos, out, type="float16", learners=1)
    assert next(read_vectors(out)).vectors.shape[1] == 4
    before = {file: file.stat().st_mtime_ns for file in out.iterdir()}
    assert embed_catalogue(encoder, photos, out, type="float16", learners=1).complete  # again: nothing to do
    assert {file: file.stat().st_mtime_ns for file in out.iterdir()} == before
    other = Encoder(encoder.model, encoder.transform, "0" * 64)
    cases = [
        (other, "of another model", {"type": "float16", "learners": 1}),
        (encoder, "of type float16", {"type": "int8", "learners": 1}),
        (encoder, "of 1 learners", {"type": "float16"}),
        (encoder, "in batches of 64", {"type": "float16", "learners": 1, "batch_size": 8}),
    ]
    for model, message, options in cases:
        with pytest.raises(DataError, match=message):
            embed_catalogue(model, photos, out, **options)
    next(photos.rglob("broken.jpg")).unlink()
    with pytest.raises(DataError, match="one that has changed since"):
        embed_catalogue(encoder, photos, out, type="float16", learners=1)
    with pytest.raises(DataError, match="no folder of vectors"):
        embed_catalogue(encoder, photos, photos)


def test_ids_that_occur_twice_are_named_with_both_rows(encoder: Encoder, photos: Path, tmp_path: Path) -> None:
    name = next(path for path in photos.rglob("*.jpg")).relative_to(photos)
    (photos / "all.csv").write_text(f"image,label\n{name},a\nother.jpg,a\n{name},b\n")
    with pytest.raises(DataError, match="occurs twice, in rows 2 and 4"):
        embed_catalogue(encoder, photos / "all.csv", tmp_path / "out")
    with tarfile.open(tmp_path / "twice.tar", "w") as tar:
        tar.add(photos / name, "a.jpg")
        tar.add(photos / name, "b.jpg")
        tar.add(photos / name, "a.jpg")
    with pytest.raises(DataError, match="occurs twice, in rows 1 and 3"):
        embed_catalogue(encoder, tmp_path / "twice.tar", tmp_path / "out2")
    with pytest.raises(DataError, match="is given twice"):
        embed_catalogue(encoder, [tmp_path / "twice.tar"] * 2, tmp_path / "out3")


@pytest.mark.parametrize("damage", ["cut", "header"])
def test_a_damaged_tar_file_gives_what_stands_before(
    encoder: Encoder, photos: Path, tmp_path: Path, damage: str
) -> None:
    (tmp_path / "shards").mkdir()
    first = tar_of(photos, tmp_path / "shards" / "1.tar", labels=False)
    shutil.copy(first, tmp_path / "shards" / "2.tar")
    with tarfile.open(first) as tar:
        member = tar.getmembers()[10]
    content = bytearray(first.read_bytes())
    if damage == "cut":
        content = content[: member.offset_data + 100]
    else:
        content[member.offset : member.offset + 512] = b"x" * 512
    first.write_bytes(content)
    embed_catalogue(encoder, tmp_path / "shards", tmp_path / "out")
    rows = stored(tmp_path / "out")
    assert sum(name.startswith("2.tar") for name in rows) == GOOD
    assert 8 <= sum(name.startswith("1.tar") for name in rows) <= 10
    assert str(first) in failures(tmp_path / "out")


def test_sources_that_hold_nothing_usable_are_named(encoder: Encoder, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    with pytest.raises(DataError, match="no pictures in this folder"):
        embed_catalogue(encoder, folder, tmp_path / "a")
    (folder / "only.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1 pictures can be read"):
        embed_catalogue(encoder, folder, tmp_path / "b")
    (folder / "shard.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"tar files .* and pictures"):
        embed_catalogue(encoder, folder, tmp_path / "c")
    with pytest.raises(DataError, match="no such file"):
        embed_catalogue(encoder, tmp_path / "phots", tmp_path / "d")


def test_a_name_that_no_table_can_hold_is_left_out_with_a_reason(
    encoder: Encoder, photos: Path, tmp_path: Path
) -> None:
    picture = next(photos.rglob("[0-9]*.jpg"))
    os.rename(picture, os.fsencode(picture.parent) + b"/caf\xe9.jpg")
    info = embed_catalogue(encoder, photos, tmp_path / "vectors")
    assert (info.count, info.failed, info.complete) == (GOOD - 1, BROKEN + 1, True)
    [name] = [image for image in failures(tmp_path / "vectors") if "caf" in image]
    assert name.endswith(r"caf\udce9.jpg")


def test_a_picture_that_was_replaced_is_noticed(encoder: Encoder, photos: Path, tmp_path: Path) -> None:
    embed_catalogue(encoder, photos, tmp_path / "vectors")
    one, other = sorted(photos.rglob("[0-9]*.jpg"))[:2]
    shutil.copy(other, one)
    with pytest.raises(DataError, match="changed since"):
        embed_catalogue(encoder, photos, tmp_path / "vectors")
