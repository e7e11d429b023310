"""Swin and Swin V2: vision transformers that look at windows of their picture."""

from __future__ import annotations

from bier.network.families.timm_models import timm_family
from bier.network.family import Habits, Member

# The authors fine-tune from ImageNet-22k with about this rate, and paths dropped at 0.2 (Liu et al., 2021); SimMIM with
# a decay of 0.8 to 0.9 and 0.1 (Xie et al., 2022). A layer group here is a whole stage.
HABITS = Habits(learning_rate=3e-5, head_factor=3.0, layer_decay=0.9, drop_path=0.1)


MEMBERS = {
    "swin": timm_family(
        r"swin(v2)?_\w+",
        (
            Member("swin_tiny_patch4_window7_224.ms_in22k_ft_in1k", 27_519_354, 768, 32),
            Member("swin_tiny_patch4_window7_224.ms_in1k", 27_519_354, 768, 32),
            Member("swinv2_tiny_window8_256.ms_in1k", 27_578_154, 768, 32),
            Member("swin_small_patch4_window7_224.ms_in22k_ft_in1k", 48_837_258, 768, 32),
            Member("swin_base_patch4_window7_224.ms_in22k_ft_in1k", 86_743_224, 1024, 32),
        ),
        HABITS,
        smaller_on_cpu=False,  # windows fill the usual size evenly, and are padded at others
    )
}
