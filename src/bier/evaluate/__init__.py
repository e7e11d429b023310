"""Honest figures for an embedding: exact ranks, named conventions, the protocols of the benchmarks."""

from bier.evaluate.learners import evaluate_learners, feature_correlation, learner_correlation
from bier.evaluate.matching import MATCHING
from bier.evaluate.neighbours import neighbours
from bier.evaluate.protocols import CONVENTIONS, evaluate_manifest
from bier.evaluate.retrieval import RECALL_AT, USUAL, Metric, Missing, RetrievalResult, evaluate_retrieval
from bier.evaluate.shared_labels import shared_label

__all__ = [
    "CONVENTIONS",
    "MATCHING",
    "RECALL_AT",
    "USUAL",
    "Metric",
    "Missing",
    "RetrievalResult",
    "evaluate_learners",
    "evaluate_manifest",
    "evaluate_retrieval",
    "feature_correlation",
    "learner_correlation",
    "neighbours",
    "shared_label",
]
