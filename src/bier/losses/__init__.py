"""Base losses, written as unreduced terms of similarities where they split into terms."""

from bier.losses.base import FunctionLoss, Loss
from bier.losses.external import EmbeddingLoss, PytorchMetricLearning
from bier.losses.pairs import BinomialDeviance, Contrastive, PairLoss
from bier.losses.proxies import NormalizedSoftmax, ProxyAnchor, ProxyLoss
from bier.losses.similarity import MultiSimilarity
from bier.losses.triplet import Triplet

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
