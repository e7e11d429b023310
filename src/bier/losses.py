"""Base losses, written as unreduced terms of similarities where they split into terms."""

from bier.method.losses import (
    BinomialDeviance,
    Contrastive,
    EmbeddingLoss,
    FunctionLoss,
    Loss,
    MultiSimilarity,
    NormalizedSoftmax,
    PairLoss,
    ProxyAnchor,
    ProxyLoss,
    PytorchMetricLearning,
    Triplet,
)

__all__ = [
    "BinomialDeviance",
    "Contrastive",
    "EmbeddingLoss",
    "FunctionLoss",
    "Loss",
    "MultiSimilarity",
    "NormalizedSoftmax",
    "PairLoss",
    "ProxyAnchor",
    "ProxyLoss",
    "PytorchMetricLearning",
    "Triplet",
]
