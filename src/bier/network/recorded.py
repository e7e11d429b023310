"""A network's kernels launched together: on a GPU, launching them one by one takes longer than running them.

A CUDA graph is a recording of launches that is played back as one. It holds for one shape of input, so the batches of
a run that are whole go through it, and one from which an unreadable picture is missing goes through the network.
"""

from __future__ import annotations

import warnings
from typing import cast

import torch
from torch import Tensor, nn

from bier.errors import ModelError
from bier.network.backbone import Backbone


class GraphedBackbone:
    """``backbone(images)`` in a training step, recorded with the first whole batch: features and their gradient.

    The gradients of a second backward pass overwrite those of the first, so there may be one in a step only.

    Args:
        backbone: on a GPU, not all of it frozen. Its parameters and buffers may change afterwards, but not which of
            them are trained.
        images: in a whole batch.
        precision: of the recorded passes; others are in that of the caller's autocast.
        remedy: what to do where the network cannot be recorded.
    """

    def __init__(
        self, backbone: Backbone, images: int, precision: torch.dtype, remedy: str = "call the backbone itself"
    ) -> None:
        self.backbone, self.images, self.precision, self.remedy = backbone, images, precision, remedy
        self._recorded: nn.Module | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Features, float32 (b, features), of images, uint8 (b, 3, size, size).

        Raises:
            ModelError: the network does what cannot be recorded.
        """
        if len(images) != self.images:
            features: Tensor = self.backbone(images)
            return features
        if self._recorded is None:
            self._recorded = _record(self.backbone, images, self.precision, self.remedy)
        features = self._recorded(images)
        return features


class _InPrecision(nn.Module):
    def __init__(self, backbone: Backbone, precision: torch.dtype) -> None:
        super().__init__()
        self.backbone, self.precision = backbone, precision

    def forward(self, images: Tensor) -> Tensor:
        low = self.precision == torch.bfloat16
        # Weights are cast in the recording: a cache of them would go stale with the first update.
        with torch.autocast("cuda", torch.bfloat16, enabled=low, cache_enabled=False):
            features: Tensor = self.backbone(images)
        return features


def _record(backbone: Backbone, images: Tensor, precision: torch.dtype, remedy: str) -> nn.Module:
    before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    network = _InPrecision(backbone, precision)
    with (
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=[images.device]),
        torch.autocast("cuda", enabled=False),
    ):
        # It practises on a stream of its own, as it must.
        warnings.filterwarnings("ignore", "The AccumulateGrad node's stream does not match")
        try:
            recorded = torch.cuda.make_graphed_callables(network, (images.clone(),), allow_unused_input=True)
        except (RuntimeError, AssertionError) as error:
            raise ModelError(
                f"{backbone.name} cannot be recorded as CUDA graphs ({str(error).splitlines()[0]})",
                where="GraphedBackbone",
                remedy=remedy,
            ) from error
    # It ran a few times for practice, which batch norm has counted.
    for name, buffer in backbone.named_buffers():
        buffer.copy_(before[name])
    return cast(nn.Module, recorded)
