"""A model as one file: written whole or not at all, verified when read, never unpickled."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bier.errors import ModelError
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.bounded import at_most
from bier.network.create import create_backbone
from bier.network.hub import local_path
from bier.network.lora import merge_adapters
from bier.network.model import RetrievalModel
from bier.network.model_description import DESCRIPTION, check_head, misfit
from bier.system.tensors import MODEL_FILE, MODEL_FORMAT, load_tensors, refuse_non_finite, save_tensors


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says beside its tensors: how it was built and how its images are prepared."""

    backbone: Mapping[str, Any]
    sizes: tuple[int, ...]
    weighting: str | Sequence[float]
    image: Mapping[str, Any]
    """``size`` in pixels, ``fit``, and ``filter``, which older files lack."""
    refit: Mapping[str, Any] | None = None
    """How the head was refitted after training (`bier.runs.finish`); None: it has not been looked at."""
    calibration: Mapping[str, Any] | None = None
    """How sure its answers are, for `bier.confidence.calibration`; None: it was not learned."""


def save_model(
    path: Path,
    model: RetrievalModel,
    image: Mapping[str, Any],
    *,
    refit: Mapping[str, Any] | None = None,
    calibration: Mapping[str, Any] | None = None,
) -> None:
    """The whole model, with what is needed to build it again and to prepare its images.

    LoRA adapters are added to the weights, in the file alone: who trains the model goes on with them apart.
    """
    if model.backbone.adapters:
        model = copy.deepcopy(model)
        merge_adapters(model.backbone.network)
    content: dict[str, Any] = {
        "backbone": model.backbone.spec(),
        "sizes": model.head.sizes,
        "weighting": model.head.described_weighting,
        "image": dict(image),
    }
    if refit is not None:
        content["refit"] = dict(refit)
    if calibration is not None:
        content["calibration"] = dict(calibration)
    save_tensors(path, model.state_dict(), MODEL_FORMAT, content)


def load_model(path: Path | str) -> tuple[RetrievalModel, ModelInfo]:
    """The model of a run's folder or of a model file. Nothing is fetched, and nothing but the file is read.

    Raises:
        ModelError: no such file, a truncated or damaged one, one of another kind, or weights that are not finite.
    """
    path = _model_file(path)
    tensors, content = load_tensors(path, MODEL_FORMAT, DESCRIPTION)
    check_head(content, tensors, path)
    refuse_non_finite(tensors.items(), path)
    info = ModelInfo(**{**content, "sizes": tuple(content["sizes"])})
    model = _build(info, sum(tensor.numel() for tensor in tensors.values()), path)
    _fill(model, tensors, path)
    return model.eval(), info


def model_fingerprint(path: Path | str) -> str:
    """sha256 of a model file: equal for equal weights and descriptions, wherever the file lies."""
    with open(_model_file(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build(info: ModelInfo, parameters: int, path: Path) -> RetrievalModel:
    """A network as described, if the file has the parameters for it."""
    try:
        with at_most(parameters):
            backbone = create_backbone(**{**info.backbone, "weights": "none"})
            head = EmbeddingEnsemble(backbone.features, info.sizes, weighting=info.weighting)  # type: ignore[arg-type]
    except ModelError as error:
        raise ModelError(
            f"its network cannot be built: {error.what}",
            where=path,
            remedy="install the package that the network comes from; or train or copy the model again",
        ) from error
    return RetrievalModel(backbone, head)


def _fill(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    expected = model.state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        raise misfit(f"the tensor {name!r:.80} is {'missing' if name in expected else 'unknown'}", path)
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)}, not {tuple(expected[name].shape)}"
            raise misfit(f"the tensor {name!r} has the shape {shapes}", path)
    model.load_state_dict(tensors)


def _model_file(path: Path | str) -> Path:
    path = local_path(path)
    return path / MODEL_FILE if path.is_dir() else path
