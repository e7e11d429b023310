"""Training: a step, an epoch, a run that can be interrupted anywhere and goes on bit for bit.

Everything that happens in a step is a function of the settings, the seed and the step's number: the batch plan, the
augmentation and the generator are seeded from it. So a checkpoint needs weights, optimiser state and two counters.

With several processes each sees a share of every batch, and all of them the features of the whole: boosting compares
all pairs, as one process would. The first writes the files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bier.best_epoch import BestEpoch
from bier.data import Batch, BatchPlan, Manifest, TestTransform, TrainTransform, train_loader
from bier.errors import ImageError, ModelError, NonFiniteLossError
from bier.evaluate import evaluate_retrieval
from bier.hard_pairs import HardPairs
from bier.method.boosting import Boosted, OnlineBoosting
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model
from bier.system.files import write_text
from bier.system.processes import ALONE, Processes
from bier.system.tensors import STATE_FORMAT, load_tensors, save_tensors
from bier.training.optimizer_state import optimizer_tensors, restore_optimizer
from bier.vectors.embed import embed

TRACE_EVERY = 4
"""One batch in four has its boosting weights counted, and its hardest pairs noted, for the report."""
WEIGHT_EDGES = np.linspace(0.0, 2.0, 21)


@dataclass(frozen=True)
class Job:
    """A run, built: everything that :func:`run` needs. ``image`` describes the preprocessing in the model file."""

    folder: Path
    model: RetrievalModel
    backbone: Callable[[Tensor], Tensor]
    """The model's, as it runs in a step: images to features."""
    boost: OnlineBoosting
    diversity: nn.Module | None
    optimizer: torch.optim.Optimizer
    rate: Callable[[int], float]
    train: Manifest
    validation: Manifest | None
    """Held-out classes (split ``val``) and the training pictures that they are searched among."""
    plan: BatchPlan
    """This process's share of the batches."""
    transform: TrainTransform
    test_transform: TestTransform
    image: dict[str, Any]
    epochs: int
    seed: int
    workers: int
    device: torch.device
    precision: torch.dtype
    images_at_once: int | None = None
    """Images in the backbone at once; more go through it in pieces."""
    clip_norm: float | None = None
    checkpoint_seconds: float = 60.0
    processes: Processes = ALONE

    def trained_modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"model": self.model, "loss": self.boost}
        return modules if self.diversity is None else {**modules, "diversity": self.diversity}


@dataclass(frozen=True)
class WholeBatch:
    """What all processes see of a batch of n pictures, and this one's part of them."""

    images: Tensor
    """uint8 (b, 3, size, size): this process's."""
    own: slice
    """Which rows of the n those are."""
    labels: Tensor
    """int64 (n,)."""
    index: Tensor
    """int64 (n,): position in the manifest."""

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(cls, batch: Batch, processes: Processes) -> WholeBatch:
        parts = processes.parts(torch.stack([batch.labels, batch.index], dim=1))
        before = sum(map(len, parts[: processes.rank]))
        labels, index = torch.cat(parts).unbind(dim=1)
        return cls(batch.images, slice(before, before + len(batch)), labels, index)


@dataclass
class Sums:
    """What the batches of the current epoch add up to."""

    batches: int = 0
    images: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    diversity: float = 0.0
    learner_losses: list[float] = field(default_factory=list)
    positive: list[list[int]] = field(default_factory=list)
    negative: list[list[int]] = field(default_factory=list)
    hardest: HardPairs = field(default_factory=HardPairs)
    """For the last learner."""

    def add(self, loss: float, diversity: float, last: Boosted, batch: WholeBatch, seconds: float) -> None:
        losses = last.losses.tolist()
        self.learner_losses = [a + b for a, b in zip(self.learner_losses or [0.0] * len(losses), losses, strict=True)]
        self.batches += 1
        self.images += len(batch)
        self.seconds += seconds
        self.loss += loss
        self.diversity += diversity
        if len(last.weights):
            self._count(last.weights, batch.labels.to(last.weights[0].device))
            if last.weights[-1].ndim == 2:
                self.hardest.add(last.weights[-1], batch.labels, batch.index)

    def _count(self, weights: Sequence[Tensor], labels: Tensor) -> None:
        same = labels[:, None] == labels
        negative = ~same
        same.fill_diagonal_(False)
        if not self.positive:
            self.positive = [[0] * (len(WEIGHT_EDGES) - 1) for _ in weights]
            self.negative = [[0] * (len(WEIGHT_EDGES) - 1) for _ in weights]
        for m, weight in enumerate(weights):
            if weight.ndim == 1:  # one weight per sample (losses with proxies)
                _histogram(weight, self.positive[m])
            else:
                _histogram(weight[same], self.positive[m])
                _histogram(weight[negative], self.negative[m])

    def summary(self) -> dict[str, Any]:
        n = max(1, self.batches)
        return {
            "loss": self.loss / n,
            "learner_losses": [value / n for value in self.learner_losses],
            "diversity": self.diversity / n,
            "images_per_second": self.images / max(self.seconds, 1e-9),
            "seconds": self.seconds,
            "weights": {"edges": WEIGHT_EDGES.tolist(), "positive": self.positive, "negative": self.negative},
        }


def _histogram(values: Tensor, counts: list[int]) -> None:
    found, _ = np.histogram(values.clamp(0, float(WEIGHT_EDGES[-1])).cpu().numpy(), WEIGHT_EDGES)
    for i, count in enumerate(found.tolist()):
        counts[i] += count


@dataclass
class Progress:
    """Where a run stands; saved in every checkpoint."""

    epoch: int = 0
    """Epochs that are complete."""
    batch: int = 0
    """Batches of the current epoch that are complete."""
    step: int = 0
    best: BestEpoch = field(default_factory=BestEpoch)
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: Sums = field(default_factory=Sums)
    unreadable: list[str] = field(default_factory=list)

    @staticmethod
    def from_dict(content: dict[str, Any]) -> Progress:
        sums = {**content["sums"], "hardest": HardPairs(**content["sums"].get("hardest", {}))}
        return Progress(**{**content, "sums": Sums(**sums), "best": BestEpoch(**content["best"])})


class Listener(Protocol):
    """What a run tells whoever watches it."""

    def begin_epoch(self, epoch: int, batches: int, done: int) -> None: ...
    def step(self, progress: Progress, rate: float) -> None: ...
    def end_epoch(self, record: dict[str, Any], kept: bool) -> None: ...
    def message(self, text: str) -> None: ...


class Interrupted(Exception):
    """The run was asked to stop; its checkpoint is saved."""


def run(job: Job, listener: Listener, resume: bool = False) -> Progress:
    """Train to the end, or until asked to stop.

    Raises:
        Interrupted: after Ctrl-C or SIGTERM, with a checkpoint saved.
        NonFiniteLossError: before the update that would have used a NaN or infinite loss or gradient.
        StorageError: a checkpoint could not be written; the one before it stands.
    """
    progress = _restore(job) if resume else Progress()
    with _stop_requested(alone=job.processes.world == 1) as stop:
        if not resume:
            _checkpoint(job, progress)
        while progress.epoch < job.epochs:
            _epoch(job, progress, listener, stop)
    return progress


def _epoch(job: Job, progress: Progress, listener: Listener, stop: Callable[[], bool]) -> None:
    epoch = progress.epoch
    batches = len(job.plan.epoch(epoch))
    listener.begin_epoch(epoch + 1, batches, progress.batch)
    job.model.train()
    saved, began = time.monotonic(), time.monotonic()
    for batch in train_loader(
        job.train, job.plan, job.transform, seed=job.seed, epoch=epoch, start_batch=progress.batch, workers=job.workers
    ):
        _note_unreadable(progress, batch.failed, listener)
        factor = job.rate(progress.step)
        whole = WholeBatch.of(batch, job.processes)
        if whole.labels.unique().numel() > 1:  # else nothing readable is left to compare
            loss, diversity = step(job, whole, factor, progress)
            progress.sums.add(loss, diversity, job.boost.last, whole, time.monotonic() - began)
        began = time.monotonic()
        progress.step += 1
        progress.batch += 1
        listener.step(progress, factor)
        if job.processes.any(stop()):
            _checkpoint(job, progress)
            job.processes.wait()  # whoever leaves first has the others stopped
            raise Interrupted
        if time.monotonic() - saved >= job.checkpoint_seconds:
            _checkpoint(job, progress)
            saved = time.monotonic()
    _finish_epoch(job, progress, listener)


def step(job: Job, batch: WholeBatch, factor: float, progress: Progress) -> tuple[float, float]:
    """One update: backbone, learners, boosted loss, diversity, backward, finite check, optimiser.

    The loss and its gradient on the features are those of the whole batch; each process carries on the gradient of its
    own part, and the sums over processes are those of one. A part of more than ``images_at_once`` goes through the
    backbone in pieces: once without a graph, and once more, piece by piece. The update is always the same.

    Returns:
        the boosted loss and the diversity loss.
    """
    images = _own_images(job, batch)
    labels = batch.labels.to(job.device)
    in_pieces = len(images) > 1
    with torch.set_grad_enabled(not in_pieces):
        own = torch.cat(list(_features(job, images, progress.step)))
    count = batch.own.stop - batch.own.start
    features = torch.cat(job.processes.parts(own[:count])).detach().requires_grad_()
    learners = job.model.head.learners(features)  # in float32, as when embedding
    loss = job.boost(learners, labels, trace=progress.batch % TRACE_EVERY == 0)
    diversity = loss.new_zeros(()) if job.diversity is None else job.diversity(features.float(), job.model.head)
    total = loss + diversity
    if not torch.isfinite(total):
        raise _non_finite(job, batch, learners, f"the loss is {total.item()}", progress)
    job.optimizer.zero_grad(set_to_none=True)
    total.backward()
    gradient = torch.zeros_like(own)
    if features.grad is not None:
        gradient[:count] = features.grad[batch.own]
    pieces = _features(job, images, progress.step) if in_pieces else [own]
    for piece, part in zip(pieces, gradient.split(len(images[0])), strict=True):
        if piece.requires_grad:  # else the whole backbone is frozen
            piece.backward(part)
    parameters = [p for group in job.optimizer.param_groups for p in group["params"]]
    _add_up_gradients(job, parameters)
    norm = nn.utils.clip_grad_norm_(parameters, job.clip_norm or float("inf"))
    if not torch.isfinite(norm):
        raise _non_finite(job, batch, learners, f"the norm of the gradient is {norm.item()}", progress)
    for group in job.optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    job.optimizer.step()
    return loss.item(), diversity.item()


def _own_images(job: Job, batch: WholeBatch) -> Sequence[Tensor]:
    """This process's images in pieces; a blank one, which gets no gradient, where none of them can be read."""
    images = batch.images.to(job.device, non_blocking=True)
    if not len(images):
        images = images.new_zeros(1, *images.shape[1:])
    pieces: Sequence[Tensor] = images.split(job.images_at_once or len(images))
    return pieces


def _features(job: Job, images: Sequence[Tensor], step: int) -> Iterator[Tensor]:
    """The backbone's features of a batch, piece by piece; the same every time."""
    torch.manual_seed((job.seed + (job.processes.rank << 32)) * 1_000_003 + step)  # for dropout in some backbones
    for piece in images:
        with _autocast(job):
            features = job.backbone(piece)
        yield features


def _add_up_gradients(job: Job, parameters: Sequence[Tensor]) -> None:
    """Over processes: each has a share of the backbone's, and the whole of all others, of which the first's count."""
    if job.processes.world == 1:
        return
    backbone = set(job.model.backbone.parameters())
    for parameter in parameters:
        if parameter.grad is not None and parameter not in backbone and not job.processes.first:
            parameter.grad.zero_()
    job.processes.add_up([parameter.grad for parameter in parameters if parameter.grad is not None])


def _autocast(job: Job) -> torch.autocast:
    return torch.autocast(job.device.type, dtype=torch.bfloat16, enabled=job.precision == torch.bfloat16)


def _non_finite(
    job: Job, batch: WholeBatch, learners: Sequence[Tensor], what: str, progress: Progress
) -> NonFiniteLossError:
    finite = torch.stack([f.detach().isfinite().all(dim=1) for f in learners]).all(dim=0).cpu()
    culprits = batch.index[~finite] if not bool(finite.all()) else batch.index
    names = [str(job.train.path(int(i))) for i in culprits]
    shown = "\n    ".join(names[:8]) + (f"\n    and {len(names) - 8} more" if len(names) > 8 else "")
    return NonFiniteLossError(
        f"{what} in epoch {progress.epoch + 1}, batch {progress.batch + 1}; no update was made. Images:\n    {shown}",
        where=job.folder,
        remedy="look at these images; lower optimizer.learning_rate, or set optimizer.clip_norm=1",
    )


def _note_unreadable(progress: Progress, failed: Sequence[ImageError], listener: Listener) -> None:
    for error in failed:
        if str(error.where) not in progress.unreadable:
            progress.unreadable.append(str(error.where))
            listener.message(f"left out: {error.where}: {error.what}")


def _finish_epoch(job: Job, progress: Progress, listener: Listener) -> None:
    for name in itertools.chain(*job.processes.gather_objects(progress.unreadable)):
        if name not in progress.unreadable:  # what others have met
            progress.unreadable.append(name)
            listener.message(f"left out: {name}")
    record = {
        "epoch": progress.epoch + 1,
        "step": progress.step,
        **progress.sums.summary(),
        "hardest": progress.sums.hardest.summary(job.train),
        "learning_rate": job.rate(progress.step - 1) * max(group["peak_lr"] for group in job.optimizer.param_groups),
    }
    keep = True  # with nothing to choose by, the last epoch
    if job.validation is not None:
        record["validation"], by_class = validate(job, job.validation)
        keep = progress.best.offer(progress.epoch + 1, by_class)
    if keep and job.processes.first:
        save_model(job.folder / "model.safetensors", job.model, job.image)
    for earlier in progress.history:
        earlier["kept"] = earlier["kept"] and not keep
    progress.history.append({**record, "kept": keep})
    progress.epoch, progress.batch, progress.sums = progress.epoch + 1, 0, Sums()
    if job.processes.first:
        _write_history(job.folder, progress.history)
    _checkpoint(job, progress)
    listener.end_epoch(record, keep)


def validate(job: Job, manifest: Manifest) -> tuple[dict[str, float], dict[str, float]]:
    """Recall@1 and MAP@R of the ensemble, and MAP@R of each class: each picture of ``val`` searches all others."""
    vectors = embed(
        job.model,
        manifest,
        transform=job.test_transform,
        workers=job.workers,
        device=job.device,
        precision=job.precision,
        processes=job.processes,
    )
    scales = job.model.head.scales().cpu()
    ensemble = torch.cat([s * z for s, z in zip(scales, vectors.learners, strict=True)], dim=1)
    labels = manifest.codes()[vectors.index]
    asking = np.flatnonzero(manifest.split[vectors.index] == "val")
    result = evaluate_retrieval(
        ensemble[asking],
        labels[asking],
        gallery=ensemble,
        gallery_labels=labels,
        ids=asking,
        gallery_ids=np.arange(len(labels)),
        recall_at=(1,),
        similarity="dot",
        distributed=job.processes.world > 1,
    )
    assert result.map_at_r is not None
    by_class = {str(label): figures["map_at_r"] for label, figures in result.per_class().items()}
    return {"recall@1": result.recall[1], "map_at_r": result.map_at_r}, by_class


def _write_history(folder: Path, history: Sequence[dict[str, Any]]) -> None:
    write_text(folder / "history.jsonl", "".join(json.dumps(record) + "\n" for record in history))


def _checkpoint(job: Job, progress: Progress) -> None:
    if not job.processes.first:
        return
    tensors = {
        f"{name}/{key}": value
        for name, module in job.trained_modules().items()
        for key, value in module.state_dict().items()
    }
    tensors |= {f"optimizer/{key}": value for key, value in optimizer_tensors(job.optimizer).items()}
    save_tensors(job.folder / "checkpoint.safetensors", tensors, STATE_FORMAT, dataclasses.asdict(progress))


def _restore(job: Job) -> Progress:
    path = job.folder / "checkpoint.safetensors"
    tensors, content = load_tensors(path, STATE_FORMAT)
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        owner, name = key.split("/", 1)
        parts.setdefault(owner, {})[name] = value
    try:
        for name, module in job.trained_modules().items():
            module.load_state_dict(parts.get(name, {}))
        restore_optimizer(job.optimizer, parts.get("optimizer", {}))
    except (RuntimeError, ValueError, KeyError) as error:
        raise ModelError(
            f"does not fit the settings of this run ({error})",
            where=path,
            remedy="resume with the run's own config.yaml",
        ) from error
    return Progress.from_dict(content)


@contextlib.contextmanager
def _stop_requested(alone: bool) -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM set a flag that is looked at after each step; a second Ctrl-C is not waited for.

    ``torchrun`` passes Ctrl-C on to processes that have had it already, so there the second means nothing.
    """
    asked = False

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and alone and signum == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    try:
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread, which alone may handle signals
        before = {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
