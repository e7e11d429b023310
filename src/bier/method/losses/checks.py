"""What labels and losses must be, said with a remedy where they are not."""

from __future__ import annotations

import torch
from torch import Tensor

from bier.errors import LossError
from bier.method.losses.relations import DIFFERENT, SAME, UNKNOWN, differ_somewhere


def whole_numbers(labels: Tensor, rows: int) -> Tensor:
    """Labels as int64 (rows,), or relations as int8 (rows, rows), of whatever type of whole numbers they are.

    Raises:
        LossError: they are not one whole number for each of the rows, no matrix of relations, or there are no rows.
    """
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.is_complex():
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise LossError(f"labels of type {kind}", remedy="give a tensor of whole numbers: torch.as_tensor(labels)")
    if tuple(labels.shape) not in ((rows,), (rows, rows)):
        raise LossError(
            f"labels of shape {tuple(labels.shape)} for {rows} embeddings",
            remedy="give one whole number per image, or a matrix of relations",
        )
    if not rows:
        raise LossError("the batch is empty", where="labels", remedy="draw batches of at least two classes")
    return labels.long() if labels.ndim == 1 else _relations(labels)


def _relations(labels: Tensor) -> Tensor:
    fits = ((labels == SAME) | (labels == DIFFERENT) | (labels == UNKNOWN)).all()
    if not (fits and (labels.diagonal() == SAME).all() and torch.equal(labels, labels.T)):
        raise LossError(
            "no matrix of relations",
            where="labels",
            remedy=f"give a symmetric one of {SAME} (same), {DIFFERENT} and {UNKNOWN} (unknown), the diagonal {SAME}",
        )
    return labels.to(torch.int8)


def check_two_classes(labels: Tensor) -> None:
    """Refuse a batch without negative pairs, of labels (n,) or relations (n, n)."""
    if not differ_somewhere(labels):
        raise single_class()


def single_class() -> LossError:
    """The error of a batch without negative pairs."""
    return LossError(
        "the batch holds a single class, so it has no negative pair",
        where="labels",
        remedy="draw batches of at least two classes",
    )


def check_scalar(value: object, source: object) -> Tensor:
    """``value``, returned by ``source``, where it is a scalar tensor with a gradient.

    Raises:
        LossError: it is something else.
    """
    name = getattr(source, "__name__", type(source).__name__)
    if not isinstance(value, Tensor):
        raise LossError(f"returned {type(value).__name__}, not a tensor", where=name, remedy="return a scalar tensor")
    if value.ndim != 0:
        raise LossError(
            f"returned shape {tuple(value.shape)}, not a scalar",
            where=name,
            remedy="reduce it with .mean() or .sum(), or write a bier.losses.TermLoss, which has unreduced terms",
        )
    if torch.is_grad_enabled() and not value.requires_grad:
        raise LossError(
            "returned a value without a gradient",
            where=name,
            remedy="compute it from the similarities with torch operations, without .detach(), .item() or NumPy",
        )
    return value


def check_terms(terms: object, given: Tensor, source: str) -> Tensor:
    """``terms``, returned by ``source``, where there is one for each entry of ``given``, with a gradient in it.

    Raises:
        LossError: they are something else.
    """
    if not isinstance(terms, Tensor):
        found = type(terms).__name__
    elif terms.shape != given.shape:
        found = f"shape {tuple(terms.shape)}"
    elif torch.is_grad_enabled() and given.requires_grad and not terms.requires_grad:
        found = "terms without a gradient"
    else:
        return terms
    raise LossError(
        f"returned {found} for an argument of shape {tuple(given.shape)}",
        where=source,
        remedy="return one unreduced term for each entry, made with torch operations",
    )
