"""The layer groups of timm's networks, from input to output."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from torch import nn

from bier.network.backbone import Group


def timm_groups(network: nn.Module) -> list[Group]:
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
