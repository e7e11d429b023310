"""The time that is left is that of the whole run."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bier.data import BatchPlan
from bier.training.job import Job
from bier.training.progress import Progress, Sums
from bier.training.time_left import TimeLeft


def job(**changes: Any) -> Any:
    """Six epochs of ten batches of eight pictures; 30 validated after each, 60 to embed at the end."""
    plan = BatchPlan(np.repeat(np.arange(4), 20), 4, 2, seed=0)
    assert len(plan) == 10
    pictures = SimpleNamespace(plan=plan, validation=range(30), frozen=None)
    about = {"epochs": 6, "validations": None, "afterwards": 60, "picture_seconds": None, **changes}
    made = SimpleNamespace(pictures=pictures, **about)
    made.validated = partial(Job.validated, made)
    return made


def after(epoch: int, batch: int) -> Progress:
    """Each batch took 2.4 seconds."""
    return Progress(epoch=epoch, batch=batch, sums=Sums(batches=batch, seconds=2.4 * batch))


def test_steps_validations_and_the_end_count_before_anything_but_a_step_was_measured() -> None:
    # A picture without gradients: a third of 2.4 s / 8.
    left = TimeLeft(job()).after_a_step(after(1, 4))
    assert left == pytest.approx(2.4 * (50 - 4) + 0.1 * (5 * 30 + 60))


def test_a_validation_tells_what_a_picture_takes() -> None:
    time_left = TimeLeft(job())
    time_left.after_a_step(after(4, 10))
    assert time_left.while_validating(after(4, 10), 10, 2.0) == pytest.approx(4 + (6 + 24) + 60 * 0.2)
    assert time_left.after_a_step(after(5, 9)) == pytest.approx(2.4 + 6 + 12)


def test_only_epochs_that_are_validated_take_a_validation() -> None:
    left = TimeLeft(job(validations=2)).after_a_step(after(1, 4))
    assert left == pytest.approx(2.4 * (50 - 4) + 0.1 * (2 * 30 + 60))


def test_near_the_end_only_the_end_is_left() -> None:
    time_left = TimeLeft(job())
    time_left.after_a_step(after(5, 10))
    assert time_left.while_validating(after(5, 10), 30, 3.0) == pytest.approx(60 * 0.1)
