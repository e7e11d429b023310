"""The only place where settings become objects."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bier.data import TestTransform, TrainTransform
from bier.errors import ConfigError, ModelError, nearest
from bier.method import losses
from bier.method.boosting import OnlineBoosting
from bier.method.diversity import ActivationLoss, AdversarialLoss, DiversitySum
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.drop_path import drop_paths
from bier.network.lora import add_lora
from bier.network.model import RetrievalModel
from bier.network.names import family_of
from bier.network.recorded import GraphedBackbone
from bier.runs.habits import filled, with_habits
from bier.settings.schema import Config, LossConfig
from bier.system.hardware import Hardware
from bier.system.processes import ALONE, Processes

FROZEN_VIEWS = 5
"""Of each training picture, where its features are made once (docs/experiments.md)."""


@contextlib.contextmanager
def settings_named(**settings: str) -> Iterator[None]:
    """Errors about an argument name the setting that it came from: ``settings_named(sizes="model.sizes")``."""
    try:
        yield
    except (ConfigError, ModelError) as error:
        arguments = str(error.where).split(", ")
        if not settings.keys() >= set(arguments):
            raise
        where = ", ".join(settings[argument] for argument in arguments)
        raise type(error)(error.what, where=where, remedy=error.remedy) from error


_OF_MODEL = {
    "name": "model.backbone",
    **{
        name: f"model.{name}"
        for name in ("weights", "pooling", "drop_path", "lora", "sizes", "dimensions", "learners", "weighting")
    },
    "count": "optimizer.freeze",
}


def hardware(config: Config, processes: Processes = ALONE) -> Hardware:
    """What the settings ask for, or the best there is; raises as `Hardware.resolve`."""
    wanted = config.hardware
    return Hardware.resolve(
        wanted.device,
        wanted.precision,
        config.data.workers,
        wanted.channels_last,
        processes,
        where="hardware.device",
    )


def image_size(config: Config, device: torch.device) -> int:
    """Side of the input in pixels: that of the settings, or what suits the backbone's weights and the device.

    Raises:
        ModelError: the backbone does not take it.
    """
    if config.image.size is None:
        return family_of(config.model.backbone).sizes(config.model.backbone).chosen(on_cpu=device.type == "cpu")
    _check_size(config.model.backbone, config.image.size)
    return config.image.size


def size_warning(config: Config, size: int) -> str | None:
    """One line where the backbone's weights have seen nothing like pictures of this side."""
    backbone = config.model.backbone
    sizes = family_of(backbone).sizes(backbone)
    if config.model.weights == "none" or not sizes.is_far(size):
        return None
    return f"WARNING: {size} px is far from the {sizes.usual} px that the weights of {backbone} know; see image.size"


def train_transform(config: Config, size: int) -> TrainTransform:
    image = config.image
    return TrainTransform(
        size=size,
        fit="crop" if image.fit == "auto" else image.fit,  # before it was tried, or where it cannot be
        crop_scale=image.crop_scale,
        flip=image.flip,
        color_jitter=image.color_jitter,
        filter=image.filter,
    )


def views(config: Config) -> int | None:
    """How many of each training picture; none: a new one each time."""
    return config.data.views or (FROZEN_VIEWS if config.model.frozen else None)


def test_transform(config: Config, size: int) -> TestTransform:
    return train_transform(config, size).centre


def model(config: Config) -> RetrievalModel:
    """A new model: pretrained backbone, fresh head. Random numbers come from ``config.seed`` alone."""
    with settings_named(**_OF_MODEL):
        return _model(config)


def _model(config: Config) -> RetrievalModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        backbone = create_backbone(config.model.backbone, config.model.weights, pooling=config.model.pooling)
        sizes = config.model.sizes
        head = EmbeddingEnsemble(
            backbone.features,
            sizes,
            dimensions=config.model.dimensions,
            learners=config.model.learners,
            weighting=config.model.weighting,
        )
        if drop_path := filled(with_habits(config).model.drop_path):
            drop_paths(backbone.network, drop_path, backbone.name)
        if config.model.lora is not None:
            _refuse_lora_on_a_frozen_backbone(config)
            add_lora(backbone, config.model.lora)
    backbone.freeze("all" if config.model.frozen else config.optimizer.freeze)
    backbone.freeze_batch_norm = config.optimizer.freeze_batch_norm
    return RetrievalModel(backbone, head)


def _refuse_lora_on_a_frozen_backbone(config: Config) -> None:
    if config.model.frozen:
        raise ConfigError(
            "adapters change the backbone, and with model.frozen it stays as it is",
            where="model.lora",
            remedy="leave one of the two out",
        )


def training_backbone(
    config: Config, model: RetrievalModel, hardware: Hardware, images: int
) -> Callable[[Tensor], Tensor]:
    """The model's backbone as it runs in training steps, on whole batches of so many images."""
    at_once = config.hardware.images_at_once
    in_parts = at_once is not None and at_once < images
    frozen = not any(parameter.requires_grad for parameter in model.backbone.parameters())
    if hardware.device.type != "cuda" or not config.hardware.cuda_graphs or in_parts or frozen:
        return model.backbone
    return GraphedBackbone(model.backbone, images, hardware.precision, remedy="set hardware.cuda_graphs=false")


def check_image_size(model: RetrievalModel, size: int) -> None:
    """Refuse, with a `ModelError`, a size of pictures that the backbone does not take."""
    _check_size(model.backbone.name, size)


def _check_size(backbone: str, size: int) -> None:
    sizes = family_of(backbone).sizes(backbone)
    if sizes.takes(size):
        return
    wanted = " or ".join(map(str, sizes.nearest(size)))
    kinds = f"of {wanted} pixels" if sizes.only else f"whose sides are multiples of {sizes.step} pixels"
    raise ModelError(
        f"{backbone} takes images {kinds}, not {size}", where="image.size", remedy=f"set image.size to {wanted}"
    )


def boosting(config: Config, sizes: tuple[int, ...], classes: int) -> OnlineBoosting:
    """The loss of the settings, boosted over learners of so many dimensions."""
    options = {option: f"loss.options.{option}" for option in config.loss.options}
    with (
        settings_named(schedule="loss.schedule", shrinkage="loss.shrinkage", **options),
        torch.random.fork_rng(devices=[]),
    ):
        torch.manual_seed(config.seed + 1)
        return OnlineBoosting(_loss(config.loss, sizes, classes), config.loss.schedule, config.loss.shrinkage)


def _loss(config: LossConfig, sizes: tuple[int, ...], classes: int) -> losses.Loss:
    kind = losses.LOSSES.find(config.name, where="loss.name")
    parameters = inspect.signature(kind).parameters
    known = {"classes": classes, "sizes": sizes}  # of the data and the head: losses with proxies ask for them
    derived: dict[str, Any] = {name: value for name, value in known.items() if name in parameters}
    allowed = [name for name in parameters if name not in derived]
    for option in config.options:
        if option not in allowed:
            raise ConfigError(
                f"{config.name} has no option {option!r}", where="loss.options", remedy=nearest(option, allowed)
            )
        default = parameters[option].default
        wanted: tuple[type, ...] = (type(default),) if isinstance(default, bool | str) else (int, float)
        value = config.options[option]
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise ConfigError(
                f"{value!r} is of another kind than {default!r}, the default",
                where=f"loss.options.{option}",
                remedy="give a number" if float in wanted else f"give a value like {default!r}",
            )
    return kind(**derived, **config.options)


def diversity(config: Config, sizes: tuple[int, ...]) -> nn.Module | None:
    """The diversity loss of the settings, or ``None``: there is one learner only, or none is wanted."""
    settings = config.diversity
    if settings.loss == "none" or len(sizes) == 1 or not (settings.during_training or settings.initialize):
        return None
    given = {
        key: value
        for key, value in (("weight", settings.weight), ("regularization", settings.regularization))
        if value is not None
    }
    parts: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + 2)
        if settings.loss in ("activation", "both"):
            parts.append(ActivationLoss(**given))
        if settings.loss in ("adversarial", "both"):
            parts.append(AdversarialLoss(sizes, settings.hidden, **given))
    return parts[0] if len(parts) == 1 else DiversitySum(parts)
