"""What a model of a run makes of the run's own pictures, when its training is over."""

from __future__ import annotations

from rich.console import Console

from bier.data import Manifest
from bier.network.model import RetrievalModel
from bier.runs.evaluation import embed_manifest
from bier.training.job import Job
from bier.vectors.embed import Embeddings


def embed_for(job: Job, model: RetrievalModel, manifest: Manifest, console: Console) -> Embeddings:
    """Vectors of pictures of the job: from frozen features where it has them."""
    if job.pictures.frozen is not None:
        return job.pictures.frozen.embed(model.head.to(job.hardware.device), manifest)
    return embed_manifest(model, manifest, job.pictures.test_view, job.hardware, console)
