"""Training on real photographs: interrupted anywhere, it goes on bit for bit; a bad number stops it in time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from folders import some_birds
from gpu import NEEDS_GPU
from rich.console import Console

from bier import runs
from bier.data import hold_out, open_source
from bier.errors import ConfigError, DataError, ModelError, NonFiniteLossError, StorageError
from bier.records.history import Epoch, read_history
from bier.runs import evaluation
from bier.settings.reading import save
from bier.settings.schema import Config
from bier.training import validation
from bier.training.callbacks import Callback, Running, Step
from bier.training.stopping import Interrupted
from bier.vectors.encoder import Encoder

CONFIG = Config().replace(
    loss__name="binomial_deviance",  # smooth over all pairs: it falls, and weighs pairs, on batches of six as well
    image__size=48,
    image__crop_scale=0.3,  # views that differ more, and so do the weights of pairs
    optimizer__epochs=2,
    optimizer__freeze=6,
    optimizer__warmup=0.2,
    data__classes_per_batch=3,
    data__images_per_class=2,
    data__workers=2,
    data__validation_classes=0.4,
    model__sizes=(8, 16),
    diversity__hidden=16,
    hardware__threads=1,
)


@pytest.fixture(scope="session")
def birds(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes of seven photographs of birds, in class folders."""
    return some_birds(photographs, tmp_path_factory.mktemp("photos"), classes=10, images=7)


@pytest.fixture(scope="session")
def straight(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "straight"
    with open(os.devnull, "w") as nowhere:
        runs.train(str(birds), CONFIG, folder, Console(file=nowhere))
    return folder


def history(folder: Path) -> list[dict[str, Any]]:
    """Without what is allowed to differ: the time that it took."""
    records = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in r.items() if k not in ("seconds", "images_per_second")} for r in records]


def same(one: Path, other: Path) -> bool:
    model = (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    return model and history(one) == history(other)


def test_a_run_leaves_everything_in_its_folder(straight: Path, birds: Path) -> None:
    names = {path.name for path in straight.iterdir()}
    kept = {"config.yaml", "model.safetensors", "metrics.json", "history.jsonl", "provenance.json", "log.txt"}
    assert names == {*kept, "baseline.json", "tensorboard"}
    provenance = json.loads((straight / "provenance.json").read_text())
    assert provenance["data"]["path"] == str(birds)
    assert provenance["data"]["images"] == {"test": 35, "train": 21, "val": 14}
    assert provenance["versions"]["torch"] == torch.__version__.split("+")[0] or torch.__version__
    assert "finished" in provenance
    metrics = json.loads((straight / "metrics.json").read_text())
    assert [row["kind"] for row in metrics["rows"][:3]] == ["pretrained", "untrained", "ensemble"]
    assert metrics["queries"] == 35
    assert list((straight / "tensorboard").iterdir())


def test_held_out_classes_are_searched_among_training_pictures(straight: Path, birds: Path) -> None:
    kept = next(epoch for epoch in read_history(straight) if epoch.kept)
    encoder = Encoder.load(straight)
    manifest = hold_out(open_source(str(birds)), 0.4, seed=0)
    known = manifest.only("train", "val")
    vectors = encoder.encode([encoder.prepare(known.path(row)) for row in range(len(known))])
    asking = np.flatnonzero(known.split == "val")
    scores = vectors[asking] @ vectors.T
    scores[range(len(asking)), asking] = -1
    found = known.label[scores.argmax(dim=1)]
    assert kept.validation_recall == pytest.approx((found == known.label[asking]).mean())
    among = [row for row, hit in enumerate(found) if hit not in set(manifest.only("val").label)]
    assert among, "no training picture is nearest to any: the test would pass without them"


@pytest.mark.slow
def test_the_loss_falls(birds: Path, tmp_path: Path, console: Console) -> None:
    runs.train(str(birds), CONFIG.replace(model__start="random"), tmp_path / "run", console, evaluate_after=False)
    first, last = history(tmp_path / "run")
    assert last["loss"] < first["loss"]


@NEEDS_GPU
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 0.02), ("bfloat16", 0.1)])
def test_a_gpu_trains_as_the_processor_does(
    birds: Path, tmp_path: Path, console: Console, precision: str, tolerance: float
) -> None:
    # From a random head: whitening of so few images would enlarge differences of rounding.
    config = CONFIG.replace(diversity__loss="both", model__start="random", hardware__precision=precision)
    recalls = {}
    for device, exact in (("cpu", "float32"), ("cuda", precision)):
        settings = config.replace(hardware__device=device, hardware__precision=exact)
        metrics = runs.train(str(birds), settings, tmp_path / device, console)
        assert metrics is not None
        recalls[device] = metrics.ensemble.recall[4]
    for one, other in zip(history(tmp_path / "cpu"), history(tmp_path / "cuda"), strict=True):
        assert other["learner_losses"] == pytest.approx(one["learner_losses"], rel=tolerance)
    assert recalls["cuda"] == pytest.approx(recalls["cpu"], abs=0.1)


@NEEDS_GPU
def test_a_gpu_prepares_the_head(birds: Path, tmp_path: Path, console: Console) -> None:
    config = CONFIG.replace(diversity__loss="both", diversity__initialize=True, hardware__device="cuda")
    metrics = runs.train(str(birds), config, tmp_path / "run", console)
    assert metrics is not None
    assert metrics.ensemble.recall[4] > 0.6


def test_weights_are_counted(straight: Path) -> None:
    _, last = history(straight)
    assert len(last["learner_losses"]) == 2
    weights = last["weights"]
    assert sum(weights["negative"][0]) > 0
    assert sum(weights["positive"][1]) > 0
    assert weights["negative"][1] != weights["negative"][0], "the second learner's pairs weigh differently"


def test_the_hardest_pairs_are_named(straight: Path, birds: Path) -> None:
    _, last = history(straight)
    for kind, same_class in (("positive", True), ("negative", False)):
        pairs = last["hardest"][kind]
        assert pairs
        assert [pair["weight"] for pair in pairs] == sorted((pair["weight"] for pair in pairs), reverse=True)
        shown = [picture["image"] for pair in pairs for picture in pair["pictures"]]
        assert len(set(shown)) == len(shown)
        assert all(Path(image).is_file() for image in shown)
        for pair in pairs:
            one, other = pair["pictures"]
            assert (one["label"] == other["label"]) is same_class


def test_the_same_seed_gives_the_same_run_and_another_another(
    straight: Path, birds: Path, tmp_path: Path, console: Console
) -> None:
    runs.train(str(birds), CONFIG.replace(data__workers=0), tmp_path / "again", console)
    assert same(tmp_path / "again", straight), "not even the number of workers may matter"
    runs.train(str(birds), CONFIG.replace(seed=1), tmp_path / "other", console, evaluate_after=False)
    assert history(tmp_path / "other") != history(straight)


@pytest.mark.parametrize(
    ("number", "after"), [(signal.SIGINT, 5), pytest.param(signal.SIGTERM, 4, marks=pytest.mark.slow)]
)
def test_interrupted_and_resumed_bit_for_bit(
    number: int,
    after: int,
    straight: Path,
    birds: Path,
    tmp_path: Path,
    console: Console,
) -> None:
    folder = tmp_path / "run"

    class Interrupt(Callback):
        def on_step(self, run: Running, step: Step) -> None:
            if step.number == after:  # in the middle of the second epoch, or at the very end of the first
                os.kill(os.getpid(), number)

    with pytest.raises(Interrupted):
        runs.train(str(birds), CONFIG, folder, console, callbacks=[Interrupt()])
    runs.resume(folder, console)
    assert same(folder, straight)
    with pytest.raises(ConfigError, match="complete"):
        runs.resume(folder, console)


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_signal_is_heard_while_validating(
    epoch: int, straight: Path, birds: Path, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the pictures are searched; the resumed run validates again, and is the same."""
    monkeypatch.setattr(validation, "BATCH", 4)
    searched: list[int] = []
    embed, search = validation.embed, validation.evaluate_retrieval

    def embed_and_stop(*arguments: Any, progress: Any, **options: Any) -> Any:
        def tell(images: int) -> None:
            if len(searched) == epoch - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            progress(images)

        return embed(*arguments, progress=tell, **options)

    def listen(*arguments: Any, **options: Any) -> Any:
        searched.append(1)
        return search(*arguments, **options)

    monkeypatch.setattr(validation, "embed", embed_and_stop)
    monkeypatch.setattr(validation, "evaluate_retrieval", listen)
    with pytest.raises(Interrupted):
        runs.train(str(birds), CONFIG, tmp_path / "run", console)
    assert len(searched) == epoch - 1
    monkeypatch.undo()
    runs.resume(tmp_path / "run", console)
    assert same(tmp_path / "run", straight)


@pytest.mark.slow
def test_a_signal_at_the_very_end_leaves_a_run_to_go_on_with(
    straight: Path, birds: Path, tmp_path: Path, console: Console
) -> None:
    class Stop(Callback):
        def on_epoch(self, run: Running, epoch: Epoch) -> None:
            if epoch.epoch == run.epochs:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        runs.train(str(birds), CONFIG, tmp_path / "run", console, callbacks=[Stop()])
    runs.resume(tmp_path / "run", console)
    assert same(tmp_path / "run", straight)


def test_figures_of_a_model_that_is_gone_are_not_written(
    straight: Path, birds: Path, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on may save a better model while one is measured."""
    shutil.copytree(straight, tmp_path / "run")
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    embed_manifest = evaluation.embed_manifest

    def go_on(*arguments: Any) -> Any:
        shutil.copy(straight / "model.safetensors", tmp_path / "run" / "model.safetensors")
        return embed_manifest(*arguments)

    monkeypatch.setattr(evaluation, "embed_manifest", go_on)
    with pytest.raises(DataError, match="another model now"):
        runs.evaluate(tmp_path / "run", None, console)
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), pytest.param(signal.SIGTERM, 130, marks=pytest.mark.slow)]
)
def test_a_killed_process_is_resumed_bit_for_bit(
    number: int, code: int, straight: Path, birds: Path, tmp_path: Path, console: Console
) -> None:
    """SIGKILL gives no warning; SIGTERM, as a shutdown sends it, reaches the decoding workers as well."""
    folder, settings = tmp_path / "run", tmp_path / "settings.yaml"
    save(CONFIG.replace(checkpoint_seconds=0.0), settings)
    command = [sys.executable, "-m", "bier.cli", "train", str(birds), "--config", str(settings), "--out", str(folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    checkpoint, deadline = folder / "checkpoint.safetensors", time.monotonic() + 120
    seen: set[float] = set()
    while len(seen) < 4 and process.poll() is None and time.monotonic() < deadline:
        if checkpoint.exists():
            seen.add(checkpoint.stat().st_mtime)
        time.sleep(0.005)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert checkpoint.exists(), "killed too late to show anything"
    runs.resume(folder, console)
    assert same(folder, straight)


@pytest.mark.parametrize("freeze", [0, 9], ids=["whole network", "head alone"])
@pytest.mark.slow
def test_a_batch_in_parts_makes_the_same_update(
    freeze: int, birds: Path, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss and gradients of a run whose batches of 6 go through the backbone by 4 and 2, dropout included."""
    norms: dict[str, list[torch.Tensor]] = {"whole": [], "parts": []}
    for name, at_once in (("whole", None), ("parts", 4)):

        def clip(parameters: list[torch.Tensor], norm: float, kept: list[torch.Tensor] = norms[name]) -> torch.Tensor:
            gradients = [p.grad.flatten() for p in parameters if p.grad is not None]
            kept.append(torch.cat(gradients).clone())
            return gradients[0].norm()

        monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
        config = CONFIG.replace(hardware__images_at_once=at_once, optimizer__freeze=freeze, optimizer__epochs=1)
        runs.train(str(birds), config, tmp_path / name, console, evaluate_after=False)
    # The first step starts from the same weights; later ones from weights that rounding has moved apart.
    whole, parts = norms["whole"][0], norms["parts"][0]
    assert len(norms["whole"]) == len(norms["parts"]) > 1
    assert (whole - parts).norm() < 1e-5 * whole.norm()
    bad = CONFIG.replace(hardware__images_at_once=4, optimizer__freeze_batch_norm=False)
    with pytest.raises(ConfigError, match="freeze_batch_norm"):
        runs.train(str(birds), bad, tmp_path / "bad", console)


def test_a_loss_that_is_not_a_number_stops_before_the_update(
    birds: Path, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bier.method.ensemble import EmbeddingEnsemble

    learners, calls = EmbeddingEnsemble.learners, []

    def poisoned(self: EmbeddingEnsemble, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        first, *others = learners(self, features)
        calls.extend([len(features)] * torch.is_grad_enabled())  # without gradients, whitening looks at them
        if len(calls) == 3:
            first = first.index_fill(0, torch.tensor([1]), torch.nan)
        return first, *others

    monkeypatch.setattr(EmbeddingEnsemble, "learners", poisoned)
    with pytest.raises(NonFiniteLossError) as caught:
        runs.train(str(birds), CONFIG.replace(checkpoint_seconds=0.0), tmp_path / "run", console)
    message = str(caught.value)
    assert "epoch 1, batch 3" in message
    assert message.count(".jpg") == 1, "the one image with the bad number is named"
    monkeypatch.undo()
    runs.resume(tmp_path / "run", console)  # the checkpoint before it is good


@pytest.mark.slow
def test_a_disk_that_fills_up_leaves_the_last_checkpoint(
    straight: Path, birds: Path, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bier.system.tensors

    save_file, saved = bier.system.tensors.save_file, []

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        saved.append(path)
        if len(saved) == 5:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save_file(tensors, path, metadata=metadata)

    monkeypatch.setattr(bier.system.tensors, "save_file", full)
    with pytest.raises(StorageError, match="disk is full"):
        runs.train(str(birds), CONFIG.replace(checkpoint_seconds=0.0), tmp_path / "run", console)
    monkeypatch.undo()
    runs.resume(tmp_path / "run", console)
    assert same(tmp_path / "run", straight)


def test_an_unreadable_picture_is_named_and_does_not_stop_the_night(
    birds: Path, tmp_path: Path, console: Console
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(birds, photos)
    victim = sorted(photos.rglob("*.jpg"))[3]
    victim.write_bytes(victim.read_bytes()[:200])
    runs.train(
        str(photos), CONFIG.replace(optimizer__epochs=1, data__validation_classes=0.0), tmp_path / "run", console
    )
    provenance = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert [Path(name).name for name in provenance["unreadable"]] == [victim.name]


def test_a_changed_source_is_not_resumed(birds: Path, tmp_path: Path, console: Console) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(birds, photos)

    class Stop(Callback):
        def on_step(self, run: Running, step: Step) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        runs.train(str(photos), CONFIG, tmp_path / "run", console, callbacks=[Stop()])
    sorted(photos.rglob("*.jpg"))[0].unlink()
    with pytest.raises(DataError, match="not those that this run started with"):
        runs.resume(tmp_path / "run", console)


def test_a_folder_with_a_run_is_not_overwritten(straight: Path, birds: Path, console: Console) -> None:
    before = (straight / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="holds a run already"):
        runs.train(str(birds), CONFIG, straight, console)
    assert (straight / "model.safetensors").read_bytes() == before
    with pytest.raises(ModelError, match="not the folder of a run"):
        runs.resume(birds, console)


@pytest.mark.parametrize(
    "changes",
    [
        {"loss__name": "triplet"},
        {"loss__name": "contrastive", "diversity__loss": "activation"},
        {"loss__name": "multi_similarity", "diversity__loss": "both"},
        {"loss__name": "normalized_softmax", "diversity__loss": "none"},
        {"loss__name": "proxy_anchor", "model__learners": 1, "model__sizes": None, "model__dimensions": 16},
        {"diversity__initialize": True, "loss__schedule": "stagewise", "diversity__during_training": False},
        {"hardware__precision": "bfloat16", "image__fit": "pad", "model__weighting": "equal"},
    ],
    ids=lambda changes: "-".join(str(value) for value in changes.values()),
)
@pytest.mark.slow
def test_every_kind_of_run_trains(changes: dict[str, Any], birds: Path, tmp_path: Path, console: Console) -> None:
    config = CONFIG.replace(optimizer__epochs=1, **changes)
    metrics = runs.train(str(birds), config, tmp_path / "run", console)
    assert metrics is not None
    assert metrics.ensemble.recall[1] > 0.2, "better than chance, 1 in 5"
