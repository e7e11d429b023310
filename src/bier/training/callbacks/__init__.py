"""What a run tells whoever watches it: a progress bar, a log, a tracking service, your own code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bier.network.model import RetrievalModel
from bier.records.history import Epoch


@dataclass(frozen=True)
class Step:
    """One update of the weights. Figures are means over the epoch so far."""

    number: int
    """From 1, over the whole run."""
    epoch: int
    """From 1."""
    batch: int
    """Of the epoch, from 1."""
    rate: float
    """Factor on every learning rate, 0 to 1: warm-up, then a cosine."""
    loss: float
    learner_losses: tuple[float, ...]
    diversity: float
    images_per_second: float
    seconds_left: float
    """Of the whole run: steps, validations and what follows the last epoch; an estimate."""


@dataclass
class Running:
    """A run while it goes on."""

    folder: Path
    settings: Mapping[str, Any]
    """Nested plain values, as in the run's ``config.yaml``."""
    model: RetrievalModel
    epochs: int
    batches: int
    """In an epoch."""
    step: int = 0
    """Updates made so far; above 0 at the start of a run that goes on."""
    stopping: bool = False
    """Whether the epoch in hand is the last one because a callback wants it so."""

    def stop_early(self) -> None:
        """Make the epoch in hand the last one. The run ends as usual: it is evaluated, and complete."""
        self.stopping = True


class Callback:
    """Watches a run. Every method does nothing: override those that you need.

    With several processes they are called on rank 0. An error in one ends the run; its checkpoint stays.
    """

    def on_start(self, run: Running) -> None:
        """Before the first step, or the first one after a resume."""

    def on_step(self, run: Running, step: Step) -> None:
        """After each update of the weights."""

    def on_validating(self, run: Running, done: int, total: int, seconds_left: float) -> None:
        """While the pictures that judge an epoch are embedded: how many are done, and what is left of the whole run."""

    def on_validation(self, run: Running, scores: Mapping[str, float]) -> None:
        """After each epoch that is validated, with ``recall@1`` and ``map_at_r`` (0 to 1) on held-out classes."""

    def on_epoch(self, run: Running, epoch: Epoch) -> None:
        """After each epoch, with what stands in ``history.jsonl``; ``epoch.kept`` says if its weights are kept."""

    def on_message(self, run: Running, text: str) -> None:
        """Something that the user should know, such as a picture that cannot be read."""

    def on_end(self, run: Running, error: BaseException | None) -> None:
        """Always, at last; with what ended the run, if that was not its end."""


class Callbacks(Callback):
    """Several callbacks as one, called in their order. Those that have started are ended, whatever happens."""

    def __init__(self, members: Sequence[Callback] = ()) -> None:
        self.members = tuple(members)
        self._started: list[Callback] = []

    def on_start(self, run: Running) -> None:
        for member in self.members:
            member.on_start(run)
            self._started.append(member)

    def on_step(self, run: Running, step: Step) -> None:
        for member in self.members:
            member.on_step(run, step)

    def on_validating(self, run: Running, done: int, total: int, seconds_left: float) -> None:
        for member in self.members:
            member.on_validating(run, done, total, seconds_left)

    def on_validation(self, run: Running, scores: Mapping[str, float]) -> None:
        for member in self.members:
            member.on_validation(run, scores)

    def on_epoch(self, run: Running, epoch: Epoch) -> None:
        for member in self.members:
            member.on_epoch(run, epoch)

    def on_message(self, run: Running, text: str) -> None:
        for member in self.members:
            member.on_message(run, text)

    def on_end(self, run: Running, error: BaseException | None) -> None:
        with ExitStack() as stack:
            for member in reversed(self._started):
                stack.callback(member.on_end, run, error)
