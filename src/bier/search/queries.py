"""From a model's vectors to queries of an index: the right model, the stored learners, the chosen ones."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bier import export as exported
from bier.errors import ModelError, SearchError
from bier.method.ensemble import select_learners
from bier.search.base import Index, IndexInfo, Precision
from bier.system.hardware import extraction_precision
from bier.vectors.encoder import PictureEncoder

Learners = range
"""A prefix such as ``range(0, 2)``, or one learner such as ``range(1, 2)``."""


def check_model(index: Index, encoder: PictureEncoder) -> None:
    """Refuse a model other than the one that filled the index.

    Raises:
        SearchError: the fingerprints differ.
    """
    if encoder.fingerprint != index.info.model:
        raise SearchError(
            f"holds vectors of the model {index.info.model[:12]}, not of this one, {encoder.fingerprint[:12]}",
            where=index.folder,
            remedy="give the model that filled it, or make a new index with this one",
        )


def load_encoder(
    index: Index,
    device: torch.device | str = "cpu",
    path: Path | str | None = None,
    *,
    trust_code: bool = False,
) -> PictureEncoder:
    """The model that filled the index, from where it lay then, or from elsewhere.

    It computes as it did then. Where bfloat16 would be slow, it computes in float32, from which scores differ little
    (see docs/evaluation.md).

    Args:
        index: filled by the model.
        device: where it computes.
        path: of the model; none given: where it lay. A torch program (.pt2) is code, and is loaded only by its path.
        trust_code: load a torch program.

    Raises:
        SearchError: it is another model, or the index does not say where it lay.
        ModelError: it is no longer there, damaged, or code that is not trusted.
    """
    trust_code = trust_code and path is not None  # an index may come from anywhere
    path = path or index.info.model_path
    if path is None:
        raise SearchError("does not say where its model is", where=index.folder, remedy="give it with --model")
    precision = extraction_precision(index.info.precision, torch.device(device))
    try:
        encoder: PictureEncoder = exported.load_encoder(path, device, precision, trust_code=trust_code)
    except ModelError as error:
        raise ModelError(error.what, where=error.where, remedy="give the place of the model with --model") from error
    check_model(index, encoder)
    return encoder


def precision_of(encoder: PictureEncoder) -> Precision:
    """In what a model computes; exported files in float32."""
    return "bfloat16" if getattr(encoder, "precision", None) is torch.bfloat16 else "float32"


def query_vectors(
    info: IndexInfo, encoder: PictureEncoder, vectors: torch.Tensor, learners: Learners | None = None
) -> NDArray[np.float32]:
    """What to search for, (q, D of the index), of whole retrieval vectors (q, D of the model).

    Args:
        info: of the index. Where it stores a prefix of the learners, queries are cut and weighted alike.
        encoder: the index's model.
        vectors: what `Encoder.encode` gives.
        learners: those that take part, all that are stored by default. The score of a prefix is that of the ensemble
            of these learners alone, the score of a single one its cosine.
    """
    stored = len(info.sizes)
    factors = torch.tensor(info.scales) / torch.tensor(encoder.scales[:stored])
    cut = vectors[:, : info.dimensions] * factors.repeat_interleave(torch.tensor(info.sizes))
    if learners is not None:
        cut = choose_learners(info, cut, learners)
    array: NDArray[np.float32] = cut.numpy()
    return array


def choose_learners(info: IndexInfo, queries: torch.Tensor, learners: Learners) -> torch.Tensor:
    """Queries (q, D of the index) that are answered by some learners, a prefix or a single one, and not by others."""
    if learners == range(len(info.sizes)):
        return queries
    # A prefix keeps the proportions that its learners have in the whole.
    shares = np.square(np.array(info.scales)[learners])
    return select_learners(queries, info.sizes, info.scales, learners, (shares / shares.sum()).tolist())


def parse_learners(text: str, count: int) -> Learners:
    """``2`` is the second learner alone, ``1-2`` the first two together; a prefix starts at 1.

    Raises:
        SearchError: it is neither.
    """
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= count or (first > 1 and last > first):
        raise SearchError(
            f"no learners {text!r}",
            where="--learners",
            remedy=f"write one of 1 to {count}, or a prefix such as 1-{count}",
        )
    return range(first - 1, last)
