"""The settings of a run: frozen dataclasses. Every one has a default, so ``bier train PHOTOS`` needs none."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from bier.settings.changing import apply


@dataclass(frozen=True)
class DataConfig:
    """Where the pictures come from and how batches are drawn."""

    format: Literal["auto", "folder", "csv", "parquet", "cub", "cars196", "sop", "inshop", "vehicleid"] = "auto"
    strict: bool = True
    """Check a benchmark's counts of images and classes against the published ones."""
    vehicleid_list: Literal[800, 1600, 2400] = 800
    """VehicleID's test list, by its number of vehicles."""
    vehicleid_protocol: Literal["draws", "leave-one-out"] = "draws"
    """Ten random galleries of one picture a vehicle (the benchmark's own), or every picture against all others."""
    test_classes: float = 0.5
    """Share of the classes, the last in natural order, kept for testing when the source names no split."""
    validation_classes: float = 0.2
    """Share of the *training* classes held out to decide which epoch is kept; 0 keeps the last one."""
    validation_gallery: int = 4000
    """Training pictures join the held-out ones until so many are searched; among few classes alone, embeddings win that
    cannot tell many apart (docs/results.md)."""
    crop_to_bbox: bool = False
    """Cut each picture to its bounding box, where the source has one."""
    classes_per_batch: int = 16
    images_per_class: int = 4
    workers: int | None = None
    """Processes that decode pictures; none given: one less than the cores, at most 8."""


@dataclass(frozen=True)
class ImageConfig:
    """From file to tensor."""

    size: int | None = None
    """Side of the square input in pixels; none given: 224 on a GPU, 128 on a CPU."""
    fit: Literal["crop", "pad"] = "crop"
    """``crop``: shorter side to 256/224 of the size, then the centre. ``pad``: longer side, on white (as the paper)."""
    crop_scale: float = 0.3
    """Smallest share of the area that a random training crop keeps; 1 turns random crops off."""
    flip: bool = True
    color_jitter: float = 0.2


@dataclass(frozen=True)
class ModelConfig:
    """The backbone and the ensemble of learners on top."""

    backbone: str = "efficientnet_lite0"
    weights: str = "default"
    """``default`` (the weights the name comes with), ``none`` (random), or the path of a local file."""
    pooling: Literal["auto", "average", "gem"] = "auto"
    """Of the backbone's last map: ``gem``, the generalised mean, or ``average``, the network's own. ``auto``: ``gem``
    where the network averages one map that is never negative."""
    sizes: tuple[int, ...] | str | None = None
    """Dimensions of each learner, ``bier-512`` or ``bier-1024`` for the published cuts, or none to derive them."""
    dimensions: int | None = None
    """Of the whole embedding: 512 unless ``sizes`` says otherwise."""
    learners: int | None = None
    """3 unless ``sizes`` says otherwise."""
    weighting: Literal["boosting", "size", "equal"] = "boosting"
    start: Literal["whitening", "random"] = "whitening"
    """Of the head: a learned whitening of the backbone's features of training images, or drawn at random."""


@dataclass(frozen=True)
class LossConfig:
    """The base loss and how it is boosted."""

    name: str = "multi_similarity"
    """Ahead of ``binomial_deviance``, the authors' loss, on validation classes (docs/results.md)."""
    options: dict[str, float | str | bool] = field(default_factory=dict)
    """Of the loss, by the names of its arguments: ``loss.options.margin=0.3``, ``loss.options.mining=semihard``."""
    schedule: Literal["additive", "convex", "stagewise", "independent"] = "stagewise"
    """``stagewise`` boosts any loss; in short training no schedule was measurably better (docs/results.md)."""
    shrinkage: float | None = None
    """None: 0.06 for ``additive``, 1 for ``convex``."""


@dataclass(frozen=True)
class DiversityConfig:
    """What pushes the learners apart."""

    loss: Literal["none", "activation", "adversarial", "both"] = "activation"
    during_training: bool = True
    initialize: bool = False
    """Minimise the diversity loss over the head alone, on frozen features, before training."""
    weight: float | None = None
    """lambda_div; none given: the loss's own, which is smaller for more than three learners."""
    regularization: float | None = None
    """lambda_w; none given: the default of the loss."""
    hidden: int = 512
    """Hidden units of the adversarial regressors."""


@dataclass(frozen=True)
class OptimizerConfig:
    """How the weights move."""

    epochs: int = 10
    learning_rate: float = 1e-4
    """Of the backbone, at the peak of the schedule."""
    head_factor: float = 3.0
    """The head learns this many times faster."""
    proxy_factor: float = 100.0
    """So do a loss's class proxies, which start at random (as in Kim et al. 2020)."""
    layer_decay: float = 1.0
    """Each group of layers below the head learns this many times the rate of the group above."""
    weight_decay: float = 2e-4
    warmup: float = 0.1
    """Share of all steps over which the rate rises; then it falls along a cosine."""
    freeze: int = 0
    """Number of layer groups, from the input, that stay as they are."""
    freeze_batch_norm: bool = True
    """Keep batch norm in evaluation mode."""
    clip_norm: float | None = None


@dataclass(frozen=True)
class HardwareConfig:
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto``: bfloat16 on a GPU that has it, float32 elsewhere (on CPUs it was slower for training)."""
    channels_last: bool = True
    images_at_once: int | None = None
    """Images in the backbone at once while training. A larger batch goes through it in parts: the same gradient, the
    memory of a part, and a second forward pass. None given: always the whole batch."""
    cuda_graphs: bool = True
    """On a GPU: launch the backbone's kernels together, where a batch goes through it whole."""
    threads: int | None = None


@dataclass(frozen=True)
class Config:
    """All settings of a run."""

    seed: int = 0
    data: DataConfig = DataConfig()
    image: ImageConfig = ImageConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    diversity: DiversityConfig = DiversityConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    hardware: HardwareConfig = HardwareConfig()
    checkpoint_seconds: float = 60.0
    """Longest time between two checkpoints."""

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values, as they stand in the file of a run."""
        plain: dict[str, Any] = dataclasses.asdict(self)
        if isinstance(self.model.sizes, tuple):
            plain["model"]["sizes"] = list(self.model.sizes)
        return plain

    def replace(self, **changes: object) -> Config:
        """A copy with changed values, by dotted name with ``__`` for the dot: ``replace(optimizer__epochs=3)``."""
        return apply(self, {key.replace("__", "."): value for key, value in changes.items()}, "replace()")
