"""The triplet loss over all triplets of a batch, without a tensor of all triplets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from torch import Tensor

from bier.errors import ConfigError, LossError, nearest
from bier.method.losses.checks import check_two_classes
from bier.method.losses.gradients import attach_gradients
from bier.method.losses.relations import same_and_different
from bier.method.losses.terms import TermLoss


class Triplet(TermLoss):
    """``max(0, s_an - s_ap + margin)``, averaged over the triplets of a batch.

    Args:
        margin: how far a positive should lie above a negative.
        mining: ``"all"`` triplets, or ``"semihard"``: those whose negative lies below the positive, but by less than
            the margin.

    Raises:
        ConfigError: an unknown mining.
    """

    def __init__(self, margin: float = 0.2, mining: Literal["all", "semihard"] = "all") -> None:
        super().__init__()
        if mining not in ("all", "semihard"):
            raise ConfigError(
                f"unknown mining {mining!r}", where="mining", remedy=nearest(str(mining), ("all", "semihard"))
            )
        self.margin, self.mining = margin, mining

    takes_relations: ClassVar[bool] = True

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        return self.reweighted(scores, None, labels)[0]

    def reweighted(self, scores: Tensor, ensemble: Tensor | None, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss of scores (n, n) over mined triplets, of which those count that the ensemble (n, n) violates.

        The weight of a triplet is 1 where ``A_an - A_ap + margin > 0``, else 0.

        Returns:
            the loss, a scalar; and for each pair (anchor, negative) the mean weight over the positives, (n, n).

        Raises:
            LossError: a batch without positive pairs, or without negative ones.
        """
        check_two_classes(labels)
        s = scores.detach()
        negative = same_and_different(labels)[1]
        gradient, weights = torch.zeros_like(s), torch.zeros_like(s)
        total, count = s.new_zeros(()), s.new_zeros(())
        positives = s.new_zeros(len(s), 1)
        for anchors, partner in positive_slots(labels):
            x = s[anchors] - s[anchors, partner][:, None] + self.margin  # (a, n)
            mined = weight = negative[anchors]
            if self.mining == "semihard":
                mined = mined & (x < self.margin) & (x > 0)
            if ensemble is not None:
                weight = weight & (ensemble[anchors] - ensemble[anchors, partner][:, None] + self.margin > 0)
            active = (mined & weight & (x > 0)).to(s)
            count += mined.sum()
            total += (active * x).sum()
            gradient[anchors] += active
            gradient[anchors, partner] -= active.sum(dim=1)
            weights[anchors] += weight
            positives[anchors] += 1
        if not positives.any():
            raise LossError(
                "the batch holds no positive pair", where="labels", remedy="draw at least two images of each class"
            )
        count.clamp_(min=1)
        return attach_gradients(total / count, [scores], [gradient / count]), weights / positives.clamp_(min=1)


def positive_slots(labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """For k = 1, 2, ...: the anchors that have a k-th positive, and that positive, as index vectors.

    With K images of each class there are K - 1 slots. All triplets are then visited in K - 1 steps of (n, n).
    """
    same = same_and_different(labels)[0]
    same.fill_diagonal_(False)
    rank = same.cumsum(dim=1)
    for k in range(1, int(rank[:, -1].max()) + 1):
        yield tuple((same & (rank == k)).nonzero().unbind(dim=1))  # type: ignore[misc]


MEMBERS = {"triplet": Triplet}
