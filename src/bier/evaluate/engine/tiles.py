"""Comparing and counting in tiles of scores: by NumPy on the CPU, where it is several times faster, else by torch.

A tile is a matrix of *keys*: scores in an order-preserving form. Float32 scores are their own keys. Of bfloat16 scores
the bit patterns, read as int16, are: patterns of positive numbers ascend with the number, and those of negative ones
lie below them all. So a bound must be positive there.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bier.evaluate.engine.table import Indices, Scores

Keys = Any
"""NumPy array or tensor (rows, columns)."""
Mask = Any


class Tiles(Protocol):
    """Operations on keys. ``axis`` 1: the bound of each row, and counts of rows; 0: of columns."""

    def keys(self, scores: Tensor) -> Keys:
        """Keys of scores, float32 or bfloat16; memory is shared where possible."""

    def bound(self, values: NDArray[np.float64], dtype: torch.dtype) -> Keys:
        """Keys of thresholds, rounded as scores are."""

    def at_least(self, keys: Keys, bound: Keys, axis: int) -> Mask:
        """``keys >= bound``."""

    def at_most(self, keys: Keys, bound: Keys, axis: int) -> Mask:
        """``keys <= bound``."""

    def between(self, keys: Keys, low: Keys, high: Keys, axis: int) -> Mask:
        """``low <= keys <= high``."""

    def count(self, mask: Mask, axis: int) -> Indices:
        """How many are true in each row (1) or column (0)."""

    def take(self, keys: Keys, index: Indices, axis: int) -> Keys:
        """The rows (1) or columns (0) of an index."""

    def positions(self, mask: Mask) -> tuple[Indices, Indices]:
        """Row and column of each true entry."""

    def scores(self, keys: Keys, rows: Indices, columns: Indices) -> Scores:
        """Scores at some positions."""

    def largest(self, scores: Tensor, count: int) -> Scores:
        """(rows, count) largest scores of each row, descending."""


def tiles_for(device: torch.device) -> Tiles:
    return NumpyTiles() if device.type == "cpu" else TorchTiles(device)


class NumpyTiles:
    """On the CPU."""

    def keys(self, scores: Tensor) -> NDArray[Any]:
        return scores.view(torch.int16).numpy() if scores.dtype == torch.bfloat16 else scores.numpy()

    def bound(self, values: NDArray[np.float64], dtype: torch.dtype) -> NDArray[Any]:
        return self.keys(torch.from_numpy(values).to(torch.float32).to(dtype))

    def at_least(self, keys: NDArray[Any], bound: NDArray[Any], axis: int) -> NDArray[np.bool_]:
        return keys >= np.expand_dims(bound, axis)

    def at_most(self, keys: NDArray[Any], bound: NDArray[Any], axis: int) -> NDArray[np.bool_]:
        return keys <= np.expand_dims(bound, axis)

    def between(self, keys: NDArray[Any], low: NDArray[Any], high: NDArray[Any], axis: int) -> NDArray[np.bool_]:
        mask = self.at_least(keys, low, axis)
        mask &= self.at_most(keys, high, axis)
        return mask

    def count(self, mask: NDArray[np.bool_], axis: int) -> Indices:
        rows, columns = mask.shape
        if columns % 8 or not mask.flags.c_contiguous:
            plain: Indices = mask.sum(axis, dtype=np.int64)
            return plain
        # Eight truth values are added at once, as the bytes of a 64-bit number: no byte overflows below 256 terms.
        words = mask.view(np.uint64)
        if axis == 1:
            parts = [words[:, start : start + 128].sum(1).view(np.uint8) for start in range(0, columns // 8, 128)]
            return sum((part.reshape(rows, 8).sum(1, dtype=np.int64) for part in parts), np.zeros(rows, np.int64))
        sums = [words[start : start + 128].sum(0).view(np.uint8) for start in range(0, rows, 128)]
        total: Indices = np.stack(sums).sum(0, dtype=np.int64)
        return total

    def take(self, keys: NDArray[Any], index: Indices, axis: int) -> NDArray[Any]:
        return np.take(keys, index, axis=1 - axis)

    def positions(self, mask: NDArray[np.bool_]) -> tuple[Indices, Indices]:
        columns = mask.shape[1]
        if mask.size % 8 or not mask.flags.c_contiguous:
            flat = np.flatnonzero(mask)
        else:  # mostly false: look at eight at a time
            words = np.flatnonzero(mask.reshape(-1).view(np.uint64))
            which, lane = np.nonzero(mask.reshape(-1, 8)[words])
            flat = words[which] * 8 + lane
        return flat // columns, flat % columns

    def scores(self, keys: NDArray[Any], rows: Indices, columns: Indices) -> Scores:
        found = keys[rows, columns]
        if found.dtype == np.int16:
            found = torch.from_numpy(found).view(torch.bfloat16).float().numpy()
        return found

    def largest(self, scores: Tensor, count: int) -> Scores:
        return scores.topk(count, dim=1).values.float().numpy()


class TorchTiles:
    """On a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def keys(self, scores: Tensor) -> Tensor:
        return scores.view(torch.int16) if scores.dtype == torch.bfloat16 else scores

    def bound(self, values: NDArray[np.float64], dtype: torch.dtype) -> Tensor:
        return self.keys(torch.from_numpy(values).to(torch.float32).to(self.device, dtype))

    def at_least(self, keys: Tensor, bound: Tensor, axis: int) -> Tensor:
        return keys >= bound.unsqueeze(axis)

    def between(self, keys: Tensor, low: Tensor, high: Tensor, axis: int) -> Tensor:
        return self.at_least(keys, low, axis) & self.at_most(keys, high, axis)

    def at_most(self, keys: Tensor, bound: Tensor, axis: int) -> Tensor:
        return keys <= bound.unsqueeze(axis)

    def count(self, mask: Tensor, axis: int) -> Indices:
        counts: Indices = mask.sum(axis, dtype=torch.int32).long().cpu().numpy()
        return counts

    def take(self, keys: Tensor, index: Indices, axis: int) -> Tensor:
        return keys.index_select(1 - axis, torch.from_numpy(index).to(self.device))

    def positions(self, mask: Tensor) -> tuple[Indices, Indices]:
        rows, columns = mask.nonzero().T.cpu().numpy()
        return rows, columns

    def scores(self, keys: Tensor, rows: Indices, columns: Indices) -> Scores:
        found = keys[torch.from_numpy(rows).to(self.device), torch.from_numpy(columns).to(self.device)]
        found = found.view(torch.bfloat16) if found.dtype == torch.int16 else found
        scores: Scores = found.float().cpu().numpy()
        return scores

    def largest(self, scores: Tensor, count: int) -> Scores:
        values: Scores = scores.topk(count, dim=1).values.float().cpu().numpy()
        return values
