"""Losses against class proxies. Every learner has proxies of its own; they are not part of the final embedding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bier.errors import LossError
from bier.method.losses.base import Loss
from bier.method.losses.terms import TermLoss


class ProxyLoss(Loss):
    """A loss of the similarities between samples and class proxies.

    Args:
        classes: number of training classes; labels are 0 .. classes - 1.
        sizes: dimensions of the learners, as in the ensemble.
    """

    def __init__(self, classes: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.classes = classes
        self.proxies = nn.ParameterList(
            [nn.Parameter(F.normalize(torch.randn(classes, size), dim=1)) for size in sizes]
        )

    def scores(self, z: Tensor, learner: int) -> Tensor:
        """Cosine of each sample with each proxy of the learner, shape (n, classes)."""
        return z @ F.normalize(self.proxies[learner].to(z.dtype), dim=1).T

    def influence(self, scores: Sequence[Tensor], labels: Tensor) -> Sequence[Tensor]:
        """None: scores are of images and proxies, and not of pairs."""
        return ()

    def proxies_of(self, labels: Tensor) -> Tensor:
        """The number of each label's proxy: the label, as int64 (n,).

        Raises:
            LossError: a label has no proxy.
        """
        numbers = labels.long()
        without = numbers[(numbers < 0) | (numbers >= self.classes)]
        if len(without):
            raise LossError(
                f"label {int(without[0])} for {self.classes} proxies",
                where=type(self).__name__,
                remedy="number the training classes 0, 1, 2, ... and give `classes` their count",
            )
        return numbers


class NormalizedSoftmax(ProxyLoss, TermLoss):
    """Cross entropy of cosine similarities with the proxies (Zhai and Wu, BMVC 2019).

    It has one term for each image. The margin is the log odds of the image's own class, ``log(p_y / (1 - p_y))``. So
    ``l(a) = log(1 + exp(-a))`` and ``-dl/da = 1 - p_y``.

    Args:
        classes: number of training classes; labels are 0 .. classes - 1.
        sizes: dimensions of the learners, as in the ensemble.
        temperature: by which similarities are divided.
    """

    def __init__(self, classes: int, sizes: Sequence[int], temperature: float = 0.05) -> None:
        super().__init__(classes, sizes)
        self.temperature = temperature

    def terms(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Unreduced terms, shape (n,)."""
        return F.cross_entropy(scores / self.temperature, self.proxies_of(labels), reduction="none")

    def weights(self, scores: Tensor, labels: Tensor) -> Tensor:
        """``1 - p_y``, shape (n,)."""
        return -torch.expm1(-self.terms(scores, labels))


class ProxyAnchor(ProxyLoss):
    """Proxy-Anchor (Kim et al., CVPR 2020, equation 4). Its sums run over the batch, so it has no terms.

    Args:
        classes: number of training classes; labels are 0 .. classes - 1.
        sizes: dimensions of the learners, as in the ensemble.
        alpha: sharpness.
        margin: added to negative similarities and taken from positive ones.
    """

    def __init__(self, classes: int, sizes: Sequence[int], alpha: float = 32.0, margin: float = 0.1) -> None:
        super().__init__(classes, sizes)
        self.alpha, self.margin = alpha, margin

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        positive = F.one_hot(self.proxies_of(labels), self.classes).bool()  # (n, classes)
        pull = (-self.alpha * (scores - self.margin)).masked_fill(~positive, -torch.inf)
        push = (self.alpha * (scores + self.margin)).masked_fill(positive, -torch.inf)
        present = positive.any(dim=0)
        pulled = F.softplus(pull[:, present].logsumexp(dim=0)).mean()
        return pulled + F.softplus(push.logsumexp(dim=0)).mean()


MEMBERS = {"normalized_softmax": NormalizedSoftmax, "proxy_anchor": ProxyAnchor}
