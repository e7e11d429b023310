"""The settings of a run: frozen dataclasses. Every one has a default, so ``bier train PHOTOS`` needs none."""

# ruff: noqa: RUF009 - setting() gives a dataclasses.field

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from bier.settings.changing import apply
from bier.settings.fields import setting


@dataclass(frozen=True)
class DataConfig:
    """Where the pictures come from and how batches are drawn."""

    format: str = setting(
        "auto",
        "Kind of the source: auto, folder, csv, parquet, shards, datasets, cub, cars196, sop, inshop, vehicleid, "
        "or another's.",
    )
    class_depth: int | None = setting(
        None,
        "How many folders deep the classes of a folder lie, below train, val and test.",
        unit="folders",
        low=1,
        high=100,
        if_none="the topmost folders are the classes; where it is not clear, you are asked",
    )
    label_separator: str | None = setting(
        None,
        "What stands between the labels of a picture, such as a vertical bar. Pictures that share a label are alike.",
        if_none="each label is one class, whatever it holds",
    )
    label_columns: tuple[str, ...] = setting(
        (), "Columns of a table that hold labels, a label each; one of yes and no gives its own name."
    )
    strict: bool = setting(True, "Refuse a benchmark whose counts of images and classes are not the published ones.")
    vehicleid_list: Literal[800, 1600, 2400] = setting(800, "Test list of VehicleID, by its number of vehicles.")
    vehicleid_protocol: Literal["draws", "leave-one-out"] = setting(
        "draws", "Test of VehicleID: ten random galleries of one picture a vehicle, or each picture against all others."
    )
    test_classes: float = setting(
        0.5,
        "Share of classes kept for testing, the last by name, where the source names no split.",
        unit="as a share",
        low=0,
        high=0.99,
    )
    validation_classes: float = setting(
        0.2,
        "Share of training classes held out to decide which epoch is kept; 0 keeps the last.",
        unit="as a share",
        low=0,
        high=0.9,
    )
    held_out: Literal["labels", "sets"] | None = setting(
        None,
        "What is held out where pictures have several labels: labels, which training then never sees, or whole sets.",
        if_none="labels, if enough pictures have no others, else sets",
    )
    # Among few classes alone, embeddings win that cannot tell many apart (docs/results.md).
    validation_gallery: int = setting(
        4000,
        "Pictures searched in validation: training pictures join the held-out ones up to this number.",
        unit="images",
        low=0,
        high=1_000_000_000,
    )
    # So validation takes less than a tenth of a run (docs/results.md).
    validations: int | None = setting(
        None,
        "Epochs after which the held-out classes are searched, spread evenly; the last is always one of them.",
        unit="epochs",
        low=1,
        high=1_000_000,
        if_none="every third epoch, but three at least; with model.frozen every epoch",
    )
    views: int | None = setting(
        None,
        "Views of each training picture, which all epochs share: its centre and random ones.",
        unit="views",
        low=1,
        high=10_000,
        if_none="new random views in each epoch, or 5 with model.frozen",
    )
    prepared: str | None = setting(
        None,
        "Folder of resized copies, which are made once and read in the place of large photographs.",
        if_none="pictures are read whole each time",
    )
    crop_to_bbox: bool = setting(False, "Cut each picture to its bounding box, where the source has one.")
    classes_per_batch: int = setting(
        8,
        "Classes in a batch; all of them where there are fewer.",
        unit="classes",
        low=2,
        high=1_000_000,
        reason="one class has no negatives",
    )
    images_per_class: int = setting(
        4,
        "Images of each class in a batch.",
        unit="images",
        low=2,
        high=1_000_000,
        reason="one image has no positive",
    )
    workers: int | None = setting(
        None,
        "Processes that decode pictures; with 0, the training process does.",
        unit="processes",
        low=0,
        high=1024,
        if_none="one less than the cores, at least 1, at most 8",
    )


@dataclass(frozen=True)
class ImageConfig:
    """From file to tensor."""

    size: int | None = setting(
        None,
        "Side of the square input.",
        unit="pixels",
        low=32,
        high=4096,
        if_none="by backbone: 224 on a GPU and 128 on a CPU for efficientnet_lite0",
    )
    # On cars, which are long, stretch finds far more (docs/experiments.md).
    fit: Literal["auto", "crop", "stretch", "pad"] = setting(
        "auto",
        "How a picture becomes square: crop, stretch (squeezed), or pad (with white); auto tries the first two.",
    )
    # The sharper one finds no more after training (docs/experiments.md).
    filter: Literal["bilinear", "bicubic"] = setting(
        "bilinear", "How pixels are scaled; bicubic is sharper, and usual in pretraining."
    )
    # In six epochs larger regions find more (docs/experiments.md).
    crop_scale: float = setting(
        0.6,
        "Smallest share of the area that a random crop keeps in training; 1 turns random crops off.",
        unit="as a share",
        low=0.01,
        high=1,
    )
    flip: bool = setting(True, "Mirror every second training picture.")
    color_jitter: float = setting(
        0.2,
        "Share by which brightness, contrast and saturation change at most in training; 0 turns it off.",
        unit="as a share",
        low=0,
        high=1,
    )


@dataclass(frozen=True)
class ModelConfig:
    """The backbone and the ensemble of learners on top."""

    backbone: str = setting(
        "efficientnet_lite0", "The pretrained network: a name that `bier backbones` lists, or any that timm knows."
    )
    weights: str = setting(
        "default",
        "Weights of the backbone: default (pretrained), none (random), or the path of a .safetensors or .pth file.",
    )
    pooling: Literal[
        "auto", "average", "gem", "class", "patches", "patches-gem", "class+patches", "class+patches-gem"
    ] = setting(
        "auto",
        "How the last map or tokens become one vector; average is the network's own way, auto takes the best.",
    )
    # Beside them the head alone is trained, as Hu et al. (ICLR 2022) did.
    lora: int | None = setting(
        None,
        "Rank of LoRA adapters, which are trained in the place of the backbone's own weights.",
        low=1,
        high=1024,
        if_none="no adapters: the backbone's weights are trained",
    )
    drop_path: float | None = setting(
        None,
        "Chance that a picture skips the backbone's last block in training; it falls to 0 towards the first.",
        unit="as a share",
        low=0,
        high=0.9,
        if_none="by backbone: 0 for efficientnet_lite0",
    )
    sizes: tuple[int, ...] | str | None = setting(
        None,
        "Dimensions of each learner, such as [96, 160, 256], or the published bier-512 or bier-1024.",
        unit="dimensions each",
        low=1,
        high=1_000_000,
        if_none="model.dimensions, cut in proportion 1 : 2 : 3 and so on",
    )
    dimensions: int | None = setting(
        None, "Dimensions of the whole embedding.", low=1, high=1_000_000, if_none="512, or the sum of sizes"
    )
    learners: int | None = setting(
        None, "Number of learners.", low=1, high=1024, if_none="3, or as many as there are sizes"
    )
    weighting: Literal["boosting", "size", "equal"] = setting(
        "boosting", "How learners count in the embedding: by their boosting weights, by their sizes, or equally."
    )
    start: Literal["whitening", "random"] = setting(
        "whitening", "First weights of the head: a whitening learned from features of training images, or random ones."
    )
    refit: bool = setting(
        True,
        "After training, average the head with a whitening, and turn it, where validation classes find that better.",
    )
    calibrate: bool = setting(
        True, "After training, learn from validation classes how sure an answer is. The model keeps what was learned."
    )
    frozen: bool = setting(
        False, "Pass the pictures through the backbone once, keep the features, and train the head alone."
    )


@dataclass(frozen=True)
class LossConfig:
    """The base loss and how it is boosted."""

    # Ahead of binomial_deviance, the authors' loss, on validation classes (docs/results.md).
    name: str = setting("multi_similarity", "The base loss, such as binomial_deviance, triplet or proxy_anchor.")
    options: dict[str, float | str | bool] = setting(
        {}, "Arguments of the loss by name, such as {margin: 0.3, mining: semihard}; others keep their defaults."
    )
    # In short training no schedule was measurably better (docs/results.md).
    schedule: Literal["additive", "convex", "stagewise", "independent"] = setting(
        "stagewise", "How a learner builds on those before it; stagewise boosts any loss, independent does not boost."
    )
    shrinkage: float | None = setting(
        None,
        "Factor on what each learner adds, for additive and convex.",
        above=0,
        if_none="0.06 for additive, 1 for convex",
    )


@dataclass(frozen=True)
class DiversityConfig:
    """What pushes the learners apart."""

    loss: Literal["none", "activation", "adversarial", "both"] = setting(
        "activation", "The diversity loss; both is the sum of the two."
    )
    during_training: bool = setting(True, "Add the diversity loss to the base loss in training.")
    initialize: bool = setting(
        False, "Minimise the diversity loss over the head alone, on frozen features, before training."
    )
    weight: float | None = setting(
        None,
        "Factor on the diversity loss, lambda_div.",
        low=0,
        if_none="0.01 for activation, 5e-5 for adversarial, less for more than three learners",
    )
    regularization: float | None = setting(
        None,
        "Factor on its constraints on the weights, lambda_w.",
        low=0,
        if_none="100 for activation, 1e5 for adversarial",
    )
    hidden: int = setting(512, "Hidden units of each adversarial regressor.", unit="units", low=1, high=1_000_000)


@dataclass(frozen=True)
class OptimizerConfig:
    """How the weights move."""

    epochs: int = setting(
        10,
        "Passes over the training images; 0 keeps the head as it starts.",
        unit="epochs",
        low=0,
        high=1_000_000,
    )
    # What these four are left out for stands with the families of backbones, in network/families.
    learning_rate: float | None = setting(
        None,
        "Rate of the backbone at the peak of the schedule.",
        low=0,
        high=10,
        if_none="by backbone, 1e-4 for efficientnet_lite0; twice that where its features find few",
    )
    head_factor: float | None = setting(
        None,
        "Rate of the head, as a multiple of the backbone's.",
        low=0,
        high=1_000_000,
        if_none="by backbone: 1 for efficientnet_lite0",
    )
    # They start at random (as in Kim et al. 2020).
    proxy_factor: float = setting(
        100.0, "Rate of a loss's class proxies, as a multiple of the backbone's.", low=0, high=1_000_000
    )
    layer_decay: float | None = setting(
        None,
        "Rate of each layer group of the backbone, as a multiple of that of the group above.",
        low=0,
        high=1,
        if_none="by backbone: 1 for efficientnet_lite0",
    )
    weight_decay: float = setting(2e-4, "Weight decay of AdamW, on matrices and filters only.", low=0, high=10)
    warmup: float | None = setting(
        None,
        "Share of all steps over which rates rise; then they fall along a cosine.",
        unit="as a share",
        low=0,
        high=1,
        if_none="by backbone: 0.1 for all",
    )
    freeze: int | Literal["all"] = setting(
        0,
        "Layer groups of the backbone, from the input, that stay as they are; all trains the head alone.",
        unit="groups",
        low=0,
        high=1000,
    )
    freeze_batch_norm: bool = setting(True, "Keep batch norm in evaluation mode; its statistics stay as they are.")
    clip_norm: float | None = setting(
        None, "Largest norm of the gradient; a longer one is scaled down. 0 sets no limit.", low=0, if_none="no limit"
    )


@dataclass(frozen=True)
class HardwareConfig:
    """What the run computes on."""

    device: Literal["auto", "cpu", "cuda", "mps"] = setting(
        "auto", "Where the model runs; auto takes a GPU where there is one."
    )
    # On CPUs bfloat16 doubles the speed of some networks, and slows others (docs/results.md).
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto",
        "Numbers of the network; auto takes bfloat16 where it is faster, which a CPU tries. Losses stay float32.",
    )
    channels_last: bool = setting(
        True, "Keep the channels of images and filters last in memory, which is usually faster."
    )
    images_at_once: int | None = setting(
        None,
        "Images in the backbone at once in training; less than a batch saves memory and costs time.",
        unit="images",
        low=1,
        high=1_000_000,
        if_none="the whole batch",
    )
    cuda_graphs: bool = setting(
        True, "On a GPU, launch the backbone's kernels together, where a batch goes through it whole."
    )
    threads: int | None = setting(
        None, "CPU threads of each process.", unit="threads", low=1, high=4096, if_none="PyTorch's own number"
    )


@dataclass(frozen=True)
class Config:
    """The run as a whole.

    Its sections are dataclasses of their own, and all settings have dotted names such as ``optimizer.epochs``.
    """

    seed: int = setting(0, "Seed of all random numbers.", low=0, high=2**31 - 1)
    data: DataConfig = DataConfig()
    image: ImageConfig = ImageConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    diversity: DiversityConfig = DiversityConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    hardware: HardwareConfig = HardwareConfig()
    checkpoint_seconds: float = setting(
        60.0, "Longest time between two checkpoints; with 0, one after each step.", unit="seconds", low=0
    )

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values, as they stand in the file of a run."""
        plain: dict[str, Any] = dataclasses.asdict(self)
        if isinstance(self.model.sizes, tuple):
            plain["model"]["sizes"] = list(self.model.sizes)
        plain["data"]["label_columns"] = list(self.data.label_columns)
        return plain

    def replace(self, **changes: object) -> Config:
        """A copy with changed values, by dotted name with ``__`` for the dot: ``replace(optimizer__epochs=3)``."""
        return apply(self, {key.replace("__", "."): value for key, value in changes.items()}, "replace()")
