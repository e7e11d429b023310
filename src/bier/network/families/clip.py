"""CLIP: vision transformers that learned from pictures with texts."""

from __future__ import annotations

from bier.network.families.timm_models import timm_family
from bier.network.family import TRANSFORMER, Member

MEMBERS = {
    "clip": timm_family(
        r"vit_\w+_clip_\w+",
        (
            Member("vit_xsmall_patch16_clip_224.tinyclip_yfcc15m", 8_145_920, 256, 16),
            Member("vit_base_patch16_clip_224.openai", 85_799_424, 768, 16),
            Member("vit_base_patch16_clip_224.laion2b", 85_799_424, 768, 16),
            Member("vit_base_patch32_clip_224.openai", 87_456_000, 768, 32),
            Member("vit_large_patch14_clip_224.openai", 303_179_776, 1024, 14),
        ),
        TRANSFORMER,
    )
}
