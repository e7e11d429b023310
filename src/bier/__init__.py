"""BIER: train image-retrieval embeddings by Boosting Independent Embeddings Robustly.

>>> from bier import EmbeddingEnsemble, OnlineBoosting
>>> from bier.method.losses import BinomialDeviance
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "ActivationLoss": "bier.method.diversity",
    "AdversarialLoss": "bier.method.diversity",
    "BierError": "bier.errors",
    "EmbeddingEnsemble": "bier.method.ensemble",
    "OnlineBoosting": "bier.method.boosting",
    "RetrievalModel": "bier.network.model",
    "create_backbone": "bier.network.create",
    "evaluate_retrieval": "bier.evaluate",
    "initialize": "bier.method.initialization",
    "learner_sizes": "bier.method.ensemble",
    "load_model": "bier.network.model_file",
    "read_image": "bier.data",
    "whiten": "bier.method.whitening",
}

__all__ = [
    "ActivationLoss",
    "AdversarialLoss",
    "BierError",
    "EmbeddingEnsemble",
    "OnlineBoosting",
    "RetrievalModel",
    "create_backbone",
    "evaluate_retrieval",
    "initialize",
    "learner_sizes",
    "load_model",
    "read_image",
    "whiten",
]

if TYPE_CHECKING:
    from bier.data import read_image
    from bier.errors import BierError
    from bier.evaluate import evaluate_retrieval
    from bier.method.boosting import OnlineBoosting
    from bier.method.diversity import ActivationLoss, AdversarialLoss
    from bier.method.ensemble import EmbeddingEnsemble, learner_sizes
    from bier.method.initialization import initialize
    from bier.method.whitening import whiten
    from bier.network.create import create_backbone
    from bier.network.model import RetrievalModel
    from bier.network.model_file import load_model


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for: ``import bier`` and ``bier --help`` do not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bier' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
