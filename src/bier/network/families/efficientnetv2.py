"""EfficientNetV2: larger relatives of the EfficientNet-lite networks."""

from __future__ import annotations

from bier.network.families.timm_models import timm_family
from bier.network.family import Member

MEMBERS = {
    "efficientnetv2": timm_family(
        r"(tf_)?efficientnetv2_\w+",
        (
            Member("tf_efficientnetv2_b0.in1k", 5_858_704, 1280),
            Member("tf_efficientnetv2_b3.in21k_ft_in1k", 12_821_406, 1536),
            Member("tf_efficientnetv2_s.in21k_ft_in1k", 20_177_488, 1280),
            Member("tf_efficientnetv2_m.in21k_ft_in1k", 52_858_356, 1280),
        ),
    )
}
