"""ConvNeXt and ConvNeXt V2: convolutional networks built like transformers, also with weights of DINOv3."""

from __future__ import annotations

from bier.network.families.timm_models import timm_family
from bier.network.family import Habits, Member

# The paper fine-tunes with 5e-5, a decay of 0.7 to 0.9 and paths dropped at 0.1 and more (Liu et al., 2022).
HABITS = Habits(learning_rate=5e-5, head_factor=2.0, layer_decay=0.8, drop_path=0.1)

MEMBERS = {
    "convnext": timm_family(
        r"convnext(v2)?_\w+",
        (
            Member("convnext_atto.d2_in1k", 3_374_520, 320),
            Member("convnext_nano.in12k_ft_in1k", 14_952_560, 640),
            Member("convnextv2_nano.fcmae_ft_in22k_in1k", 14_982_800, 640),
            Member("convnext_tiny.in12k_ft_in1k", 27_820_128, 768),
            Member("convnext_tiny.dinov3_lvd1689m", 27_820_128, 768),
            Member("convnext_base.fb_in22k", 87_566_464, 1024),
            Member("convnext_base.dinov3_lvd1689m", 87_566_464, 1024),
        ),
        HABITS,
    )
}
