"""ResNet, the backbone of most published figures in metric learning."""

from __future__ import annotations

from bier.network.families.timm_models import timm_family
from bier.network.family import Member

MEMBERS = {
    "resnet": timm_family(
        r"resnet(18|34|50|101|152)",
        (
            Member("resnet18.a1_in1k", 11_176_512, 512),
            Member("resnet34.a1_in1k", 21_284_672, 512),
            Member("resnet50.a1_in1k", 23_508_032, 2048),
            Member("resnet101.a1h_in1k", 42_500_160, 2048),
        ),
    )
}
