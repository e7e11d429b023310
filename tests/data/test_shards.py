"""Tar shards as a source of training: the same rows as of a folder, and one message for each mistake."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from tiny_pictures import CLASSES, CONTENT, NAMES, png

from bier.data import TrainTransform, open_source, train_loader
from bier.data.check import check_source, describe_faults
from bier.data.datasets import kind_of
from bier.data.datasets.walk import counted
from bier.data.manifest import Manifest, with_distractors
from bier.data.references import picture_bytes, short_name
from bier.data.sampler import BatchPlan
from bier.errors import DataError, ImageError, PlaceError
from bier.settings.schema import DataConfig
from bier.system import places
from bier.vectors.sources import open_catalogue


def shard(file: Path, members: Mapping[str, bytes | str]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in members.items():
            data = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file


def folder(place: Path, names: Sequence[str] = NAMES, split: Mapping[str, str] | None = None) -> Path:
    for name in names:
        file = place / (split or {}).get(name, "") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(CONTENT[name])
    return place


def in_folders(names: Sequence[str]) -> dict[str, bytes | str]:
    return {name: CONTENT[name] for name in names}


def in_files(names: Sequence[str], suffix: str = ".cls") -> dict[str, bytes | str]:
    """As WebDataset has it: one name for picture and label, and no folders."""
    members: dict[str, bytes | str] = {}
    for name in names:
        label = name.partition("/")[0]
        key = f"{NAMES.index(name):06d}"
        members |= {
            f"{key}.png": CONTENT[name],
            f"{key}{suffix}": f'{{"label": "{label}"}}' if "json" in suffix else label,
        }
    return members


def rows(manifest: Manifest) -> list[tuple[bytes, str, str]]:
    pictures = [picture_bytes(manifest.reference(row)) for row in range(len(manifest))]
    return list(zip(pictures, manifest.label, manifest.split, strict=True))


LAYOUTS = {
    "class folders": in_folders,
    ".cls": in_files,
    ".json": lambda names: in_files(names, ".json"),
    ".txt": lambda names: in_files(names, ".txt"),
    "a folder above": lambda names: {f"photos/{name}": CONTENT[name] for name in names},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_shards_are_read_as_the_folder_of_their_pictures(tmp_path: Path, layout: object) -> None:
    assert callable(layout)
    source = tmp_path / "shards"
    for number in range(3):
        shard(source / f"part-{number}.tar", layout(NAMES[number::3]))
    assert kind_of(source) == "shards"
    manifest = open_source(source)
    assert rows(manifest) == rows(open_source(folder(tmp_path / "photos")))
    assert manifest.remarks() == []
    assert not check_source(source)[1]
    one = shard(tmp_path / "all.tar", layout(NAMES))
    assert rows(open_source(one)) == rows(manifest)


def test_batches_are_those_of_the_folder(tmp_path: Path) -> None:
    for number in range(2):
        shard(tmp_path / f"shards/{number}.tar", in_folders(NAMES[number::2]))
    batches = []
    for source in (tmp_path / "shards", folder(tmp_path / "photos")):
        manifest = open_source(source, DataConfig(test_classes=0))
        plan = BatchPlan(manifest.codes(), 2, 2, seed=3)
        batches.append(list(train_loader(manifest, plan, TrainTransform(8), seed=3, epoch=1)))
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("layout", [in_folders, in_files])
@pytest.mark.parametrize(
    "names", [("train-0000.tar", "birds_validation.tar", "Test-0.tar"), ("train/0.tar", "val/0.tar", "test/0.tar")]
)
def test_names_of_shards_say_the_split(tmp_path: Path, names: Sequence[str], layout: object) -> None:
    assert callable(layout)
    sides = dict(zip(names, (NAMES[:6], NAMES[6:9], NAMES[9:]), strict=True))
    for name, members in sides.items():
        shard(tmp_path / "shards" / name, layout(members))
    splits = dict(zip(NAMES, ["train"] * 6 + ["val"] * 3 + ["test"] * 3, strict=True))
    manifest = open_source(tmp_path / "shards")
    assert sorted(rows(manifest)) == sorted(rows(open_source(folder(tmp_path / "photos", split=splits))))


def test_folders_in_the_shards_say_the_split_and_deeper_classes(tmp_path: Path) -> None:
    members = {f"{'train' if place < 6 else 'test'}/{name}": CONTENT[name] for place, name in enumerate(NAMES)}
    manifest = open_source(shard(tmp_path / "train-all.tar", members))
    assert manifest.split.tolist() == ["test"] * 6 + ["train"] * 6
    deep = {f"{'Things' if place < 6 else 'Others'}/{name}": CONTENT[name] for place, name in enumerate(NAMES)}
    source = shard(tmp_path / "deep.tar", deep)
    with pytest.raises(DataError, match=r"class_depth=1: 2 classes"):
        open_source(source)
    assert set(open_source(source, DataConfig(class_depth=2)).label) == set(CLASSES)
    with pytest.raises(DataError, match=r"data\.class_depth: the labels stand in files"):
        open_source(shard(tmp_path / "files.tar", in_files(NAMES)), DataConfig(class_depth=1))


def test_which_pictures_are_searched_does_not_depend_on_where_they_stand(tmp_path: Path) -> None:
    chosen = []
    for source in (
        folder(tmp_path / "photos"),
        shard(tmp_path / "a.tar", in_folders(NAMES)),
        shard(tmp_path / "b.tar", in_folders(NAMES[::-1])),
    ):
        drawn = with_distractors(open_source(source, DataConfig(test_classes=0)), 5, seed=1)
        chosen.append([picture_bytes(drawn.reference(row)) for row in range(len(drawn))])
    assert chosen[0] == chosen[1] == chosen[2]
    assert len(chosen[0]) == 5


def test_headers_are_read_with_progress_and_pictures_by_name(tmp_path: Path) -> None:
    found: list[int] = []
    with counted(found.append):
        manifest = open_source(shard(tmp_path / "a.tar", in_folders(NAMES)))
    assert sum(found) == 12
    assert short_name(manifest.reference(0)) == "a.tar:boot/1.png"


def test_archives_beside_pictures_are_no_shards(tmp_path: Path) -> None:
    shard(folder(tmp_path / "photos") / "copy.tar", in_folders(NAMES))
    assert kind_of(tmp_path / "photos") == "folder"
    shard(folder(tmp_path / "sop") / "copy.tar", in_folders(NAMES))
    (tmp_path / "sop" / "Ebay_train.txt").touch()
    assert kind_of(tmp_path / "sop") == "sop"
    shard(tmp_path / "mixed/a.tar", in_folders(NAMES))
    (tmp_path / "mixed/1.png").write_bytes(png(0))
    with pytest.raises(DataError, match=r"tar files \(a\.tar\) and pictures \(1\.png\)"):
        open_source(tmp_path / "mixed")


def flat(names: Sequence[str]) -> dict[str, bytes | str]:
    return {name.replace("/", "-"): CONTENT[name] for name in names}


BAD = {
    "no labels": ({"a.tar": flat(NAMES)}, r"shards: the pictures in the tar files have no labels"),
    "one shard without label files": (
        {"a.tar": in_files(NAMES[:6]), "b.tar": flat(NAMES[6:])},
        r"no picture in b\.tar has a label file, and pictures in other tar files have one",
    ),
    "label files and class folders": (
        {"a.tar": in_files(NAMES[:6]), "b.tar": in_folders(NAMES[6:])},
        r"no picture in b\.tar has a label file",
    ),
    "one shard without class folders": (
        {"a.tar": in_folders(NAMES[:9]), "b.tar": flat(NAMES[9:])},
        r"no picture in b\.tar is in a class folder",
    ),
    "one picture without its label": (
        {"a.tar": {**in_files(NAMES), **flat(NAMES[:1])}},
        r"1 of 13 pictures have no label file: a\.tar:boot-1\.png",
    ),
    "the same name in two shards": (
        {"a.tar": in_folders(NAMES), "b.tar": in_folders(NAMES[3:4])},
        r"b\.tar: 'hat/1\.png' is in a\.tar too",
    ),
    "a split for some": (
        {"train-0.tar": in_folders(NAMES[:6]), "more.tar": in_folders(NAMES[6:])},
        r"named after a split \(train-0\.tar\), and some are not \(more\.tar\)",
    ),
    "nothing in it": ({"a.tar": {}}, r"there are no pictures in the tar files"),
}


@pytest.mark.parametrize(("shards", "message"), BAD.values(), ids=BAD)
def test_mistakes_with_shards(tmp_path: Path, shards: dict[str, dict[str, bytes | str]], message: str) -> None:
    for name, members in shards.items():
        shard(tmp_path / "shards" / name, members)
    with pytest.raises(DataError, match=message):
        open_source(tmp_path / "shards")


def test_a_check_names_them_all_and_reads_the_rest(tmp_path: Path) -> None:
    source = tmp_path / "shards"
    shard(source / "a.tar", {**in_files(NAMES), **flat(NAMES[:1])})
    shard(source / "b.tar", in_files(NAMES[:2]))
    whole = shard(source / "c.tar", {"x.png": png(20), "x.cls": "boot", "y.png": png(21)}).read_bytes()
    (source / "c.tar").write_bytes(whole[: whole.index(b"y.png") + 600])
    manifest, faults = check_source(source)
    assert len(manifest) == 13
    text = "\n".join(describe_faults(faults))
    for part in (
        "c.tar: the tar file is damaged from here on",
        "pictures before: 1",
        "b.tar: '000000.png' is in a.tar too",
        "1 of 14 pictures have no label file: a.tar:boot-1.png",
    ):
        assert part in text


@pytest.mark.parametrize("damage", ["cut in a picture", "cut in a header", "overwritten", "compressed", "empty"])
def test_a_broken_shard_is_named(tmp_path: Path, damage: str) -> None:
    source = tmp_path / "shards"
    shard(source / "a.tar", in_folders(NAMES[:6]))
    broken = shard(source / "b.tar", in_folders(NAMES[6:]))
    content = broken.read_bytes()
    place = content.index(b"shoe 10/1.png")
    broken.write_bytes(
        {
            "cut in a picture": content[: place + 700],
            "cut in a header": content[: place + 200],
            "overwritten": content[:place] + b"x" * 512 + content[place + 512 :],
            "compressed": gzip.compress(content),
            "empty": b"",
        }[damage]
    )
    with pytest.raises(DataError, match=r"b\.tar: .*(damaged|compressed).*; pictures before: [03]\n"):
        open_source(source)
    assert [entry.fault is not None for entry in open_catalogue(source).pictures((0, 0))][-1]
    (source / "a.tar").unlink()
    if damage in ("compressed", "empty"):
        with pytest.raises(DataError, match=r"no pictures in the tar files: b\.tar: the tar file is"):
            check_source(source)


def test_a_shard_without_an_end_is_told(tmp_path: Path) -> None:
    file = shard(tmp_path / "a.tar", in_folders(NAMES))
    content = file.read_bytes()
    file.write_bytes(content[: (content.rstrip(b"\0").__len__() + 511) // 512 * 512])
    [line] = open_source(file).remarks()
    assert line.endswith("perhaps cut off: a.tar")


def test_a_shard_that_was_cut_after_it_was_opened(tmp_path: Path) -> None:
    file = shard(tmp_path / "a.tar", in_folders(NAMES))
    manifest = open_source(file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(DataError, match="the tar file ends within it"):
        picture_bytes(manifest.reference(len(manifest) - 1))


@pytest.mark.parametrize("source", ["", "/*.tar", "/part-1.tar"])
def test_shards_in_a_bucket_are_those_of_the_disk(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    monkeypatch.setenv("BIER_CACHE", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    for number in (1, 2, 10):
        members = {f"{Path(name).parent}/{number}-{Path(name).name}": CONTENT[name] for name in NAMES}
        file = shard(tmp_path / "shards" / f"part-{number}.tar", members)
        system.pipe_file(f"/shop/shards/{file.name}", file.read_bytes())
    try:
        there = open_source(f"memory://shop/shards{source}")
        here = open_source(tmp_path / "shards" / source.removeprefix("/") if "*" not in source else tmp_path / "shards")
        assert there.image.tolist() == here.image.tolist()
        assert there.label.tolist() == here.label.tolist()
        fetch = places.fetch
        for _ in range(2):  # the second time from the cache
            for row in range(len(here)):
                assert picture_bytes(there.reference(row)) == picture_bytes(here.reference(row))
            monkeypatch.setattr("bier.system.places.fetch", lambda *_: pytest.fail("it is fetched once"))
        monkeypatch.setattr("bier.system.places.fetch", fetch)
        found = list(open_catalogue(f"memory://shop/shards{source}").pictures((0, 0)))
        assert len(found) == len(here)
    finally:
        system.rm("/shop", recursive=True)


def test_a_shard_that_was_cut_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    monkeypatch.setenv("BIER_CACHE", str(tmp_path / "cache"))
    data = shard(tmp_path / "a.tar", in_folders(NAMES)).read_bytes()
    system = fsspec.filesystem("memory")
    system.pipe_file("/shop/a.tar", data)
    try:
        manifest = open_source("memory://shop/a.tar")
        system.pipe_file("/shop/a.tar", data[:1000])
        with pytest.raises(DataError, match="damaged from here on"):
            open_source("memory://shop/a.tar")
        with pytest.raises(ImageError, match="ends within it"):
            picture_bytes(manifest.reference(len(manifest) - 1))
        with pytest.raises(PlaceError, match="no such file"):
            open_source("memory://shop/*.gone.tar")
    finally:
        system.rm("/shop", recursive=True)
