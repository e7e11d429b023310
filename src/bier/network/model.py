"""A backbone with an ensemble on top: images in, retrieval vectors out."""

from __future__ import annotations

from torch import Tensor, nn

from bier.method.ensemble import EmbeddingEnsemble
from bier.network.backbone import Backbone


class RetrievalModel(nn.Module):
    """``model(images)`` gives the retrieval vectors (n, D) of images (n, 3, h, w), uint8 or float."""

    def __init__(self, backbone: Backbone, head: EmbeddingEnsemble) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor, learners: int | None = None) -> Tensor:
        vectors: Tensor = self.head(self.backbone(images), learners)
        return vectors
