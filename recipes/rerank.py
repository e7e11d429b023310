"""What re-ranking brings and costs: query expansion, database augmentation, k-reciprocal encodings.

    python recipes/rerank.py run   RUN [RUN ...] [--out runs/rerank]
    python recipes/rerank.py table [--out runs/rerank]
    python recipes/rerank.py cost

``run`` passes the pictures of each run through its model once, and keeps the vectors. For each method it chooses options
on validation classes, which search among training pictures as during training, by MAP@R. Then it measures them on test
classes, once, beside the usual options. ``cost`` times single queries of indexes of several sizes, of made vectors.
Each uses one thread.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from tables import NAMES

from bier.data import Manifest, TestTransform, open_source, with_distractors
from bier.evaluate.retrieval import Options, evaluate_retrieval
from bier.evaluate.reranked import evaluate_reranked
from bier.method.ensemble import boosting_weights
from bier.network.model_file import load_model
from bier.records.folder import RunFolder
from bier.records.provenance import Provenance
from bier.rerank import METHODS, Reranking, parse
from bier.runs import build
from bier.runs.splits import held_out
from bier.search import Index, IndexInfo, create_index
from bier.search.reranked import RankAgain
from bier.settings.reading import load
from bier.system.allocator import keep_freed_memory
from bier.system.console import plain_console
from bier.system.files import write_json
from bier.vectors.embed import embed

GRIDS: dict[str, dict[str, Sequence[float]]] = {
    "alpha-qe": {"n": (2, 5, 10, 20), "alpha": (0, 1, 3), "first": (200, 400)},
    "dba": {"n": (2, 5, 10, 20), "alpha": (0, 1, 3, 6), "first": (200, 400)},
    "k-reciprocal": {"k1": (10, 20, 30), "k2": (1, 3, 6), "lambda": (0.1, 0.3, 0.5), "first": (200, 400)},
}
METRICS = ("recall", "map_at_r", "map")
FIGURES = ("R@1", "MAP@R", "mAP")
MOST_QUERIES = 300
"""Of validation, for a choice: each option of a grid is tried on these."""
SIZES = (1_000, 10_000, 100_000)
Found = dict[str, float]


@dataclass(frozen=True)
class Searched:
    """Outputs of the learners, and who searches whom."""

    learners: list[torch.Tensor]
    labels: list[str]
    queries: NDArray[np.int64]
    """Positions; they search all others."""

    def measure(self, reranking: Reranking | None) -> Found:
        """Shares by name, and CPU milliseconds of a query."""
        started, options = time.process_time(), Options((1,), METRICS)
        query = [part[self.queries] for part in self.learners]
        # Own rows are left out by their ids, and the gallery holds the queries.
        ids, labels = np.arange(len(self.labels)), [self.labels[row] for row in self.queries]
        weights = boosting_weights(len(self.learners))
        if reranking is None:
            whole = torch.cat([w**0.5 * torch.nn.functional.normalize(z) for w, z in zip(weights, self.learners)], 1)
            result = evaluate_retrieval(whole[self.queries].float(), labels, gallery=whole.float(),
                gallery_labels=self.labels, ids=self.queries, gallery_ids=ids, recall_at=(1,), metrics=METRICS)
        else:
            result = evaluate_reranked(query, labels, self.learners, self.labels, weights, reranking, options,
                ids=self.queries, gallery_ids=ids)
        spent = 1000 * (time.process_time() - started) / len(self.queries)
        return {"R@1": result.recall[1], **{k: result.figures[m] for k, m in (("MAP@R", "map_at_r"), ("mAP", "map"))}, "ms": spent}
