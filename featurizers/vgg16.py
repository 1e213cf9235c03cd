"""VGG with 16 layers, fine-tuned or as pretrained."""

from __future__ import annotations

from sweeper.api import Params

from ._timm import backbone

WIDTH = 4096  # neurons of the second fully connected layer, after their ReLU


def _width(params: Params) -> int:
    return WIDTH


FEATURIZER = backbone(
    name="vgg16",
    model="vgg16.tv_in1k",
    source="Simonyan and Zisserman, ICLR 2015; camSortXS, section 3.1.2",
    width=_width,
    default_size=224,
    least_size=32,
)
"""Features are the 4096 values of the second fully connected layer, rectified. Below 224 pixels timm
stretches the last maps to the 7×7 that the first fully connected layer reads; above, it reads every 7×7
window and averages the features. At 32 pixels one position is left of the maps, below that none.
"""
