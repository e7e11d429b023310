"""A cluster of three machines gives the files that one process gives, bit for bit, whatever becomes of its machines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import buckets
import clusters
import numpy as np
import pytest
import torch
from buckets import Bucket
from clusters import Machines
from commands import run
from PIL import Image

from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.vectors import catalogue
from bier.vectors.catalogue import embed_catalogue
from bier.vectors.encoder import Encoder
from bier.vectors.engines import Wanted, ray_data
from bier.vectors.engines.ray_data import OnRay
from bier.vectors.parts import part_files, read_info

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # of Ray about itself
]

COUNT, BROKEN, BATCH = 240, 4, 4


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(catalogue, "BATCHES_IN_A_PART", 8)
        monkeypatch.setattr(ray_data, "BATCHES_IN_A_TASK", 2)
        monkeypatch.setenv("BIER_CACHE_GB", "0")  # each picture is fetched by the actor that computes it
        yield monkeypatch


@pytest.fixture(scope="module")
def bucket(patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with buckets.running(patch, tmp_path_factory.mktemp("cache")) as found:
        yield found


@pytest.fixture(scope="module")
def machines(bucket: Bucket, patch: pytest.MonkeyPatch) -> Iterator[Machines]:
    """Started where the bucket's address and credentials are known, as each machine of a cluster must know them."""
    with clusters.running(patch) as found:
        yield found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its vectors are wide, so that a few of them fill what may wait."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    backbone = create_backbone("test_resnet", "none")
    network = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (512, 1536)))
    file = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(file, network, {"size": 32, "fit": "crop"})
    return file


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in class folders, and some files that are no pictures: one whole batch of them, too."""
    return made(tmp_path_factory.mktemp("photos"), COUNT)


def made(folder: Path, count: int) -> Path:
    random = np.random.default_rng(0)
    for number in range(count):
        file = folder / f"class {number // 40}" / f"{number:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (36, 40, 3), dtype=np.uint8)).save(file)
        if count - BROKEN <= number:
            file.write_bytes(b"<html>")
    return folder


@pytest.fixture(scope="module")
def alone(model: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files that one process writes."""
    out = tmp_path_factory.mktemp("alone") / "vectors"
    embed_catalogue(Encoder.load(model), photos, out, batch_size=BATCH)
    return content(out)


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def on_ray(
    wanted: Wanted, model: Path, source: Path | str, out: Path, at_batch: Callable[[int], object] = lambda n: n
) -> None:
    """Embed there; ``at_batch`` is called with how many batches have come."""
    come = []

    def progress(*_: object) -> None:
        come.append(1)
        at_batch(len(come))

    with OnRay(wanted) as engine:
        embed_catalogue(Encoder.load(model), source, out, batch_size=BATCH, engine=engine, progress=progress)


def test_no_cluster_at_auto(model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the fixture starts one."""
    command = ["embed", model, photos, "-o", tmp_path / "out", "--engine", "ray", "--address", "auto"]
    if Path("/tmp/ray/ray_current_cluster").exists() or "RAY_ADDRESS" in os.environ:
        pytest.skip("there is a cluster")
    code, _, error = run(capsys, *command)
    assert code == 2
    assert "there is no Ray at auto" in error
    assert not (tmp_path / "out").exists()


def test_the_files_of_one_process(
    machines: Machines,
    model: Path,
    photos: Path,
    alone: dict[str, bytes],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    command = ["embed", model, photos, "-o", tmp_path / "vectors", "--batch-size", BATCH]
    cluster = ["--engine", "ray", "--address", machines.address, "--actors", 3]
    code, out, error = run(capfd, *command, *cluster)
    assert code == 0, error
    assert f"{COUNT - BROKEN} vectors of 2048 dimensions" in out
    assert "left out: 4, see" in out
    assert "Dataset" not in out + error and "Warning" not in out + error
    assert content(tmp_path / "vectors") == alone
    assert "they were there already" in run(capfd, *command)[1], "one process takes them for its own"


def test_an_actor_is_killed_and_a_machine_lost(
    machines: Machines, model: Path, photos: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    def trouble(batch: int) -> None:
        if batch == 4:
            machines.kill_an_actor()
        if batch == 12:
            machines.lose_one()

    on_ray(Wanted(address=machines.address, actors=3), model, photos, tmp_path / "vectors", trouble)
    machines.replace_the_lost()
    assert content(tmp_path / "vectors") == alone


PROGRAM = """
import sys
from bier.vectors import catalogue
from bier.vectors.engines import ray_data
catalogue.BATCHES_IN_A_PART, ray_data.BATCHES_IN_A_TASK = 8, 2
from bier.cli import main
main(sys.argv[1:])
"""


def test_a_command_that_was_killed_goes_on(
    machines: Machines, model: Path, photos: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "vectors"
    command = ["embed", str(model), str(photos), "-o", str(out), "--batch-size", str(BATCH)]
    command += ["--engine", "ray", "--address", machines.address, "--actors", "2"]
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *command], start_new_session=True) as process:
        while not (out / "part-00001.parquet").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    there = part_files(out)
    assert not read_info(out).complete
    before = [file.stat().st_mtime_ns for file in there]
    on_ray(Wanted(address=machines.address, workers=1), model, photos, out)
    assert [file.stat().st_mtime_ns for file in there] == before, "it began again"
    assert content(out) == alone
    assert len(machines.actors()) <= 2, "actors of the killed command live on"


def test_from_bucket_to_bucket_through_an_outage(
    machines: Machines, bucket: Bucket, model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = bucket.put(photos, "photos")
    embed_catalogue(Encoder.load(model), there, tmp_path / "alone", batch_size=BATCH)
    command = ["embed", model, there, "-o", "s3://shop/vectors", "--batch-size", BATCH]
    command += ["--engine", "ray", "--address", machines.address, "--actors", "2"]
    bucket.way.troubles = [""] * 100 + ["503"] * 100_000
    code, _, error = run(capsys, *command)
    bucket.way.troubles = []
    assert code == 2
    assert "the server fails" in error and "Traceback" not in error
    assert not read_info("s3://shop/vectors").complete
    bucket.way.troubles = ["", "503", "cut"] * 3
    code, _, error = run(capsys, *command)
    assert code == 0, error
    assert bucket.keys("vectors") == sorted(content(tmp_path / "alone"))
    for name, expected in content(tmp_path / "alone").items():
        found = bucket.client.get_object(Bucket="shop", Key=f"vectors/{name}")["Body"].read()
        assert found == expected, name


def test_what_is_in_flight_does_not_grow_with_the_source(
    machines: Machines, bucket: Bucket, model: Path, tmp_path: Path
) -> None:
    ahead = {}
    for count in (96, 288):
        there = bucket.put(made(tmp_path / f"{count}", count), f"many-{count}")
        bucket.way.fetched.clear()
        lead: list[int] = []

        def slowly(batch: int, lead: list[int] = lead) -> None:
            time.sleep(0.1)
            lead.append(sum(name.endswith(".png") for name in bucket.way.fetched) - batch * BATCH)

        on_ray(Wanted(address=machines.address, actors=2), model, there, tmp_path / f"vectors-{count}", slowly)
        ahead[count] = max(lead)
    assert ahead[288] <= 2 * 5 * 2 * BATCH, f"pictures that were read and not written: {ahead}"


def test_the_signals_of_the_command_stay_its_own(machines: Machines) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with OnRay(Wanted(address=machines.address)):
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
