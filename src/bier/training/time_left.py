"""How long the rest of a run takes: steps, validations, and the pictures that go through the network afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from bier.training.job import Job
from bier.training.progress import Progress

FORWARD_SHARE = 1 / 3
"""Of the time of a training step, what a pass without gradients takes, until one was measured."""


@dataclass
class TimeLeft:
    """An estimate that knows more with every step and every validation."""

    job: Job
    batch_seconds: float = 0.0
    """Of the epoch so far."""
    validation_seconds: float | None = None
    """Of the last whole one."""

    def after_a_step(self, progress: Progress) -> float:
        """Seconds until the run ends, once a step of an epoch has been made."""
        sums, batches = progress.sums, len(self.job.pictures.plan)
        self.batch_seconds = sums.seconds / sums.batches
        steps = (self.job.epochs - progress.epoch) * batches - progress.batch
        validations = len(self.job.validated(progress.epoch))
        return steps * self.batch_seconds + validations * self._validation() + self._afterwards()

    def while_validating(self, progress: Progress, done: int, spent: float) -> float:
        """Seconds until the run ends, once so many pictures of a validation were embedded in ``spent`` seconds."""
        epochs, batches = self.job.epochs - progress.epoch - 1, len(self.job.pictures.plan)
        whole = spent * self._validated() / max(done, 1)
        self.validation_seconds = whole
        validations = whole * len(self.job.validated(progress.epoch + 1))
        return whole - spent + validations + epochs * batches * self.batch_seconds + self._afterwards()

    def _validated(self) -> int:
        return 0 if self.job.pictures.validation is None else len(self.job.pictures.validation)

    def _validation(self) -> float:
        if self.validation_seconds is not None:
            return self.validation_seconds
        return 0.0 if self.job.pictures.frozen is not None else self._validated() * self._picture()

    def _afterwards(self) -> float:
        return self.job.afterwards * self._picture()

    def _picture(self) -> float:
        """Seconds of one picture without gradients."""
        if self.job.pictures.frozen is None and self.validation_seconds and self._validated():
            return self.validation_seconds / self._validated()
        if self.job.picture_seconds is not None:
            return self.job.picture_seconds
        plan = self.job.pictures.plan
        return FORWARD_SHARE * self.batch_seconds / (plan.classes_per_batch * plan.images_per_class)
