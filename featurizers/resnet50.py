"""ResNet with 50 layers, fine-tuned or as pretrained."""

from __future__ import annotations

from sweeper.api import Params

from ._timm import backbone

WIDTH = 2048  # maps of the last block, averaged over positions


def _width(params: Params) -> int:
    return WIDTH


FEATURIZER = backbone(
    name="resnet50",
    model="resnet50.tv_in1k",
    source="He et al., CVPR 2016; camSortXS, section 3.1.2",
    width=_width,
    default_size=224,
    least_size=32,
)
"""Features are the 2048 maps of the last block, averaged over positions: the input of its classifier. The
maps are 1/32 as wide as the input. Of timm's many weights those of torchvision's first release are the
nearest to the paper's; others go by their names, such as ``timm:resnet50.a1_in1k``.
"""
