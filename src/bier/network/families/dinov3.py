"""DINOv3: vision transformers with rotary positions that learned from pictures alone; ask for their licence."""

from __future__ import annotations

from bier.network.families.dinov2 import HABITS
from bier.network.families.timm_models import timm_family
from bier.network.family import Member

MEMBERS = {
    "dinov3": timm_family(
        r"vit_\w+_dinov3(_qkvb)?",
        (
            Member("vit_small_patch16_dinov3.lvd1689m", 21_586_944, 384, 16),
            Member("vit_small_plus_patch16_dinov3.lvd1689m", 28_683_264, 384, 16),
            Member("vit_base_patch16_dinov3.lvd1689m", 85_641_216, 768, 16),
            Member("vit_large_patch16_dinov3.lvd1689m", 303_079_424, 1024, 16),
        ),
        HABITS,
    )
}
