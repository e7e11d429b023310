"""Batches from files: the same for any number of workers, from any start, with unreadable pictures among them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bier.data import loader
from bier.data.images import TestTransform, TrainTransform
from bier.data.loader import Batch, drawn_view, image_loader, train_loader, view_loader
from bier.data.manifest import Manifest
from bier.data.sampler import BatchPlan
from bier.errors import DataError, ImageError

PICTURES, CLASSES, SIZE = 24, 6, 32


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Six classes of four pictures of noise; labels in an order of their own."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    names = [f"{i}.jpg" for i in range(PICTURES)]
    for name in names:
        Image.fromarray(random.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / name)
    return Manifest.of(folder, "noise", image=names, label=[f"class {9 - i % CLASSES}" for i in range(PICTURES)])


def train(manifest: Manifest, epoch: int = 1, start: int = 0, workers: int = 0, seed: int = 0) -> list[Batch]:
    plan = BatchPlan(manifest.codes(), 3, 2, seed)
    return list(train_loader(manifest, plan, TrainTransform(SIZE), seed, epoch, start, workers))


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.index, b.index)
        assert torch.equal(a.labels, b.labels)
        assert torch.equal(a.images, b.images)
        assert [str(error) for error in a.failed] == [str(error) for error in b.failed]


def test_a_batch_is_what_the_plan_and_the_manifest_say(manifest: Manifest) -> None:
    plan = BatchPlan(manifest.codes(), 3, 2, 0)
    batches = train(manifest)
    assert [batch.index.tolist() for batch in batches] == [indices.tolist() for indices in plan.epoch(1)]
    for batch in batches:
        assert batch.images.shape == (6, 3, SIZE, SIZE)
        assert batch.images.dtype == torch.uint8
        assert batch.labels.tolist() == manifest.codes()[batch.index].tolist()
        assert not batch.failed


@pytest.mark.parametrize("shared", [True, False], ids=["shared memory", "pipe"])
def test_workers_change_nothing(manifest: Manifest, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "memory_to_share", lambda *_: shared)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    alone = train(manifest)
    for workers in (1, 2, 3):
        assert_same(train(manifest, workers=workers), alone)
    assert torch.equal(before, torch.random.get_rng_state()), "the global generator was used"


def test_resuming_gives_the_rest_of_the_epoch(manifest: Manifest) -> None:
    whole = train(manifest)
    for workers in (0, 2):
        assert_same(train(manifest, start=1, workers=workers), whole[1:])
    assert train(manifest, start=len(whole), workers=2) == []


def test_views_change_with_epoch_and_seed_but_not_with_the_batch(manifest: Manifest) -> None:
    def views(epoch: int, seed: int) -> dict[int, bytes]:
        batches = train(manifest, epoch, seed=seed)
        return {
            i: image.numpy().tobytes() for b in batches for i, image in zip(b.index.tolist(), b.images, strict=True)
        }

    assert len(set(views(1, 0).values())) == PICTURES
    assert not set(views(1, 0).values()) & set(views(2, 0).values())
    assert not set(views(1, 0).values()) & set(views(1, 1).values())
    # Another plan with the same seed of views: the same pictures in other batches.
    other = train_loader(manifest, BatchPlan(manifest.codes(), 6, 2, 5), TrainTransform(SIZE), 0, 1)
    for batch in other:
        for index, image in zip(batch.index.tolist(), batch.images, strict=True):
            assert image.numpy().tobytes() == views(1, 0)[index]


def test_an_image_that_a_batch_holds_twice_is_seen_in_two_views(manifest: Manifest) -> None:
    few = manifest.take(np.array([0, 1, 6]))  # two pictures of one class, one of another
    (batch,) = train_loader(few, BatchPlan(few.codes(), 2, 4, 0), TrainTransform(SIZE), 0, 0)
    assert len(np.unique(batch.index)) == 3
    assert len({image.numpy().tobytes() for image in batch.images}) == 8


def test_image_loader_keeps_the_order(manifest: Manifest) -> None:
    for workers in (0, 2):
        batches = list(image_loader(manifest, TestTransform(SIZE), batch_size=7, workers=workers))
        assert [len(batch) for batch in batches] == [7, 7, 7, 3]
        assert torch.cat([batch.index for batch in batches]).tolist() == list(range(PICTURES))
        assert torch.cat([batch.labels for batch in batches]).tolist() == manifest.codes().tolist()
    given = np.arange(PICTURES) * 2
    (batch,) = image_loader(manifest, TestTransform(SIZE), batch_size=99, labels=given)
    assert batch.labels.tolist() == given.tolist()
    assert list(image_loader(manifest.take(np.arange(0)), TestTransform(SIZE), workers=2)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_pictures_are_named_and_left_out(manifest: Manifest, tmp_path: Path, workers: int) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    bad = [str(tmp_path / name) for name in ("empty.jpg", "page.jpg", "gone.jpg")]
    good = [str(manifest.path(i)) for i in range(5)]
    mixed = Manifest.of(tmp_path, "mixed", image=[good[0], *bad[:2], *good[1:], bad[2]], label=list("aabbccdd"))
    batches = list(image_loader(mixed, TestTransform(SIZE), batch_size=3, workers=workers))
    assert [batch.index.tolist() for batch in batches] == [[0], [3, 4, 5], [6]]
    assert [batch.labels.tolist() for batch in batches] == [[0], [1, 2, 2], [3]]
    assert [tuple(batch.images.shape) for batch in batches] == [(n, 3, SIZE, SIZE) for n in (1, 3, 1)]
    failed = [error for batch in batches for error in batch.failed]
    assert all(isinstance(error, ImageError) for error in failed)
    assert [error.where for error in failed] == bad
    nothing = Manifest.of(tmp_path, "bad", image=bad, label=list("aab"))
    (batch,) = image_loader(nothing, TestTransform(SIZE), workers=workers)
    assert len(batch) == 0
    assert batch.images.shape == (0, 3, SIZE, SIZE)
    assert len(batch.failed) == 3


def test_boxes_are_cut(manifest: Manifest) -> None:
    boxes = np.full((PICTURES, 4), np.nan, dtype=np.float32)
    boxes[0] = [5, 5, 20, 20]
    boxed = Manifest.of(manifest.root, "boxed", image=list(manifest.image), label=list(manifest.label), bbox=boxes)
    (plain,) = image_loader(manifest, TestTransform(SIZE))
    (cut,) = image_loader(boxed, TestTransform(SIZE))
    same = (plain.images == cut.images).flatten(1).all(1)
    assert same.tolist() == [False] + [True] * (PICTURES - 1)


def test_a_killed_worker_is_an_error_with_a_remedy_and_not_before_the_next_batch(manifest: Manifest) -> None:
    batches = image_loader(manifest, TestTransform(SIZE), batch_size=1, workers=2)
    next(batches)
    worker = multiprocessing.active_children()[0]
    os.kill(worker.pid or 0, signal.SIGKILL)
    time.sleep(0.5)  # its death is signalled while this process is busy with something else: nothing is raised
    with pytest.raises(DataError, match=r"killed[\s\S]*data\.workers"):
        for _ in batches:
            pass


def test_stopping_early_leaves_no_process_behind(manifest: Manifest) -> None:
    batches = image_loader(manifest, TestTransform(SIZE), batch_size=1, workers=2)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


FOREVER = """
import signal, sys, time
import numpy as np
from pathlib import Path
from bier.data.images import TestTransform
from bier.data.loader import image_loader
from bier.data.manifest import Manifest

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored in what runs in the background
picture = sys.argv[1]
manifest = Manifest.of(Path("/"), "same", image=[picture] * 100_000, label=["a"] * 100_000)
try:
    for number, batch in enumerate(image_loader(manifest, TestTransform(32), batch_size=4, workers=2)):
        print(number, flush=True)
        time.sleep(0.01)
except KeyboardInterrupt:
    print("interrupted once", flush=True)
"""


@pytest.mark.slow
def test_ctrl_c_is_for_the_main_process_only(manifest: Manifest) -> None:
    command = [sys.executable, "-c", FOREVER, str(manifest.path(0))]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    while process.stdout.readline().strip() != "5":
        time.sleep(0)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    out, err = process.communicate(timeout=60)
    assert out.splitlines()[-1] == "interrupted once"
    assert err == ""
    assert process.returncode == 0


def test_views_are_made_in_any_order_as_training_shows_them(manifest: Manifest) -> None:
    views, seed, view = 3, 5, TrainTransform(SIZE)
    positions = np.random.default_rng(0).permutation(PICTURES * views)
    made = list(view_loader(manifest, view, seed, views, np.array_split(positions, 4), workers=2))
    np.testing.assert_array_equal(torch.cat([batch.index for batch in made]), positions)
    images = torch.cat([batch.images for batch in made])[torch.from_numpy(np.argsort(positions))]
    centres = torch.cat([batch.images for batch in image_loader(manifest, TestTransform(SIZE))])
    assert torch.equal(images[::views], centres)
    plan = BatchPlan(manifest.codes(), 3, 2, seed)
    drawn: set[int] = set()
    for epoch in range(4):
        for batch in train_loader(manifest, plan, view, seed, epoch, views=views):
            for index, image in zip(batch.index.tolist(), batch.images, strict=True):
                number = drawn_view(seed, epoch, index, 0, views)
                assert torch.equal(image, images[index * views + number])
                drawn.add(number)
    assert drawn == {0, 1, 2}
