"""The settings of a run: frozen dataclasses, a YAML file, and overrides from the command line.

Every setting has a default, so ``bier train PHOTOS`` needs none. Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from bier.errors import ConfigError, nearest


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


_SECTIONS = (DataConfig, ImageConfig, ModelConfig, LossConfig, DiversityConfig, OptimizerConfig, HardwareConfig)


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
        return _apply(self, {key.replace("__", "."): value for key, value in changes.items()}, "replace()")


def load(file: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Defaults, then the file, then ``key=value`` overrides such as ``optimizer.epochs=20``.

    Raises:
        ConfigError: a file that cannot be read, an unknown key (with the nearest valid one), a value of another type.
    """
    config = Config()
    if file is not None:
        config = _apply(config, _flatten(_read_yaml(file), Config), str(file))
    return override(config, overrides)


def override(config: Config, overrides: Sequence[str], where: str = "--set") -> Config:
    """A copy with ``key=value`` overrides, given at ``where``; raises as :func:`load`."""
    changes: dict[str, object] = {}
    for setting in overrides:
        key, separator, text = setting.partition("=")
        if not separator:
            raise ConfigError(
                f"{setting!r} has no '='", where=where, remedy="write key=value, for example optimizer.epochs=20"
            )
        changes[key.strip()] = _parse(text, setting, where)
    return _apply(config, changes, where)


def save(config: Config, path: Path) -> None:
    path.write_text(yaml.safe_dump(config.as_dict(), sort_keys=False), encoding="utf-8")


def keys(kind: type = Config, prefix: str = "") -> list[str]:
    """All dotted names of settings."""
    names: list[str] = []
    for name, hint in typing.get_type_hints(kind).items():
        names += keys(hint, f"{prefix}{name}.") if hint in _SECTIONS else [prefix + name]
    return names


def _read_yaml(file: Path) -> Mapping[str, object]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=file, remedy="check the path given to --config") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"is not YAML: {error}", where=file, remedy="mend the line named above") from error
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise ConfigError("holds no table of settings", where=file, remedy="write lines such as 'seed: 1'")
    return content


def _parse(text: str, override: str, where: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{override!r} has a value that is not YAML", where=where, remedy=str(error)) from error


def _flatten(table: Mapping[str, object], kind: type, prefix: str = "") -> dict[str, object]:
    hints = typing.get_type_hints(kind)
    flat: dict[str, object] = {}
    for key, value in table.items():
        hint = hints.get(str(key))
        if hint is not None and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
            flat |= _flatten(value, typing.cast(type, hint), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _apply(config: Config, changes: Mapping[str, object], where: str) -> Config:
    valid = keys()
    sections: dict[str, dict[str, object]] = {}
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        if key not in valid:
            if section in valid:  # one of the free keys of a dictionary, such as loss.options.alpha
                section, name, value = *section.split(".", 1), {**_get(config, section), name: value}
            else:
                raise ConfigError(f"unknown setting {key!r}", where=where, remedy=_nearest_key(key, valid))
        owner = getattr(config, section) if section else config
        hint = typing.get_type_hints(type(owner))[name]
        merged = value if not isinstance(value, dict) else {**sections.get(section, {}).get(name, {}), **value}  # type: ignore[dict-item]
        sections.setdefault(section, {})[name] = _convert(merged, hint, f"{where}: {key}")
    for section, values in sections.items():
        if section:
            config = dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **values)})
        else:
            config = dataclasses.replace(config, **values)  # type: ignore[arg-type]
    _validate(config, where)
    return config


def _get(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _nearest_key(key: str, valid: Sequence[str]) -> str:
    by_last = [name for name in valid if name.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
    return f"did you mean {by_last[0]!r}?" if by_last else nearest(key, valid)


def _convert(value: object, hint: Any, where: str) -> object:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        errors = []
        for option in arguments:
            if option is not type(None):
                try:
                    return _convert(value, option, where)
                except ConfigError as error:
                    errors.append(error)
        raise errors[0]
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(
                f"unknown value {value!r}", where=where, remedy=nearest(str(value), [str(a) for a in arguments])
            )
        return value
    if origin is tuple:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")]
            value = [int(part) if part.isdigit() else part for part in value]
        if isinstance(value, list | tuple) and value and all(type(part) is int for part in value):
            return tuple(value)
        raise ConfigError(f"{value!r} is not a list of whole numbers", where=where, remedy="write [96, 160, 256]")
    if origin is dict:
        if isinstance(value, Mapping) and all(isinstance(part, int | float | str) for part in value.values()):
            return {str(key): part for key, part in value.items()}
        raise ConfigError(f"{value!r} is not a table of values", where=where, remedy="write {alpha: 2, beta: 0.5}")
    return _scalar(value, hint, where)


def _scalar(value: object, hint: Any, where: str) -> object:
    if hint is float and isinstance(value, str):  # YAML reads 1e-4 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    if hint is float and _is_number(value):
        return float(value)  # type: ignore[arg-type]
    if type(value) is hint:
        return value
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    raise ConfigError(f"{value!r} is not {words[hint]}", where=where, remedy=f"give {words[hint]}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_BOUNDS: dict[str, tuple[float, float, str]] = {
    "seed": (0, 2**31 - 1, "0 or more"),
    "data.test_classes": (0, 0.99, "a share from 0 to below 1"),
    "data.validation_classes": (0, 0.9, "a share from 0 to 0.9"),
    "data.validation_gallery": (0, 1e9, "0 or more"),
    "data.classes_per_batch": (2, 1e6, "at least 2: one class has no negatives"),
    "data.images_per_class": (2, 1e6, "at least 2: one image has no positive"),
    "data.workers": (0, 1024, "0 or more"),
    "image.size": (32, 4096, "32 to 4096 pixels"),
    "image.crop_scale": (0.01, 1, "a share above 0, at most 1"),
    "image.color_jitter": (0, 1, "0 to 1"),
    "model.learners": (1, 1024, "at least 1"),
    "model.dimensions": (1, 1e6, "at least 1"),
    "diversity.hidden": (1, 1e6, "at least 1"),
    "optimizer.epochs": (1, 1e6, "at least 1"),
    "optimizer.learning_rate": (0, 10, "0 to 10"),
    "optimizer.head_factor": (0, 1e6, "0 or more"),
    "optimizer.proxy_factor": (0, 1e6, "0 or more"),
    "optimizer.layer_decay": (0, 1, "0 to 1"),
    "optimizer.weight_decay": (0, 10, "0 to 10"),
    "optimizer.warmup": (0, 1, "a share from 0 to 1"),
    "optimizer.freeze": (0, 1000, "0 or more"),
    "hardware.images_at_once": (1, 1e6, "at least 1"),
    "hardware.threads": (1, 4096, "at least 1"),
    "checkpoint_seconds": (0, 1e9, "0 or more"),
}


def _validate(config: Config, where: str) -> None:
    for key, (low, high, words) in _BOUNDS.items():
        value = _get(config, key)
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{value:g} is out of range", where=f"{where}: {key}", remedy=f"give {words}")
