"""What a run leaves in its folder while it goes on: checkpoint and history."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from bier.errors import ModelError
from bier.records import history as records
from bier.records.folder import RunFolder
from bier.records.reading import from_json
from bier.system.files import storage_errors
from bier.system.json_values import anything, flag, list_of, number, object_of, record, text, whole
from bier.system.tensors import STATE_FORMAT, load_tensors, save_tensors
from bier.training.job import Job
from bier.training.optimizer_state import is_fused, optimizer_tensors, restore_optimizer, unfuse
from bier.training.progress import Progress

_COUNT, _SUM = whole(0, 10**15), number(-math.inf, math.inf)
_COUNTS = list_of(list_of(_COUNT))


def _pair(value: Any, at: str) -> list[Any]:
    """A weight and two rows."""
    weight, *rows = list_of(anything, 3, 3)(value, at)
    return [_SUM(weight, f"{at}[0]"), *(_COUNT(row, f"{at}[{i}]") for i, row in enumerate(rows, 1))]


_PAIRS = list_of(_pair)
_SUMS = record(
    {},
    optional={
        **dict.fromkeys(("batches", "images"), _COUNT),
        **dict.fromkeys(("seconds", "loss", "diversity"), _SUM),
        "learner_losses": list_of(_SUM),
        "positive": _COUNTS,
        "negative": _COUNTS,
        "hardest": record({}, optional={"positive": _PAIRS, "negative": _PAIRS}),
    },
)
_PROGRESS = record(
    {"sums": _SUMS, "best": record({}, optional={"epoch": _COUNT, "by_class": object_of(anything)})},
    optional={
        **dict.fromkeys(("epoch", "batch", "step"), _COUNT),
        **dict.fromkeys(("stopping", "stopped_early", "fused", "linear_plan"), flag),
        "history": list_of(object_of(anything)),
        "unreadable": list_of(text(100_000)),
    },
)
"""`Progress` in a checkpoint; whether the optimiser's steps are fused, and how the batches are drawn."""


def write_history(folder: Path, history: Sequence[dict[str, Any]]) -> None:
    records.write_history(folder, [from_json(records.Epoch, record) for record in history])


def save_checkpoint(job: Job, progress: Progress) -> None:
    """Write what the run goes on from, and keep the checkpoint before, in case this one is damaged later."""
    if not job.hardware.processes.first:
        return
    files = RunFolder(job.folder)
    tensors = {
        f"{name}/{key}": value
        for name, module in job.learning.modules().items()
        for key, value in module.state_dict().items()
    }
    tensors |= {f"optimizer/{key}": value for key, value in optimizer_tensors(job.learning.optimizer).items()}
    if progress.step == 0:  # what lies there belongs to a run that was thrown away
        files.previous_checkpoint.unlink(missing_ok=True)
    aside = files.previous_checkpoint if progress.step else None
    ways = {"fused": is_fused(job.learning.optimizer), "linear_plan": job.pictures.plan.linear}
    content = {**dataclasses.asdict(progress), **ways}
    save_tensors(files.checkpoint, tensors, STATE_FORMAT, content, aside)


def restore(job: Job) -> tuple[Progress, str | None]:
    """Go back to the newest checkpoint that is whole.

    Returns:
        where it stands, and what to tell of a newer one that is damaged.

    Raises:
        ModelError: none is whole, or it is of other settings.
    """
    files, processes = RunFolder(job.folder), job.hardware.processes
    note = None
    if processes.first:
        (tensors, content), note = _newest(files)
    processes.wait()  # rank 0 has put the file in place that all take
    if not processes.first:
        tensors, content = load_tensors(files.checkpoint, STATE_FORMAT, _PROGRESS)
    if not content.pop("fused", False):
        unfuse(job.learning.optimizer)
    job.pictures.plan.linear = content.pop("linear_plan", False)
    _fill(job, tensors, files.checkpoint)
    return Progress.from_dict(content), note


def _newest(files: RunFolder) -> tuple[tuple[dict[str, Tensor], Any], str | None]:
    """What the newest checkpoint that is whole holds, put in the place of a damaged one; and what to tell of that."""
    errors: list[ModelError] = []
    for path in files.checkpoints:
        try:
            tensors, content = load_tensors(path, STATE_FORMAT, _PROGRESS)
        except ModelError as error:
            errors.append(error)
            continue
        if path == files.checkpoint:
            return (tensors, content), None
        with storage_errors(path):
            path.replace(files.checkpoint)
        fault = errors[0].what if errors else "is not there"
        place = f"epoch {content.get('epoch', 0) + 1}, batch {content.get('batch', 0) + 1}"
        return (tensors, content), f"WARNING: {files.checkpoint} {fault}. Going on from the one before: {place}."
    raise errors[0] if len(errors) == 1 else _none_left(files, errors)


def _none_left(files: RunFolder, errors: Sequence[ModelError]) -> ModelError:
    faults = "; ".join(f"{Path(str(error.where)).name}: {error.what}" for error in errors) or "there is none"
    return ModelError(
        f"no checkpoint to go on from ({faults})",
        where=files.path,
        remedy=errors[-1].remedy if errors else "start again in another folder",
    )


def _fill(job: Job, tensors: dict[str, Tensor], path: Path) -> None:
    parts: dict[str, dict[str, Tensor]] = {}
    try:
        for key, value in tensors.items():
            owner, name = key.split("/", 1)
            parts.setdefault(owner, {})[name] = value
        for name, module in job.learning.modules().items():
            module.load_state_dict(parts.get(name, {}))
        restore_optimizer(job.learning.optimizer, parts.get("optimizer", {}))
    except (RuntimeError, ValueError, KeyError) as error:
        raise ModelError(
            f"does not fit the settings of this run ({error})",
            where=path,
            remedy="resume with the run's own config.yaml",
        ) from error
