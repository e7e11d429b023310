"""One update of the weights, on the whole batch, whatever parts of it lie where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from bier.errors import NonFiniteLossError
from bier.training.batch import WholeBatch
from bier.training.job import Job
from bier.training.progress import Progress

TRACE_EVERY = 4
"""One batch in four has its boosting weights counted, and its hardest pairs noted, for the report."""


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
