"""Learn, when a run has ended, how sure the answers of its model are."""

from __future__ import annotations

import time

import numpy as np
from rich.console import Console

from bier.confidence.calibration import Calibration
from bier.confidence.fitting import calibrate
from bier.data import Manifest
from bier.network.model import RetrievalModel
from bier.network.model_file import load_model, save_model
from bier.records.folder import RunFolder
from bier.runs.embedding import embed_for
from bier.runs.judged import retrieval_vectors
from bier.training.job import Job
from bier.vectors.embed import Embeddings
from bier.vectors.encoder import Encoder
from bier.vectors.strangers import stranger_vectors, strangers_beside


def calibrate_model(job: Job, console: Console) -> None:
    """Learn it from the validation classes, searched as in validation, and keep it with the model.

    A model that has it already stays as it is. Where there is too little to learn from, that is said in one line.

    Args:
        job: its run is over.
        console: where to tell of it.

    Raises:
        BierError: the model cannot be read or written.
    """
    file = RunFolder(job.folder).model
    model, info = load_model(file)
    job.hardware.processes.wait()  # all have read it before rank 0 writes
    if info.calibration is not None:
        return
    validation = job.pictures.validation
    if validation is None:
        console.print(_without("no classes are held out for validation"), soft_wrap=True)
        return
    began = time.monotonic()
    vectors = embed_for(job, model, validation, console)
    if job.hardware.processes.first:
        try:
            made = strangers_beside(len(validation.only("val")))
            learned = _learned(model, vectors, validation, job, made)
            save_model(file, model.to("cpu"), info.image, refit=info.refit, calibration=learned.to_json())
            console.print(_in_words(validation, made, time.monotonic() - began), soft_wrap=True)
        except ValueError as error:
            console.print(_without(str(error)), soft_wrap=True)
    job.hardware.processes.wait()  # for the model, which all of them read


def _learned(model: RetrievalModel, vectors: Embeddings, validation: Manifest, job: Job, made: int) -> Calibration:
    gallery, seen = retrieval_vectors(model, vectors), validation.take(vectors.index)
    labels, rows = seen.label.astype(str), np.flatnonzero(seen.split == "val")
    encoder = Encoder(model.to(job.hardware.device), job.pictures.test_view, fingerprint="")
    return calibrate(
        gallery[rows],
        labels[rows],
        gallery,
        labels,
        model.head.sizes,
        itself=rows,
        strangers=stranger_vectors(encoder, job.seed, made).numpy(),
        alone=True,
        seed=job.seed,
        separator=job.pictures.label_separator,
    )


def _in_words(validation: Manifest, made: int, seconds: float) -> str:
    held = validation.only("val")
    return (
        f"how sure answers are was learned from {len(held):,} pictures of {len(held.classes()):,} validation classes "
        f"and {made} pictures of nothing, {seconds:.0f} s"
    )


def _without(why: str) -> str:
    return f"the model cannot say how sure its answers are: {why}"
