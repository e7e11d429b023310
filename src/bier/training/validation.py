"""How good a model is on held-out training classes."""

from __future__ import annotations

import numpy as np
import torch

from bier.data import Manifest
from bier.evaluate import evaluate_retrieval
from bier.training.job import Job
from bier.vectors.embed import embed


def validate(job: Job, manifest: Manifest) -> tuple[dict[str, float], dict[str, float]]:
    """Recall@1 and MAP@R of the ensemble, and MAP@R of each class: each picture of ``val`` searches all others."""
    model = job.learning.model
    vectors = embed(model, manifest, transform=job.pictures.test_view, hardware=job.hardware)
    scales = model.head.scales().cpu()
    ensemble = torch.cat([s * z for s, z in zip(scales, vectors.learners, strict=True)], dim=1)
    labels = manifest.codes()[vectors.index]
    asking = np.flatnonzero(manifest.split[vectors.index] == "val")
    result = evaluate_retrieval(
        ensemble[asking],
        labels[asking],
        gallery=ensemble,
        gallery_labels=labels,
        ids=asking,
        gallery_ids=np.arange(len(labels)),
        recall_at=(1,),
        similarity="dot",
        distributed=job.hardware.processes.world > 1,
    )
    assert result.map_at_r is not None
    by_class = {str(label): figures["map_at_r"] for label, figures in result.per_class().items()}
    return {"recall@1": result.recall[1], "map_at_r": result.map_at_r}, by_class
