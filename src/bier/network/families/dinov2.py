"""DINOv2: vision transformers that learned from pictures alone, with and without registers."""

from __future__ import annotations

import dataclasses

from bier.network.families.timm_models import timm_family
from bier.network.family import TRANSFORMER, Member

# MAE fine-tunes ViT-B with paths dropped at 0.1 (He et al., 2022).
HABITS = dataclasses.replace(TRANSFORMER, drop_path=0.1)


MEMBERS = {
    "dinov2": timm_family(
        r"vit_\w+_dinov2",
        (
            Member("vit_small_patch14_dinov2.lvd142m", 22_056_192, 384, 14),
            Member("vit_small_patch14_reg4_dinov2.lvd142m", 22_057_344, 384, 14),
            Member("vit_base_patch14_dinov2.lvd142m", 86_579_712, 768, 14),
            Member("vit_base_patch14_reg4_dinov2.lvd142m", 86_582_016, 768, 14),
            Member("vit_large_patch14_dinov2.lvd142m", 304_367_616, 1024, 14),
            Member("vit_large_patch14_reg4_dinov2.lvd142m", 304_370_688, 1024, 14),
        ),
        HABITS,
        usual=224,  # of nearly all of pretraining; the last steps were at 518, which timm names
        seen=(224, 518),
    )
}
