"""Any network that timm knows."""

from __future__ import annotations

import dataclasses
import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import torch

from bier.errors import ModelError
from bier.network.backbone import LITE0, Backbone
from bier.network.family import Family, Habits, Member, Weights
from bier.network.layer_groups import timm_groups
from bier.network.picture_sizes import PictureSizes
from bier.network.weights import foreign, not_fetched, read_weights, require


def timm_model(name: str, weights: str) -> Backbone:
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
    return Backbone(
        network,
        name=_architecture(name, network) if ":" in name else name,
        features=getattr(network, "head_hidden_size", None) or network.num_features,
        mean=settings["mean"],
        std=settings["std"],
        groups=timm_groups(network),
        image_size=_only_size(network),
    )


def _only_size(network: Any) -> int | None:
    """Pixels of a picture's side where the network takes no other."""
    from timm.layers.halo_attn import HaloAttn

    settings = network.pretrained_cfg
    dynamic = not settings.get("fixed_input_size") or getattr(network, "dynamic_img_size", False)
    # timm says that HaloNet takes any side, but each of its maps must have whole blocks.
    in_blocks = any(isinstance(module, HaloAttn) for module in network.modules())
    return None if dynamic and not in_blocks else int(settings["input_size"][-1])


def _architecture(name: str, network: Any) -> str:
    """What builds the network of a hub or a folder again where there is neither: the name of its architecture.

    Raises:
        ModelError: the hub's or the folder's config.json changes the architecture.
    """
    architecture = str(network.pretrained_cfg["architecture"])
    with torch.random.fork_rng(devices=[]):  # the weights of the twin are none of the run's random numbers
        twin = _create(architecture)
    if not _same_network(network, twin):
        raise ModelError(
            f"its config.json changes the architecture {architecture!r}: a model of it could not be opened elsewhere",
            where=name,
            remedy=f"choose a backbone by its own name, such as {architecture}, and give its weights as a file's path",
        )
    return architecture


@torch.no_grad()
def _same_network(one: Any, other: Any) -> bool:
    """Whether the second network does the same with the weights of the first, tried on noise."""
    size = one.pretrained_cfg["input_size"][-1]
    noise = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    training = one.training
    try:
        other.load_state_dict(one.state_dict())
        return _only_size(one) == _only_size(other) and torch.equal(one.eval()(noise), other.eval()(noise))
    except (RuntimeError, AssertionError):  # tensors of other names or shapes, or another size of picture
        return False
    finally:
        one.train(training)


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
        where="name",
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

    state = read_weights(path)
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
    raise foreign(name, path)


def _timm_from_hub(name: str) -> Any:
    import timm
    from huggingface_hub import constants

    settings = None if ":" in name else timm.get_pretrained_cfg(name)
    if settings and not settings.has_weights:
        raise ModelError(
            f"{name} comes without weights",
            where="weights",
            remedy="give the path of a file, or 'none' for random weights",
        )
    if settings and not settings.hf_hub_id:
        require(str(settings.url), name)
    elif not name.startswith("local-dir:"):
        require(constants.ENDPOINT, name, offline=constants.HF_HUB_OFFLINE)
    try:
        return _create(name, pretrained=True)
    except Exception as error:  # the hub's client has a tree of errors of its own
        raise not_fetched(name, "the model hub", error) from error


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


def timm_sizes(name: str, step: int | None = None) -> PictureSizes:
    """Of a name that timm knows: from the settings of its weights, and where no step is given, from a network."""
    settings = _settings(name)
    if settings is None:
        return PictureSizes()
    usual = int(settings.input_size[-1])
    step, only = (step, False) if step else _grid(_architecture_in(name), usual)
    return PictureSizes(usual, step, only=only)


@cache
def _grid(architecture: str, usual: int) -> tuple[int, bool]:
    """The step of a network's sides, and whether it takes one side alone; it gets no memory for its weights."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = _create(architecture)
    if _only_size(network) is not None:
        return 1, True
    last = network.feature_info[-1]["reduction"] if hasattr(network, "feature_info") else 1
    if network.pretrained_cfg.get("fixed_input_size"):
        return last, False
    # timm says so of DeepSeek's ViT, too, which needs whole patches.
    in_patches = not _runs(network, usual - 1) and _runs(network, usual - last)
    return last if in_patches else 1, False


@torch.no_grad()
def _runs(network: Any, side: int) -> bool:
    """Whether a network on the meta device takes pictures of this side."""
    try:
        network.eval()(torch.empty(1, 3, side, side, device="meta"))
    except (AssertionError, RuntimeError):
        return False
    return True


def timm_weights(name: str) -> Weights:
    """Of a name with a tag that timm knows."""
    settings = _settings(name)
    place = f"hub: {settings.hf_hub_id}" if settings and settings.hf_hub_id else "none"
    return Weights(settings.license if settings else "unknown", place, _cached(name) is not None)


def _settings(name: str) -> Any:
    """timm's, of a name's weights; None where it does not know the name."""
    import timm

    if not timm.is_model(_architecture_in(name)):
        return None
    try:
        return timm.get_pretrained_cfg(own_name(name))
    except RuntimeError:  # a tag that it does not know
        return timm.get_pretrained_cfg(_architecture_in(name))


def _architecture_in(name: str) -> str:
    return own_name(name).partition(".")[0]


def own_name(name: str) -> str:
    """Without the hub and the owner: ``vit.tag`` of ``hf-hub:timm/vit.tag``."""
    return name.rpartition("/")[2] if ":" in name else name


def timm_family(
    pattern: str,
    members: tuple[Member, ...],
    habits: Habits = Habits(),  # noqa: B008 - frozen
    **sizes: Any,
) -> Family:
    """The networks of timm whose architecture has a name of this form (a regular expression), with any tag.

    ``sizes`` are fields of `PictureSizes` where timm's settings are not the whole truth.
    """
    form, steps = re.compile(pattern), {_architecture_in(member.name): member.step for member in members}

    def knows(name: str) -> bool:
        import timm

        architecture = _architecture_in(name)
        return form.fullmatch(architecture) is not None and timm.is_model(architecture)

    def known_sizes(name: str) -> PictureSizes:
        return dataclasses.replace(timm_sizes(name, steps.get(_architecture_in(name))), **sizes)

    return Family(knows, timm_model, members, timm_weights, habits, known_sizes)


MEMBERS = {"timm": Family(knows=lambda name: True, build=timm_model, weights=timm_weights, sizes=timm_sizes)}
