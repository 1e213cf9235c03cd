"""Inception-ResNet v2, fine-tuned or as pretrained."""

from __future__ import annotations

from sweeper.api import Params

from ._timm import backbone

WIDTH = 1536  # maps of the last convolution, averaged over positions


def _width(params: Params) -> int:
    return WIDTH


FEATURIZER = backbone(
    name="inception_resnet_v2",
    model="inception_resnet_v2.tf_in1k",
    source="Szegedy et al., AAAI 2017; camSortXS, section 3.1.2",
    width=_width,
    default_size=299,
    least_size=75,
)
"""Features are the 1536 maps of the last convolution, averaged over positions. Many of its layers are not
padded: 75 pixels leave one position of the maps, fewer leave none.
"""
