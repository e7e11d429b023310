"""Losses of a whole similarity matrix, which do not split into terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from bier.method.ensemble import normalize
from bier.method.losses.base import Boosted, Loss, Schedule
from bier.method.losses.checks import check_two_classes
from bier.method.losses.mined import LARGEST_EXPONENT, MinedSweep
from bier.method.losses.mined_whole import SMALL, WholeSweep
from bier.method.losses.pairwise import mean_loss
from bier.method.losses.relations import same_and_different


class MultiSimilarity(Loss):
    """Multi-similarity with its own pair mining (Wang et al., CVPR 2019, equations 10-12).

    Args:
        alpha: sharpness over positives.
        beta: sharpness over negatives.
        base: the similarity that separates them.
        epsilon: a pair is mined when it lies within epsilon of the hardest pair of the other kind; ``None`` keeps all.
    """

    takes_relations: ClassVar[bool] = True

    def __init__(self, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5, epsilon: float | None = 0.1) -> None:
        super().__init__()
        self.alpha, self.beta, self.base, self.epsilon = alpha, beta, base, epsilon

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """A scalar, of scores (n, n) and labels (n,) or relations (n, n): the mean over anchors."""
        check_two_classes(labels)
        positive, negative = same_and_different(labels)
        positive.fill_diagonal_(False)
        if self.epsilon is not None:
            s = scores.detach()
            easiest_allowed = s.masked_fill(~negative, -torch.inf).amax(dim=1, keepdim=True) + self.epsilon
            hardest_positive = s.masked_fill(~positive, torch.inf).amin(dim=1, keepdim=True) - self.epsilon
            positive = positive & (s < easiest_allowed)
            negative = negative & (s > hardest_positive)
        pull = _log_one_plus_sum_exp(-self.alpha * (scores - self.base), positive) / self.alpha
        push = _log_one_plus_sum_exp(self.beta * (scores - self.base), negative) / self.beta
        return (pull + push).mean()

    def boost(
        self, outputs: Sequence[Tensor], labels: Tensor, *, schedule: Schedule, shrinkage: float, trace: bool
    ) -> Boosted:
        if not self._fits_tiles():
            return super().boost(outputs, labels, schedule=schedule, shrinkage=shrinkage, trace=trace)
        check_two_classes(labels)
        kind = WholeSweep if len(labels) <= SMALL else MinedSweep
        sweep = kind(self, schedule, len(outputs), outputs[0], labels)
        loss = mean_loss(sweep, outputs)
        if not trace:
            return Boosted(loss, sweep.losses)
        with torch.no_grad():
            scores = [self.scores(normalize(f), m) for m, f in enumerate(outputs)]
            weights, averages = self.trace(scores, labels, schedule)
        return Boosted(loss, sweep.losses, tuple(weights), tuple(averages))

    def _fits_tiles(self) -> bool:
        """Whether exponentials stay in range, and nobody has changed what the loss is."""
        ours = type(self).forward is MultiSimilarity.forward and type(self).scores is Loss.scores
        sharpest = max(self.alpha, self.beta)
        return ours and min(self.alpha, self.beta) > 0 and sharpest * max(1, abs(self.base)) <= LARGEST_EXPONENT


def _log_one_plus_sum_exp(exponents: Tensor, mask: Tensor) -> Tensor:
    """``log(1 + sum_j exp(e_ij))`` over the masked entries of each row, without overflow."""
    masked = exponents.masked_fill(~mask, -torch.inf)
    return F.pad(masked, (1, 0), value=0.0).logsumexp(dim=1)


MEMBERS = {"multi_similarity": MultiSimilarity}
