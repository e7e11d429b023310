"""A backbone made ready for use: the same features, sooner.

Batch norm disappears into the convolution before it, images are channels-last, and on a processor filters are packed
for its kernels, which apply the activation while they are at it. Networks that cannot be looked through stay as they
are.
"""

from __future__ import annotations

import copy
from collections import Counter
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from bier.network.lora import merge_adapters

_Activation = tuple[str, list[float]]
_ACTIVATIONS: dict[type[nn.Module], _Activation] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.Hardswish: ("hardswish", []),
    nn.SiLU: ("swish", []),
}
"""What the kernels call them, with their numbers."""


class InferenceBackbone(nn.Module):
    """A backbone's twin for inference; the backbone itself is left as it is, and later changes of it do not count.

    Args:
        backbone: (b, 3, h, w) to (b, features); its ``network``, where it has one, is what is made faster.
        precision: float32, whose features are the backbone's up to rounding, or bfloat16.
        channels_last: the memory layout of images, usually the faster one.
    """

    def __init__(self, backbone: nn.Module, precision: torch.dtype = torch.float32, channels_last: bool = True) -> None:
        super().__init__()
        twin = copy.deepcopy(backbone).eval().requires_grad_(False)
        network = getattr(twin, "network", twin)
        self.device = next((p.device for p in twin.parameters()), torch.device("cpu"))
        self.precision = precision
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        with torch.no_grad():
            merge_adapters(network)
            activations = _fold_batch_norm(network)
            network.to(memory_format=self.layout)
            if self.device.type == "cpu" and channels_last and _can_pack(precision):
                _pack(network, activations, precision)
            if precision != torch.float32:
                _store(network, precision)
        self.backbone = twin

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features, float32 (b, features) on the backbone's device, of images as the backbone takes them."""
        images = images.to(self.device, non_blocking=True).contiguous(memory_format=self.layout)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            features: Tensor = self.backbone(images)
        return features.float()


# Exactly these kinds: a subclass may do something else with its filters, such as standardise them.
@cache
def _convolutions() -> tuple[type[nn.Module], ...]:
    from timm.layers.conv2d_same import Conv2dSame

    return nn.Conv2d, Conv2dSame


@cache
def _norms() -> tuple[type[nn.Module], ...]:
    from timm.layers.norm_act import BatchNormAct2d

    return nn.BatchNorm2d, nn.SyncBatchNorm, BatchNormAct2d


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*_convolutions(), *_norms())) or super().is_leaf_module(m, module_qualified_name)


def _fold_batch_norm(network: nn.Module) -> dict[str, str]:
    """Put batch norm into the convolutions; each convolution's path and that of the activation right after it."""
    modules = dict(network.named_modules())
    if not any(type(module) in _norms() for module in modules.values()):
        return {}
    try:
        graph = _Tracer().trace(network)
    except Exception:  # whatever a network does with a stand-in for its images; it is not made faster then
        return {}
    calls = [node for node in graph.nodes if node.op == "call_module"]
    uses = Counter(str(node.target) for node in calls)
    activations: dict[str, str] = {}
    for node in calls:
        path = str(node.target)
        after = _next(node, uses)
        if type(modules[path]) not in _convolutions() or uses[path] > 1 or after is None:
            continue
        norm = modules[str(after.target)]
        if type(norm) in _norms() and norm.running_mean is not None:
            _merge(modules[path], norm)
            modules[str(after.target)] = getattr(norm, "act", nn.Identity())
            network.set_submodule(str(after.target), modules[str(after.target)])
        while after is not None and isinstance(modules[str(after.target)], nn.Identity):
            after = _next(after, uses)
        if after is not None and type(modules[str(after.target)]) in _ACTIVATIONS:
            activations[path] = str(after.target)
    return activations


def _merge(convolution: Any, norm: Any) -> None:
    statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    convolution.weight, convolution.bias = fuse_conv_bn_weights(convolution.weight, convolution.bias, *statistics)


def _next(node: fx.Node, uses: Counter[str]) -> fx.Node | None:
    """The module that alone takes the node's result, if it is used nowhere else."""
    after = next(iter(node.users), None)
    alone = after is not None and len(node.users) == 1 and after.op == "call_module" and uses[str(after.target)] == 1
    return after if alone else None


class _PackedConvolution(nn.Module):
    """A convolution and its activation in one call, with filters in the order that the processor likes."""

    def __init__(self, convolution: nn.Conv2d, activation: _Activation | None, precision: torch.dtype) -> None:
        super().__init__()
        self.activation, self.numbers = activation or ("none", [])
        places = (list(convolution.padding), list(convolution.stride), list(convolution.dilation), convolution.groups)
        self.padding, self.stride, self.dilation, self.groups = places
        self.bias = None if convolution.bias is None else convolution.bias.to(precision)
        self.precision = precision
        weight = convolution.weight.to(precision)
        if convolution.in_channels > 4:
            self.weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *places)
        else:  # too few to be worth it, and the backbone sees by its first filters which layout it has
            self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(
            images.to(self.precision), self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups,
            self.activation, self.numbers, "",
        )  # fmt: skip
        return result


@cache
def _can_pack(precision: torch.dtype) -> bool:
    """Whether the kernels, which torch uses but does not promise, are there and do what is expected."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return False
    convolution = nn.Conv2d(8, 8, 3).requires_grad_(False).to(memory_format=torch.channels_last)
    images = torch.linspace(-1, 1, 8 * 25).reshape(1, 8, 5, 5).contiguous(memory_format=torch.channels_last)
    try:
        found = _PackedConvolution(convolution, ("relu", []), precision)(images)
    except (AttributeError, RuntimeError):
        return False
    tolerance = 1e-5 if precision == torch.float32 else 0.05
    return torch.allclose(found.float(), F.relu(convolution(images)), atol=tolerance, rtol=0)


def _pack(network: nn.Module, activations: dict[str, str], precision: torch.dtype) -> None:
    for path, module in list(network.named_modules()):
        if type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str):
            activation = None
            if path in activations:
                activation = _ACTIVATIONS[type(network.get_submodule(activations[path]))]
                network.set_submodule(activations[path], nn.Identity())
            network.set_submodule(path, _PackedConvolution(module, activation, precision))


def _store(network: nn.Module, precision: torch.dtype) -> None:
    """Weights in the precision that autocast would turn them into at each call."""
    for module in network.modules():
        if type(module) in (*_convolutions(), nn.Linear):
            module.to(precision)
