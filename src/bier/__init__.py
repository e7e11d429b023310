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
    "Callback": "bier.training.callbacks",
    "EmbeddingEnsemble": "bier.method.ensemble",
    "Encoder": "bier.vectors.encoder",
    "Interrupted": "bier.training.stopping",
    "MLflow": "bier.training.callbacks.mlflow",
    "OnlineBoosting": "bier.method.boosting",
    "RetrievalModel": "bier.network.model",
    "Run": "bier.runs.run",
    "WeightsAndBiases": "bier.training.callbacks.wandb",
    "create_backbone": "bier.network.create",
    "evaluate_retrieval": "bier.evaluate",
    "initialize": "bier.method.initialization",
    "learner_sizes": "bier.method.ensemble",
    "load_model": "bier.network.model_file",
    "open_run": "bier.runs.run",
    "read_image": "bier.data",
    "rotate": "bier.method.rotation",
    "train": "bier.runs.run",
    "whiten": "bier.method.whitening",
}

__all__ = [
    "ActivationLoss",
    "AdversarialLoss",
    "BierError",
    "Callback",
    "EmbeddingEnsemble",
    "Encoder",
    "Interrupted",
    "MLflow",
    "OnlineBoosting",
    "RetrievalModel",
    "Run",
    "WeightsAndBiases",
    "create_backbone",
    "evaluate_retrieval",
    "initialize",
    "learner_sizes",
    "load_model",
    "open_run",
    "read_image",
    "rotate",
    "train",
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
    from bier.method.rotation import rotate
    from bier.method.whitening import whiten
    from bier.network.create import create_backbone
    from bier.network.model import RetrievalModel
    from bier.network.model_file import load_model
    from bier.runs.run import Run, open_run, train
    from bier.training.callbacks import Callback
    from bier.training.callbacks.mlflow import MLflow
    from bier.training.callbacks.wandb import WeightsAndBiases
    from bier.training.stopping import Interrupted
    from bier.vectors.encoder import Encoder


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for: ``import bier`` and ``bier --help`` do not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bier' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
