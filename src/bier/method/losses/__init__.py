"""Base losses, and how each family of them is boosted."""

from bier.method.losses.base import Boosted, Loss
from bier.method.losses.external import EmbeddingLoss, PytorchMetricLearning
from bier.method.losses.function import FunctionLoss
from bier.method.losses.pairs import BinomialDeviance, Contrastive, PairLoss
from bier.method.losses.proxies import NormalizedSoftmax, ProxyAnchor, ProxyLoss
from bier.method.losses.similarity import MultiSimilarity
from bier.method.losses.terms import TermLoss
from bier.method.losses.triplet import Triplet
from bier.system.registry import Registry

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

LOSSES: Registry[type[Loss]] = Registry("loss", __name__, "bier.losses")
"""Losses by name. A file here, or an entry point ``bier.losses`` of another package, adds one."""
