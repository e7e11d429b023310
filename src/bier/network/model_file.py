"""A model as one file: written whole or not at all, verified when read, never unpickled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bier.errors import ModelError
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.hub import local_path
from bier.network.model import RetrievalModel
from bier.system.tensors import MODEL_FILE, MODEL_FORMAT, load_tensors, save_tensors


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says beside its tensors: how it was built and how its images are prepared."""

    backbone: Mapping[str, Any]
    sizes: tuple[int, ...]
    weighting: str
    image: Mapping[str, Any]
    """``size`` in pixels and ``fit``."""


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
    return path / MODEL_FILE if path.is_dir() else path
