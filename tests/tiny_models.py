"""A model of random weights that is made in a moment."""

from __future__ import annotations

from pathlib import Path

import torch

from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import save_model


def tiny_model(folder: Path, seed: int = 0) -> Path:
    """The folder, with the file of the model in it, as of a run."""
    torch.manual_seed(seed)
    backbone = create_backbone("test_resnet", "none")
    head = EmbeddingEnsemble(backbone.features, (8, 16))
    save_model(folder / "model.safetensors", RetrievalModel(backbone, head), {"size": 32, "fit": "crop"})
    return folder
