"""LoRA: low-rank adapters are trained beside a network's linear layers, whose own weights stay (Hu et al., ICLR 2022).

Adapters lie on every linear layer that the network calls: attention and MLP (as Dettmers et al., NeurIPS 2023). They
start as nothing. In a saved model they are part of the weights, so it is an ordinary one.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from bier.errors import ModelError
from bier.network.backbone import Backbone
from bier.network.choice import trial_size
from bier.network.noise import noise, trying
from bier.system.extras import need

SCALE = 2
"""What an adapter's product is multiplied by: alpha over rank."""


def add_lora(backbone: Backbone, rank: int) -> None:
    """Put adapters on a backbone; from now on they alone are trained of it.

    Raises:
        ModelError: the network has no linear layers.
        ConfigError: peft is not installed.
    """
    _call_all_layers(backbone.network)
    paths = _called_linear_layers(backbone)
    if not paths:
        raise ModelError(
            f"{backbone.name} has no linear layers, which LoRA needs",
            where="lora",
            remedy="leave it out, with optimizer.freeze for less training; or choose a transformer or a ConvNeXt",
        )
    peft = need("peft", "lora")
    config = peft.LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=paths)
    peft.inject_adapter_in_model(config, backbone.network)
    layers: list[Any] = [backbone.network.get_submodule(path) for path in paths]
    backbone.add_adapters({layer.weight: [*layer.lora_A.parameters(), *layer.lora_B.parameters()] for layer in layers})


def merge_adapters(network: nn.Module) -> None:
    """Add adapters to the weights that they adapt, in place, and leave plain layers with their old names."""
    modules: list[tuple[str, Any]] = list(network.named_modules())
    for path, layer in modules:
        if hasattr(layer, "lora_A"):
            layer.merge()
            network.set_submodule(path, layer.get_base_layer())


def _call_all_layers(network: nn.Module) -> None:
    """Some of timm's networks use an attention layer's weight without calling the layer, unless they are told to."""
    modules: list[Any] = list(network.modules())
    for module in modules:
        if hasattr(module, "qkv_bias_separate"):
            module.qkv_bias_separate = True


def _called_linear_layers(backbone: Backbone) -> list[str]:
    """Their paths, in the order of the network."""
    called: set[nn.Module] = set()
    linear = {path: module for path, module in backbone.network.named_modules() if type(module) is nn.Linear}
    hooks = [module.register_forward_pre_hook(lambda module, _: called.add(module)) for module in linear.values()]
    with trying(backbone):
        backbone(noise(trial_size(backbone)).to(next(backbone.parameters()).device))
    for hook in hooks:
        hook.remove()
    return [path for path, module in linear.items() if module in called]
