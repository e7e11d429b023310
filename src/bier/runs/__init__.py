"""The main jobs: train a run's folder, try several settings, evaluate a model."""

from bier.runs.baseline import pretrained_features
from bier.runs.evaluation import evaluate, metrics_of
from bier.runs.tables import table
from bier.runs.trainer import evaluate_if_tested, resume, train

__all__ = ["evaluate", "evaluate_if_tested", "metrics_of", "pretrained_features", "resume", "table", "train"]
