"""What a family of backbones is: networks that are built alike and trained alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bier.network.backbone import Backbone
from bier.network.picture_sizes import PictureSizes


@dataclass(frozen=True)
class Member:
    """A network of a family that was built here and measured."""

    name: str
    parameters: int
    """Of the backbone, without a classifier."""
    features: int
    """Width of the result."""
    step: int = 1
    """Sides of its pictures are multiples of it: of the patch, or of the patch after all halvings."""


@dataclass(frozen=True)
class Weights:
    """Where pretrained weights come from."""

    licence: str
    place: str
    """The package, the hub's repository, or the site."""
    installed: bool
    """Whether they lie on this machine."""


@dataclass(frozen=True)
class Habits:
    """How a family is fine-tuned, where the settings do not say; each field is the setting of that name.

    The defaults were chosen with EfficientNet-lite0 on held-out training classes.
    """

    learning_rate: float = 1e-4
    head_factor: float = 1.0
    layer_decay: float = 1.0
    warmup: float = 0.1
    drop_path: float = 0.0


# The rate is that of WiSE-FT (Wortsman et al., 2022) for CLIP and of Hyp-ViT (Ermolov et al., 2022) for ViT-S; the
# decay that of BEiT and MAE, which take 0.65 to 0.75. The factor gives the head about the rate that it has by default.
TRANSFORMER = Habits(learning_rate=3e-5, head_factor=3.0, layer_decay=0.75)
"""Of vision transformers."""


@dataclass(frozen=True)
class Family:
    """Backbones that are built alike."""

    knows: Callable[[str], bool]
    """Whether a name is one of theirs."""
    build: Callable[[str, str], Backbone]
    """From a name and weights: ``default``, ``none``, or the path of a file."""
    members: tuple[Member, ...] = ()
    """Those that were tried, the smallest first."""
    weights: Callable[[str], Weights] | None = None
    """Where those of a member come from."""
    habits: Habits = Habits()
    """How they are fine-tuned."""
    sizes: Callable[[str], PictureSizes] = lambda name: PictureSizes()
    """Which pictures a name takes, and which its weights know."""
