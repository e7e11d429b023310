"""The one way from a picture to its vector: evaluation, bulk embedding, search and HTTP all go through here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from bier.confidence.calibration import Calibration
from bier.data import TestTransform, read_image
from bier.data.box import checked_box
from bier.network.folded import InferenceBackbone
from bier.network.model import RetrievalModel
from bier.network.model_file import load_model, model_fingerprint


class PictureEncoder(Protocol):
    """What search and serving need of a model: `Encoder`, or an exported file (`bier.export.load_encoder`)."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def sizes(self) -> tuple[int, ...]: ...
    @property
    def scales(self) -> tuple[float, ...]: ...
    @property
    def dimensions(self) -> int: ...
    def prefix_scales(self, learners: int) -> tuple[float, ...]: ...
    @property
    def transform(self) -> TestTransform: ...
    @property
    def calibration(self) -> Calibration | None: ...
    def prepare(self, picture: Path | bytes, name: str = "", box: Sequence[float] | None = None) -> Tensor: ...
    def encode(self, images: Tensor | Sequence[Tensor], learners: int | None = None) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Encoder:
    """A trained model, ready for pictures."""

    model: RetrievalModel
    transform: TestTransform
    fingerprint: str
    """sha256 of weights and description: vectors of two models must never meet in one index."""
    precision: torch.dtype = torch.float32
    """Of the backbone: float32, or bfloat16, which is faster and changes a vector's third decimal."""
    calibration: Calibration | None = None
    """How sure its answers are; None: it was not learned when the model was trained."""

    @classmethod
    def load(
        cls, path: Path | str, device: torch.device | str = "cpu", precision: torch.dtype = torch.float32
    ) -> Encoder:
        """The model of a run's folder or of a model file.

        Raises:
            ModelError: no such file, a truncated one, or one of another kind.
        """
        model, info = load_model(path)
        transform = TestTransform.of(info.image)
        learned = None if info.calibration is None else Calibration.from_json(info.calibration)
        return cls(model.to(device).eval(), transform, model_fingerprint(path), precision, learned)

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: all but the packed network, which is made again there."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def on(self, device: torch.device) -> Encoder:
        """The same, computing there; the model moves."""
        return replace(self, model=self.model.to(device))

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.model.head.sizes

    @property
    def scales(self) -> tuple[float, ...]:
        """``s_m``: what each learner's normalised output is multiplied by in the retrieval vector."""
        return tuple(self.model.head.scales().tolist())

    def prefix_scales(self, learners: int) -> tuple[float, ...]:
        """``s_m`` of the first so many learners in an ensemble of their own."""
        return tuple(self.model.head.prefix(learners).scales().tolist())

    @property
    def dimensions(self) -> int:
        return sum(self.sizes)

    @cached_property
    def _backbone(self) -> InferenceBackbone:
        return InferenceBackbone(self.model.backbone, self.precision)

    def prepare(self, picture: Path | bytes, name: str = "", box: Sequence[float] | None = None) -> Tensor:
        """uint8 (3, size, size), of a part of the picture alone if a box is given as `checked_box` takes it.

        Raises:
            ImageError: as `read_image`, or the box is none.
        """
        return self.transform(read_image(picture, checked_box(box, name or None), name, view=self.transform))

    def encode(self, images: Tensor | Sequence[Tensor], learners: int | None = None) -> Tensor:
        """Retrieval vectors (b, D) float32 on the CPU, of prepared pictures uint8 (b, 3, size, size).

        With ``learners``, those of the first so many alone, a smaller embedding.
        """
        batch = images if isinstance(images, Tensor) else torch.stack(list(images))
        with torch.inference_mode():
            vectors: Tensor = self.model.head(self._backbone(batch), learners)
        return vectors.float().cpu()
