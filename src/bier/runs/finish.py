"""What happens to the head after the last step."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from bier.data import Manifest
from bier.data.several_labels import label_entries
from bier.method.ensemble import EmbeddingEnsemble
from bier.method.refit import average, refit
from bier.method.rotation import rotate
from bier.network.model_file import load_model, save_model
from bier.records.folder import RunFolder
from bier.records.provenance import Refit
from bier.runs.embedding import embed_for
from bier.runs.start import START_IMAGES
from bier.training.job import Job
from bier.training.validation import validation_scores

POWERS = (0.5, 1.0)
SHARES = (0.3, 0.5, 0.7)
"""Tried on the validation classes, beside the trained head itself."""


def refit_head(job: Job, manifest: Manifest, console: Console, sizes: Sequence[int] | None = None) -> Refit | None:
    """Average the head of the model that is kept with a whitening, and turn it, where validation finds that better.

    What it is to be is chosen with the validation classes held out. Then it is fitted to them as well.

    Args:
        job: its run is over.
        manifest: the pictures for training and validation.
        console: where to tell of it.
        sizes: dimensions of the learners that a turned head gets, by default the trained ones'. One is not turned.

    Returns:
        what was taken, now or before this run was resumed; None where there is nothing to judge by.

    Raises:
        BierError: the model cannot be read or written.
    """
    file = RunFolder(job.folder).model
    model, info = load_model(file)
    job.hardware.processes.wait()  # all have read it before rank 0 writes
    if info.refit is not None:
        return Refit(**info.refit)
    validation = job.pictures.validation
    if validation is None:
        return None
    began = time.monotonic()
    seen = _pictures(job, manifest, validation)
    vectors = embed_for(job, model, seen, console)
    result: Refit | None = None
    if job.hardware.processes.first:
        seen, head = seen.take(vectors.index), model.to("cpu").head
        separator = job.pictures.label_separator
        sizes = head.sizes if sizes is None else sizes
        trial = _Trial(vectors.features, seen, validation, separator)
        result = _best(head, trial, job.seed, sizes)
        if result.share:
            everything = dataclasses.replace(seen, untold=frozenset())
            known, labels = _classes(everything, vectors.features, separator)
            fitted = refit(head, known, labels, power=result.power, seed=job.seed)
            model.head = average(head, fitted, result.share)
        if result.rotated:
            model.head = rotate(model.head, vectors.features, sizes)
        save_model(file, model, info.image, refit=dataclasses.asdict(result))
        console.print(f"{_told(result)}, {time.monotonic() - began:.0f} s", soft_wrap=True)
    job.hardware.processes.wait()  # for the model, which all of them read
    return result


def _pictures(job: Job, manifest: Manifest, validation: Manifest) -> Manifest:
    """What the whitening is fitted to, at most `START_IMAGES`, and what judges it."""
    chosen = np.random.default_rng(job.seed).permutation(len(job.pictures.train))[:START_IMAGES]
    wanted = {*job.pictures.train.image[chosen], *validation.image}
    known = manifest.only("train", "val")
    return known.take(np.array([image in wanted for image in known.image]))


def _classes(seen: Manifest, features: Tensor, separator: str | None) -> tuple[Tensor, Tensor]:
    """Features and class of each label of each picture."""
    entries, classes = label_entries(seen, separator)
    return features[entries], torch.from_numpy(classes)


class _Trial:
    """Heads are fitted to training pictures alone, and judged by how well validation classes are found.

    Args:
        features: (n, d) of the pictures.
        seen: the pictures, for training and validation.
        validation: those that are searched.
        separator: of several labels.
    """

    def __init__(self, features: Tensor, seen: Manifest, validation: Manifest, separator: str | None) -> None:
        searched = set(validation.image)
        rows = np.flatnonzero([image in searched for image in seen.image])
        self._gallery, self._gallery_features = seen.take(rows), features[torch.from_numpy(rows)]
        self._separator = separator
        training = np.flatnonzero(seen.split == "train")
        self.features = features[torch.from_numpy(training)]
        """Of training pictures, (m, d)."""
        self.known, self.labels = _classes(seen.take(training), self.features, separator)

    @torch.inference_mode()
    def score(self, head: EmbeddingEnsemble) -> float:
        """MAP@R of the validation classes."""
        vectors = head(self._gallery_features)
        return validation_scores(vectors, self._gallery, separator=self._separator)[0]["map_at_r"]


def _best(head: EmbeddingEnsemble, trial: _Trial, seed: int, sizes: Sequence[int]) -> Refit:
    """The average that finds validation classes best, if one does, and whether to turn it."""
    before = trial.score(head)
    best = Refit(power=0.0, share=0.0, before=before, after=before)
    taken = head
    for power in POWERS:
        fitted = refit(head, trial.known, trial.labels, power=power, seed=seed)
        for share in SHARES:
            tried = average(head, fitted, share)
            after = trial.score(tried)
            if after > best.after:
                best, taken = Refit(power=power, share=share, before=before, after=after), tried
    if len(sizes) > 1:
        after = trial.score(rotate(taken, trial.features, sizes))
        if after > best.after:
            best = dataclasses.replace(best, rotated=True, after=after)
    return best


def _told(result: Refit) -> str:
    done = result.in_words()
    if not done:
        return "the trained head stays: to average it, or to turn it, is no better on the validation classes"
    return f"the head is {done}: MAP@R {100 * result.before:.1f} → {100 * result.after:.1f} % on the validation classes"
