"""Features of a pretrained backbone, pooled as it does, for recipes that train heads on them."""

from __future__ import annotations

from pathlib import Path

import torch
from heads import CONFIG
from safetensors.torch import load_file, save_file
from torch import Tensor

from bier.data import image_loader, open_source
from bier.network.folded import InferenceBackbone
from bier.runs import build


def features(data: Path, dataset: str, out: Path) -> dict[str, Tensor]:
    """(n, F) of the pictures for ``train`` and ``test``, from the cache, made when it is not there yet."""
    cache = out / f"{dataset}.safetensors"
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        save_file(_extract(data / dataset), cache)
    return load_file(cache)


@torch.inference_mode()
def _extract(source: Path) -> dict[str, Tensor]:
    manifest = open_source(source)
    backbone = InferenceBackbone(build.model(CONFIG).backbone)
    view = build.test_transform(CONFIG, build.image_size(CONFIG, torch.device("cpu")))
    return {
        split: torch.cat([backbone(batch.images) for batch in image_loader(manifest.only(split), view, workers=1)])
        for split in ("train", "test")
    }
