"""Which epoch of a run is kept: the last one, unless it is worse on validation classes than chance explains.

Few classes are held out, and an easy set is soon searched without a mistake: then the epoch with the highest score is
an accident, often an early one. The rate falls along a cosine, so later epochs are the better guess as long as nothing
speaks against them: a standard error, as in the one-standard-error rule of Breiman et al. (1984, section 3.4.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class BestEpoch:
    """The choice so far; saved in every checkpoint."""

    epoch: int = 0
    """The epoch that is kept; 0 before the first."""
    by_class: dict[str, float] = field(default_factory=dict)
    """MAP@R of each validation class at the epoch with the highest mean, which need not be the one kept."""

    def offer(self, epoch: int, by_class: Mapping[str, float]) -> bool:
        """Whether to keep this epoch, with ``by_class`` as MAP@R, 0 to 1, of each validation class.

        It is kept unless its mean lies more than a standard error below the highest so far. The error is that of the
        differences class by class: classes are what a run is to generalise to.
        """
        gains = np.array([by_class[label] - value for label, value in self.by_class.items() if label in by_class])
        if not len(gains) or gains.mean() > 0:
            self.by_class = dict(by_class)
        keep = not len(gains) or bool(gains.mean() >= -_standard_error(gains))
        if keep:
            self.epoch = epoch
        return keep


def _standard_error(values: NDArray[np.float64]) -> float:
    """Of the mean of (c,) values; 0 where one value alone says nothing of its error."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
