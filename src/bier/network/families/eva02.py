"""EVA-02: vision transformers with rotary positions, taught by masked pictures and by CLIP."""

from __future__ import annotations

import dataclasses

from bier.network.families.timm_models import timm_family
from bier.network.family import TRANSFORMER, Member

# The paper fine-tunes with a decay of 0.7 to 0.9, and paths dropped at 0.1 in the smaller ones (Fang et al., 2023).
HABITS = dataclasses.replace(TRANSFORMER, layer_decay=0.8, drop_path=0.1)

MEMBERS = {
    "eva02": timm_family(
        r"eva02_\w+",
        (
            Member("eva02_tiny_patch14_224.mim_in22k", 5_502_144, 192, 14),
            Member("eva02_small_patch14_224.mim_in22k", 21_621_120, 384, 14),
            Member("eva02_base_patch14_224.mim_in22k", 85_758_720, 768, 14),
            Member("eva02_base_patch16_clip_224.merged2b", 85_869_312, 768, 16),
        ),
        HABITS,
    )
}
