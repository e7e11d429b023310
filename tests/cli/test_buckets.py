"""Pictures in a bucket: every command finds the rows and the vectors that it finds on the disk."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as arrow
import pytest
import torch
from buckets import Bucket, running
from folders import some_birds
from pyarrow import parquet

from bier.cli import main
from bier.data import open_source
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.search import open_index
from bier.vectors.parts import read_info, read_vectors

pytestmark = pytest.mark.slow

SMALL = [
    argument
    for setting in (
        "image.size=32",
        "optimizer.epochs=2",
        "data.classes_per_batch=3",
        "data.images_per_class=2",
        "data.workers=2",
        "model.backbone=test_resnet",
        "model.weights=none",
        "model.sizes=[8, 16]",
        "diversity.hidden=16",
        "hardware.threads=1",
    )
    for argument in ("--set", setting)
]


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    out, error = capsys.readouterr()
    return int(stopped.value.code or 0), out, error


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    with running(monkeypatch, tmp_path / "cache") as found:
        yield found


@pytest.fixture
def photos(photographs: Path, tmp_path: Path) -> Path:
    return some_birds(photographs, tmp_path / "photos", classes=8, images=4)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    file = tmp_path / "model.safetensors"
    head = EmbeddingEnsemble(1280, (4, 12))
    save_model(file, RetrievalModel(create_backbone("efficientnet_lite0"), head), {"size": 48, "fit": "crop"})
    return file


def stored(folder: Path | str) -> dict[str, tuple[str | None, list[float]]]:
    return {
        name: (row["label"], vector.tolist())
        for batch in read_vectors(folder)
        for name, vector, row in zip(batch.ids, batch.vectors, batch.metadata, strict=True)
    }


def names_in(photos: Path) -> list[str]:
    return sorted(str(path.relative_to(photos)) for path in photos.rglob("*.jpg"))


def with_table(photos: Path) -> None:
    rows = [f"{name},{name.split('/')[0]}\n" for name in names_in(photos)]
    (photos / "labels.csv").write_text("image,label\n" + "".join(rows))


def heads(bucket: Bucket) -> list[str]:
    """Requests that ask whether a picture is there, and nothing else."""
    return [asked for asked in bucket.way.asked if asked.startswith("HEAD") and asked.endswith(".jpg")]


def listings(bucket: Bucket) -> list[str]:
    return [asked for asked in bucket.way.asked if "list-type" in asked]


def same_model(first: Path, second: Path) -> bool:
    return (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def test_check_embed_and_index(
    bucket: Bucket, photos: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = bucket.put(photos, "photos")
    assert open_source(there).fingerprint() == open_source(photos).fingerprint()
    assert run(["data", "check", there], capsys)[0] == 0
    local = ["embed", str(model), str(photos), "-o", str(tmp_path / "vectors"), "--workers", "0"]
    assert run(local, capsys)[0] == 0
    bucket.way.troubles = ["", "503", "", "cut"]
    embed = ["embed", str(model), there, "-o", "s3://shop/vectors", "--workers", "2"]
    code, out, error = run(embed, capsys)
    assert code == 0, error
    assert "s3://shop/vectors" in out
    assert bucket.keys("vectors") == ["failed.csv", "part-00000.parquet", "vectors.json"]
    assert stored("s3://shop/vectors") == stored(tmp_path / "vectors")
    assert "were there already" in run(embed, capsys)[1]
    for source, more in ((there, ["--model", str(model)]), ("s3://shop/vectors", [])):
        folder = tmp_path / f"index-{len(more)}"
        code, _, error = run(["index", source, "-o", str(folder), "--engine", "exact", *more], capsys)
        assert code == 0, error
        with open_index(folder) as opened:
            found = {record.id: record for rows in opened.scan() for record in rows.records()}
        assert found.keys() == stored(tmp_path / "vectors").keys()
        assert all(record.metadata["image"] == f"{there}/{name}" for name, record in found.items())


def test_a_table_with_paths_and_urls(
    bucket: Bucket, photos: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = names_in(photos)
    there = bucket.put(photos, "photos")
    rows = [f"{there}/{name}" if number % 2 else name for number, name in enumerate(names)]
    text = "image,label\n" + "".join(f"{row},{name.split('/')[0]}\n" for row, name in zip(rows, names, strict=True))
    bucket.client.put_object(Bucket="shop", Key="photos/labels.csv", Body=text.encode())
    found = []
    for number, source in enumerate((f"{there}/labels.csv", there)):
        out = tmp_path / f"vectors-{number}"
        code, _, error = run(["embed", str(model), source, "-o", str(out), "--workers", "0"], capsys)
        assert code == 0, error
        found.append(stored(out))
        assert not heads(bucket)
        assert len(listings(bucket)) < 60, "a few for the source, and one for each of the eight folders"
    assert found[0] == found[1]
    assert list(found[0]) == rows
    assert run(["embed", str(model), str(photos), "-o", str(tmp_path / "disk"), "--workers", "0"], capsys)[0] == 0
    disk = stored(tmp_path / "disk")
    assert {name.removeprefix(f"{there}/"): row for name, row in found[0].items()} == disk


def test_a_training_fetches_each_picture_once(
    bucket: Bucket, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_table(photos)
    there = bucket.put(photos, "photos")
    runs = []
    for number, source in enumerate((f"{photos}/labels.csv", f"{there}/labels.csv")):
        runs.append(tmp_path / f"run-{number}")
        code, _, error = run(["train", source, *SMALL, "--out", str(runs[-1])], capsys)
        assert code == 0, error
        assert json.loads((runs[-1] / "provenance.json").read_text())["data"]["path"] == source
    assert same_model(*runs)
    fetched = Counter(name for name in bucket.way.fetched if name.endswith(".jpg"))
    assert len(fetched) == 32
    assert fetched.total() <= 32 + 4, "two processes may want a picture at the same moment"
    assert not heads(bucket)


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_training_from_shards(
    kind: str, bucket: Bucket, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    for part in range(4):
        write = with_tar if kind == "tar" else with_parquet
        write(shards / f"part-{part}.{kind}", photos, names_in(photos)[part::4])
    there = bucket.put(shards, "shards")
    bucket.way.troubles = ["", "503", "slow", "cut"]
    runs = []
    for number, source in enumerate((str(shards), f"{there}/*.{kind}")):
        runs.append(tmp_path / f"run-{number}")
        code, _, error = run(["train", source, *SMALL, "--out", str(runs[-1])], capsys)
        assert code == 0, error
    assert same_model(*runs)
    fetched = len(bucket.way.fetched)
    code, _, error = run(["evaluate", str(runs[1])], capsys)
    assert code == 0, error
    size = max(file.stat().st_size for file in shards.iterdir())
    assert len(bucket.way.fetched) - fetched <= 4 * (3 + size // 2**20), "headers alone: pictures are in the cache"
    assert "shards" in run(["data", "check", there], capsys)[1]


def with_tar(file: Path, photos: Path, names: list[str]) -> None:
    with tarfile.open(file, "w") as tar:
        for name in names:
            tar.add(photos / name, name)


def with_parquet(file: Path, photos: Path, names: list[str]) -> None:
    pictures = [(photos / name).read_bytes() for name in names]
    labels = [name.partition("/")[0] for name in names]
    parquet.write_table(arrow.table({"image": pictures, "label": labels}), file, row_group_size=4)


def test_a_training_goes_on_after_an_outage(
    bucket: Bucket, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = bucket.put(photos, "photos")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    monkeypatch.setenv("BIER_CACHE_GB", "0")
    assert run(["train", there, *SMALL, "--out", str(whole)], capsys)[0] == 0
    bucket.way.troubles = [""] * (len(bucket.way.fetched) // 2) + ["503"] * 1000
    code, _, error = run(["train", there, *SMALL, "--out", str(broken)], capsys)
    assert code == 2
    assert "the server fails" in error and "Traceback" not in error
    bucket.way.troubles = []
    code, _, error = run(["train", "--resume", str(broken)], capsys)
    assert code == 0, error
    assert same_model(whole, broken)


def test_an_outage_leaves_what_is_complete(
    bucket: Bucket,
    photos: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = bucket.put(photos, "photos")
    monkeypatch.setattr("bier.vectors.catalogue.BATCHES_IN_A_PART", 1)
    monkeypatch.setenv("BIER_CACHE_GB", "0")
    embed = ["embed", str(model), "--workers", "0", "--batch-size", "8", "-o"]
    assert run([*embed, str(tmp_path / "whole"), str(photos)], capsys)[0] == 0
    bucket.way.troubles = [""] * 20 + ["503"] * 1000
    code, _, error = run([*embed, "s3://shop/vectors", there], capsys)
    bucket.way.troubles = []
    assert code == 2
    assert "the server fails" in error and "Traceback" not in error
    assert bucket.keys("vectors") == ["part-00000.parquet", "part-00001.parquet", "vectors.json"]
    assert not read_info("s3://shop/vectors").complete
    bucket.way.fetched.clear()
    assert run([*embed, "s3://shop/vectors", there], capsys)[0] == 0
    assert sum(name.endswith(".jpg") for name in bucket.way.fetched) == 32 - 16
    assert stored("s3://shop/vectors") == stored(tmp_path / "whole")


def test_a_missing_picture_and_a_result_that_stays_here(
    bucket: Bucket, photos: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put(photos, "photos")
    text = "image,label\n" + "".join(f"{name},a\n" for name in ("gone.jpg", "also-gone.jpg"))
    bucket.client.put_object(Bucket="shop", Key="photos/list.csv", Body=text.encode())
    code, out, _ = run(["data", "check", "s3://shop/photos/list.csv"], capsys)
    assert code == 2
    assert "missing files: 2" in out
    code, _, error = run(["train", str(photos), "--out", "s3://shop/run"], capsys)
    assert code == 2
    assert "s3://shop/run is not a folder of this machine" in error
