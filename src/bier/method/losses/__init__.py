"""Base losses, written as unreduced terms of similarities where they split into terms."""

from bier.method.losses.base import FunctionLoss, Loss
from bier.method.losses.external import EmbeddingLoss, PytorchMetricLearning
from bier.method.losses.pairs import BinomialDeviance, Contrastive, PairLoss
from bier.method.losses.proxies import NormalizedSoftmax, ProxyAnchor, ProxyLoss
from bier.method.losses.similarity import MultiSimilarity
from bier.method.losses.triplet import Triplet

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
