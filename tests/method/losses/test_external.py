"""Losses of pytorch-metric-learning, boosted as they come."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bier import EmbeddingEnsemble, OnlineBoosting
from bier.errors import ConfigError
from bier.losses import EmbeddingLoss, PytorchMetricLearning
from bier.method.ensemble import boosting_weights, normalize

pml = pytest.importorskip("pytorch_metric_learning.losses", reason="pytorch-metric-learning is not installed")
from pytorch_metric_learning.distances import CosineSimilarity  # noqa: E402

ON_SIMILARITIES: dict[str, Any] = {
    "Contrastive": lambda: pml.ContrastiveLoss(pos_margin=1, neg_margin=0.3, distance=CosineSimilarity()),
    "Circle": lambda: pml.CircleLoss(),
    "GeneralizedLiftedStructure": lambda: pml.GeneralizedLiftedStructureLoss(distance=CosineSimilarity()),
    "LiftedStructure": lambda: pml.LiftedStructureLoss(distance=CosineSimilarity()),
    "MultiSimilarity": lambda: pml.MultiSimilarityLoss(),
    "NTXent": lambda: pml.NTXentLoss(),
    "SupCon": lambda: pml.SupConLoss(),
    "TripletMargin": lambda: pml.TripletMarginLoss(distance=CosineSimilarity()),
    "Tuplet": lambda: pml.TupletMarginLoss(),
    "IntraPairVariance": lambda: pml.IntraPairVarianceLoss(),
    "SmoothAP": lambda: pml.SmoothAPLoss(),
}
LABELS = torch.arange(4).repeat_interleave(4)


def batch(dimensions: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(4, dimensions, generator=generator)
    return (centres[LABELS] + torch.randn(16, dimensions, generator=generator)).requires_grad_()


@pytest.mark.parametrize("name", ON_SIMILARITIES)
def test_one_learner_is_the_loss_itself(name: str) -> None:
    f, g = batch(), batch()
    ours = OnlineBoosting(PytorchMetricLearning(ON_SIMILARITIES[name]()))([f], LABELS)
    theirs = ON_SIMILARITIES[name]()(F.normalize(g), LABELS)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, f), torch.autograd.grad(theirs, g), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ON_SIMILARITIES)
def test_boosted_it_falls(name: str) -> None:
    torch.manual_seed(0)
    head = EmbeddingEnsemble(6, (2, 3, 4))
    boost = OnlineBoosting(PytorchMetricLearning(ON_SIMILARITIES[name]()))
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    features, values = batch().detach(), []
    for _ in range(40):
        loss = boost(head.learners(features), LABELS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert boost.last.losses.shape == (3,)
    assert values[-1] < 0.95 * values[0]


def test_earlier_learners_are_constants_to_later_ones() -> None:
    outputs = [batch(3), batch(4)]
    boost = OnlineBoosting(PytorchMetricLearning(pml.NTXentLoss()))
    boost(outputs, LABELS)
    first, second = (normalize(f).detach() for f in outputs)
    ensemble = torch.cat([(1 / 3) ** 0.5 * first, (2 / 3) ** 0.5 * second], dim=1)
    torch.testing.assert_close(boost.last.losses[1], pml.NTXentLoss()(ensemble, LABELS))


@pytest.mark.parametrize(
    "make",
    [
        lambda dimensions: pml.ProxyAnchorLoss(4, dimensions),
        lambda dimensions: pml.NormalizedSoftmaxLoss(4, dimensions),
        lambda dimensions: pml.ArcFaceLoss(4, dimensions),
    ],
    ids=["ProxyAnchor", "NormalizedSoftmax", "ArcFace"],
)
def test_losses_with_proxies_see_the_ensembles_score(make: Any) -> None:
    torch.manual_seed(0)
    sizes = (2, 3, 4)
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def __init__(self, dimensions: int) -> None:
            super().__init__()
            self.inner = make(dimensions)

        def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
            seen.append(embeddings)
            value: Tensor = self.inner(embeddings, labels)
            return value

    loss = EmbeddingLoss(Spy, sizes)
    outputs = [batch(d) for d in sizes]
    OnlineBoosting(loss)(outputs, LABELS).backward()
    z = [normalize(f) for f in outputs]
    for m, embeddings in enumerate(seen, start=1):
        weights = boosting_weights(m).float()
        score = sum(w * z_k @ z_k.T for w, z_k in zip(weights, z, strict=False))
        torch.testing.assert_close(embeddings @ embeddings.T, score)
    assert all(f.grad is not None and f.grad.abs().sum() > 0 for f in outputs)
    assert all(p.grad is not None for p in loss.parameters()), "proxies learn too"


def test_a_miner_sees_the_ensemble() -> None:
    from pytorch_metric_learning.miners import MultiSimilarityMiner

    f, g = batch(), batch()
    boost = OnlineBoosting(PytorchMetricLearning(pml.MultiSimilarityLoss(), MultiSimilarityMiner(epsilon=0.05)))
    mined = MultiSimilarityMiner(epsilon=0.05)(g, LABELS)
    torch.testing.assert_close(boost([f], LABELS), pml.MultiSimilarityLoss()(g, LABELS, mined))


def test_what_the_adapter_cannot_take_is_sent_elsewhere() -> None:
    with pytest.raises(ConfigError, match="ProxyAnchorLoss") as caught:
        PytorchMetricLearning(pml.ProxyAnchorLoss(4, 8))
    assert "EmbeddingLoss" in str(caught.value.remedy)
    with pytest.raises(ConfigError, match="does not split into terms"):
        OnlineBoosting(EmbeddingLoss(lambda d: pml.ProxyAnchorLoss(4, d), (2, 3)), "convex")
