"""MobileNetV4: small and quick convolutional networks, some with attention in the last stages."""

from __future__ import annotations

from bier.network.families.timm_models import timm_family
from bier.network.family import Member

MEMBERS = {
    "mobilenetv4": timm_family(
        r"mobilenetv4_\w+",
        (
            Member("mobilenetv4_conv_small.e2400_r224_in1k", 2_493_024, 1280),
            Member("mobilenetv4_conv_medium.e500_r256_in1k", 8_434_512, 1280),
            Member("mobilenetv4_hybrid_medium.ix_e550_r256_in1k", 9_793_648, 1280),
            Member("mobilenetv4_conv_large.e600_r384_in1k", 31_309_864, 1280),
        ),
    )
}
