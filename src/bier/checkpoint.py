"""Files of a run: written whole or not at all, verified when read, never unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bier.backbones import create_backbone
from bier.errors import ModelError
from bier.hub import local_path
from bier.method.ensemble import EmbeddingEnsemble
from bier.model import RetrievalModel
from bier.system.files import write_atomically

MODEL_FORMAT = "bier-model-1"
STATE_FORMAT = "bier-training-state-2"
_REMEDIES = {
    MODEL_FORMAT: "give the model.safetensors of a run of `bier train`",
    STATE_FORMAT: "another version of bier began this run: go on with that one, or start again in another folder",
}


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says beside its tensors: how it was built and how its images are prepared."""

    backbone: Mapping[str, Any]
    sizes: tuple[int, ...]
    weighting: str
    image: Mapping[str, Any]
    """``size`` in pixels and ``fit``."""


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
        raise ModelError("no such file", where=path, remedy="give a run's folder or its model.safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {}).get("bier", "{}"))
            if description.get("format") != format:
                raise ModelError(
                    f"is of kind {description.get('format', 'unknown')!r}, not {format!r}",
                    where=path,
                    remedy=_REMEDIES[format],
                )
            yield file, description["content"]
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"is truncated or not a safetensors file ({error})",
            where=path,
            remedy="give the model.safetensors of a run of `bier train`, or copy it again",
        ) from error


def save_model(path: Path, model: RetrievalModel, image: Mapping[str, Any]) -> None:
    """The whole model, with what is needed to build it again and to prepare its images."""
    content = {
        "backbone": model.backbone.spec(),
        "sizes": model.head.sizes,
        "weighting": model.head.weighting,
        "image": dict(image),
    }
    save_tensors(path, model.state_dict(), MODEL_FORMAT, content)


def load_model(path: Path | str) -> tuple[RetrievalModel, ModelInfo]:
    """The model of a run's folder or of a model file.

    Raises:
        ModelError: no such file, a truncated one, or one of another kind.
    """
    path = _model_file(path)
    tensors, content = load_tensors(path, MODEL_FORMAT)
    info = ModelInfo(content["backbone"], tuple(content["sizes"]), content["weighting"], content["image"])
    backbone = create_backbone(**{**info.backbone, "weights": "none"})
    model = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, info.sizes, weighting=info.weighting))  # type: ignore[arg-type]
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(
            f"does not fit its own description ({error})", where=path, remedy="train or copy the model again"
        ) from error
    return model.eval(), info


def model_fingerprint(path: Path | str) -> str:
    """sha256 of a model file: equal for equal weights and descriptions, wherever the file lies."""
    with open(_model_file(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _model_file(path: Path | str) -> Path:
    path = local_path(path)
    return path / "model.safetensors" if path.is_dir() else path


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state by position of its parameters: ``0.exp_avg``, ``0.step``, ..."""
    return {
        f"{position}.{name}": torch.as_tensor(value)
        for position, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Undo :func:`optimizer_tensors`; parameter groups keep the settings they were built with."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        position, name = key.split(".", 1)
        state.setdefault(int(position), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
