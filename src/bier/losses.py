"""Base losses, and the classes to write one with: ``Loss``, ``TermLoss``, ``PairLoss``, ``Boosted``."""

from bier.method.losses import (
    LOSSES,
    BinomialDeviance,
    Boosted,
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
    TermLoss,
    Triplet,
)

__all__ = [
    "LOSSES",
    "BinomialDeviance",
    "Boosted",
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
    "TermLoss",
    "Triplet",
]
