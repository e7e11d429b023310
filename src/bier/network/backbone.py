"""A network without its classifier, and what its weights expect of a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bier.errors import ModelError

Group = tuple[str, list[nn.Parameter]]
Pooling = Literal["auto", "average", "gem", "class", "patches", "patches-gem", "class+patches", "class+patches-gem"]
Readout = Callable[[nn.Module, Tensor], Tensor]
"""From a network and images (b, 3, h, w), normalised, to features (b, features)."""

LITE0 = "efficientnet_lite0"
"""The backbone whose weights are installed with bier."""


def networks_own(network: nn.Module, images: Tensor) -> Tensor:
    """What the network itself makes of the images."""
    features: Tensor = network(images)
    return features


class Backbone(nn.Module):
    """A network without its classifier, and what its weights expect of a picture.

    Args:
        network: (b, 3, h, w) normalised to (b, features).
        name: what `create_backbone` builds it from.
        features: width of the result.
        mean: of each colour channel, in 0..1.
        std: likewise.
        groups: names and parameters of the layer groups, input to output; together all parameters, once each.
        image_size: side in pixels, where the network takes no other.

    Raises:
        ValueError: ``groups`` leave a parameter out, or have it twice. One that is left out would never be trained.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        features: int,
        mean: Sequence[float],
        std: Sequence[float],
        groups: Sequence[Group],
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        grouped = [parameter for _, parameters in groups for parameter in parameters]
        if len(grouped) != len(set(grouped)) or set(grouped) != set(network.parameters()):
            raise ValueError(f"the layer groups of {name} are not all of its parameters, once each")
        self.network = network
        self.name = name
        self.features = features
        self.image_size = image_size
        self.freeze_batch_norm = False
        """Whether batch norm stays in evaluation mode; takes effect with the next `train`."""
        self.pooling: Pooling = "average"
        """What `create_backbone` has chosen; ``average`` stands for the network's own."""
        self.readout: Readout = networks_own
        self._groups = [(label, list(parameters)) for label, parameters in groups]
        self.adapters: list[nn.Parameter] = []
        """Trained in the place of all other parameters, where there are any (`bier.network.lora`)."""
        self._scale: Tensor
        self._shift: Tensor
        self.set_preprocessing(mean, std)

    def set_preprocessing(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Subtract ``mean`` and divide by ``std``, of each colour channel, in 0..1."""
        self.mean = tuple(float(m) for m in mean)
        self.std = tuple(float(s) for s in std)
        scale, shift = (
            1 / (255 * torch.tensor(self.std)),
            -torch.tensor(self.mean) / torch.tensor(self.std),
        )
        self.register_buffer("_scale", scale.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_shift", shift.view(1, 3, 1, 1), persistent=False)

    def preprocess(self, images: Tensor) -> Tensor:
        """uint8 (b, 3, h, w) to normalised float32."""
        return images.float() * self._scale + self._shift

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features, float32 (b, features), of images (b, 3, h, w): uint8, or float that is normalised already.

        Raises:
            ModelError: the network takes another size only.
        """
        if self.image_size is not None and tuple(images.shape[-2:]) != (self.image_size,) * 2:
            raise ModelError(
                f"{self.name} takes images of {self.image_size} pixels, not {tuple(images.shape[-2:])}",
                where="images",
                remedy=f"give images of {self.image_size} x {self.image_size} pixels",
            )
        if images.dtype == torch.uint8:
            images = self.preprocess(images)
        return self.readout(self.network, images.contiguous(memory_format=self._layout())).float()

    def groups(self) -> list[Group]:
        """Names and parameters of the layer groups, input to output; together all parameters, once each."""
        return [(label, list(parameters)) for label, parameters in self._groups]

    def add_adapters(self, adapters: Mapping[nn.Parameter, Sequence[nn.Parameter]]) -> None:
        """Train adapters in the place of all parameters; each joins the layer group of the weight that it adapts."""
        for _, parameters in self._groups:
            new = [adapter for weight in parameters for adapter in adapters.get(weight, ())]
            parameters += new
            self.adapters += new
        self.freeze(0)

    def freeze(self, count: int | Literal["all"]) -> None:
        """Keep the first ``count`` layer groups as they are, their batch norm statistics included; thaw the others.

        Raises:
            ModelError: there are fewer groups.
        """
        count = len(self._groups) if count == "all" else count
        if not 0 <= count <= len(self._groups):
            raise ModelError(
                f"{self.name} has {len(self._groups)} layer groups, so {count} cannot be frozen",
                where="count",
                remedy=f"choose 'all' or 0 to {len(self._groups)}: {', '.join(label for label, _ in self._groups)}",
            )
        trainable = set(self.adapters or self.parameters())
        for number, (_, parameters) in enumerate(self._groups):
            for parameter in parameters:
                parameter.requires_grad_(number >= count and parameter in trainable)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """Training mode, except for batch norm that is frozen."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm) and (self.freeze_batch_norm or _is_frozen(module)):
                module.eval()
        return self

    def spec(self) -> dict[str, Any]:
        """What rebuilds it, ready for JSON: ``create_backbone(**spec, weights="none")``, then load its state."""
        return {"name": self.name, "mean": list(self.mean), "std": list(self.std), "pooling": self.pooling}

    def _layout(self) -> torch.memory_format:
        """That of the first filters which show the difference."""
        filters = next(
            (p for p in self.network.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1),
            None,
        )
        last = filters is not None and filters.is_contiguous(memory_format=torch.channels_last)
        return torch.channels_last if last else torch.contiguous_format


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(p.requires_grad for p in parameters)
