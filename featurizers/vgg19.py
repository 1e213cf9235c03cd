"""VGG with 19 layers, fine-tuned or as pretrained."""

from __future__ import annotations

from sweeper.api import Params

from ._timm import backbone

WIDTH = 4096  # neurons of the second fully connected layer, after their ReLU


def _width(params: Params) -> int:
    return WIDTH


FEATURIZER = backbone(
    name="vgg19",
    model="vgg19.tv_in1k",
    source="Simonyan and Zisserman, ICLR 2015; camSortXS, section 3.1.2",
    width=_width,
    default_size=224,
    least_size=32,
)
"""Features as those of ``vgg16``: the 4096 values of the second fully connected layer, rectified.
"""
