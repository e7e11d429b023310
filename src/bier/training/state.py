"""What a run leaves in its folder while it goes on: checkpoint and history."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from bier.errors import ModelError
from bier.records import history as records
from bier.records.folder import RunFolder
from bier.records.reading import from_json
from bier.system.tensors import STATE_FORMAT, load_tensors, save_tensors
from bier.training.job import Job
from bier.training.optimizer_state import optimizer_tensors, restore_optimizer
from bier.training.progress import Progress


def write_history(folder: Path, history: Sequence[dict[str, Any]]) -> None:
    records.write_history(folder, [from_json(records.Epoch, record) for record in history])


def save_checkpoint(job: Job, progress: Progress) -> None:
    if not job.hardware.processes.first:
        return
    tensors = {
        f"{name}/{key}": value
        for name, module in job.learning.modules().items()
        for key, value in module.state_dict().items()
    }
    tensors |= {f"optimizer/{key}": value for key, value in optimizer_tensors(job.learning.optimizer).items()}
    save_tensors(RunFolder(job.folder).checkpoint, tensors, STATE_FORMAT, dataclasses.asdict(progress))


def restore(job: Job) -> Progress:
    path = RunFolder(job.folder).checkpoint
    tensors, content = load_tensors(path, STATE_FORMAT)
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        owner, name = key.split("/", 1)
        parts.setdefault(owner, {})[name] = value
    try:
        for name, module in job.learning.modules().items():
            module.load_state_dict(parts.get(name, {}))
        restore_optimizer(job.learning.optimizer, parts.get("optimizer", {}))
    except (RuntimeError, ValueError, KeyError) as error:
        raise ModelError(
            f"does not fit the settings of this run ({error})",
            where=path,
            remedy="resume with the run's own config.yaml",
        ) from error
    return Progress.from_dict(content)
