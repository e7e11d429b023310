"""Tensors and a JSON description as one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bier.errors import ModelError
from bier.system.files import write_atomically

MODEL_FILE = "model.safetensors"
"""The name of a model, in the folder of a run and on a hub."""
MODEL_FORMAT = "bier-model-1"
STATE_FORMAT = "bier-training-state-2"
REMEDIES = {
    MODEL_FORMAT: f"give the {MODEL_FILE} of a run of `bier train`",
    STATE_FORMAT: "another version of bier began this run: go on with that one, or start again in another folder",
}


def save_tensors(path: Path, tensors: Mapping[str, Tensor], format: str, content: Mapping[str, Any]) -> None:
    """Tensors and a JSON description as one safetensors file."""
    # A clone for each: safetensors refuses tensors that share memory, and layouts such as channels-last.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # One entry: safetensors writes several in random order, and equal runs shall give equal files.
    metadata = {"bier": json.dumps({"format": format, "content": content})}
    write_atomically(path, lambda file: save_file(plain, file, metadata=metadata))


def load_tensors(path: Path, format: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`save_tensors` wrote.

    Raises:
        ModelError: no such file, a truncated one, or one of another kind.
    """
    with _opened(path, format) as (file, content):
        return {name: file.get_tensor(name) for name in file.keys()}, content  # noqa: SIM118 (not a mapping)


def read_description(path: Path, format: str) -> dict[str, Any]:
    """The JSON description alone; raises as :func:`load_tensors`."""
    with _opened(path, format) as (_, content):
        return content


@contextmanager
def _opened(path: Path, format: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    if not path.is_file():
        raise ModelError("no such file", where=path, remedy=f"give a run's folder or its {MODEL_FILE}")
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {}).get("bier", "{}"))
            if description.get("format") != format:
                raise ModelError(
                    f"is of kind {description.get('format', 'unknown')!r}, not {format!r}",
                    where=path,
                    remedy=REMEDIES[format],
                )
            yield file, description["content"]
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"is truncated or not a safetensors file ({error})",
            where=path,
            remedy=f"give the {MODEL_FILE} of a run of `bier train`, or copy it again",
        ) from error
