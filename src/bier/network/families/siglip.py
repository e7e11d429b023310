"""SigLIP 2, and SigLIP: vision transformers that learned from pictures with texts, one pair at a time."""

from __future__ import annotations

from bier.network.families.timm_models import timm_family
from bier.network.family import TRANSFORMER, Member

MEMBERS = {
    "siglip2": timm_family(
        r"vit_\w+_siglip_\w+",
        (
            Member("vit_base_patch16_siglip_224.v2_webli", 92_884_224, 768, 16),
            Member("vit_base_patch16_siglip_256.v2_webli", 92_930_304, 768, 16),
            Member("vit_base_patch32_siglip_256.v2_webli", 94_552_320, 768, 32),
            Member("vit_large_patch16_siglip_256.v2_webli", 315_956_224, 1024, 16),
        ),
        TRANSFORMER,
    )
}
