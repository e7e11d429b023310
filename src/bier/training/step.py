"""One update of the weights, on the whole batch, whatever parts of it lie where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bier.method.losses import Boosted
from bier.system.hardware import Hardware
from bier.training.batch import WholeBatch
from bier.training.job import Learning


class Update(NamedTuple):
    """What a step has found, before it moved the weights."""

    loss: float
    diversity: float
    boosted: Boosted


class NotFinite(Exception):
    """The loss or its gradient is NaN or infinite; no weight was moved.

    Args:
        what: which of them.
        rows: of the manifest: the pictures whose outputs are not finite, or all of the batch.
    """

    def __init__(self, what: str, rows: list[int]) -> None:
        super().__init__(what, rows)
        self.what, self.rows = what, rows


def step(
    learning: Learning, hardware: Hardware, batch: WholeBatch, *, factor: float, seed: int, trace: bool = False
) -> Update:
    """One update: backbone, learners, boosted loss, diversity, backward, finite check, optimiser.

    The loss and its gradient on the features are those of the whole batch. Each process carries on the gradient of its
    own part, and the sums over processes are those of one. A part of more than ``images_at_once`` goes through the
    backbone in pieces: once without a graph, and once more, piece by piece. The update is always the same.

    Args:
        learning: its weights are moved.
        hardware: whose processes all call this alike.
        batch: all labels, and this process's images.
        factor: on the peak rate of each group of weights.
        seed: of what is random in the backbone, such as dropout.
        trace: keep the weight and score of every term.

    Raises:
        NotFinite: before anything was moved.
    """
    images = _own_images(learning, hardware, batch)
    labels = batch.labels.to(hardware.device)
    in_pieces = len(images) > 1
    with torch.set_grad_enabled(not in_pieces):
        own = torch.cat(list(_features(learning, hardware, images, seed)))
    count = batch.own.stop - batch.own.start
    features = torch.cat(hardware.processes.parts(own[:count])).detach().requires_grad_()
    head = learning.model.head
    learners = head.learners(features)  # in float32, as when embedding
    boosted = learning.boost.boost(learners, labels, trace=trace)
    loss = boosted.loss
    diversity = loss.new_zeros(()) if learning.diversity is None else learning.diversity(features.float(), head)
    total = loss + diversity
    if not torch.isfinite(total):
        raise NotFinite(f"the loss is {total.item()}", _culprits(batch, learners))
    learning.optimizer.zero_grad(set_to_none=True)
    total.backward()
    gradient = torch.zeros_like(own)
    if features.grad is not None:
        gradient[:count] = features.grad[batch.own]
    pieces = _features(learning, hardware, images, seed) if in_pieces else [own]
    for piece, part in zip(pieces, gradient.split(len(images[0])), strict=True):
        if piece.requires_grad:  # else the whole backbone is frozen
            piece.backward(part)
    _add_up_gradients(learning, hardware)
    norm = nn.utils.clip_grad_norm_(learning.parameters(), learning.clip_norm or float("inf"))
    if not torch.isfinite(norm):
        raise NotFinite(f"the norm of the gradient is {norm.item()}", _culprits(batch, learners))
    for group in learning.optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    learning.optimizer.step()
    return Update(loss.item(), diversity.item(), boosted)


def _own_images(learning: Learning, hardware: Hardware, batch: WholeBatch) -> Sequence[Tensor]:
    """This process's images in pieces; a blank one, which gets no gradient, where none of them can be read."""
    images = batch.images.to(hardware.device, non_blocking=True)
    if not len(images):
        images = images.new_zeros(1, *images.shape[1:])
    pieces: Sequence[Tensor] = images.split(learning.images_at_once or len(images))
    return pieces


def _features(learning: Learning, hardware: Hardware, images: Sequence[Tensor], seed: int) -> Iterator[Tensor]:
    """The backbone's features of a batch, piece by piece; the same every time."""
    torch.manual_seed(seed)
    low = hardware.precision == torch.bfloat16
    for piece in images:
        with torch.autocast(hardware.device.type, dtype=torch.bfloat16, enabled=low):
            features = learning.backbone(piece)
        yield features


def _add_up_gradients(learning: Learning, hardware: Hardware) -> None:
    """Over processes: each has a share of the backbone's, and the whole of all others, of which rank 0's count."""
    processes = hardware.processes
    if processes.world == 1:
        return
    parameters = learning.parameters()
    backbone = set(learning.model.backbone.parameters())
    for parameter in parameters:
        if parameter.grad is not None and parameter not in backbone and not processes.first:
            parameter.grad.zero_()
    processes.add_up([parameter.grad for parameter in parameters if parameter.grad is not None])


def _culprits(batch: WholeBatch, learners: Sequence[Tensor]) -> list[int]:
    """Rows of the pictures with outputs that are not finite; of the whole batch where all are."""
    finite = torch.stack([f.detach().isfinite().all(dim=1) for f in learners]).all(dim=0).cpu()
    rows: list[int] = (batch.index if bool(finite.all()) else batch.index[~finite]).tolist()
    return rows
