"""The layer groups of timm's networks, from input to output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from torch import nn

from bier.network.backbone import Group


def timm_groups(network: nn.Module) -> list[Group]:
    """timm's stem and stages; what it counts to a stage but lies behind it goes to the next, at the end to ``head``."""
    from timm.models import group_parameters

    parameters = dict(network.named_parameters())
    stem, *stages = group_parameters(network, _matcher(network)).values()
    groups: dict[str, list[str]] = {"stem": stem}
    behind: list[str] = []
    for names in stages:
        own = [name for name in names if _top(name) == _top(names[0])]
        label = _common([*behind, *own]) or ("head" if names is stages[-1] else _common(own))
        groups[own[0] if label in groups else label] = [*behind, *own]
        behind = [name for name in names if name not in own]
    if behind:
        groups[behind[0] if "head" in groups else "head"] = behind
    return [(label, [parameters[name] for name in names]) for label, names in groups.items()]


def _matcher(network: nn.Module) -> Any:
    """timm's own, from a parameter's name to its stage; for a network without one each numbered module is a stage."""
    try:
        return network.group_matcher(coarse=True)  # type: ignore[operator]
    except (AttributeError, AssertionError):  # PiT and MetaFormer have none, RDNet none that is coarse
        return _numbered(network)


def _numbered(network: nn.Module) -> Callable[[str], int]:
    """What stands before the first stage is 0; what stands behind a stage belongs to it."""
    stages: dict[str, int] = {}
    ordinals = {}
    for name, _ in network.named_parameters():
        top, number, *_ = [*name.split("."), ""]
        if number.isdigit():
            stages.setdefault(f"{top}.{number}", len(stages) + 1)
        ordinals[name] = len(stages)
    return ordinals.__getitem__


def _top(name: str) -> str:
    return name.partition(".")[0]


def _common(names: Sequence[str]) -> str:
    """The dotted path above all names, as far as the stage's number: ``blocks.2`` of ``blocks.2.0.bn1.bias``."""
    paths = [name.split(".")[:-1] or [name] for name in names]
    shared = [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))]
    stage = next((i for i, part in enumerate(shared) if part.isdigit()), len(shared))
    return ".".join(shared[: stage + 1])
