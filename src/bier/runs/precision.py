"""Float32 or bfloat16 in training on a processor: a network's own steps, tried in both, decide.

Bfloat16 doubles the speed of some networks and slows the backward pass of others, on the same processor.
"""

from __future__ import annotations

import copy
import dataclasses
import time

import torch
from rich.console import Console
from torch import Tensor

from bier.network.backbone import Backbone
from bier.settings.schema import Config
from bier.system.hardware import Hardware, has_bfloat16
from bier.training.job import Job

IMAGES = 16
"""In a batch of the trial, at most: the two differ alike in larger ones."""
ROUNDS = 3
"""Steps in each precision, in turn. The first makes everything ready, and the fastest of the others counts."""
WORTH = 0.9
"""Share of float32's time from which bfloat16 is taken: a busy machine must not decide."""


def choose_precision(job: Job, config: Config, console: Console) -> Config:
    """The settings with bfloat16 in the place of float32, where a trial finds steps faster that way.

    Only a processor with bfloat16 of its own is tried. Weights, gradients and random numbers stay as they are.

    Args:
        job: what will be trained.
        config: where ``hardware.precision`` was left open, and float32 was filled in.
        console: where to tell of it.
    """
    hardware, pictures = job.hardware, job.pictures
    if hardware.device.type != "cpu" or not has_bfloat16(hardware.device) or config.model.frozen or not job.epochs:
        return config
    images = min(IMAGES, pictures.plan.classes_per_batch // hardware.processes.world * pictures.plan.images_per_class)
    began = time.monotonic()
    with console.status("trying float32 and bfloat16"):
        share = tried(job.learning.model.backbone, images, pictures.test_view.size)
    share = hardware.processes.gather_objects(share)[0]
    name = "bfloat16" if share < WORTH else "float32"
    console.print(
        f"precision: {name}, since a step in bfloat16 takes {share:.2f} of the time in float32, "
        f"{time.monotonic() - began:.0f} s",
        soft_wrap=True,
    )
    return config.replace(hardware__precision=name)


def with_precision(hardware: Hardware, config: Config) -> Hardware:
    """The hardware, which computes as the settings say."""
    low = config.hardware.precision == "bfloat16"
    return dataclasses.replace(hardware, precision=torch.bfloat16 if low else torch.float32)


def tried(backbone: Backbone, images: int, size: int) -> float:
    """Time of a step in bfloat16 as a share of that in float32: forward and backward of a copy, on noise."""
    twin = copy.deepcopy(backbone).train()
    if not any(parameter.requires_grad for parameter in twin.parameters()):
        return 1.0
    with torch.random.fork_rng(devices=[]):
        noise = torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8)
        times = [[_seconds(twin, noise, low=low) for low in (False, True)] for _ in range(ROUNDS)]
    full, half = (float(min(seconds)) for seconds in zip(*times[1:], strict=True))
    return half / full


def _seconds(backbone: Backbone, images: Tensor, *, low: bool) -> float:
    began = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
        features = backbone(images)
    features.float().square().mean().backward()
    backbone.zero_grad(set_to_none=True)
    return time.perf_counter() - began
